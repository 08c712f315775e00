"""Depth-first search over all orders of acts, with one forked process for each step.

A fork is the cheapest exact copy of a world: engine, index, disks, server and clock at once. States that were explored
to at least the same remaining depth are skipped; their digests are in a table that all processes share.
"""

from __future__ import annotations

import contextlib
import gc
import json
import mmap
import multiprocessing
import os
import shutil
import struct
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from explorer.acts import HIDDEN, Act, acts
from explorer.digest import digest
from explorer.world import SmallWorld
from simulation import deciding
from simulation.oracle import applied_twice, complaints, differences, invented, left_over, lost, miscounted, outside
from simulation.teardown_checks import Ending, NeverAtRest

_SLOTS = 1 << 22
_WORD = struct.Struct("<Q")
_STEPS = 400
_PATIENCE = 10.0
"""Seconds in which daemons agree by themselves, unless a person or a verification is needed."""
_COUNTERS = ("states", "acts", "endings")


@dataclass(frozen=True, slots=True)
class Violation:
    """A law that did not hold, and the acts that led there."""

    trace: tuple[str, ...]
    wrong: tuple[str, ...]


@dataclass(slots=True)
class Report:
    """The result of a search.

    Attributes:
        states: distinct states, the first one included.
        acts: acts carried out.
        endings: states from which the machines were left to come to rest.
        complete: False if the time was up before all orders were visited.
    """

    server: str
    files: int
    depth: int
    states: int = 0
    acts: int = 0
    endings: int = 0
    seconds: float = 0.0
    complete: bool = True
    violations: list[Violation] = field(default_factory=list)

    def line(self) -> str:
        """One row for people."""
        state = "" if self.complete else ", time is up"
        return (
            f"{self.server}, {self.files} path{'s' * (self.files > 1)}, depth {self.depth}: {self.states} states, "
            f"{self.acts} acts, {self.endings} endings, {self.seconds:.0f} s, {len(self.violations)} violations{state}"
        )


class SharedTable:
    """Digests with the remaining depth they were explored to, and counters, in memory that forks share."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SLOTS * _WORD.size)
        self._counters = mmap.mmap(-1, len(_COUNTERS) * _WORD.size)
        self._lock = multiprocessing.get_context("fork").Lock()

    def visit(self, key: int, remaining: int) -> tuple[bool, bool]:
        """Enter a state. Returns (it is new, it must be explored to this remaining depth)."""
        slot = key % _SLOTS
        with self._lock:
            while True:
                (found,) = _WORD.unpack_from(self._memory, slot * _WORD.size)
                if found == 0 or found >> 4 == key:
                    break
                slot = (slot + 1) % _SLOTS
            if found and (found & 15) > remaining:
                return False, False
            _WORD.pack_into(self._memory, slot * _WORD.size, key << 4 | (remaining + 1))
        return found == 0, True

    def add(self, counter: str, count: int = 1) -> None:
        """Count something."""
        place = _COUNTERS.index(counter) * _WORD.size
        with self._lock:
            (value,) = _WORD.unpack_from(self._counters, place)
            _WORD.pack_into(self._counters, place, value + count)

    def count(self, counter: str) -> int:
        """The value of a counter."""
        return int(_WORD.unpack_from(self._counters, _COUNTERS.index(counter) * _WORD.size)[0])


@contextlib.contextmanager
def _asked_once(world: SmallWorld) -> Iterator[None]:
    """Let the checks share one answer of the server about what it shows."""
    server = world.server
    ask, evidence = server.evidence, server.evidence(world.source_id)
    setattr(server, "evidence", lambda _source: evidence)  # noqa: B010
    try:
        yield
    finally:
        setattr(server, "evidence", ask)  # noqa: B010


def _broken_now(world: SmallWorld) -> list[str]:
    """Check the laws that hold at every moment."""
    with _asked_once(world):
        return [*lost(world), *outside(world), *applied_twice(world), *invented(world), *miscounted(world)]


def _broken_at_rest(world: SmallWorld) -> list[str]:
    """Let the machines come to rest and check every law."""
    for machine in world.machines:
        # The oracle compares every file of a folder; a file that is not selected goes by its person's hand.
        machine.user.delete(HIDDEN)
        if world.unscanned[machine.name]:
            machine.hear(sorted(world.unscanned[machine.name]))
    try:
        if not _comes_to_rest(world):
            Ending(world).run()
    except NeverAtRest as error:
        return [str(error)]
    with _asked_once(world):
        return [*complaints(world), *world.witness.complaints()]


def _comes_to_rest(world: SmallWorld) -> bool:
    """Let the daemons work by themselves. Returns False if that does not end in two equal folders.

    Open conflicts need a person, and some states need a verification: those are left to ``Ending``.
    """
    ending = Ending(world)
    until = world.now + _PATIENCE
    for _ in range(_STEPS):
        if ending._work():
            continue
        moments = [due for machine in world.machines if (due := machine.due_at()) is not None and due <= until]
        if not moments:
            break
        world.now = max(world.now, min(moments))
    waits = any(
        deciding.open_conflicts(machine) or machine.halted() or machine.engine.held for machine in world.machines
    )
    return not (waits or differences(world) or left_over(world))


class Search:
    """One search: see the module.

    Args:
        faults: lost answers and crashes allowed in one trace.
        jobs: processes that work at the same time.
        seconds: after that time no further act is begun; None: no limit.
    """

    def __init__(
        self,
        server: str,
        files: int,
        depth: int,
        *,
        faults: int = 2,
        jobs: int = 1,
        seconds: float | None = None,
        make_world: Callable[[str, int], SmallWorld] = SmallWorld,
    ) -> None:
        self._report = Report(server, files, depth)
        self._faults = faults
        self._until = None if seconds is None else time.monotonic() + seconds
        self._make_world = make_world
        self._table = SharedTable()
        self._free = multiprocessing.get_context("fork").Semaphore(max(0, jobs - 1))
        self._folder = Path(tempfile.mkdtemp(prefix="explorer-"))
        self._violations = self._folder / "violations"
        self._cut = self._folder / "cut"

    def run(self) -> Report:
        """Visit every order. The report names each violation with its trace, shortest first."""
        report, began = self._report, time.monotonic()
        world = self._make_world(report.server, report.files)
        try:
            gc.collect()
            gc.freeze()
            self._table.visit(digest(world), report.depth)
            self._table.add("states")
            self._branch(world, (), report.depth, self._faults)
        finally:
            gc.unfreeze()
            world.close()
            if self._violations.exists():
                found = [json.loads(line) for line in self._violations.read_text().splitlines()]
                violations = (Violation(tuple(trace), tuple(wrong)) for trace, wrong in found)
                report.violations = sorted(violations, key=lambda one: len(one.trace))
            report.complete = not self._cut.exists()
            shutil.rmtree(self._folder)
        report.states, report.acts, report.endings = map(self._table.count, _COUNTERS)
        report.seconds = time.monotonic() - began
        return report

    def _branch(self, world: SmallWorld, trace: tuple[str, ...], remaining: int, faults: int) -> None:
        """Carry out each act in a process of its own."""
        running = []
        for act in acts(world):
            if act.fault and not faults:
                continue
            if self._until is not None and time.monotonic() > self._until:
                self._cut.touch()
                break
            aside = self._free.acquire(block=False)
            child = os.fork()
            if child == 0:
                self._in_child(world, trace, act, remaining, faults, aside)
            if aside:
                running.append(child)
            else:
                os.waitpid(child, 0)
        for child in running:
            os.waitpid(child, 0)

    def _in_child(
        self, world: SmallWorld, trace: tuple[str, ...], act: Act, remaining: int, faults: int, aside: bool
    ) -> None:
        """Carry out an act and all that can follow it. Never returns."""
        trace = (*trace, act.name)
        try:
            self._follow(world, act, trace, remaining - 1, faults - act.fault)
        except BaseException as error:
            self._record(trace, [f"law 6: {error!r}", traceback.format_exc()])
        finally:
            if aside:
                self._free.release()
            os._exit(0)

    def _follow(self, world: SmallWorld, act: Act, trace: tuple[str, ...], remaining: int, faults: int) -> None:
        self._table.add("acts")
        act.happen()
        new, explore = self._table.visit(digest(world), remaining)
        if new:
            self._table.add("states")
        if not remaining:
            self._check(world, trace, new)
            return
        child = os.fork()
        if child == 0:
            try:
                self._check(world, trace, new)
            except BaseException as error:
                self._record(trace, [f"law 6: {error!r}", traceback.format_exc()])
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        if explore:
            self._branch(world, trace, remaining, faults)

    def _check(self, world: SmallWorld, trace: tuple[str, ...], new: bool) -> None:
        """Check the laws after an act; from a new state the machines come to rest as well."""
        if new:
            self._table.add("endings")
        if wrong := _broken_at_rest(world) if new else _broken_now(world):
            self._record(trace, wrong)

    def _record(self, trace: Sequence[str], wrong: Sequence[str]) -> None:
        line = json.dumps([trace, wrong]) + "\n"
        descriptor = os.open(self._violations, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)
