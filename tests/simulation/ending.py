"""The end of a run: everything must come to rest, and then the laws are looked at."""

from __future__ import annotations

from agent.engine import messages as m
from simulation.machine import Machine
from simulation.oracle import clashing, differences
from simulation.world import World

ROUNDS = 14
_STEPS = 4000
_BETWEEN = 70.0
"""Seconds between two rounds: a server may show an event so late that only the re-reading of a minute finds it."""


class NeverAtRest(AssertionError):
    """The machines go on and on."""


class Ending:
    """No more faults, edits or crashes: passes, decisions, and passes again, until nothing is open."""

    def __init__(self, world: World) -> None:
        self._world = world

    def run(self) -> None:
        """Raises NeverAtRest."""
        world = self._world
        world.note("world", "calm")
        world.flush_late()
        for machine in world.machines:
            world.revive(machine)
            machine.tell(m.Resume(), m.Retry(None))
        for number in range(ROUNDS):
            world.note("world", f"round {number}")
            for machine in world.machines:
                self._begin_pass(machine)
            self._settle()
            if not self._decide() and number > 1 and self._equal():
                return
            world.now += _BETWEEN
        raise NeverAtRest(f"not at rest after {ROUNDS} rounds: {self._state()}")

    def _begin_pass(self, machine: Machine) -> None:
        ticket = self._world.next_ticket()
        machine.tickets.add(ticket)
        machine.tell(m.SyncNow(ticket))

    def _settle(self) -> None:
        """Until every pass is over and nothing can be done at this moment."""
        for _ in range(_STEPS):
            if self._work():
                continue
            if not any(machine.tickets for machine in self._world.machines):
                return
            self._sleep()
        raise NeverAtRest(f"a pass does not end: {self._state()}")

    def _work(self) -> bool:
        """One thing that can be done now; False if there is none."""
        for machine in self._world.machines:
            if machine.folder_work:
                machine.work()
            elif machine.lanes():
                machine.deliver(machine.lanes()[0], 3)
            elif machine.due():
                machine.tick()
            elif machine.ready_calls():
                machine.call(machine.ready_calls()[0])
            else:
                continue
            return True
        return False

    def _sleep(self) -> None:
        world = self._world
        moments = [machine.wake for machine in world.machines if machine.wake is not None]
        moments += [machine.ready_at(call) for machine in world.machines for call in machine.calls]
        if not moments:
            raise NeverAtRest(f"a pass does not end and nothing is due: {self._state()}")
        world.now = max(world.now, min(moments)) + 0.001

    def _decide(self) -> bool:
        """Decide everything that waits for a person; whether there was anything."""
        world = self._world
        found = False
        for machine in world.machines:
            decided = {path for _, _, path in world.open_conflicts(machine)}
            for _ in range(len(world.open_conflicts(machine))):
                if world.open_conflicts(machine):
                    world.decide(machine)
            # A path that is a file and a folder at once on the server can be decided and still fit no folder.
            found = found or bool(decided - clashing(world))
            if machine.engine.held:
                world.release(machine)
                found = True
        return found

    def _equal(self) -> bool:
        return not differences(self._world)

    def _state(self) -> str:
        views = [f"{x.name}: {x.engine.view()}" for x in self._world.machines]
        return "\n".join([*differences(self._world), *views])
