"""Servers and machines for the scenarios."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType

import pytest

from scenarios.prepared import PreparedHomes
from support.fixtures import Machines as Machines
from support.fixtures import machine as machine
from support.fixtures import shared_hub as shared_hub
from support.fixtures import strict as strict
from support.processes import POWERLESS, Home
from support.servers import Server, StrictServer

LIMIT_SECONDS = 600
LONG_LIMIT_SECONDS = 3600
on_both = pytest.mark.parametrize("server", ["strict", "hub"], indirect=True)
"""Runs the scenario on both servers every time."""


@pytest.fixture(autouse=True)
def limit(request: pytest.FixtureRequest) -> Iterator[None]:
    """A scenario that never ends is one that fails."""

    def fail(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError("the scenario did not end in time")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(LONG_LIMIT_SECONDS if request.node.get_closest_marker("long") else LIMIT_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PreparedHomes]:
    """Linked machines to copy, on a strict server of their own."""
    with StrictServer.serving() as server:
        yield PreparedHomes(tmp_path_factory.mktemp("prepared"), server)


@pytest.fixture(params=["strict", pytest.param("hub", marks=pytest.mark.long)])
def server(request: pytest.FixtureRequest) -> Server:
    """Either server: the one with every fault; the hub in the long run, and where a scenario is ``on_both``."""
    found: Server = request.getfixturevalue("shared_hub" if request.param == "hub" else "strict")
    return found


@pytest.fixture
def home(machine: Machines, server: Server) -> Home:
    """A machine signed in to the server, its folder not linked yet."""
    made = machine()
    made.login(server)
    return made


@pytest.fixture
def strict_home(machine: Machines, strict: StrictServer) -> Home:
    """A machine signed in to the strict server."""
    made = machine()
    made.login(strict)
    return made


@pytest.fixture
def powerless(strict_home: Home) -> Home:
    """A machine whose agent is stopped by permissions, whoever runs the tests."""
    strict_home.command = POWERLESS
    return strict_home
