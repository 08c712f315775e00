"""Two or three machines and a server under one seed: who does what next is drawn, nothing else is left to chance."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.core.model import Choice
from agent.daemon.carrier import Carrier
from agent.disk.fs import SwapPrimitive
from agent.engine import messages as m
from agent.index.conflicts import State
from simulation.machine import Knows, Machine
from simulation.people import People
from simulation.script import Script
from simulation.servers import SERVERS, Server, call
from simulation.simfs import Crash, Disk, SimFs
from simulation.user import sha
from strict_raven import Response
from strict_raven import faults as f

START = 1_700_000_000.0
_WRITES = ("push-batch", "update", "resolve", "pause", "resume")
_FILLING = frozenset(
    {"create", "write", "mkdir", "fsync", "fsync_dir", "syncfs", "rename", "rename_noreplace", "exchange"}
)
_FAULTS: tuple[Callable[[], f.Fault], ...] = (
    f.drop_request,
    f.drop_answer,
    f.drop_answer,
    f.html,
    f.cut_json,
    f.no_content,
    lambda: f.too_many("2"),
    f.unavailable,
    f.unauthorized,
    lambda: f.delay(20.0),
)
_DISKS = (
    Disk(),
    Disk(grain_ns=1_000_000),
    Disk(swap=SwapPrimitive.LINK),
    Disk(grain_ns=2_000_000_000),
    Disk(one_volume=False),
)


@dataclass(frozen=True, slots=True)
class Chances:
    """How often things happen: each a probability at its occasion."""

    crash_at_disk: float = 0.0008
    crash_at_network: float = 0.003
    disk_full: float = 0.001
    user_between_calls: float = 0.003
    fault: float = 0.05
    late: float = 0.02
    doubled: float = 0.02
    bystander: float = 0.05
    unheard: float = 0.15


PROFILES = (
    Chances(),
    Chances(crash_at_disk=0.004, disk_full=0.01),
    Chances(user_between_calls=0.015, fault=0.02),
    Chances(crash_at_network=0.015, fault=0.15, late=0.06, bystander=0.15),
)
"""Seeds take these in turn."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. ``make_carrier``, ``make_fs`` and ``disks`` let a test put something broken in."""

    seed: int
    server: str
    turns: int = 320
    make_carrier: Callable[..., Carrier] = Carrier
    make_fs: Callable[..., SimFs] = SimFs
    disks: tuple[Disk, ...] = _DISKS


class World:
    """See above.

    Attributes:
        calm: no more edits, faults, crashes; from here on everything must come to rest.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rng = random.Random(f"{plan.server} {plan.seed}")
        self.chances = PROFILES[plan.seed % len(PROFILES)]
        self.now = START
        self.calm = True
        self.changes = 0
        self.script = Script(START)
        self.server: Server = SERVERS[plan.server](plan.seed, self.clock)
        self.bearer = self.server.bearer
        self.people = People(self.rng, self.script)
        self._late: list[tuple[str, str, Mapping[str, str], bytes]] = []
        self._depth = 0
        self._tickets = 0
        connector = self.ask("connectors/register", name="world", platform="linux")[1]["data"]["id"]
        source = self.ask("sources", name="notes", mode="bidirectional", connectorId=connector)
        self.source_id: str = source[1]["data"]["id"]
        count = 3 if self.rng.random() < 0.2 else 2
        self.machines = [
            Machine(name, self, plan.seed, plan.make_fs(self.clock, self.rng.choice(plan.disks)), plan.make_carrier)
            for name in "ABC"[:count]
        ]
        self._faulty = {machine.name: f.Faulty(self._answer, wait=self._wait) for machine in self.machines}

    def close(self) -> None:
        """Give everything back."""
        for machine in self.machines:
            machine.close()

    # Surroundings

    def clock(self) -> float:
        """Seconds since the epoch."""
        return self.now

    def _wait(self, seconds: float) -> None:
        self.now += seconds

    def note(self, who: str, what: str, *things: object) -> None:
        """Something for the script."""
        self.script.add(self.now, who, what, things)

    def ask(self, endpoint: str, **body: Any) -> tuple[int, Any]:
        """One request past every fault."""
        if endpoint.endswith(_WRITES):
            self.changes += 1
        return call(self.server, endpoint, body)

    def _answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        answer = self.server.handle(method, path, headers, body)
        if path.endswith(_WRITES):
            self.changes += 1
        return answer

    def touch_disk(self, machine: Machine, primitive: str) -> None:
        """As in ``Surroundings``."""
        if self.calm:
            return
        chances, roll = self.chances, self.rng.random()
        if roll < chances.crash_at_disk:
            self._strike(machine, f"before {primitive}")
        roll -= chances.crash_at_disk
        if roll < chances.disk_full and primitive in _FILLING:
            self.note(machine.name, f"the disk is full at {primitive}")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.rng.random() < chances.user_between_calls:
            self.note(machine.name, f"before {primitive}:")
            self._edit(machine)

    def touch_network(
        self, machine: Machine, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Response:
        """As in ``Surroundings``."""
        if self.calm:
            return self._answer(method, path, headers, body)
        if not machine.alive:
            raise Crash
        chances = self.chances
        endpoint = path.rpartition("local-sync/")[2]
        if self._depth == 0 and self.rng.random() < chances.bystander:
            self._bystander(machine)
        if self.rng.random() < chances.crash_at_network:
            self._strike(machine, f"before {endpoint}")
        roll = self.rng.random()
        if roll < chances.late and path.endswith(_WRITES):
            self.note(machine.name, f"network: {endpoint} will arrive late")
            self._late.append((method, path, headers, body))
            raise f.ConnectionLost
        roll -= chances.late
        if roll < chances.doubled:
            self.note(machine.name, f"network: {endpoint} arrives twice")
            self._answer(method, path, headers, body)
        roll -= chances.doubled
        faulty = self._faulty[machine.name]
        if 0 <= roll < chances.fault:
            fault = self.rng.choice(_FAULTS)()
            self.note(machine.name, f"network: {fault.name} at {endpoint}")
            faulty.inject(fault)
        answer = faulty.handle(method, path, headers, body)
        if self.rng.random() < chances.crash_at_network:
            self._strike(machine, f"after {endpoint}")
        return answer

    def _strike(self, machine: Machine, where: str) -> None:
        self.note(machine.name, f"crash {where}")
        machine.alive = False
        raise Crash

    def _bystander(self, machine: Machine) -> None:
        """Something happens at the server between two requests of one call."""
        self._depth += 1
        try:
            others = [other for other in self.machines if other is not machine and other.alive and other.ready_calls()]
            if others and self.rng.random() < 0.6:
                other = self.rng.choice(others)
                self._guarded(other, lambda: other.call(self.rng.choice(other.ready_calls())))
            else:
                self._edit_on_server()
        finally:
            self._depth -= 1

    # The run

    def run(self) -> None:
        """Everything up to the end, which is left to ``Ending``. What raises is a failure of what is tested."""
        for machine in self.machines:
            for _ in range(self.rng.choice([0, 0, 2, 4])):
                self.people.edit(machine.user)
            self._start(machine)
        self.calm = False
        for _ in range(self.plan.turns):
            self._turn()
        self.calm = True

    def _start(self, machine: Machine) -> None:
        calm, self.calm = self.calm, True
        self.note(machine.name, "starts")
        machine.start(Knows.LATER if self.rng.random() < 0.25 else Knows.AT_ONCE)
        self.calm = calm

    def _guarded(self, machine: Machine, act: Callable[[], None]) -> None:
        try:
            act()
        except Crash:
            self._kill(machine)

    def _kill(self, machine: Machine) -> None:
        machine.kill()
        if self.rng.random() < 0.5:
            self.note(machine.name, "loses power")
            machine.fs.lose_power(self.rng)

    def _turn(self) -> None:
        self.now += self.rng.choice([0.0, 0.001, 0.03, 0.11, 0.6])
        options: list[tuple[float, Callable[[], None]]] = [
            (0.4, lambda: self._edit(self.rng.choice(self.machines))),
            (0.15, self._edit_on_server),
            (0.5, self._pass_time),
            (0.05, self._pause_or_resume),
            (1.0 if self._late else 0.0, self._late_arrives),
        ]
        for machine in self.machines:
            options += self._options_of(machine) if machine.alive else [(2.0, lambda x=machine: self._start(x))]
        weights = [weight for weight, _ in options]
        self.rng.choices(options, weights)[0][1]()

    def _options_of(self, machine: Machine) -> list[tuple[float, Callable[[], None]]]:
        rng = self.rng
        options: list[tuple[float, Callable[[], None]]] = [
            (0.02, lambda: self._crash(machine)),
            (0.02, lambda: machine.tell(m.LookAgain())),
        ]
        if machine.folder_work:
            options.append((4.0, lambda: self._guarded(machine, machine.work)))
        ready = machine.ready_calls()
        if ready:
            options.append((4.0, lambda: self._guarded(machine, lambda: machine.call(rng.choice(ready)))))
        lanes = machine.lanes()
        if lanes:
            options.append((7.0, lambda: machine.deliver(rng.choice(lanes), rng.choice([1, 1, 3]))))
        if machine.due():
            options.append((3.0, machine.tick))
        if machine.unlearned:
            options.append((0.5, machine.learn))
        if self.open_conflicts(machine):
            options.append((0.3, lambda: self.decide(machine)))
        if machine.engine.held:
            options.append((0.3, lambda: self.release(machine)))
        return options

    # What happens

    def _crash(self, machine: Machine) -> None:
        self.note(machine.name, "crash while idle")
        self._kill(machine)

    def _pass_time(self) -> None:
        wakes = [machine.wake for machine in self.machines if machine.alive and machine.wake is not None]
        jump = self.rng.choice([0.5, 3.0, 3.0, 3.0, 30.0, 70.0, 4000.0])
        self.now = max(self.now, min(wakes)) if wakes and self.rng.random() < 0.7 else self.now + jump

    def _edit(self, machine: Machine) -> None:
        paths = self.people.edit(machine.user)
        self.note(machine.name, self.people.last)
        if self.rng.random() >= self.chances.unheard:
            machine.hear(paths)

    def _edit_on_server(self) -> None:
        heads = self.server.evidence(self.source_id).heads
        if not heads:
            return
        path = self.rng.choice(sorted(heads))
        text = self.people.text(heads[path].encode())
        base = self.people.base(heads[path])
        more = {} if base is None else {"baseHash": base}
        status, answer = self.ask(
            "sources/file/update", sourceId=self.source_id, relativePath=path, content=text.decode(), **more
        )
        told = answer["data"]["status"] if status == 200 else status
        self.note("server", f"edit {path} = {self.people.name(text)} on {base and self.script.word(base)}: {told}")
        if told == "ok":
            self.people.accepted.add(sha(text))
        elif told == "conflict" and self._depth == 0:
            self.people.refused.add(sha(text))

    def _pause_or_resume(self) -> None:
        verb = self.rng.choice(["pause", "resume", "resume"])
        self.note("server", verb)
        self.ask(f"sources/{verb}", sourceId=self.source_id)

    def _late_arrives(self) -> None:
        method, path, headers, body = self._late.pop(self.rng.randrange(len(self._late)))
        self.note("server", f"late {path.rpartition('/')[2]} arrives")
        if self.plan.server == "strict":
            # A delete wipes conflicts there without a word, also those opened since its sender put their texts by.
            self.people.refused.clear()
        self._answer(method, path, headers, body)

    def open_conflicts(self, machine: Machine) -> list[tuple[int, int, str]]:
        """(id, generation, path) of conflicts that wait for a person."""
        return [(c.id, c.generation, c.path) for c in machine.conflicts() if c.mine and c.state is State.OPEN]

    def decide(self, machine: Machine) -> None:
        """A person resolves a conflict; as the command does, the local text is read when it is the one to keep."""
        identifier, generation, path = self.rng.choice(self.open_conflicts(machine))
        choice = self.rng.choice(list(Choice))
        text = self.people.text(b"") if choice is Choice.MANUAL_MERGE else None
        if choice is Choice.KEEP_LOCAL:
            local = machine.conflict(identifier).local_hash
            text = machine.user.read(path)
            if (text is not None and sha(text)) != (local or False):
                return
        self.note(machine.name, f"decides {path}: {choice} {self.people.name(text) if text is not None else ''}")
        machine.tell(m.Resolve(identifier, generation, choice, text))

    def release(self, machine: Machine) -> None:
        """A person says what becomes of held deletes."""
        held = machine.engine.held
        assert held is not None
        machine.tell(self.rng.choice([m.ApproveDeletes(held.plan), m.UndoDeletes()]))

    def flush_late(self) -> None:
        """What is still on its way arrives, and the source is not paused any more."""
        while self._late:
            self._late_arrives()
        self.ask("sources/resume", sourceId=self.source_id)

    def next_ticket(self) -> int:
        """A fresh one."""
        self._tickets += 1
        return self._tickets

    def revive(self, machine: Machine) -> None:
        """Whatever state it is in, it runs and knows its server."""
        if not machine.alive:
            self._start(machine)
        if machine.unlearned:
            machine.learn()
