"""The hub by itself: how many can push and wait at once, how it grows, and that a long history costs a push nothing."""

from __future__ import annotations

import itertools
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Final

import pytest

from agent.hub.store.session import _ONE_SOURCE
from agent.hub.store.sql_store import SqlStore
from benchmarks.hubload import BATCH, answered, batches, connected, plain_store, pushing, request
from benchmarks.measure import cpu_of
from benchmarks.sizes import Sizes
from benchmarks.table import AtMost, Group, Line, Table, TimesBaseline, Unit
from benchmarks.tree import text
from hub.fixtures import WORKSPACE, InProcess, upsert
from support.servers import SENTINEL, HubServer, sha

pytestmark = pytest.mark.benchmark_table

_seeds = itertools.count(1)

NOTE_BYTES: Final = 2048
LARGE_BYTES: Final = 100_000
ROUNDS: Final = 5
READS: Final = 2000
SOME: Final = 20
BREATH_SECONDS: Final = 2.0
WAKE_BREATH_SECONDS: Final = 0.1
EVENT_BYTES: Final = 300
"""What an event may take beside its text."""


@pytest.fixture(scope="module")
def alone(scratch: Path) -> Iterator[HubServer]:
    """A hub of its own: what others left on it is not measured."""
    with HubServer.serving(scratch / "hub-alone", fresh=True) as serving:
        yield serving


def test_agents_pushing(table: Table, sizes: Sizes, alone: HubServer, scratch: Path) -> None:
    """Every item of every agent is applied, however many push at once."""
    total = sizes.batches * BATCH
    plain = plain_store(scratch / f"plain-store-{next(_seeds)}.sqlite", sizes.batches, next(_seeds))
    for agents in sizes.agents:
        source, seed = alone.new_source(), next(_seeds)
        made = batches(alone, source, sizes.batches, seed)
        seconds = pushing(alone, [made[number::agents] for number in range(agents)])
        assert len(alone.hashes(source)) == total
        name = f"hub: {agents} {'agent' if agents == 1 else 'agents'} pushing 100-item batches, items"
        baseline = ("one loop: sha256, zlib, INSERT, commit", total / plain)
        table.add(Line(Group.HUB, name, total / seconds, baseline, None, Unit.EACH_SECOND))


def test_agents_waiting(table: Table, sizes: Sizes, alone: HubServer) -> None:
    """One event reaches everybody who waits for it."""
    source = alone.new_source()
    cursor = int(alone.client.push(source)["eventCursor"])
    wait = request(alone, "sources/deltas", sourceId=source, cursor=cursor, waitMs=25_000)
    at_once = request(alone, "sources/deltas", sourceId=source, cursor=cursor)
    with connected(alone, sizes.waiters) as agents:
        began = time.perf_counter()
        for agent in agents:
            agent.socket.sendall(at_once)
        plain = max(answered(agents)) - began
        for agent in agents:
            agent.socket.sendall(wait)
        # Who has not begun to wait by then is told at once, and counts like the others.
        threading.Event().wait(BREATH_SECONDS)
        began = time.perf_counter()
        alone.put(source, "news.md", "news\n")
        seconds = max(answered(agents)) - began
    name = f"hub: {sizes.waiters} agents in a long poll, until all have one event"
    table.add(Line(Group.HUB, name, seconds, ("as many empty answers without waiting", plain)))


def test_one_wake_up(table: Table, sizes: Sizes, alone: HubServer) -> None:
    """A poll that waits hears of a push soon after its pusher does."""
    source = alone.new_source()
    cursor = int(alone.client.push(source)["eventCursor"])
    pushes, delays = [], []
    with connected(alone, 1) as agents:
        for number in range(sizes.saves):
            agents[0].socket.sendall(request(alone, "sources/deltas", sourceId=source, cursor=cursor, waitMs=25_000))
            threading.Event().wait(WAKE_BREATH_SECONDS)
            began = time.perf_counter()
            cursor = int(alone.put(source, f"{number}.md", "news\n")["eventCursor"])
            pushed = time.perf_counter()
            pushes.append(pushed - began)
            delays.append(max(answered(agents)[0] - pushed, 0.0))
    name = "hub: one agent in a long poll, from the push's answer to its event, p50"
    table.add(Line(Group.HUB, name, median(delays), ("the push", median(pushes)), AtMost(0.02)))


def _note(number: int, version: int) -> str:
    """A note after so many edits: one more of its lines is another than before."""
    lines = text(number, NOTE_BYTES, 1).splitlines()
    for edit in range(max(0, version - len(lines)), version):
        lines[edit * 7 % len(lines)] = f"Edited for the {edit + 1}. time, note {number}."
    return "\n".join(lines) + "\n"


def test_size_of_history(table: Table, sizes: Sizes, scratch: Path) -> None:
    """Every version of every file is kept, packed, and little beside it."""
    with HubServer.serving(scratch / "hub-history", fresh=True) as hub:
        source = hub.new_source()
        heads = dict.fromkeys(range(sizes.versioned), SENTINEL)
        packed = 0
        for version in range(sizes.versions):
            for start in range(0, sizes.versioned, BATCH):
                items = []
                for number in range(start, min(start + BATCH, sizes.versioned)):
                    note = _note(number, version)
                    packed += len(zlib.compress(note.encode()))
                    items.append(upsert(f"notes/n-{number:05}.md", note, heads[number]))
                    heads[number] = sha(note)
                answer = hub.client.push(source, *items)
                assert answer["applied"] == len(items)
        with closing(sqlite3.connect(hub.running.data / "hub.db")) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        taken = (hub.running.data / "hub.db").stat().st_size
    events = sizes.versions * sizes.versioned
    name = f"hub: database after {sizes.versions} edits of each of {sizes.versioned:,} files"
    allowed = 1.3 * packed + EVENT_BYTES * events
    table.add(Line(Group.HUB, name, taken, ("packed contents", packed), AtMost(allowed), Unit.BYTES))


def test_reading_a_source(table: Table) -> None:
    """A row read in the driver's own SQL costs a part of what SQLAlchemy's execution of the same statement costs."""
    with closing(SqlStore("sqlite://")) as store:
        source = InProcess(store).source()
        with store.read() as session:
            fast = _cpu_each(lambda: session.source(WORKSPACE, source))
        values = {"w": WORKSPACE, "i": source}
        with store._reader.connect() as connection:
            plain = _cpu_each(lambda: connection.execute(_ONE_SOURCE, values).all())
    table.add(Line(Group.HUB, "hub: one source read, CPU", fast, ("by SQLAlchemy", plain), TimesBaseline(0.5)))


def _cpu_each(work: Callable[[], object]) -> float:
    """The least seconds of CPU that one call took, of several rounds."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(READS):
            work()
        rounds.append((time.process_time() - began) / READS)
    return min(rounds)


def test_push_cost_over_history(table: Table, sizes: Sizes, alone: HubServer) -> None:
    """The last edit of a large file costs the hub what the first one did."""
    source, base = alone.new_source(), SENTINEL
    pid = alone.running.process.pid
    costs = []
    for version in range(sizes.versions):
        large = text(version, LARGE_BYTES, 2)
        before = cpu_of(pid)
        assert alone.put(source, "large.md", large, base)["applied"] == 1
        costs.append(cpu_of(pid) - before)
        base = sha(large)
    first, last = (sum(part) / SOME for part in (costs[1 : SOME + 1], costs[-SOME:]))
    name = f"hub: the last of {sizes.versions} edits of a file of 100 KB, the hub's CPU"
    table.add(Line(Group.HUB, name, last, ("the first ones", first), TimesBaseline(1.25)))
