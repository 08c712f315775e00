"""One machine: a disk with a user, and an agent whose effects wait until the scheduler carries them out."""

from __future__ import annotations

import enum
import random
from collections import deque
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast

import httpx

from agent.core.conflict import Conflict
from agent.core.delete_guard import DeleteGuardLimits
from agent.core.errors import AgentError
from agent.core.model import Mode, Resolution
from agent.core.remote_records import Result
from agent.disk.apply.late_writes import accept, find_late_writes
from agent.disk.root import RootIdentity
from agent.disk.root_marker import write_marker
from agent.disk.selection.rules import Rules
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.config import EngineConfig, RunMode
from agent.engine.engine import Engine
from agent.index import Index, generation
from agent.index.sources import SourceRow
from agent.remotes.http.client import HttpClient
from agent.remotes.protocol import Remote
from agent.runtime.effect_executor import EffectExecutor, ServerConnection
from agent.runtime.local_folder import LocalFolder
from agent.runtime.source_setup import with_capabilities
from simulation import delete_audit, mirrors
from simulation.indexes import SOURCE, Memory, MemoryFile, index_of, put_aside
from simulation.memory_fs import Change, Clock, Crash, Node
from simulation.odd_folders import Strange
from simulation.simfs import SimFs
from simulation.stored import Stored
from simulation.transfer_audit import TransferAudit
from simulation.user import ROOT, STATE, User
from strict_raven import Response
from strict_raven.transport import HandlerTransport

FOLDER_EFFECTS = (
    e.ScanFolder,
    e.ScanPaths,
    e.ApplyChanges,
    e.Recover,
    e.ReleaseJournal,
    e.WriteToTrash,
    e.DiscardDownloads,
    e.KeepDownload,
)
FOLDER_LANE = "folder"
WATCHER_LANE = "watcher"
_DAY = 86400.0
_RESCUES = 3
"""Tries after which a late version stays in the trash."""
PROGRESS_LANE = "progress"


class Surroundings(Protocol):
    """What a machine stands in."""

    source_id: str
    bearer: str
    changes: int
    """How often the server's content changed so far."""

    def clock(self) -> float:
        """Seconds since the epoch."""
        ...

    def check_removals(self, to_recheck: Container[tuple[str, str]], effect: e.Effect) -> None:
        """A change of the folder is about to be made. Raises WrongDelete."""
        ...

    def connect(self, machine: Machine, transport: httpx.BaseTransport) -> tuple[HttpClient, Remote]:
        """A connection to the server and the adapter over it."""
        ...

    def check_revisions(self, index: Index, source: int, table: str) -> None:
        """Compare the revisions of a table with their contents. Raises WrongRevision."""
        ...

    def note(self, who: str, what: str, *things: object) -> None:
        """Something for the script of the run."""
        ...

    def touch_disk(self, machine: Machine, primitive: str) -> None:
        """The agent is about to make a call to its disk: a crash, an error or the user may come first."""
        ...

    def touch_network(
        self, machine: Machine, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Response:
        """The agent's request, on its way to the server."""
        ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """An effect on the server that has not been carried out yet.

    Attributes:
        since: when it was asked for.
        changes: how often the server had changed by then.
    """

    number: int
    effect: e.Effect
    since: float
    changes: int


class Knows(enum.Enum):
    """When a new engine is told what its server can do."""

    AT_ONCE = "at once"
    LATER = "later"


CarrierMaker = Callable[..., EffectExecutor]


class _Reporter:
    """Takes what an effect reports while it is carried out."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def deliver(self, message: m.Message) -> None:
        """The engine takes it in at some time."""
        self._machine.said.setdefault(PROGRESS_LANE, deque()).append(message)

    def commit(self, message: m.Message) -> None:
        """The engine takes it in now, and it is durable."""
        self._machine.tell(message)


@dataclass(frozen=True, slots=True)
class Habits:
    """How a machine is used.

    Attributes:
        run_mode: FOLLOW for a daemon, ONCE for single passes that somebody starts again and again.
        batch_items: operations in a batch; few, and several batches are on their way at once where that may be. Groups
            of changes of the folder are then as small, and two of them under way.
        least: number of files from which on deletes are held; 0: the product's own.
    """

    mode: Mode = Mode.BIDIRECTIONAL
    run_mode: RunMode = RunMode.DAEMON
    batch_items: int = 100
    least: int = 0


class Machine:
    """See above. A new process starts over the same index and disk.

    Attributes:
        alive: whether the agent runs.
        acked: hashes of texts the server said it applied for this machine.
        decided: paths at which a person had something brought from the server, or gave a text of their own.
        has_programs: whether programs keep files open here.
        copied: a file of which a person made a copy, and that will be deleted.
        rescues: how often each late version was to be put into the folder.
        ledger: its deletes, as counted by somebody else than the agent.
    """

    def __init__(
        self,
        name: str,
        world: Surroundings,
        seed: int,
        fs: SimFs,
        clock: Clock,
        strange_rng: random.Random,
        make_carrier: CarrierMaker,
        habits: Habits,
    ) -> None:
        self.name = name
        self.fs = fs
        self.clock = clock
        self.habits = habits
        self.user = User(self.fs)
        self.strange = Strange(self.user, strange_rng)
        self.rescues: dict[str, int] = {}
        self.has_programs = False
        self.copied: str | None = None
        self.decided: set[str] = set()
        self.ledger = delete_audit.Ledger()
        self.index = index_of()
        self.stored = Stored(self.index, SOURCE, world.check_revisions)
        self._beside = MemoryFile()
        self.alive = False
        self.acked: set[str] = set()
        self.connector: str | None = None
        self._world = world
        self._seed = seed
        self._make_carrier = make_carrier
        self._lives = self._passes = self._reports = 0
        self._http: HttpClient | None = None
        write_marker(fs, f"/{ROOT}", f"/{STATE}", world.source_id)
        self.fs.settle()
        self.fs.before = self._before
        if habits.mode is not Mode.BIDIRECTIONAL:
            self.fs.after = self._after_one_way
        self._working = 0

    # Life

    def start(self, known: Knows) -> None:
        """A new process."""
        self._lives += 1
        self.alive = True
        generation.advance(self.index, cast(Path, self._beside), [SOURCE])
        self.folder_work: deque[e.Effect] = deque()
        self.calls: list[Waiting] = []
        self.said: dict[str, deque[m.Message]] = {FOLDER_LANE: deque(), WATCHER_LANE: deque()}
        self.wake: float | None = None
        self.tickets: set[int] = set()
        self._transfers = TransferAudit(self)
        self.lists = False
        """Whether the server's listing is being read."""
        self.at_work: list[str] = []
        """Paths of the moves and large uploads that are being carried out."""
        self._passing = False
        self._numbers = 0
        transport = HandlerTransport(lambda *request: self._world.touch_network(self, *request))
        self._http, self._remote = self._world.connect(self, transport)
        self._folders = [self._folder(), self._folder()]
        self._folders[1].verified = self._folders[0].verified
        self._at_folder, self._at_server = (self._carrier(folder) for folder in self._folders)
        if self.connector is None:
            self.connector = self._remote.register(self.name, "linux", "1", f"id-of-{self.name}").connector_id
        else:
            self._remote.heartbeat(self.connector)
        self.unlearned = known is Knows.LATER
        setup = self._setup()
        if not self.unlearned:
            setup = with_capabilities(setup, self._remote.capabilities)
        self.engine = Engine(self.index, setup, random.Random(f"{self._seed} {self.name} {self._lives}"))
        # Counted here, and from here on with each change: the end of the run compares.
        self.engine.view()
        self.tell(m.Started())
        if self.habits.run_mode is RunMode.ONE_SHOT:
            self.begin_pass()
            self._passing = True

    def _setup(self) -> EngineConfig:
        items = self.habits.batch_items
        groups = (items + 1, 1) if items < 100 else (2000, 500)
        return EngineConfig(
            SOURCE, self.habits.mode, self.habits.run_mode, batch_items=items,
            group_items=groups[0], next_items=groups[1], limits=self.limits,
        )  # fmt: skip

    @property
    def limits(self) -> DeleteGuardLimits:
        """From which number of files on deletes are held here; an hour passes too quickly in a run."""
        least = self.habits.least
        return DeleteGuardLimits(least=least, window=_DAY) if least else DeleteGuardLimits()

    def begin_pass(self) -> None:
        """Have one full pass made, and late versions rescued before."""
        self.rescue()
        self._passes += 1
        self.tickets.add(self._passes)
        self.tell(m.SyncNow(self._passes))

    def _folder(self) -> LocalFolder:
        linked = RootIdentity(self.fs.device, self.user.home.inode)
        return LocalFolder(self.fs, f"/{ROOT}", Rules(), f"/{STATE}", "s", linked, self._world.source_id)

    def _carrier(self, folder: LocalFolder) -> EffectExecutor:
        return self._make_carrier(
            self._world.source_id,
            folder,
            Memory(self.index),
            lambda: ServerConnection(self._remote, self.connector),
            lambda: self.engine.accepts,
            self.clock,
            _Reporter(self),
        )

    def learn(self) -> None:
        """The server's capabilities become known to the engine."""
        self.unlearned = False
        setup = with_capabilities(self._setup(), self._remote.capabilities)
        self._take(self.engine.configure(self.clock(), setup))

    def kill(self) -> None:
        """The process ends here and now."""
        self.alive = False
        self.fs.end_process()
        if self._http is not None:
            self._http.close()
        if self.index.connection.in_transaction:
            self.index.connection.rollback()

    def replace_index(self, copy: bytes | None) -> None:
        """From the next start on the agent has this index; None: an empty one."""
        put_aside(self.index)
        self.index = index_of(copy)
        self.stored = Stored(self.index, SOURCE, self._world.check_revisions)

    def close(self) -> None:
        """Give everything back."""
        self.kill()
        put_aside(self.index)

    def halted(self) -> bool:
        """Whether the source stopped until a person has looked."""
        return self._source_row().halted is not None or bool(self.lost_mounts)

    @property
    def lost_mounts(self) -> frozenset[str]:
        """Folders the agent knows as mounts, and that are none now."""
        return self._source_row().mounts - self.strange.mounted

    def _source_row(self) -> SourceRow:
        row: SourceRow = self.stored.table("sources")["source_row"]
        return row

    def conflicts(self) -> list[Conflict]:
        """Every conflict that is not closed."""
        live: list[Conflict] = self.stored.table("conflicts")["live"]
        return live

    def reported(self) -> set[str]:
        """Paths a person is told cannot be synced, or must decide."""
        told = {problem.path for problem in self.stored.table("problems")["all"]}
        return told | {conflict.path for conflict in self.conflicts()}

    def conflict(self, identifier: int) -> Conflict:
        """One of them."""
        return next(found for found in self.conflicts() if found.id == identifier)

    # Messages in, effects out

    def tell(self, *messages: m.Message) -> None:
        """Let the engine take messages in."""
        self._world.note(self.name, "<-", *messages)
        held = self.engine.held
        effects = self.engine.step(self.clock(), *messages)
        delete_audit.check_step(held, messages, effects, self.engine._ctx.parked, self.ledger.approved, self._paths_of)
        self.ledger.check(self, held, messages, effects)
        mirrors.check(self.engine, self.stored)
        self._transfers.check_step(effects)
        self._take(effects)

    def _paths_of(self, digest: str | None) -> set[str]:
        return {row.path for row in self.index.trees.all(SOURCE) if row.local.is_file and row.local.hash == digest}

    def _take(self, effects: list[e.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, e.SetTimer):
                self.wake = effect.moment
                continue
            self._world.note(self.name, "->", effect)
            if isinstance(effect, e.PassFinished):
                self.tickets.discard(effect.ticket)
            elif isinstance(effect, FOLDER_EFFECTS):
                self.folder_work.append(effect)
            else:
                self._numbers += 1
                self.calls.append(Waiting(self._numbers, effect, self._world.clock(), self._world.changes))
        if self._passing and not self.tickets:
            self._world.note(self.name, "is done")
            self.kill()

    def due(self) -> bool:
        """Whether a moment the engine asked to be woken at has come."""
        return self.wake is not None and self.wake <= self.clock()

    def due_at(self) -> float | None:
        """That moment, by the world's clock."""
        return None if self.wake is None else self.wake - self.clock.skew

    def set_clock(self, skew: float) -> None:
        """Somebody sets this machine's clock. Who waits for a moment decides afresh, as the control thread has it."""
        back = skew < self.clock.skew
        self.clock.skew = skew
        if back and self.alive and self.wake is not None:
            self.wake = self.clock()

    def tidy(self) -> None:
        """What the daemon does every hour."""
        generation.advance(self.index, cast(Path, self._beside))
        suspects = {suspect.hash for entry in self.index.operations.open(SOURCE) for suspect in entry.suspects}
        with self.index.transaction():
            self.index.texts.prune(suspects)
        self.rescue()

    def rescue(self) -> None:
        """As the daemon does and a single pass: bring back what programs wrote to files in the trash. Raises Crash."""
        if not self.has_programs:
            return
        self._working += 1
        try:
            trash = self._folders[1].trash
            for late in list(find_late_writes(self.fs, trash, self.clock())):
                path, tries = late.rescue_path, self.rescues.get(late.rescue_path, 0)
                here = self.index.trees.get(SOURCE, [path])[path].local.hash
                if late.content is None or late.hash == here or tries >= _RESCUES:
                    accept(self.fs, trash, late)
                elif not self.engine.is_busy(path):
                    self.rescues[path] = tries + 1
                    self.decided.add(path)
                    self.tell(m.Restore(path, late.content))
        except (AgentError, OSError):
            self._world.note(self.name, "cannot look for late writes")
        finally:
            self._working -= 1

    def stay(self) -> None:
        """From the next start on a daemon runs here."""
        self.habits = replace(self.habits, run_mode=RunMode.DAEMON)

    def tick(self) -> None:
        """It is later."""
        self.wake = None
        self.tell(m.TimePassed())

    def lanes(self) -> list[str]:
        """Where messages wait to be delivered."""
        return [lane for lane, waiting in self.said.items() if waiting]

    def deliver(self, lane: str, most: int) -> None:
        """Give the engine the oldest messages of one lane."""
        waiting = self.said[lane]
        messages = [waiting.popleft() for _ in range(min(most, len(waiting)))]
        if not waiting and lane not in {FOLDER_LANE, WATCHER_LANE}:
            del self.said[lane]
        self.tell(*messages)

    def deliver_all(self) -> None:
        """Give the engine all messages of all lanes at once."""
        messages = [message for lane in self.lanes() for message in self.said[lane]]
        self.said = {FOLDER_LANE: deque(), WATCHER_LANE: deque()}
        self.tell(*messages)

    def hear(self, paths: Sequence[str]) -> None:
        """The watcher saw something at these paths; at none of them: somewhere. A single pass has no watcher."""
        if self.alive and self.habits.run_mode is RunMode.DAEMON:
            heard = [self._report(path) for path in paths]
            self.said[WATCHER_LANE].extend(heard or [m.PathsChanged(frozenset(), rescan=True)])

    def _report(self, path: str) -> m.PathsChanged:
        """Every second report says that the writer has finished the file, true or not: it may be half of a text."""
        self._reports += 1
        one = frozenset([path])
        return m.PathsChanged(one, finished=one if self._reports % 2 else frozenset())

    # Work

    def ready_calls(self) -> list[Waiting]:
        """Calls that can be carried out now: one that waits on the server does so until something happened there."""
        return [call for call in self.calls if self.ready_at(call) <= self._world.clock()]

    def ready_at(self, call: Waiting) -> float:
        """When a call can be carried out."""
        if not isinstance(call.effect, e.Poll) or self._world.changes != call.changes:
            return call.since
        return call.since + call.effect.wait

    def work(self) -> None:
        """Carry the oldest effect on the folder out. Raises Crash."""
        effect = self.folder_work.popleft()
        self._world.check_removals(self.ledger.to_recheck, effect)
        self._carry_out(self._at_folder, effect, FOLDER_LANE)

    def call(self, call: Waiting) -> None:
        """Carry one effect on the server out. Raises Crash."""
        self.calls.remove(call)
        self._carry_out(self._at_server, call.effect, f"call {call.number}")

    def _carry_out(self, carrier: EffectExecutor, effect: e.Effect, lane: str) -> None:
        self._world.note(self.name, "does", effect)
        self.lists = isinstance(effect, e.FetchListing)
        self.at_work = _at_work(effect)
        self._working += 1
        try:
            for message in carrier.carry_out(effect):
                self.said.setdefault(lane, deque()).append(message)
                if isinstance(message, m.BatchAnswered) and isinstance(effect, e.Send):
                    self._remember(effect, message)
        finally:
            self._working -= 1

    def _remember(self, sent: e.Send, answer: m.BatchAnswered) -> None:
        hashes = {parcel.operation.id: parcel.operation.hash for parcel in sent.parcels}
        for outcome in answer.outcomes:
            digest = hashes.get(outcome.operation_id)
            if outcome.result is Result.APPLIED and digest is not None:
                self.acked.add(digest)

    def resolve(self, decision: m.Resolve, path: str) -> None:
        """A person decides a conflict."""
        if decision.choice is not Resolution.KEEP_LOCAL:
            self.decided.add(path)
        self.tell(decision)

    def _after_one_way(self, change: Change) -> None:
        """A folder that only sends is written to at decided paths alone."""
        above = _path_of(self.user.home, change.folder)
        if above is None or (above + change.name).split("/")[0].startswith("."):
            return
        path, key = above + change.name, self.fs.disk.key
        if not any(key(path) == key(one) or key(one).startswith(key(path) + "/") for one in self.decided):
            self.fs.wrongs.append(f"the agent changed {path}, though nothing may come down to this folder")

    def _before(self, primitive: str) -> None:
        if not self.alive:
            raise Crash
        if self._working:
            self._world.touch_disk(self, primitive)


def _at_work(effect: e.Effect) -> list[str]:
    """The paths of the moves, removals and large uploads of an effect."""
    if isinstance(effect, e.ApplyChanges):
        moves = [(intent.origin, intent.path) for intent, _ in effect.jobs if intent.origin is not None]
        return [*(path for move in moves for path in move), *(x.path for x, _ in effect.jobs if x.new is None)]
    return [p.operation.path for p in effect.parcels] if isinstance(effect, e.Send) and effect.is_large else []


def _path_of(top: Node, folder: Node, prefix: str = "") -> str | None:
    """Where a folder stands below another, with a '/' behind it; '' for the top itself, None if it is not there."""
    if top is folder:
        return prefix
    found = (_path_of(node, folder, f"{prefix}{name}/") for name, node in top.names.items())
    return next((path for path in found if path is not None), None)
