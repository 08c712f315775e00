"""A dashboard over a control API of the test's own, on a real port."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.ui.server import DashboardServer
from support.fixtures import shared_hub as shared_hub
from support.fixtures import signed_in as signed_in
from support.fixtures import strict as strict

EMPTY_STATUS: dict[str, Any] = {
    "schema": 1,
    "version": "0",
    "checked_at": "2026-01-01T00:00:00.000Z",
    "daemon": {"running": True, "pid": 1, "since": "2026-01-01T00:00:00.000Z"},
    "servers": [],
    "sources": [],
    "declarations": [],
    "last_event": None,
}


@dataclass
class ScriptedApi:
    """Answers methods with documents of the test, and keeps the calls."""

    answers: dict[str, Any] = field(default_factory=lambda: {"status": EMPTY_STATUS, "events": []})
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __call__(self, method: str, params: Mapping[str, Any]) -> Any:
        self.calls.append((method, dict(params)))
        answer = self.answers[method]
        return answer(params) if isinstance(answer, Callable) else answer  # type: ignore[arg-type]


@pytest.fixture
def api() -> ScriptedApi:
    return ScriptedApi()


@pytest.fixture
def server(api: ScriptedApi, tmp_path: Path) -> Iterator[DashboardServer]:
    """A dashboard that listens on any free port."""
    made = DashboardServer(api, tmp_path / "ui.json")
    yield made
    made.close()


@dataclass(frozen=True)
class Opened:
    """The address of a running dashboard, and a code for it."""

    origin: str
    code: str

    def sign_in(self, client: httpx.Client) -> httpx.Response:
        """Exchange the code for a cookie, as the page's script does."""
        return client.post(f"{self.origin}/login", data={"code": self.code}, headers={"accept": "text/html"})


@pytest.fixture
def opened(server: DashboardServer) -> Opened:
    url, code = server.open(0).url.split("#")
    return Opened(url.removesuffix("/login"), code)


@pytest.fixture
def client(opened: Opened) -> Iterator[httpx.Client]:
    """A browser that is signed in."""
    with httpx.Client(headers={"accept": "text/html"}) as made:
        assert opened.sign_in(made).status_code == 303
        yield made
