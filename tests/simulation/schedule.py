"""Acts that are possible in a turn, and the draw of one of them.

Each turn has its own random stream, and each act has its own draw in it. So a turn that is left out, or an act that is
not possible, changes the others as little as possible.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.engine import messages as m
from agent.engine.config import RunMode
from simulation import deciding
from simulation.machine import Machine

if TYPE_CHECKING:
    from simulation.world import World

_STEPS = (0.0, 0.001, 0.03, 0.11, 0.6)
_JUMPS = (0.5, 3.0, 3.0, 3.0, 30.0, 70.0, 4000.0)
_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that may happen.

    Attributes:
        weight: how often, against the others that are possible.
    """

    weight: float
    possible: Callable[[], bool]
    happen: Callable[[], None]


def _always() -> bool:
    return True


class Turns:
    """Draws the turns of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._acts = [
            *(act for machine in world.machines for act in (*self._of_agent(machine), *self._of_person(machine))),
            Act(world.chances.page_edit, _always, world.edit_on_server),
            Act(0.5, _always, self._pass_time),
            Act(0.05, _always, self._pause_or_resume),
            Act(1.0, lambda: world.network.holds_back, world.network.deliver_late),
            Act(0.05, _always, world.copies.copy_server),
            Act(world.chances.older, lambda: world.copies.has_server, world.copies.restore_server),
            *self._of_crowd(),
        ]

        self._weights = [act.weight or 1e-9 for act in self._acts]

    def take(self, number: int) -> None:
        """Turn ``number`` of the run."""
        world = self._world
        world.reseed(number)
        rng = world.rng
        world.now += rng.choice(_STEPS)
        # The first of several exponential clocks to ring: an act that is impossible leaves the order of the others.
        log, draw = math.log, rng.random
        moments = [-log(1.0 - draw()) / weight for weight in self._weights]
        for i in sorted(range(len(moments)), key=moments.__getitem__):
            if self._acts[i].possible():
                self._acts[i].happen()
                return

    def _of_agent(self, machine: Machine) -> list[Act]:
        world, rng = self._world, self._world.rng

        def alive(condition: Callable[[], object]) -> Callable[[], bool]:
            return lambda: machine.alive and bool(condition())

        return [
            Act(2.0, lambda: not machine.alive, lambda: world.start(machine)),
            Act(4.0, alive(lambda: machine.folder_work), lambda: world.guarded(machine, machine.work)),
            Act(
                4.0,
                alive(machine.ready_calls),
                lambda: world.guarded(machine, lambda: machine.call(rng.choice(machine.ready_calls()))),
            ),
            Act(7.0, alive(machine.lanes), lambda: machine.deliver(rng.choice(machine.lanes()), rng.choice([1, 1, 3]))),
            Act(3.0, alive(machine.due), machine.tick),
            Act(0.5, alive(lambda: machine.unlearned), machine.learn),
            Act(0.03, alive(_always), lambda: self._crash(machine)),
            Act(0.02, alive(_always), lambda: machine.tell(m.RescanRequested())),
            Act(0.04, alive(_always), lambda: world.guarded(machine, machine.tidy)),
        ]

    def _of_person(self, machine: Machine) -> list[Act]:
        world, copies, older = self._world, self._world.copies, self._world.chances.older

        def waits(condition: Callable[[], object]) -> Callable[[], bool]:
            return lambda: machine.alive and bool(condition())

        return [
            Act(0.3, _always, lambda: world.meddle(machine)),
            Act(world.chances.clock, _always, lambda: self._set_clock(machine)),
            Act(
                0.5,
                waits(lambda: deciding.open_conflicts(machine)),
                lambda: deciding.decide(world, machine),
            ),
            # Where somebody runs ``sync`` beside a daemon, a question is answered before the next sync withdraws it.
            Act(
                0.5 + 5.0 * world.chances.sync,
                waits(lambda: machine.engine.held),
                lambda: deciding.release(world, machine),
            ),
            Act(0.3, waits(machine.halted), lambda: deciding.go_on(world, machine)),
            Act(0.03, _always, lambda: copies.copy_index(machine)),
            Act(older, lambda: copies.has_older(machine), lambda: copies.restore_index(machine)),
            Act(older / 2, _always, lambda: copies.lose_index(machine)),
        ]

    def _of_crowd(self) -> list[Act]:
        """Acts of some profiles only. They come last, so that the other profiles draw as they always did."""
        world = self._world
        acts = [
            Act(world.chances.stranger, _always, world.stranger.push),
            Act(world.chances.outage, _always, world.network.fail_for_a_while),
            Act(world.chances.alike, lambda: world.plain is None, world.save_alike),
            Act(world.chances.apart, _always, world.save_apart),
        ]
        for machine in world.machines:
            acts += [
                Act(
                    world.chances.restore,
                    lambda machine=machine: machine.alive and bool(world.people.texts),  # type: ignore[misc]
                    lambda machine=machine: deciding.take_back(world, machine),  # type: ignore[misc]
                ),
                Act(
                    world.chances.put_back,
                    lambda machine=machine: machine.alive and machine.engine.held is not None,  # type: ignore[misc]
                    lambda machine=machine: deciding.put_back(world, machine),  # type: ignore[misc]
                ),
                Act(
                    world.chances.programs / 2,
                    lambda machine=machine: machine.alive,  # type: ignore[misc]
                    lambda machine=machine: world.guarded(machine, machine.rescue),  # type: ignore[misc]
                ),
                Act(world.chances.programs, _always, lambda machine=machine: world.run_program(machine)),  # type: ignore[misc]
                Act(
                    world.chances.churn,
                    lambda machine=machine: bool(machine.user.paths()),  # type: ignore[misc]
                    lambda machine=machine: world.churn(machine),  # type: ignore[misc]
                ),
                Act(world.chances.copies, _always, lambda machine=machine: world.move_by_copy(machine)),  # type: ignore[misc]
                Act(
                    world.chances.sync,
                    lambda machine=machine: machine.alive and machine.habits.run_mode is RunMode.DAEMON,  # type: ignore[misc]
                    lambda machine=machine: world.guarded(machine, machine.begin_pass),  # type: ignore[misc]
                ),
            ]
        return [act for act in acts if act.weight]

    def _crash(self, machine: Machine) -> None:
        self._world.note(machine.name, "crash while idle")
        self._world.kill(machine)

    def _pass_time(self) -> None:
        world, rng = self._world, self._world.rng
        wakes = [moment for x in world.machines if x.alive and (moment := x.due_at()) is not None]
        to_wake, jump = rng.random() < 0.7, rng.choice(_JUMPS)
        world.now = max(world.now, min(wakes)) if wakes and to_wake else world.now + jump

    def _set_clock(self, machine: Machine) -> None:
        """Far enough that no moment comes twice: files stamped alike would look unchanged to everybody."""
        rng = self._world.rng
        skew = rng.choice([0.0, 0.0, -_DAY * rng.uniform(30, 60), _DAY * rng.uniform(350, 380)])
        self._world.note(machine.name, f"has its clock set: {skew / _DAY:+.1f} days from the truth")
        machine.set_clock(skew)

    def _pause_or_resume(self) -> None:
        world = self._world
        if world.plain is not None:
            return
        verb = world.rng.choice(["pause", "resume", "resume"])
        world.note("server", verb)
        world.ask(f"sources/{verb}", sourceId=world.source_id)
