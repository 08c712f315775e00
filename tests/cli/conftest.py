"""A home, a fake daemon that holds it, and the command as a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.cli.main import run
from agent.settings.home import Home
from cli.fake_agent import FakeAgent, serving


@dataclass(frozen=True)
class Ran:
    """What one run of the command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in ("RAVEN_SERVER_URL", "RAVEN_WORKSPACE", "RAVEN_TOKEN", "RAVEN_JWT", "FORCE_COLOR", "RAVEN_AGENT_LOG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAVEN_AGENT_HOME", str(tmp_path / "home"))
    return Home.from_environment()


@pytest.fixture
def fake(home: Home) -> Iterator[FakeAgent]:
    agent = FakeAgent()
    with serving(home, agent):
        yield agent


@pytest.fixture
def raven(home: Home, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def call(*arguments: str) -> Ran:
        capsys.readouterr()
        code = run(list(arguments))
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call
