"""A linked folder that grows, and what is measured of it at each size."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from agent.cli.client import daemon_of
from agent.settings.home import Home as AgentHome
from benchmarks.machines import Machine, until_calm, until_rest
from benchmarks.measure import Cost, Memory, cpu_of, in_turn, memory_of, run
from benchmarks.sizes import Sizes, shape_of
from benchmarks.tree import grow
from support.eventually import eventually
from support.processes import Daemon
from support.servers import HubServer

_HERE: Final = Path(__file__).parent
_EVERY_SECONDS: Final = 0.005
_PATIENCE_SECONDS: Final = 600.0
_STATUSES: Final = 5
_FEW: Final = 20_000
"""Below this many files a look is cheap enough to be repeated."""


@dataclass(frozen=True, slots=True)
class Versus:
    """One cost and that of the plainest program that does the same."""

    ours: Cost
    plain: Cost


@dataclass(frozen=True, slots=True)
class Step:
    """What was measured at one size.

    Attributes:
        scan, rescan: a look at everything in a process of its own, with an empty index and with one in step.
        sync: the command ``sync`` with nothing changed, server and all.
        ready: a daemon from its start until it has looked at everything.
        status: the command with that daemon, beside a process that imports click.
        memory: the daemon's, at rest.
        peak: the scan's memory at the worst moment, in bytes.
        touched: rows written by the rescan.
    """

    files: int
    scan: Versus
    rescan: Versus
    sync: Cost
    ready: Versus
    status: Versus
    memory: Memory
    peak: int
    touched: int


class Growing:
    """Grows a machine's folder to a size, brings it up, and measures it there once.

    Args:
        scratch: for indexes that are thrown away.
    """

    def __init__(self, machine: Machine, hub: HubServer, scratch: Path, sizes: Sizes) -> None:
        self.machine = machine
        self._hub = hub
        self._scratch = scratch
        self._sizes = sizes
        self._steps: dict[int, Step] = {}
        scratch.mkdir()

    @property
    def folder(self) -> Path:
        """The folder."""
        return self.machine.folder

    def at(self, files: int) -> Step:
        """What was measured at this size; smaller ones are measured on the way, since a folder only grows here."""
        for size in self._sizes.steps:
            if size <= files and size not in self._steps:
                self._steps[size] = self._measured(size)
        return self._steps[files]

    def steps(self) -> list[Step]:
        """All sizes."""
        return [self.at(size) for size in self._sizes.steps]

    def _measured(self, files: int) -> Step:
        grow(self.folder, shape_of(files), start=max(self._steps, default=0))
        rounds = self._sizes.rounds if files <= _FEW else 1
        report = self.machine.up_once()
        assert (report["state"], report["errors"], report["skipped"]) == ("up_to_date", [], []), report
        assert report["pushed"] == files - max(self._steps, default=0)
        scan, peak = self._scan(files, rounds)
        rescan, touched = self._rescan(files, rounds)
        sync = self.machine.timed("sync")
        ready, status, memory = self._daemon(files, rounds)
        return Step(files, scan, rescan, sync, ready, status, memory, peak, touched)

    def _prototype(self, job: str, database: Path) -> Cost:
        return run([sys.executable, "-P", _HERE / "prototypes.py", job, self.folder, database])

    def _look(self, index: Path) -> Cost:
        return run([sys.executable, "-P", _HERE / "look.py", self.folder, index, index.with_suffix(".state")])

    def _fresh(self, files: int, what: str) -> Callable[[], Path]:
        numbers = itertools.count()
        return lambda: self._scratch / f"{files}-{what}-{next(numbers)}.sqlite"

    def _scan(self, files: int, rounds: int) -> tuple[Versus, int]:
        ours, plain = self._fresh(files, "scan"), self._fresh(files, "plain")
        # Once for nobody: the first reading after the files were written is another thing than every later one.
        self._prototype("scan", self._plain(files))
        found = in_turn(rounds, lambda: self._look(ours()), lambda: self._prototype("scan", plain()))
        told = orjson.loads(found[0].out)
        assert told["seen"] == files, told
        return Versus(*found), int(told["peak"])

    def _plain(self, files: int) -> Path:
        return self._scratch / f"{files}.plain"

    def _rescan(self, files: int, rounds: int) -> tuple[Versus, int]:
        copy = self._scratch / f"{files}-linked.sqlite"
        with contextlib.closing(sqlite3.connect(self.machine.index)) as index:
            index.execute("VACUUM INTO ?", (str(copy),))
        jobs = (lambda: self._look(copy), lambda: self._prototype("rescan", self._plain(files)))
        found = in_turn(max(rounds, self._sizes.rounds), *jobs)
        told = orjson.loads(found[0].out)
        assert told["seen"] == 0, told
        return Versus(*found), int(told["rows_written"])

    def _daemon(self, files: int, rounds: int) -> tuple[Versus, Versus, Memory]:
        samples, plain = [], []
        for _ in range(rounds):
            plain.append(self._prototype("ready", self._plain(files)))
            with started(self.machine) as (daemon, cost):
                samples.append(cost)
                until_rest([daemon])
                until_calm(daemon.process.pid)
                status = Versus(*in_turn(_STATUSES, lambda: self.machine.timed("status"), import_click))
                memory = memory_of(daemon.process.pid)
        return Versus(_middle(samples), _middle(plain)), status, memory


def import_click() -> Cost:
    """The least that a command of this kind does."""
    return run([sys.executable, "-P", "-c", "import click"])


def _middle(samples: Sequence[Cost]) -> Cost:
    return sorted(samples, key=lambda one: one.cpu)[len(samples) // 2]


@contextlib.contextmanager
def started(machine: Machine) -> Iterator[tuple[Daemon, Cost]]:
    """A daemon, and what it took until it watched and had looked at everything; it is ended with the block.

    The moment is read from the index beside it, which costs the daemon nothing: it notes there when a look ended, and
    watches from before the look on.
    """
    asked = time.time()
    began = time.perf_counter()
    process = machine.home.start()
    try:
        with contextlib.closing(sqlite3.connect(f"file:{machine.index}?mode=ro", uri=True)) as index:
            while not _looked_since(index, asked):
                assert process.poll() is None, machine.home.log()
                assert time.perf_counter() - began < _PATIENCE_SECONDS, machine.home.log()
                time.sleep(_EVERY_SECONDS)
        cost = Cost(time.perf_counter() - began, cpu_of(process.pid))
        home = AgentHome.from_environment(machine.home.env)
        yield Daemon(process, eventually(lambda: daemon_of(home), 30, "the daemon answers")), cost
    finally:
        process.terminate()
        process.wait(30)


def _looked_since(index: sqlite3.Connection, moment: float) -> bool:
    [(looked_at,)] = index.execute("SELECT max(looked_at) FROM sources").fetchall()
    return looked_at is not None and looked_at >= moment
