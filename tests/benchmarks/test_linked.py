"""Two machines linked to one large folder, both agents running: the way of a save, what it costs, what idling costs.

Counts are asserted; timings are printed and decide nothing.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from agent.settings.settings import Settings
from benchmarks.conftest import Machines
from benchmarks.machines import FeedEar, Machine, until_calm, until_rest, when_on_disk
from benchmarks.measure import cpu_of, written_by
from benchmarks.prototypes import walk
from benchmarks.sizes import Sizes, shape_of
from benchmarks.table import AtMost, Group, Line, Table, TimesBaseline, Unit, median, p95
from benchmarks.transfers import Pair, Transfer, plain_pull, plain_push, prototype, running
from benchmarks.tree import grow, plant, text
from support.eventually import eventually
from support.processes import Daemon
from support.servers import HubServer, sha

pytestmark = pytest.mark.benchmark_table

SMALL: Final = 1_000
BREATH_SECONDS: Final = 0.3
"""Between two saves; longer than the quiet period, so that each is looked at by itself."""
REST_SECONDS: Final = 5.0
HEARTBEAT_SECONDS: Final = Settings().heartbeat_seconds
QUIET: Final = ("quiet period", Settings().quiet_ms / 1000)

_seeds = itertools.count(1000)


@pytest.fixture(scope="module")
def pair(large: Transfer) -> Iterator[Pair]:
    """The machine that brought the large folder up, and the one it went down to."""
    with running(large) as both:
        yield both


@pytest.fixture(scope="module")
def small(machines: Machines, hub: HubServer) -> Iterator[tuple[Machine, Daemon, str]]:
    """A machine with few files, and its source."""
    machine = machines("small")
    grow(machine.folder, shape_of(SMALL))
    source = machine.up_once()["id"]
    with machine.home.daemon() as daemon:
        until_rest([daemon])
        yield machine, daemon, source


def _save(machine: Machine, number: int, sizes: Sizes) -> tuple[Path, str, float]:
    """Change one file by as much as it held before. (where, what, when)"""
    shape = shape_of(sizes.files)
    file, saved = machine.folder / shape.path(number), text(number, shape.size, next(_seeds))
    began = time.perf_counter()
    file.write_text(saved, encoding="utf-8")
    return file, saved, began


def test_idle(table: Table, pair: Pair, hub: HubServer, sizes: Sizes) -> None:
    """An idle agent asks for nothing but news, tells nothing but that it lives, and writes nothing."""
    machine, pid, hub_pid = pair.left, pair.daemons[0].process.pid, hub.running.process.pid
    connector = hub.client.connector()
    hears = ("idle", machine.folder, hub.url, hub.token, hub.workspace, pair.source, connector, str(sizes.idle_seconds))
    for daemon in pair.daemons:
        # Each makes sure of what the server holds after its start; that writes nothing for seconds at a time.
        until_calm(daemon.process.pid)
    eventually(lambda: _nothing_changes(machine, REST_SECONDS), 120, "the last look is through")
    machine.relay.counted()
    files, written, began = _state(machine), written_by(pid), time.perf_counter()
    cpu, hub_cpu = cpu_of(pid), cpu_of(hub_pid)
    # Beside it in the same seconds; it sleeps as the agent does, so that neither is in the other's way.
    plain = float(prototype(*hears).out)
    seconds = time.perf_counter() - began
    used, hub_used = cpu_of(pid) - cpu, cpu_of(hub_pid) - hub_cpu
    wrote, asked = written_by(pid) - written, machine.relay.counted()
    assert _state(machine) == files
    assert set(asked.endpoints) <= {"deltas", "heartbeat"}
    assert asked.endpoints["heartbeat"] <= seconds / HEARTBEAT_SECONDS + 1
    baseline = ("watcher, long poll and heartbeat", plain / sizes.idle_seconds * 100)
    name = f"idle {sizes.idle_seconds} s, {sizes.files:,} files"
    table.add(
        Line(Group.IDLE, f"{name}, CPU", used / seconds * 100, baseline, AtMost(0.05), Unit.PERCENT),
        Line(Group.IDLE, f"{name}, CPU of the hub for three that wait", hub_used / seconds * 100, unit=Unit.PERCENT),
        Line(Group.IDLE, f"{name}, written to the disk", wrote, None, AtMost(0), Unit.BYTES),
        Line(Group.IDLE, f"{name}, requests", asked.requests, None, None, Unit.COUNT),
    )


def _state(machine: Machine) -> dict[str, tuple[int, int]]:
    """Size and time of everything in the agent's home."""
    return {path: (size, mtime) for path, _, size, mtime, _ in walk(str(machine.home.path))}


def _nothing_changes(machine: Machine, seconds: float) -> bool:
    before = _state(machine)
    threading.Event().wait(seconds)
    return _state(machine) == before


def test_one_edit(table: Table, pair: Pair, small: tuple[Machine, Daemon, str], hub: HubServer, sizes: Sizes) -> None:
    """One save among many files is one operation, and costs what it costs among few."""
    few, few_daemon, few_source = small
    costs: dict[str, list[float]] = {"many": [], "few": []}
    with ExitStack() as stack:
        ear, few_ear = (stack.enter_context(FeedEar.open(hub, source)) for source in (pair.source, few_source))
        pair.counted()
        few.relay.counted()
        places = (("many", pair.left, pair.daemons[0], ear), ("few", few, few_daemon, few_ear))
        for number in range(sizes.saves):
            for name, machine, daemon, listening in places:
                before = cpu_of(daemon.process.pid)
                _, saved, _ = _save(machine, number, sizes)
                listening.when(saved)
                threading.Event().wait(BREATH_SECONDS)
                costs[name].append(cpu_of(daemon.process.pid) - before)
    assert (pair.counted()[0].operations, few.relay.counted().operations) == (sizes.saves, sizes.saves)
    baseline = (f"among {SMALL:,}", median(costs["few"]))
    figure = f"one edit among {sizes.files:,} files, the agent's CPU"
    table.add(Line(Group.WAYS, figure, median(costs["many"]), baseline, TimesBaseline(1.25)))


def test_save(table: Table, pair: Pair, hub: HubServer, sizes: Sizes) -> None:
    """Saves one after the other are one operation each; no arrival on the other machine is pushed back."""
    to_hub, to_disk = [], []
    with FeedEar.open(hub, pair.source) as ear:
        pair.counted()
        for number in range(sizes.saves):
            file, saved, began = _save(pair.left, number, sizes)
            other = pair.right.folder / file.relative_to(pair.left.folder)
            to_disk.append(when_on_disk(other, saved) - began)
            to_hub.append(ear.when(saved) - began)
            threading.Event().wait(BREATH_SECONDS)
    pair.rest()
    left, right = pair.counted()
    assert (left.operations, right.operations) == (sizes.saves, 0)
    name = f"{sizes.files:,} files linked"
    table.add(
        Line(Group.WAYS, f"save → server, {name}, p50", median(to_hub), QUIET, AtMost(0.150)),
        Line(Group.WAYS, f"save → server, {name}, p95", p95(to_hub), QUIET, AtMost(0.300)),
        Line(Group.WAYS, f"save → other disk, {name}, p50", median(to_disk), QUIET),
        Line(Group.WAYS, f"save → other disk, {name}, p95", p95(to_disk), QUIET),
    )


def test_edit_on_the_server(table: Table, pair: Pair, hub: HubServer, sizes: Sizes) -> None:
    """Edits made on the server arrive on disk, and no machine answers with a push."""
    seconds = []
    shape = shape_of(sizes.files)
    pair.counted()
    for number in range(sizes.saves):
        path, edited = shape.path(number), text(number, shape.size, next(_seeds))
        file = pair.right.folder / path
        base = sha(file.read_text(encoding="utf-8"))
        began = time.perf_counter()
        assert hub.edit(pair.source, path, edited, base)["status"] == "ok"
        seconds.append(when_on_disk(file, edited) - began)
        when_on_disk(pair.left.folder / path, edited)
    pair.rest()
    left, right = pair.counted()
    assert (left.operations, right.operations) == (0, 0)
    name = f"server → other disk, {sizes.files:,} files linked"
    table.add(
        Line(Group.WAYS, f"{name}, p50", median(seconds), None, AtMost(0.060)),
        Line(Group.WAYS, f"{name}, p95", p95(seconds)),
    )


def test_edits_at_once(table: Table, pair: Pair, hub: HubServer, scratch: Path, sizes: Sizes) -> None:
    """Edits in one go are sent once each, and the machine they come down to sends nothing back."""
    shape = shape_of(sizes.files)
    seconds, plain = [], []
    for number in range(sizes.rounds):
        seed = next(_seeds)
        edits = {shape.path(each): text(each, shape.size, seed) for each in range(sizes.edits)}
        pair.counted()
        began = time.perf_counter()
        plant(pair.left.folder, edits)
        for path, wanted in edits.items():
            when_on_disk(pair.right.folder / path, wanted)
        seconds.append(time.perf_counter() - began)
        pair.rest()
        left, right = pair.counted()
        assert (left.operations, right.operations) == (len(edits), 0)
        plain.append(_plainly(hub, edits, scratch / f"edits-{number}"))
    baseline = ("plain push and pull of as many", median(plain))
    name = f"{sizes.edits:,} edits at once → other disk, {sizes.files:,} files linked"
    table.add(Line(Group.WAYS, name, median(seconds), baseline, AtMost(1.0 * sizes.edits / 1000)))


def _plainly(hub: HubServer, edits: dict[str, str], folder: Path) -> float:
    """The same texts through an empty source: pushed, read from the feed, written."""
    plant(folder / "from", edits)
    up, source = plain_push(hub, folder / "from", folder)
    return up.wall + plain_pull(hub, source, folder).wall
