"""The figures of the README. Counts are asserted; timings are printed and decide nothing.

The target in milliseconds is what users are promised. Those in multiples of a baseline are bounds that a slower
release would show up against.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from agent.config import Settings
from benchmarks import baselines
from benchmarks.baselines import timed
from benchmarks.conftest import Machines
from benchmarks.machines import FeedEar, Machine, until_rest, when_on_disk
from benchmarks.relay import Asked
from benchmarks.table import AtMost, Line, Table, TimesBaseline, median, p95
from benchmarks.tree import Shape, plant, text, texts
from support.processes import Daemon
from support.servers import HubServer

pytestmark = pytest.mark.benchmark_table

SHAPE: Final = Shape(files=10_000, folders=200, size=4096)
PATHS: Final = [SHAPE.path(number) for number in range(SHAPE.files)]
FULL_BATCHES: Final = [100] * 100
EDITS: Final = 1000
SAMPLES: Final = 3
RUNS: Final = 5
LATENCIES: Final = 20
QUIET: Final = ("quiet period", Settings().quiet_ms / 1000)

_seeds = itertools.count(1000)


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured transfer of the whole tree.

    Attributes:
        machine: whose folder it was.
        source: what it is linked to.
        seconds, baseline: how long the agent and the plain program took.
        asked: what the agent asked of the hub.
    """

    machine: Machine
    source: str
    seconds: float
    baseline: float
    asked: Asked


@pytest.fixture(scope="module")
def pushed(machines: Machines, hub: HubServer) -> list[Sample]:
    """The tree brought up by one machine after the other, each onto a source of its own."""
    samples = []
    content = texts(SHAPE, seed=1)
    for number in range(SAMPLES):
        machine = machines(f"push-{number}")
        plant(machine.home.folder, content)
        plain = hub.new_source()
        baseline = timed(baselines.push_files, hub.client, plain, machine.home.folder, PATHS)
        began = time.perf_counter()
        report = machine.up_once()
        seconds = time.perf_counter() - began
        assert (report["state"], report["pushed"], report["errors"]) == ("up_to_date", SHAPE.files, [])
        samples.append(Sample(machine, report["id"], seconds, baseline, machine.relay.counted()))
    return samples


@pytest.fixture(scope="module")
def pulled(machines: Machines, hub: HubServer, pushed: list[Sample], scratch: Path) -> list[Sample]:
    """The last source that was brought up, joined by one machine after the other."""
    source = pushed[-1].source
    samples = []
    for number in range(SAMPLES):
        machine, plain = machines(f"pull-{number}"), scratch / f"plain-{number}"
        baseline = timed(baselines.pull_files, hub.client, source, 0, plain)
        seconds = timed(machine.join, source)
        samples.append(Sample(machine, source, seconds, baseline, machine.relay.counted()))
    return samples


def _seconds(samples: list[Sample]) -> tuple[float, float]:
    return median([sample.seconds for sample in samples]), median([sample.baseline for sample in samples])


def test_ten_thousand_new_files_are_a_hundred_full_pushes(table: Table, pushed: list[Sample]) -> None:
    """10,000 files of 4 KiB in 200 folders go up in exactly 100 pushes of 100 operations."""
    for sample in pushed:
        assert sample.asked.batches == FULL_BATCHES
    figure, baseline = _seconds(pushed)
    table.add(Line("push 10,000 new files (4 KiB, 200 folders)", figure, ("POST loop", baseline), TimesBaseline(5)))


def test_an_unchanged_folder_pushes_nothing(table: Table, pushed: list[Sample], scratch: Path) -> None:
    """``up --once`` on 10,000 unchanged files sends no push, also right after the files went up."""
    machine = pushed[0].machine
    seconds, copies = [], []
    for number in range(RUNS + 1):
        began = time.perf_counter()
        report = machine.up_once()
        seconds.append(time.perf_counter() - began)
        assert (report["state"], report["pushed"], report["pulled"]) == ("up_to_date", 0, 0)
        assert machine.relay.counted().batches == []
        copies.append(timed(baselines.copy_and_hash, machine.home.folder, scratch / f"copy-{number}"))
    # The first run reads the machine's own pushes out of the feed once; the others are what every later run costs.
    baseline = ("cp -r and sha256", median(copies))
    table.add(
        Line("up --once, 10,000 files unchanged", median(seconds[1:]), baseline, TimesBaseline(5)),
        Line("the same, the first time after the push", seconds[0], baseline),
    )


def test_a_machine_that_joins_pushes_nothing_back(table: Table, pulled: list[Sample]) -> None:
    """10,000 files come down onto an empty folder whole, without one push and without a request for a single file."""
    expected = texts(SHAPE, seed=1)
    for sample in pulled:
        assert sample.machine.home.texts() == expected
        assert sample.asked.batches == []
        assert sample.asked.endpoints["file"] == 0
    figure, baseline = _seconds(pulled)
    name = "feed, write, fsync, rename"
    table.add(Line("pull 10,000 files into an empty folder", figure, (name, baseline), TimesBaseline(2)))


@dataclass(frozen=True, slots=True)
class Pair:
    """Two machines on one source of 10,000 files, both with a running agent, at rest."""

    source: str
    left: Machine
    right: Machine
    daemons: tuple[Daemon, Daemon]


@pytest.fixture(scope="module")
def pair(pushed: list[Sample], pulled: list[Sample]) -> Iterator[Pair]:
    """The machine that brought the tree up, and one that joined it."""
    left, right = pushed[-1].machine, pulled[-1].machine
    with left.home.daemon() as one, right.home.daemon() as other:
        until_rest((one, other))
        yield Pair(pulled[-1].source, left, right, (one, other))


def test_a_thousand_edits_at_once_are_a_thousand_operations(
    table: Table, pair: Pair, hub: HubServer, scratch: Path
) -> None:
    """1,000 edits in one go are sent once each, and the machine they come down to sends nothing back."""
    seconds, plain = [], []
    for number in range(SAMPLES):
        edits = {SHAPE.path(each): text(each, SHAPE.size, next(_seeds)) for each in range(EDITS)}
        _counted(pair)
        began = time.perf_counter()
        plant(pair.left.home.folder, edits)
        for path, wanted in edits.items():
            when_on_disk(pair.right.home.folder / path, wanted)
        seconds.append(time.perf_counter() - began)
        until_rest(pair.daemons)
        left, right = _counted(pair)
        assert (left.operations, right.operations) == (EDITS, 0)
        plain.append(timed(_plainly, hub, hub.new_source(), edits, scratch / f"edits-{number}"))
    baseline = ("POST loop, then feed, write, fsync, rename", median(plain))
    table.add(Line("1,000 edits at once, until on the other disk", median(seconds), baseline, TimesBaseline(4)))


def _plainly(hub: HubServer, source: str, edits: dict[str, str], folder: Path) -> None:
    """The same texts through an empty source: written, pushed, read from the feed, written."""
    plant(folder / "from", edits)
    baselines.push_files(hub.client, source, folder / "from", list(edits))
    baselines.pull_files(hub.client, source, 0, folder / "to")


def test_a_save_is_one_operation_wherever_it_arrives(table: Table, pair: Pair, hub: HubServer) -> None:
    """20 saves one after the other are 20 operations; no arrival on the other machine is pushed back."""
    to_hub, to_disk = [], []
    with FeedEar.open(hub, pair.source) as ear:
        _counted(pair)
        for number in range(LATENCIES):
            until_rest(pair.daemons)
            path, saved = SHAPE.path(number), text(number, SHAPE.size, next(_seeds))
            began = time.perf_counter()
            (pair.left.home.folder / path).write_text(saved, encoding="utf-8")
            to_disk.append(when_on_disk(pair.right.home.folder / path, saved) - began)
            to_hub.append(ear.when(saved) - began)
    until_rest(pair.daemons)
    left, right = _counted(pair)
    assert (left.operations, right.operations) == (LATENCIES, 0)
    table.add(*_latency("save → hub", to_hub, QUIET), *_latency("save → other disk", to_disk, QUIET))


def test_an_edit_made_on_the_hub_is_pushed_by_nobody(table: Table, pair: Pair, hub: HubServer) -> None:
    """20 edits made on the hub arrive on disk, and no machine answers with a push."""
    seconds = []
    _counted(pair)
    for number in range(LATENCIES):
        until_rest(pair.daemons)
        path, edited = SHAPE.path(number), text(number, SHAPE.size, next(_seeds))
        base = baselines.sha_of(pair.right.home.folder / path)
        began = time.perf_counter()
        assert hub.edit(pair.source, path, edited, base)["status"] == "ok"
        seconds.append(when_on_disk(pair.right.home.folder / path, edited) - began)
    until_rest(pair.daemons)
    left, right = _counted(pair)
    assert (left.operations, right.operations) == (0, 0)
    table.add(*_latency("hub → other disk", seconds, None))


def _counted(pair: Pair) -> tuple[Asked, Asked]:
    return pair.left.relay.counted(), pair.right.relay.counted()


def _latency(figure: str, samples: list[float], baseline: tuple[str, float] | None) -> tuple[Line, Line]:
    return (
        Line(f"{figure}, p50", median(samples), baseline, AtMost(0.3)),
        Line(f"{figure}, p95", p95(samples), baseline),
    )
