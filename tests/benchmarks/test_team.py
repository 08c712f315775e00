"""A hub on PostgreSQL with a thousand agents: what they cost when nothing happens, and what an edit costs.

The sheet in docs/hub-scale.md is reckoned from these figures.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from benchmarks.crowd import Cost, Crowd, cost_of, steady_pushes
from benchmarks.tree import text
from hub.fixtures import running_hub, upsert
from support.eventually import eventually
from support.postgres import PostgresServer, find_postgres
from support.servers import HubServer

pytestmark = pytest.mark.benchmark_table

AGENTS = int(os.environ.get("BENCH_TEAM", "1000"))
IDLE_SECONDS = int(os.environ.get("BENCH_TEAM_SECONDS", "60"))
NOTE = text(1, 2048, 1)


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    """A PostgreSQL that flushes every commit to the disk."""
    assert find_postgres() is not None
    with PostgresServer.running(durable=True) as server:
        yield server


@pytest.fixture(scope="module")
def hub(scratch: Path, database: PostgresServer) -> Iterator[HubServer]:
    """A hub process on it."""
    with running_hub(scratch / "team", "--port", "0", "--database", database.url, fresh=True) as running:
        server = HubServer(running)
        yield server
        server.close()


def postmaster(database: PostgresServer) -> int:
    """The process of the server."""
    return int((database.folder / "db" / "postmaster.pid").read_text().split()[0])


def size_of(database: PostgresServer) -> int:
    """Bytes of the database on the disk."""
    return int(str(database.sql("SELECT pg_database_size('postgres')")[0][0]))


def waiting_polls(hub: HubServer) -> int:
    """Polls that wait now."""
    lines = hub.client.http.get("/metrics").text.splitlines()
    return int(float(next(line for line in lines if line.startswith("raven_hub_waiting_polls ")).split()[1]))


def show(name: str, cost: Cost, units: float, unit: str) -> None:
    """Print what one unit costs."""
    print(f"{name}: hub {cost.hub / units * 1000:.3f} ms, database {cost.database / units * 1000:.3f} ms a {unit}")


def test_a_thousand_agents(hub: HubServer, database: PostgresServer) -> None:
    """Idle cost, 1,000 items a second beside the waiting agents, one event to all, and the bytes of each."""
    pid = postmaster(database)
    sources = [hub.new_source() for _ in range(100)]
    connectors = [hub.client.connector() for _ in range(100)]
    process = psutil.Process(hub.running.process.pid)
    before_memory = process.memory_info().rss
    crowd = Crowd(hub, sources, connectors, AGENTS)
    with closing(crowd):
        # One round, until each agent waits at its own time. A connection without a request ends after 20 s.
        crowd.begin(15)
        crowd.wait(26)
        before, polls, received, began = cost_of(hub, pid), crowd.polls, crowd.received, time.monotonic()
        crowd.wait(IDLE_SECONDS)
        cost, seconds = cost_of(hub, pid).since(before), time.monotonic() - began
        polls, received = crowd.polls - polls, crowd.received - received
        print(f"\nidle: {AGENTS} agents, {seconds:.0f} s, {polls} polls: hub {cost.hub / seconds:.2%}, ", end="")
        print(f"database {cost.database / seconds:.2%} of a core; {received / polls:.0f} bytes of answer a poll")
        show("idle", cost, polls, "poll")
        print(f"memory: {(process.memory_info().rss - before_memory) / AGENTS / 1024:.1f} KiB an agent that waits")

    for items, rate in ((10, 100.0), (1, 200.0)):
        before, before_bytes = cost_of(hub, pid), size_of(database)
        pushed, seconds = steady_pushes(hub, sources, items, rate, 20, NOTE)
        cost = cost_of(hub, pid).since(before)
        print(
            f"pushes of {items}: {pushed / seconds:.0f} items/s, {items * rate:.0f} wanted; ",
            end="",
        )
        print(f"{(size_of(database) - before_bytes) / pushed:.0f} bytes an item of {len(NOTE)} bytes")
        show(f"pushes of {items}", cost, pushed, "item")

    common = hub.new_source()
    everybody = Crowd(hub, [common], connectors, AGENTS)
    with closing(everybody):
        everybody.begin(2)
        sent: list[float] = []
        started: list[Cost] = []

        def push() -> None:
            eventually(lambda: waiting_polls(hub) == AGENTS, 24, "everybody waits")
            started.append(cost_of(hub, pid))
            sent.append(time.monotonic())
            hub.client.push(common, upsert("news.md", NOTE))

        pusher = threading.Thread(target=push)
        pusher.start()
        told = everybody.wait(60, expected=AGENTS)
        pusher.join()
        assert len(told) == AGENTS
        print(f"one event to {AGENTS} agents: the last after {max(told) - sent[0]:.2f} s")
        show("one event to all", cost_of(hub, pid).since(started[0]), AGENTS, "agent")
