"""A plain search, to check the other one by: every order is carried out for real, and nothing is merged."""

from __future__ import annotations

from explorer.acts import FAULTS, happen, page_edits, possible, told
from explorer.execution import Step, Violation, broken_now
from explorer.search import whole_of
from explorer.snapshots import Snapshot, forget
from explorer.transitions import Transitions, World
from explorer.views import PAGE, local_state
from explorer.world import SmallWorld


class PlainSearch:
    """Every order of some length.

    Attributes:
        worlds: every world that was reached.
        orders: how many orders there are, shorter ones included.
        violations: laws that were broken right after an act.
    """

    def __init__(self, server: str, files: int, depth: int, *, faults: int = 2) -> None:
        self.worlds: set[World] = set()
        self.orders = 0
        self.violations: list[Violation] = []
        self._world = SmallWorld(server, files)
        self._known = Transitions(self._world.files)
        try:
            self._visit((), depth, faults)
        finally:
            self._world.close()
            forget()

    def _visit(self, steps: tuple[Step, ...], remaining: int, faults: int) -> None:
        world = self._world
        self.worlds.add(self._known.forms(whole_of(self._known, world)[0]))
        if not remaining:
            return
        before = Snapshot(world)
        for who, act in self._steps():
            if act[0] in FAULTS and not faults:
                continue
            self.orders += 1
            happen(world, who, act)
            after = (*steps, (who, act))
            if wrong := broken_now(world):
                trace = tuple(told(*step) for step in after)
                self.violations.append(Violation(trace, tuple(wrong)))
            self._visit(after, remaining - 1, faults - (act[0] in FAULTS))
            before.restore()

    def _steps(self) -> list[Step]:
        world, steps = self._world, []
        for machine in world.machines:
            state, _ = local_state(world, machine)
            steps += [(machine.name, act) for act in possible(state, world.files)]
        return [*steps, *((PAGE, act) for act in page_edits(state, world.files))]
