"""How long a person waits while many conflicts are resolved by one command, through a running agent (FP3)."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.measure import Cost, cpu_of, run
from benchmarks.table import AtMost, Group, Line, Table
from hub.fixtures import upsert
from support.processes import COMMAND, Home
from support.servers import HubServer, Server, StrictServer, sha

pytestmark = pytest.mark.benchmark_table

COUNT = 1000
BATCH = 100
SECONDS = 10.0


@pytest.fixture(params=["hub", "strict"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Either server; the strict one is a thread of this process."""
    if request.param == "hub":
        found: HubServer = request.getfixturevalue("hub")
        yield found
    else:
        with StrictServer.serving() as strict:
            yield strict


@contextlib.contextmanager
def parked(top: Path, server: Server) -> Iterator[Home]:
    """A machine with a thousand parked files."""
    home = Home(top, f"resolving-{server.name}")
    home.command = COMMAND
    home.login(server)
    paths = [f"n{number:04}.md" for number in range(COUNT)]
    for path in paths:
        home.write(path, f"base of {path}\n")
    source = home.link()
    for path in paths:
        home.write(path, f"mine of {path}\n")
    for start in range(0, COUNT, BATCH):
        some = paths[start : start + BATCH]
        server.client.push(source, *(upsert(path, f"theirs of {path}\n", sha(f"base of {path}\n")) for path in some))
    assert home.sync(code=3)["conflicts"] == COUNT
    yield home
    shutil.rmtree(home.path.parent)


@pytest.mark.parametrize("choice", ["keep_local", "keep_raven"])
def test_a_thousand_resolutions(table: Table, scratch: Path, server: Server, choice: str) -> None:
    """FP3: a thousand conflicts, resolved by one command through the daemon."""
    with parked(scratch, server) as home, home.daemon() as daemon:
        daemon.call("sync")
        before = cpu_of(daemon.process.pid)
        cost: Cost = run([*COMMAND, "resolve", "--all", choice, "--json"], home.env, home.folder)
        used = cpu_of(daemon.process.pid) - before
        assert daemon.call("conflicts") == []
    name = f"resolve --all {choice}, {COUNT:,} conflicts, {server.name}"
    table.add(
        Line(Group.COMMANDS, name, cost.wall, None, AtMost(SECONDS)),
        Line(Group.COMMANDS, f"{name}, the agent's CPU", used),
    )
