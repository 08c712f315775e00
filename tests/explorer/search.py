"""Search over all orders of acts, one act longer at a time.

The worlds are followed in the product of local states (``transitions``). Each outcome that is not known yet is found by
carrying the act out for real (``execution``), in a world that the search has come to. That world must be the one that
was foretold: the search so checks itself wherever it carries anything out.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from explorer.acts import FAULTS, PAGE_EDITS, Act, page_edits, told
from explorer.execution import Finding, Step, Task, Violation, find_out
from explorer.snapshots import forget
from explorer.transitions import Transitions, Whole, World
from explorer.views import PAGE, local_state
from explorer.world import SmallWorld

_WORLDS: list[SmallWorld] = []
"""The world at the beginning, for worker processes."""
_TOGETHER = 256
"""Tasks that one process is given at once."""
_RARELY = 100_000
"""New objects after which Python looks for cycles."""
Carrier = Callable[[list[list[Task]]], Iterable[list[Finding]]]


@dataclass(frozen=True, slots=True)
class Level:
    """What was visited with orders of one length, and of all shorter ones.

    Attributes:
        worlds: distinct worlds, the first one included.
        transitions: acts followed from one world to another.
        states: distinct local states.
        acts: acts carried out for real.
        endings: worlds from which the machines were left to come to rest.
        violations: laws found broken so far.
    """

    depth: int
    worlds: int
    transitions: int
    states: int
    acts: int
    endings: int
    violations: int
    seconds: float

    def line(self) -> str:
        """One row for people."""
        return (
            f"  depth {self.depth}: {self.worlds} states, {self.transitions} transitions, {self.states} local states, "
            f"{self.acts} acts carried out, {self.endings} endings, {self.violations} violations, {self.seconds:.0f} s"
        )


@dataclass(slots=True)
class Report:
    """The result of a search.

    Attributes:
        complete: False if the time was up before all orders were visited.
    """

    server: str
    files: int
    depth: int
    levels: list[Level] = field(default_factory=list)
    complete: bool = True
    violations: list[Violation] = field(default_factory=list)

    def line(self) -> str:
        """One row for people."""
        last = self.levels[-1] if self.levels else Level(0, 1, 0, 1, 0, 0, 0, 0.0)
        state = "" if self.complete else ", time is up"
        return (
            f"{self.server}, {self.files} path{'s' * (self.files > 1)}, depth {last.depth}: {last.worlds} states, "
            f"{last.transitions} transitions, {last.acts} acts carried out, {last.endings} endings, "
            f"{last.seconds:.0f} s, {len(self.violations)} violations{state}"
        )


def whole_of(known: Transitions, world: SmallWorld) -> tuple[Whole, bool]:
    """Return a world in its one form, and True if its second machine is called first there."""
    (one, ones), (other, others) = (local_state(world, machine) for machine in world.machines)
    places = {digest: place for place, digest in enumerate(ones)}
    texts = tuple(places.setdefault(digest, len(places)) for digest in others)
    return known.ordered(known.number(one), known.number(other), tuple(range(len(ones))), texts)


def _work(tasks: list[Task]) -> list[Finding]:
    return find_out(_WORLDS[0], tasks)


class Search:
    """One search: see the module.

    Args:
        faults: lost answers and crashes allowed in one order.
        jobs: processes that work at the same time.
        seconds: after that time no further act is carried out; None: no limit.
        rest: depth up to which the machines come to rest from a world of each new local state.
        sample: further worlds, drawn from all, that are gone to and from which the machines come to rest.
        compared: further worlds, drawn from all, that are gone to and compared with what was foretold.
        until_broken: end with the first length of orders in which a law is broken.
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
        rest: int = 5,
        sample: int = 300,
        compared: int = 0,
        until_broken: bool = False,
        make_world: Callable[[str, int], SmallWorld] = SmallWorld,
        tell: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._report = Report(server, files, depth)
        self._faults, self._jobs, self._rest = faults, jobs, rest
        self._sample, self._compared = sample, compared
        self._until = None if seconds is None else time.monotonic() + seconds
        self._until_broken = until_broken
        self._make_world = make_world
        self._tell = tell
        self._parents: dict[Whole, tuple[Whole, int, Act] | None] = {}
        self._spent: dict[Whole, int] = {}
        """Faults in the order with the fewest that leads to a world."""
        self._followed = self._acts = self._endings = self._risks = 0
        self._rested: set[int] = set()

    def run(self) -> Report:
        """Visit every order. The report names each violation with its trace, shortest first."""
        report, began = self._report, time.monotonic()
        world = self._make_world(report.server, report.files)
        self._known = Transitions(world.files)
        self._files = world.files
        first = self._beginning(world)
        _WORLDS[:] = [world]
        gc.collect()
        gc.freeze()
        thresholds = gc.get_threshold()
        # Snapshots are many objects and no cycles: looking for cycles among them took a fifth of the time.
        gc.set_threshold(_RARELY, *thresholds[1:])
        try:
            with _workers(self._jobs) as pool:
                frontier = [first]
                for depth in range(1, report.depth + 1):
                    self._find_out(pool, frontier, depth - 1)
                    if not report.complete or (self._until_broken and report.violations):
                        break
                    frontier = list(self._follow(frontier))
                    report.levels.append(self._level(depth, time.monotonic() - began))
                    self._tell(report.levels[-1].line())
                if report.complete and report.depth <= self._rest and not report.violations:
                    self._carry_out(pool, {whole: [] for whole in frontier}, rest=True)
                if report.complete:
                    self._carry_out(pool, {whole: [] for whole in self._drawn(self._compared)}, rest=False)
                    self._rested.clear()
                    self._carry_out(pool, {whole: [] for whole in self._drawn(self._sample)}, rest=True)
        finally:
            gc.set_threshold(*thresholds)
            gc.unfreeze()
            world.close()
            _WORLDS.clear()
            forget()
        report.violations.sort(key=lambda violation: len(violation.trace))
        return report

    def _level(self, depth: int, seconds: float) -> Level:
        states = len(self._known.states)
        broken = len(self._report.violations)
        return Level(depth, len(self._spent), self._followed, states, self._acts, self._endings, broken, seconds)

    def _beginning(self, world: SmallWorld) -> Whole:
        whole, swapped = whole_of(self._known, world)
        self._first_names = ("B", "A") if swapped else ("A", "B")
        self._parents[whole], self._spent[whole] = None, 0
        return whole

    def worlds(self) -> set[World]:
        """Return every world that was visited."""
        return {self._known.forms(whole) for whole in self._spent}

    # Following

    def _moves(self, whole: Whole) -> Iterator[tuple[int, Act]]:
        """Every act that can happen in a world, with the place of the machine whose it is."""
        first, second, _ = whole
        for place, state in ((0, first), (1, second)):
            for act in self._known.acts(state):
                if act[0] not in FAULTS or self._spent[whole] < self._faults:
                    yield place, act
        for act in page_edits(self._known.states[first], self._files):
            yield 0, act

    def _follow(self, frontier: list[Whole]) -> Iterator[Whole]:
        """Yield each world that is new, or reached with fewer faults than before."""
        spent = self._spent
        for whole in frontier:
            for place, act in self._moves(whole):
                if self._known.unknown(whole[1] if place else whole[0], act) is not None:
                    # It raised an exception: a violation, which nothing can follow.
                    continue
                self._followed += 1
                reached, _ = self._known.after(whole, place, act)
                faults = spent[whole] + (act[0] in FAULTS)
                before = spent.get(reached)
                if before is None:
                    self._parents[reached] = (whole, place, act)
                if before is None or faults < before:
                    spent[reached] = faults
                    yield reached

    def _way(self, whole: Whole) -> tuple[tuple[Step, ...], tuple[str, str]]:
        """Return the acts that lead to a world, and the names of its machines."""
        moves = []
        at = whole
        while (parent := self._parents[at]) is not None:
            moves.append(parent)
            at = parent[0]
        steps: list[Step] = []
        names = self._first_names
        for before, place, act in reversed(moves):
            steps.append((PAGE if act[0] in PAGE_EDITS else names[place], act))
            if self._known.after(before, place, act)[1]:
                names = names[1], names[0]
        return tuple(steps), names

    # Carrying out

    def _find_out(self, pool: Carrier, frontier: list[Whole], depth: int) -> None:
        """Learn every outcome that following the frontier needs."""
        wanted: dict[Any, None] = {}
        tasks: dict[Whole, list[tuple[int, Act]]] = {}
        for whole in frontier:
            for place, act in self._moves(whole):
                state = whole[1] if place else whole[0]
                key = self._known.unknown(state, act)
                if key is not None and key not in wanted:
                    wanted[key] = None
                    tasks.setdefault(whole, []).append((place, act))
                elif key is None and self._known.risky(state, act):
                    self._risks += 1
                    tasks.setdefault(whole, []).append((place, act))
            if depth <= self._rest and not {whole[0], whole[1]} <= self._rested:
                tasks.setdefault(whole, [])
        self._carry_out(pool, tasks, rest=depth <= self._rest)

    def _carry_out(self, pool: Carrier, tasks: dict[Whole, list[tuple[int, Act]]], *, rest: bool) -> None:
        wholes = list(tasks)
        made = []
        for number, whole in enumerate(wholes):
            steps, names = self._way(whole)
            ends = rest and not {whole[0], whole[1]} <= self._rested
            if ends:
                self._rested |= {whole[0], whole[1]}
                self._endings += 1
            made.append(Task(number, steps, names, tuple(tasks[whole]), ends))
        for findings in pool(_grouped(made, self._jobs)):
            for finding in findings:
                self._take(wholes[finding.number], made[finding.number], finding)
            if self._until is not None and time.monotonic() > self._until:
                self._report.complete = False
                return

    def _take(self, whole: Whole, task: Task, finding: Finding) -> None:
        """Learn what was found, if the world was the one that was foretold."""
        known = self._known
        self._acts += finding.acts
        self._report.violations += finding.violations
        foretold = known.states[whole[0]], known.states[whole[1]], whole[2]
        found = (*finding.states, finding.texts)
        if found != foretold:
            trace = tuple(told(who, act) for who, act in task.steps)
            wrong = "\n".join(["another world was foretold", *_differences((), found, foretold)])
            self._report.violations.append(Violation(trace, (wrong,)))
        for (place, act), outcome in finding.outcomes.items():
            known.learn(whole[1] if place else whole[0], act, outcome)

    def _drawn(self, number: int) -> list[Whole]:
        """Return some of the worlds that were visited, the same ones in each run."""
        return random.Random(number).sample(sorted(self._spent), min(number, len(self._spent))) if number else []


@contextlib.contextmanager
def _workers(jobs: int) -> Iterator[Carrier]:
    """Provide processes that carry out groups of tasks."""
    if jobs == 1:
        yield lambda groups: map(_work, groups)
        return
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield lambda groups: pool.imap_unordered(_work, groups)


def _grouped(tasks: list[Task], jobs: int) -> list[list[Task]]:
    """Return tasks in groups whose steps begin alike: large ones share steps, several for a process share the time."""
    ordered = sorted(tasks, key=lambda task: task.steps)
    size = min(_TOGETHER, 1 + len(ordered) // (4 * jobs))
    return [ordered[at : at + size] for at in range(0, len(ordered), size)]


def _differences(place: tuple[int, ...], found: Any, foretold: Any) -> Iterator[str]:
    if isinstance(found, tuple) and isinstance(foretold, tuple) and len(found) == len(foretold):
        for number, pair in enumerate(zip(found, foretold, strict=True)):
            yield from _differences((*place, number), *pair)
    elif found != foretold:
        yield f"at {place}: found {found!r}, foretold {foretold!r}"
