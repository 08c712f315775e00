"""End of a run: wait until everything is at rest, then check the laws."""

from __future__ import annotations

from agent.core.model import Reason
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.config import RunMode
from agent.engine.phases import RecoveryPhase
from agent.index.operations import OperationState
from simulation import deciding
from simulation.indexes import SOURCE
from simulation.machine import Machine, Waiting
from simulation.oracle import clashing, differences, late_writes, left_over
from simulation.world import World

ROUNDS = 14
_STEPS = 600
"""Without time passing: ten times what the longest pass of a sound product took."""
_SLEEPS = 1500
"""In one pass: half a day, while another machine asks the server every 25 seconds."""
_RETRIES = 2
"""Rounds in which a person has files tried again that were set aside: that may happen as late as in the first.

A round in which the agent could not read its folder is not counted: it set nothing aside then."""
_NOT_TRIED = (Reason.REFUSED, Reason.TEXT_LOST)
"""Reasons of files that are not tried again there: the agent does so by itself, or nothing is left that could be tried.
A retry would only end the report of a lost text."""
_BETWEEN = 70.0
"""Seconds between two rounds: a server may show an event so late that only the re-reading of a minute finds it."""


class NeverAtRest(AssertionError):
    """The machines go on and on."""


class Ending:
    """No more faults, edits or crashes: passes, decisions, and passes again, until nothing is open."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._unread = dict.fromkeys((machine.name for machine in world.machines), 0)
        """Rounds in which each machine's folder could not be read."""

    def run(self) -> None:
        """Raises NeverAtRest."""
        world = self._world
        world.note("world", "calm")
        world.reseed("end")
        world.calm_down()
        for machine in world.machines:
            world.revive(machine)
            machine.tell(m.Resume())
        for number in range(ROUNDS):
            world.note("world", f"round {number}")
            world.reseed(f"round {number}")
            for machine in world.machines:
                self._begin_pass(machine, number)
            self._settle()
            unlike = differences(world) or any(map(late_writes, world.machines)) or self._lacks_ids()
            if self._decide() or number == 0 or unlike:
                world.now += _BETWEEN
                continue
            if not left_over(world):
                return
            # What marks a finished change may outlive a process whose folder was away; the next start clears it.
            for machine in world.machines:
                machine.kill()
                world.revive(machine)
                if machine.habits.run_mode is RunMode.ONE_SHOT:
                    # Its processes end with their passes, before the last marks are cleared: each pass may leave some.
                    machine.work()
            if not left_over(world):
                return
            world.now += _BETWEEN
        raise NeverAtRest(f"not at rest after {ROUNDS} rounds: {self._state()}")

    def _lacks_ids(self) -> bool:
        """Whether a file is not known by its id, which the next round has the machine learn.

        A file that a restored server had lost, and took again without naming it, waits for the next verification if it
        was sent during this one. A daemon reads the event of its own push with its next poll.
        """
        plain = self._world.plain
        learns = "server" in self._world.restored or any(map(_has_unread_echo, self._world.machines))
        return plain is not None and learns and bool(plain.complaints(self._world))

    def _begin_pass(self, machine: Machine, number: int) -> None:
        """Of a machine where only single passes are made, a new process."""
        is_new = not machine.alive
        if is_new:
            self._world.revive(machine)
        elif number and machine.engine._ctx.in_flight.recovery is not RecoveryPhase.DONE:
            self._unread[machine.name] += 1
        is_early = number - self._unread[machine.name] < _RETRIES
        aside = _set_aside(machine) if is_early else set()
        if aside or (is_early and not is_new):
            machine.tell(m.Retry(tuple(sorted(aside))))
        if not is_new:
            machine.begin_pass()

    def _settle(self) -> None:
        """Until every pass is over and nothing can be done at this moment."""
        for _ in range(_SLEEPS):
            steps = 0
            while self._work():
                steps += 1
                if steps > _STEPS:
                    raise NeverAtRest(f"a pass does not end: {self._state()}")
            if not any(machine.alive and machine.tickets for machine in self._world.machines):
                return
            self._sleep()
        raise NeverAtRest(f"a pass does not end: {self._state()}")

    def _work(self) -> bool:
        """Let one machine do all it can do now; False if there is none.

        Calls that wait on the server are answered last: their answers then tell of all that the others did.
        """
        machines = [machine for machine in self._world.machines if machine.alive]
        return any(map(_act, machines)) or any(map(_hear_from_server, machines))

    def _sleep(self) -> None:
        world = self._world
        alive = [machine for machine in world.machines if machine.alive]
        moments = [moment for machine in alive if (moment := machine.due_at()) is not None]
        moments += [machine.ready_at(call) for machine in alive for call in machine.calls]
        if not moments:
            raise NeverAtRest(f"a pass does not end and nothing is due: {self._state()}")
        world.now = max(world.now, min(moments)) + 0.001

    def _decide(self) -> bool:
        """Decide everything that waits for a person; whether there was anything."""
        world = self._world
        found = False
        split = clashing(world.server.heads(world.source_id))
        for machine in world.machines:
            waiting = {path for _, _, path in deciding.open_conflicts(machine)}
            halted = machine.halted()
            # A path that is a file and a folder at once on the server can be decided and still fit no folder; nor does
            # one where a name stands that the disk takes for the same.
            fitting = {path for path in waiting - split if not machine.user.has_twin(path)}
            found = found or bool(fitting) or halted or machine.engine.held is not None
            if not (waiting or halted or machine.engine.held):
                continue
            if not machine.alive:
                # What waits for a person waits in the index; whoever decides starts the agent for it.
                machine.stay()
                world.revive(machine)
                continue
            for _ in waiting:
                if deciding.open_conflicts(machine):
                    deciding.decide(world, machine)
            if machine.engine.held:
                deciding.release(world, machine)
            if halted:
                deciding.go_on(world, machine)
        return found

    def _state(self) -> str:
        views = [f"{x.name}: {x.engine.view()}" for x in self._world.machines]
        return "\n".join([*differences(self._world), *views])


def _has_unread_echo(machine: Machine) -> bool:
    """Whether an acknowledged push was not seen in the feed yet. A single pass ends later than that."""
    operations = machine.engine._ctx.open_operations.values() if machine.alive else ()
    return machine.habits.run_mode is RunMode.DAEMON and any(
        entry.state is OperationState.ACKED for entries in operations for entry in entries
    )


def _set_aside(machine: Machine) -> set[str]:
    """Paths of the files that a person has tried again.

    One set aside because the server failed is tried again by itself, or the run ends with a difference.
    """
    aside = {p.path for p in machine.index.problems.all(SOURCE) if p.reason not in _NOT_TRIED}
    return aside | {r.path for r in machine.index.trees.unsendable(SOURCE) if r.local.reason is not Reason.REFUSED}


def _act(machine: Machine) -> bool:
    """Carry out what waits for nothing, and have the engine take in all that is known; False if there is nothing."""
    calls = [call for call in machine.ready_calls() if not _is_waiting(call)]
    if not (machine.folder_work or calls or machine.lanes() or machine.due()):
        return False
    while machine.folder_work:
        machine.work()
    for call in calls:
        machine.call(call)
    if machine.lanes():
        machine.deliver_all()
    elif machine.due():
        machine.tick()
    return True


def _hear_from_server(machine: Machine) -> bool:
    """Answer the calls that waited until something happened on the server; False if there is none."""
    calls = [call for call in machine.ready_calls() if _is_waiting(call)]
    for call in calls:
        machine.call(call)
    return bool(calls)


def _is_waiting(call: Waiting) -> bool:
    return isinstance(call.effect, e.Poll) and call.effect.wait > 0
