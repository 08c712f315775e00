"""Two or three machines and a server under one seed. The seed decides who acts next; nothing else is random."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import httpx

from agent.core.model import Mode
from agent.engine import effects as e
from agent.index import Index
from agent.remotes.http.client import HttpClient
from agent.remotes.protocol import Remote
from agent.remotes.raven.adapter import RavenRemote
from agent.remotes.raven.profile import raven_profile
from agent.runtime.effect_executor import EffectExecutor
from simulation import delete_audit, revisions, visits
from simulation import fault_rates as c
from simulation.copies import Copies
from simulation.hub_pinakes_face import HubPinakesFace
from simulation.machine import Habits, Knows, Machine
from simulation.memory_fs import Clock, Crash, Disk
from simulation.network import Network
from simulation.people import MANY, PATHS, TWINS, People
from simulation.pinakes_face import PinakesFace, StrictPinakesFace
from simulation.plain_face import FILLERS, NAMES, PlainFace
from simulation.programs import Programs
from simulation.schedule import Turns
from simulation.script import Script
from simulation.servers import RAVEN, WRITES, Server, StrictServer, call
from simulation.simfs import SimFs
from simulation.stranger import Stranger
from simulation.user import sha
from strict_raven import WORKSPACE, Response

SERVERS: dict[str, Callable[[int, Callable[[], float]], Server]] = {
    **RAVEN,
    "plain": PlainFace,
    "pinakes": StrictPinakesFace,
    "hub-pinakes": HubPinakesFace,
}
"""Two Raven servers, and three of other dialects."""

START = 1_700_000_000.0
_FILLING = frozenset(
    {"create", "write", "mkdir", "fsync", "fsync_dir", "syncfs", "rename", "rename_noreplace", "exchange"}
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. ``make_carrier``, ``make_fs`` and ``disks`` let a test put something broken in.

    Attributes:
        keep: the turns to take, where others are left out; None: all of them.
        lists_conflicts: each verification on the plain server reads its list of conflicts. False for runs that were
            found before it did so: its requests change the order of everything that follows.
    """

    seed: int
    server: str
    turns: int = 100
    make_carrier: Callable[..., EffectExecutor] = EffectExecutor
    make_fs: Callable[..., SimFs] = SimFs
    disks: tuple[Disk, ...] = c.DISKS
    keep: tuple[int, ...] | None = None
    lists_conflicts: bool = True


class World:
    """See above.

    Attributes:
        rng: where everything is drawn from; begun anew with every turn.
        side: where chances of single profiles are drawn from, so that they move no other draw; begun anew likewise.
        restored: what was lost or put back from an older copy: "server", or the machines whose indexes were.
        forgotten: (path, sha256) the server told before it was put back.
        calm: no more edits, faults, crashes; from here on everything must come to rest.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rng, self._side = random.Random(), random.Random()
        self.reseed("surroundings")
        self.chances = c.profile_of(plan.seed)
        self.now = START
        self.calm = True
        self.changes = 0
        self.restored: set[str] = set()
        self.forgotten: set[tuple[str, str]] = set()
        self.script = Script(START)
        self.server: Server = self._make_server()
        self.bearer = self.server.bearer
        names = NAMES if self.plain is not None else MANY if self.chances.least else PATHS
        names = TWINS if self.chances.folding else names
        self.people = People(
            self.rng, self.script, names, same_text=self.chances.same_text, stale_base=self.chances.stale_base,
            fillers=() if self.plain is None else FILLERS,
        )  # fmt: skip
        self.source_id = self.server.create_source()
        self.machines = [self._machine(name) for name in self._machine_names()]
        self.programs = {machine.name: Programs(machine.user, self.rng, self.people) for machine in self.machines}
        self.network = Network(self)
        self.stranger = Stranger(self)
        self.copies = Copies(self)
        self._turns = Turns(self)

    def _make_server(self) -> Server:
        if self.chances.skipped and self.plan.server == "strict":
            return StrictServer(self.plan.seed, self.clock, self.chances.skipped)
        return SERVERS[self.plan.server](self.plan.seed, self.clock)

    @property
    def plain(self) -> PlainFace | PinakesFace | None:
        """The server, if it is that of another dialect than Raven's."""
        return self.server if isinstance(self.server, PlainFace | PinakesFace) else None

    def _machine_names(self) -> str:
        return "ABC" if self.rng.random() < 0.2 else "AB"

    def _machine(self, name: str) -> Machine:
        rng, plan = self.rng, self.plan
        clock = Clock(self.clock)
        folding = rng.random() < self.chances.folding
        disk = rng.choice(c.FOLDING if folding else plan.disks)
        if self.chances.reuse and rng.random() < self.chances.reuse:
            disk = replace(disk, reuses_inodes=True)
        fs = plan.make_fs(clock, disk)
        mode, run_mode = (rng.choices(*zip(*which, strict=True))[0] for which in (c.MODES, c.ATTENDANCES))
        # Somebody must be there to bring down what the others send up.
        items = c.BATCHES[self.plan.seed // len(c.PROFILES) % len(c.BATCHES)]
        habits = Habits(Mode.BIDIRECTIONAL if name == "A" else mode, run_mode, items, self.chances.least)
        machine = Machine(name, self, plan.seed, fs, clock, rng, plan.make_carrier, habits)
        machine.strange.mounts = bool(self.chances.mounts) and rng.random() < self.chances.mounts
        machine.has_programs = self.chances.programs > 0
        return machine

    def reseed(self, stretch: object) -> None:
        """Begin a new random stream, which depends on nothing that happened before."""
        self._stretch = f"{self.plan.server} {self.plan.seed} {stretch}"
        self.rng.seed(self._stretch)
        self._is_side_begun = False

    @property
    def side(self) -> random.Random:
        """A second stream, beside that of the turns. It begins when it is used: most stretches never draw from it."""
        if not self._is_side_begun:
            self._is_side_begun = True
            self._side.seed(f"{self._stretch} beside")
        return self._side

    def close(self) -> None:
        """Give everything back."""
        for machine in self.machines:
            machine.close()
        self.server.close()

    # Surroundings

    def clock(self) -> float:
        """Seconds since the epoch."""
        return self.now

    def note(self, who: str, what: str, *things: object) -> None:
        """Something for the script."""
        self.script.add(self.now, who, what, things)

    def connect(self, machine: Machine, transport: httpx.BaseTransport) -> tuple[HttpClient, Remote]:
        """As in ``Surroundings``."""
        if self.plain is not None:
            return self.plain.connect(self, machine, transport)
        http = HttpClient(
            "http://127.0.0.1",
            lambda: self.bearer,
            raven_profile(WORKSPACE),
            transport=transport,
            clock=machine.clock,
        )
        remote = RavenRemote(http)
        if not self.chances.visits:
            return http, remote
        return http, cast(RavenRemote, visits.VisitRemote(remote, lambda: self.server.log(self.source_id)))

    def check_revisions(self, index: Index, source: int, table: str) -> None:
        """As in ``Surroundings``."""
        if self.plain is not None:
            self.plain.check_revisions(index, source, table)
        else:
            (visits if self.chances.visits else revisions).check(index, source, table)

    def ask(self, endpoint: str, **body: Any) -> tuple[int, Any]:
        """One request past every fault."""
        if endpoint.endswith(WRITES):
            self.changes += 1
        return call(self.server, endpoint, body)

    def touch_disk(self, machine: Machine, primitive: str) -> None:
        """As in ``Surroundings``."""
        if self.calm:
            return
        chances, roll = self.chances, self.rng.random()
        if roll < chances.crash_at_disk:
            self.strike(machine, f"before {primitive}")
        roll -= chances.crash_at_disk
        if roll < chances.disk_full and primitive in _FILLING:
            self.note(machine.name, f"the disk is full at {primitive}")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.rng.random() < chances.user_between_calls:
            self.note(machine.name, f"before {primitive}:")
            self.meddle(machine)
        if chances.at_work and machine.at_work and self.rng.random() < chances.at_work:
            paths = self.people.save(machine.user, self.rng.choice(machine.at_work))
            self.note(machine.name, f"before {primitive}: {self.people.last}")
            if self.rng.random() >= chances.unheard:
                machine.hear(paths)

    def touch_network(
        self, machine: Machine, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Response:
        """As in ``Surroundings``."""
        return self.network.carry(machine, method, path, headers, body)

    def strike(self, machine: Machine, where: str) -> None:
        """The process ends at this very moment. Raises Crash."""
        self.note(machine.name, f"crash {where}")
        machine.alive = False
        raise Crash

    def check_removals(self, to_recheck: Container[tuple[str, str]], effect: e.Effect) -> None:
        """As in ``Surroundings``."""
        delete_audit.check_removals(self, to_recheck, effect)

    def conflict_bases(self) -> dict[str, str | None]:
        """Id of each open conflict on the server -> the base hash that it names; only Raven's dialect names one."""
        if self.plain is not None:
            return dict.fromkeys(self.plain.open_conflicts())
        listed = self.ask("sources/conflicts", sourceId=self.source_id)[1]["data"]
        return {found["id"]: found["baseHash"] for found in listed}

    # The run

    def run(self) -> None:
        """Everything up to the end, which is left to ``Ending``. What raises is a failure of what is tested."""
        self.reseed("beginning")
        for machine in self.machines:
            for _ in range(self.rng.choice([0, 0, 2, 4])):
                self.people.edit(machine.user)
                self.note(machine.name, self.people.last)
            if self.chances.least and machine is self.machines[0]:
                self.people.stock(machine.user)
                self.note(machine.name, self.people.last)
            self.start(machine)
        self.calm = False
        for number in range(self.plan.turns) if self.plan.keep is None else self.plan.keep:
            self._turns.take(number)
        self.calm = True

    def start(self, machine: Machine) -> None:
        """A new process, whose first words with the server nothing disturbs."""
        calm, self.calm = self.calm, True
        self.note(machine.name, "starts", machine.habits)
        machine.start(Knows.LATER if self.rng.random() < 0.25 else Knows.AT_ONCE)
        self.calm = calm

    def guarded(self, machine: Machine, act: Callable[[], None]) -> None:
        """Do something in which the machine's process may end."""
        try:
            act()
        except Crash:
            self.kill(machine)

    def kill(self, machine: Machine) -> None:
        """The process has ended, the power perhaps too."""
        machine.kill()
        if self.rng.random() < 0.5:
            self.note(machine.name, "loses power")
            machine.fs.lose_power(self.rng)

    def meddle(self, machine: Machine) -> None:
        """The person at a machine does something to the folder."""
        paths: list[str] = []
        if self.rng.random() < self.chances.strange:
            machine.strange.act()
            self.note(machine.name, machine.strange.last)
        else:
            paths = self.people.edit(machine.user)
            self.note(machine.name, self.people.last)
        if self.rng.random() >= self.chances.unheard:
            machine.hear(paths)

    def churn(self, machine: Machine) -> None:
        """A program at a machine deletes several files and makes others."""
        paths = self.people.churn(machine.user)
        self.note(machine.name, self.people.last)
        machine.hear(paths)

    def move_by_copy(self, machine: Machine) -> None:
        """A person at a machine copies a file, or deletes the one that was copied."""
        before = machine.copied
        machine.copied = self.people.move_by_copy(machine.user, before)
        self.note(machine.name, self.people.last)
        machine.hear([path for path in machine.user.paths() if before is None] or [before or ""])

    def run_program(self, machine: Machine) -> None:
        """A program at a machine opens, writes or closes a file, or a file gets a second name."""
        paths = self.programs[machine.name].act()
        self.note(machine.name, self.programs[machine.name].last)
        if paths:
            machine.hear(paths)

    def save_alike(self) -> None:
        """The server gets a new text, and people at all machines with the old one save the same other text over it."""
        path, holders = self._shared()
        if holders:
            self._update(path, self.people.text(b""), sha(holders[0].user.read(path) or b""))
            text = self.people.text(b"")
            for machine in holders:
                self._save(machine, path, text)

    def save_apart(self) -> None:
        """People at all machines with the same version of a file save different texts over it."""
        path, holders = self._shared()
        for machine in holders:
            self._save(machine, path, None)

    def _shared(self) -> tuple[str, list[Machine]]:
        """A path whose head several machines hold, and these machines; none of them if there is no such path."""
        heads = self.server.heads(self.source_id)
        holders = {p: [x for x in self.machines if x.user.read(p) == heads[p].encode()] for p in sorted(heads)}
        return self.rng.choice([(p, machines) for p, machines in holders.items() if len(machines) > 1] or [("", [])])

    def _save(self, machine: Machine, path: str, text: bytes | None) -> None:
        paths = self.people.save(machine.user, path, text)
        self.note(machine.name, self.people.last)
        machine.hear(paths)

    def edit_on_server(self) -> None:
        """Somebody changes a file on the server."""
        if self.plain is not None:
            self.changes += 1
            self.plain.act(self)
            return
        heads = self.server.heads(self.source_id)
        if not heads:
            return
        path = self.rng.choice(sorted(heads))
        self._update(path, self.people.text(heads[path].encode()), self.people.base(heads[path]))

    def _update(self, path: str, text: bytes, base: str | None) -> None:
        """An edit on the server."""
        more = {} if base is None else {"baseHash": base}
        status, answer = self.ask(
            "sources/file/update", sourceId=self.source_id, relativePath=path, content=text.decode(), **more
        )
        told = answer["data"]["status"] if status == 200 else status
        self.note("server", f"edit {path} = {self.people.name(text)} on {base and self.script.word(base)}: {told}")
        if told == "ok":
            self.people.accepted.add(sha(text))
        elif told == "conflict" and self.network.depth == 0:
            self.people.refused.add(sha(text))

    # The end

    def calm_down(self) -> None:
        """What is still on its way arrives, what was done to the folders is put right, and nothing is paused."""
        self.network.flush()
        if self.plain is None:
            self.ask("sources/resume", sourceId=self.source_id)
        for machine in self.machines:
            while machine.strange.tidy_one():
                self.note(machine.name, machine.strange.last)
            machine.strange.end_mounts()
            self.programs[machine.name].close_all()
            if self.rng.random() < 0.5:
                for path in sorted(machine.user.links()):
                    machine.user.delete(path)
                    self.note(machine.name, f"removes the link {path}")

    def revive(self, machine: Machine) -> None:
        """Whatever state it is in, it runs and knows its server."""
        if not machine.alive:
            self.start(machine)
        if machine.unlearned:
            machine.learn()
