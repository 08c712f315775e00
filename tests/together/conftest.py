"""One hub, one source, and a machine of each dialect."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.hub.store.sql_store import sqlite_url
from hub.conftest import postgres as postgres
from hub.conftest import postgres_server as postgres_server
from hub.fixtures import running_hub, token
from support.fixtures import shared_hub as shared_hub
from support.servers import HubServer, Server
from together.machines import Together

MakeTogether = Callable[[], Together]


class WorkspaceServer(Server):
    """A hub asked by a workspace of its own."""

    name = "hub"

    def __init__(self, hub: HubServer) -> None:
        workspace = str(uuid.uuid4())
        secret = (hub.running.data / "secret").read_bytes()
        super().__init__(hub.url, workspace, token(workspace, secret=secret))


@pytest.fixture
def together(shared_hub: HubServer, tmp_path: Path) -> Iterator[Together]:
    """A machine of each dialect, linked to one source of an own workspace."""
    server = WorkspaceServer(shared_hub)
    yield Together(server, tmp_path)
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def together_for_long(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Together]:
    """The same on a hub of its own, on either database."""
    is_file = request.param == "sqlite"
    database = sqlite_url(tmp_path / "hub/hub.db") if is_file else request.getfixturevalue("postgres")
    flags = () if is_file else ("--database", database)
    with running_hub(tmp_path / "hub", "--port", "0", *flags) as running:
        server = HubServer(running)
        yield Together(server, tmp_path, database)
        server.close()
