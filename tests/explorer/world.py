"""The small world of the explorer: two machines, one server, one or two files that both sides agree on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from msgspec import structs

from agent.core.model import Mode
from agent.engine.config import EngineConfig, RunMode
from simulation.fault_rates import Chances
from simulation.machine import Habits, Knows, Machine
from simulation.memory_fs import Clock, Disk
from simulation.servers import WRITES, HubServer, Server, StrictServer, _number
from simulation.teardown_checks import Ending
from simulation.trace_audit import TraceAudit
from simulation.user import sha
from simulation.world import START, Plan, World
from strict_raven import Races, Response, StrictRaven, token
from strict_raven.faults import ConnectionLost

FILES = ("a.md", "b.md")
PATIENCE = 1.5
"""Seconds that a look waits for the timers of the engine: the quiet periods of edits and of deletes."""
BETWEEN_POLLS = 60.0
"""Seconds between two polls of a server that cannot hold a request. The looks of one order last less in all: so the
next poll is neither due nor soon, but for a pull, which waits for it."""
HIDDEN = "hidden.bin"
"""A name that is not selected, for renames."""
_UNTOUCHED = "keep.md"
"""A file that no act touches: deleting the last file of a folder would halt the source."""


class Answers(dict[str, Any]):
    """The server's answers to the explorer's own questions, until somebody writes to the server."""


class OrderlyStrictServer(StrictServer):
    """The strict server without its races: the explorer leaves nothing to dice."""

    def __init__(self, seed: int, clock: Callable[[], float]) -> None:
        self.raven = StrictRaven(clock=clock, races=Races(seed))
        self.bearer = token()
        self.handle = self.raven.handle
        self.snapshot, self.restore = self.raven.snapshot, self.raven.restore


class SmallMachine(Machine):
    """A machine that polls at even intervals, however long ago the last event was."""

    def _setup(self) -> EngineConfig:
        return structs.replace(
            super()._setup(), poll_least=BETWEEN_POLLS, poll_most=BETWEEN_POLLS, poll_idle=BETWEEN_POLLS
        )


class SmallWorld(World):
    """Two daemons on plain disks; nothing happens but what an act of the explorer does.

    A machine's time passes in its own acts only, as if it slept during those of the other. So what it does next does
    not depend on how long the other one worked. The server's time passes with every request.

    Attributes:
        times: seconds since the epoch, by machine.
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
        self._requests = 0
        self._asked_at, self._answers = -1, Answers()
        super().__init__(Plan(0, server))
        self.chances = Chances(strange=0.0, clock=0.0, unheard=0.0)
        self.audit = TraceAudit(self)
        evidence = self.server.evidence
        setattr(self.server, "evidence", lambda source: self._once("evidence", lambda: evidence(source)))  # noqa: B010
        self._begin()
        self.times = {machine.name: self.now for machine in self.machines}

    def _make_server(self) -> Server:
        make = OrderlyStrictServer if self.plan.server == "strict" else HubServer
        return make(0, self._server_clock)

    def _server_clock(self) -> float:
        self._requests += 1
        return START + self._requests / 1000

    @contextlib.contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Let the time of one machine pass."""
        self.now = self.times[name]
        yield
        self.times[name] = self.now

    def together(self) -> None:
        """Let all machines have the latest time of any."""
        self.now = max(self.times.values())

    def note(self, who: str, what: str, *things: object) -> None:
        """Keep no script: the trace of a violation is enough to repeat it."""

    def _once(self, what: str, ask: Callable[[], Any]) -> Any:
        """Ask a question again only after a write."""
        if self._asked_at != self.changes:
            self._asked_at, self._answers = self.changes, Answers()
        if what not in self._answers:
            self._answers[what] = ask()
        return self._answers[what]

    def open_conflicts(self) -> list[Any]:
        """The server's list of open conflicts."""
        return cast(list[Any], self._once("conflicts", lambda: self._told("sources/conflicts")))

    def feed(self) -> list[Any]:
        """Every event there is."""
        return cast(list[Any], self._once("feed", lambda: self._told("sources/deltas", cursor=0, limit=500)["events"]))

    def _told(self, endpoint: str, **body: Any) -> Any:
        status, answer = self.ask(endpoint, sourceId=self.source_id, **body)
        assert status == 200, answer
        return answer["data"]

    def owners(self) -> dict[str, str]:
        """The machine of each operation, by the operation's id."""
        return {
            identifier: machine.name
            for machine in self.machines
            for (identifier,) in machine.index.connection.execute("SELECT id FROM operations")
        }

    def conflict_owners(self) -> dict[str, str]:
        """The machine of each open conflict, by the conflict's id. The strict server does not know it."""
        if not isinstance(self.server, HubServer):
            return {}
        names = {machine.connector: machine.name for machine in self.machines}
        server = self.server

        def ask() -> dict[str, str]:
            with server.store.read() as session:
                found = session.open_conflicts(_number(session, self.source_id))
            return {conflict.id: names[conflict.connector] for conflict in found if conflict.connector in names}

        return cast(dict[str, str], self._once("conflict owners", ask))

    def _machine_names(self) -> str:
        return "AB"

    def _machine(self, name: str) -> Machine:
        clock = Clock(self.clock)
        habits = Habits(Mode.BIDIRECTIONAL, RunMode.DAEMON)
        fs = self.plan.make_fs(clock, Disk())
        return SmallMachine(name, self, 0, fs, clock, self.rng, self.plan.make_carrier, habits)

    def _begin(self) -> None:
        """Let both machines agree on the files, then come to rest with a poll waiting."""
        for path in (*self.files, _UNTOUCHED):
            self.write(self.machines[0], path)
        for machine in self.machines:
            machine.start(Knows.AT_ONCE)
        Ending(self).run()
        for machine in self.machines:
            machine.user.given_up.clear()
            machine.fs.settle()
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
