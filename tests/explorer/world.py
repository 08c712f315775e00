"""The small world of the explorer: two machines, one server, one or two files that both sides agree on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent.core.model import Mode
from agent.engine.config import RunMode
from simulation.fault_rates import Chances
from simulation.machine import Habits, Knows, Machine
from simulation.memory_fs import Clock, Disk
from simulation.servers import WRITES, Server, StrictServer
from simulation.teardown_checks import Ending
from simulation.trace_audit import Witness
from simulation.user import sha
from simulation.world import Plan, World
from strict_raven import Races, Response, StrictRaven, token
from strict_raven.faults import ConnectionLost

FILES = ("a.md", "b.md")
_UNTOUCHED = "keep.md"
"""A file that no act touches: deleting the last file of a folder would halt the source."""


class OrderlyStrictServer(StrictServer):
    """The strict server without its races: the explorer leaves nothing to dice."""

    def __init__(self, seed: int, clock: Callable[[], float]) -> None:
        self.raven = StrictRaven(clock=clock, races=Races(seed))
        self.bearer = token()
        self.handle = self.raven.handle
        self.snapshot, self.restore = self.raven.snapshot, self.raven.restore


class SmallWorld(World):
    """Two daemons on plain disks; nothing happens but what an act of the explorer does.

    Attributes:
        files: the paths people write to.
        lose_next: True if the answer to the next writing request is lost.
        numbers: texts written so far, by writer.
        unscanned: paths that changed since the watcher last reported, by machine.
    """

    def __init__(self, server: str, files: int) -> None:
        self.lose_next = False
        self.files = FILES[:files]
        self.numbers: dict[str, int] = {}
        self.unscanned: dict[str, set[str]] = {"A": set(), "B": set()}
        super().__init__(Plan(0, server))
        self.chances = Chances(strange=0.0, clock=0.0, unheard=0.0)
        self.witness = Witness(self)
        self._begin()

    def _make_server(self) -> Server:
        return OrderlyStrictServer(0, self.clock) if self.plan.server == "strict" else super()._make_server()

    def _machine_names(self) -> str:
        return "AB"

    def _machine(self, name: str) -> Machine:
        clock = Clock(self.clock)
        habits = Habits(Mode.BIDIRECTIONAL, RunMode.DAEMON)
        return Machine(name, self, 0, self.plan.make_fs(clock, Disk()), clock, self.rng, self.plan.make_carrier, habits)

    def _begin(self) -> None:
        """Let both machines agree on the files, then come to rest with a poll waiting."""
        for path in (*self.files, _UNTOUCHED):
            self.write(self.machines[0], path)
        for machine in self.machines:
            machine.start(Knows.AT_ONCE)
        Ending(self).run()
        for machine in self.machines:
            machine.user.given_up.clear()
            self.unscanned[machine.name].clear()

    def touch_network(
        self, machine: Machine, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Response:
        """Serve the request; lose the answer if an act said so."""
        answer = self.network.carry(machine, method, path, headers, body)
        if self.lose_next and path.endswith(WRITES):
            self.lose_next = False
            raise ConnectionLost
        return answer

    def new_text(self, writer: str) -> bytes:
        """A text that was never written before."""
        self.numbers[writer] = self.numbers.get(writer, 0) + 1
        label = f"{writer}{self.numbers[writer]}"
        text = f"{label}\n".encode()
        self.people.texts.append(text)
        self.script.names[sha(text)] = label
        return text

    def write(self, machine: Machine, path: str) -> None:
        """Let the person at a machine save a new text."""
        text = self.new_text(machine.name)
        machine.user.write(path, text)
        self.people.written.add(sha(text))
        self.unscanned[machine.name].add(path)
