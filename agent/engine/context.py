"""State shared by the parts of one engine: the index, the time, work in flight, and mirrors of small tables.

Nothing here survives the process: a new context over the same index continues the work.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Final

from msgspec.structs import replace

from agent.core.conflict import Conflict
from agent.core.errors import Problem
from agent.core.remote_records import Operation
from agent.engine.config import EngineConfig, RunMode
from agent.engine.effects import Effect, FetchHead, FetchHeadsAndConflicts
from agent.engine.in_flight import InFlight, SyncCounters
from agent.engine.messages import Call
from agent.engine.move_state import MoveState
from agent.engine.retry_state import RetryState
from agent.engine.traffic import TrafficCounter
from agent.index.activity import ActivityKind
from agent.index.operations import OPEN_STATES, OperationState, PushReason, StoredOperation
from agent.index.problems import PathProblem
from agent.index.sources import SourceRow
from agent.index.store import Index
from agent.index.trees import PathRow

_UNKNOWN: Final = (OperationState.STORED, OperationState.UNSETTLED)
"""States of operations whose outcome is unknown."""
_MOMENT: Final = (1 << 48) - 1
"""The bits of an operation id that hold its time in milliseconds."""
_LONG: Final = 30.0
"""Seconds from which on a delay is long: a one-shot pass does not wait for it."""


class EngineContext:
    """Shared by the parts of one source's engine.

    Attributes:
        moved: paths whose conflicts must be updated in this step.
        changes: number of rows written since the process started.
        due: the earliest time the engine must be woken; None if there is none.
        source_row, problems, open_operations, approved, undone, parked, foreign: mirrors of the index. Only the methods
            here write them, together with the table.
        undone_moved: paths of ``undone`` and ``undone_lost`` whose row was written since they were looked at.
        unanswered: paths with an operation whose outcome is unknown; derived from ``open_operations``.
        moves: see ``MoveState``.
        new_activity: activity of this step: (path, kind, detail, operation id).
    """

    def __init__(self, index: Index, setup: EngineConfig, rng: random.Random) -> None:
        self.index = index
        self.setup = setup
        self.rng = rng
        self.now = 0.0
        self.in_flight = InFlight()
        self.retry_state = RetryState(rng)
        self.tally = SyncCounters()
        self.effects: list[Effect] = []
        self.moved: set[str] = set()
        self.changes = 0
        self.traffic = TrafficCounter(index, setup.source)
        self.due: float | None = None
        self.source_row: SourceRow = index.sources.get(setup.source)
        self.problems: dict[str, list[PathProblem]] = {}
        self.open_operations: dict[str, list[StoredOperation]] = {}
        self.unanswered: set[str] = set()
        self.moves = MoveState()
        self.approved: dict[str, str] = index.approvals.all(setup.source)
        self.undone: dict[str, str] = index.undone_deletes.all(setup.source)
        """Files that must come back because a person undid their delete: path to sha256."""
        self.undone_lost: set[str] = set()
        """Paths whose text was found nowhere; a file that appears there ends the problem."""
        self.undone_moved: set[str] = set(self.undone)
        self._moves: dict[int, tuple[OperationState, int | None]] = {}
        self._unwritten_activity: list[tuple[str, str, str | None, str | None]] = []
        self.new_activity: list[tuple[str, str, str | None, str | None]] = []
        self.parked: dict[str, Conflict] = {}
        """Conflicts that park their path, by path."""
        self.waiting: dict[str, list[Conflict]] = {}
        """Conflicts that cannot be shown yet, by path, oldest first; see ``Conflict.is_waiting``."""
        self.foreign: dict[str, Conflict] = {}
        """Other machines' conflicts, by the server's id."""
        self._load()

    def _load(self) -> None:
        source = self.setup.source
        for entry in self.index.operations.open(source):
            self.replace_operation(entry)
        for conflict in self.index.conflicts.live(source):
            self.keep_conflict(conflict)
        self.reload_problems()

    @property
    def source(self) -> int:
        """The registry's key of the source."""
        return self.setup.source

    def emit(self, effect: Effect) -> None:
        """Ask for an effect; it is carried out after this step is committed."""
        self.effects.append(effect)

    def wake(self, moment: float) -> None:
        """Have the engine woken at this moment or earlier."""
        if self.due is None or moment < self.due:
            self.due = moment

    def new_operation_ids(self, count: int) -> list[str]:
        """Return new ids: the time in milliseconds and 80 random bits each.

        Ids of one moment are neighbours in the indexes of both sides, so a batch touches few pages.
        """
        moment = f"{int(self.now * 1000) & _MOMENT:012x}"
        digits = self.rng.randbytes(10 * count).hex()
        return [moment + digits[start : start + 20] for start in range(0, len(digits), 20)]

    def new_intent_id(self) -> str:
        """Return 64 random bits in hexadecimal."""
        return f"{self.rng.getrandbits(64):016x}"

    def new_intent_ids(self) -> Iterator[str]:
        """Return ids for changes made together: 64 random bits they share, and a number."""
        group = self.new_intent_id()
        return (f"{group}_{number}" for number in itertools.count())

    def update_source_row(self, **changes: object) -> None:
        """Change fields of the source's row and write it."""
        source_row = replace(self.source_row, **changes)
        if source_row != self.source_row:
            self.source_row = source_row
            self.index.sources.put(self.source, source_row)

    def record_activity(
        self, path: str, kind: ActivityKind, detail: str | None = None, operation_id: str | None = None
    ) -> None:
        """Add a line to the activity log."""
        self._unwritten_activity.append((path, kind, detail, operation_id))
        self.new_activity.append((path, kind, detail, operation_id))

    def keep_conflict(self, conflict: Conflict) -> None:
        """Put a new or changed conflict into the mirror of its kind."""
        self.drop_conflict(conflict)
        if conflict.parks:
            self.parked[conflict.path] = conflict
            self.in_flight.reclassify([conflict.path])
        elif conflict.is_waiting:
            waiting = [*self.waiting.get(conflict.path, ()), conflict]
            self.waiting[conflict.path] = sorted(waiting, key=lambda each: each.id)
        elif not conflict.mine:
            for server_id in conflict.server_ids:
                self.foreign[server_id] = conflict

    def drop_conflict(self, conflict: Conflict) -> None:
        """Take a conflict out of the mirrors."""
        parked = self.parked.get(conflict.path)
        if parked is not None and parked.id == conflict.id:
            del self.parked[conflict.path]
        left = [each for each in self.waiting.pop(conflict.path, ()) if each.id != conflict.id]
        if left:
            self.waiting[conflict.path] = left
        for server_id in conflict.server_ids:
            if server_id in self.foreign and self.foreign[server_id].id == conflict.id:
                del self.foreign[server_id]

    def conflicts_at(self, path: str) -> list[Conflict]:
        """Return this machine's conflicts of a path: the one that parks it first, then those that wait."""
        parked = self.parked.get(path)
        return [*([] if parked is None else [parked]), *self.waiting.get(path, ())]

    def all_conflicts(self) -> list[Conflict]:
        """Return all conflicts of this machine, shown or waiting."""
        return [*self.parked.values(), *itertools.chain.from_iterable(self.waiting.values())]

    def retry_time(self, path: str) -> float:
        """Return the time when the path may be retried (0: now).

        During a one-shot pass, delays of 30 s or more count as 'after this pass', so that the pass can finish.
        """
        due = self.in_flight.retry_at.get(path, 0.0)
        return float("inf") if self.in_flight.waiting_passes and due >= self.in_flight.pass_began + _LONG else due

    @property
    def is_long_pass(self) -> bool:
        """True if a pass has lasted 30 s: files that still change are left for later."""
        return bool(self.in_flight.waiting_passes) and self.now >= self.in_flight.pass_began + _LONG

    def fetch_head(self, path: str, row: PathRow) -> None:
        """Ask for the server's head of a path, unless it is being asked for or the path is deferred."""
        if self.may_fetch_head(path):
            self.verify_head(path, row)

    def verify_head(self, path: str, row: PathRow) -> None:
        """Ask for the server's head of a path, unless it is being asked for. Call it once in a verification.

        A deferral is of work on the known version. It says nothing about a version that is not known.
        """
        if path not in self.in_flight.asking:
            self.in_flight.ask_head(path, row.remote.hash, row.position)
            self.emit(FetchHead(path))

    def fetch_heads_and_conflicts(self, rows: Iterable[PathRow]) -> None:
        """Ask for the server's heads of these paths and its conflicts, with the conditions of ``fetch_head``."""
        asked = [row for row in rows if self.may_fetch_head(row.path)]
        for row in asked:
            self.in_flight.ask_head(row.path, row.remote.hash, row.position)
        if asked:
            self.emit(FetchHeadsAndConflicts(tuple(row.path for row in asked)))

    def may_fetch_head(self, path: str) -> bool:
        """True if the path's head may be asked for now; otherwise the engine is woken when it may."""
        due = self.retry_time(path)
        if due > self.now:
            if due < float("inf"):
                self.wake(due)
            return False
        return path not in self.in_flight.asking

    def set_problem(self, problem: PathProblem) -> None:
        """Record that a path cannot be synced."""
        self.index.problems.add(self.source, [problem])
        others = [p for p in self.problems.get(problem.path, []) if p.origin != problem.origin]
        self.problems[problem.path] = [*others, problem]

    def reload_problems(self) -> None:
        """Read the mirror of the problems from the index again."""
        self.problems = {}
        for problem in self.index.problems.all(self.source):
            self.problems.setdefault(problem.path, []).append(problem)

    def clear_problem(self, path: str, *origins: str) -> None:
        """Delete the problems of a path that have one of these origins."""
        found = self.problems.get(path)
        if not found:
            return
        cleared = [p for p in found if p.origin in origins]
        if cleared:
            self.index.problems.clear(self.source, [path], *(p.origin for p in cleared))
            rest = [p for p in found if p.origin not in origins]
            if rest:
                self.problems[path] = rest
            else:
                del self.problems[path]

    def is_busy(self, path: str) -> bool:
        """True if an operation on this path has an unknown outcome, or the folder is being changed there."""
        in_flight = self.in_flight
        known = path in in_flight.applying or path in self.unanswered or path in in_flight.restoring
        return known or self.moves.is_leaving(path)

    def is_withheld(self, path: str, base: str | None) -> bool:
        """Return True if a person is asked about the delete of this version, or has undone it."""
        held = self.in_flight.held_deletes
        return path in self.undone or (held is not None and (path, base) in held.files)

    def replace_operation(self, entry: StoredOperation) -> None:
        """Mirror a changed operation: open ones are kept, closed ones removed."""
        path = entry.operation.path
        self.moved.update(self.moves.record_operation(entry))
        found = self.open_operations.get(path)
        others = [] if found is None else [e for e in found if e.seq != entry.seq]
        unknown = entry.state in _UNKNOWN or (bool(others) and any(other.state in _UNKNOWN for other in others))
        if entry.state in OPEN_STATES:
            others.append(entry)
            if len(others) > 1:
                others.sort(key=lambda e: e.seq)
        if others:
            self.open_operations[path] = others
        elif found is not None:
            del self.open_operations[path]
        if unknown:
            self.unanswered.add(path)
        elif path in self.unanswered:
            self.unanswered.discard(path)
            # No conflict was opened here while the outcome was unknown, and the outcome need not change a side.
            self.moved.add(path)

    def unanswered_operations(self, beside: Set[str] = frozenset()) -> list[StoredOperation]:
        """Return operations with an unknown outcome, oldest first, without those on the paths ``beside``."""
        if not self.unanswered:
            return []
        paths = self.unanswered - beside
        entries = [e for path in paths for e in self.open_operations[path] if e.state is not OperationState.ACKED]
        return sorted(entries, key=lambda entry: entry.seq)

    def move_operations(
        self, entries: Iterable[StoredOperation], stage: OperationState, echoed: int | None = None
    ) -> None:
        """Set the state of operations: in the mirror at once, in the index at the end of the step."""
        for entry in entries:
            position = self._moves.get(entry.seq, (stage, None))[1] if echoed is None else echoed
            self._moves[entry.seq] = (stage, position)
            self.replace_operation(replace(entry, state=stage, echoed=entry.echoed if position is None else position))

    def add_operations(self, operations: Sequence[tuple[Operation, PathRow]], why: PushReason) -> list[StoredOperation]:
        """Store operations on these rows. They are sent after this step is committed, never before."""
        # The newest event of the path itself: an event of another path does not show that the feed was read up to it.
        placed = [(op, row.position) for op, row in operations]
        entries = self.index.operations.add(self.source, placed, why, self.now)
        for entry in entries:
            self.replace_operation(entry)
        return entries

    def operations_by_id(self, ids: Sequence[str]) -> dict[str, StoredOperation]:
        """Return our own operations with these ids, closed ones too."""
        self.write_collected()
        return self.index.operations.by_ids(self.source, ids)

    def operations_of(self, path: str) -> list[StoredOperation]:
        """Return every stored operation on a path, oldest first."""
        self.write_collected()
        return self.index.operations.of_path(self.source, path)

    def write_collected(self) -> None:
        """Write the rows collected in this step, many with one statement."""
        if self._moves:
            self.index.operations.move(self._moves)
            self._moves.clear()
        if self._unwritten_activity:
            self.index.activity.append(self.source, self.now, self._unwritten_activity)
            self.traffic.write(self.now, sum(1 for path, *_ in self._unwritten_activity if path))
            self._unwritten_activity.clear()

    def approve_deletes(self, files: Iterable[tuple[str, str]]) -> None:
        """Approve the deletes of these (path, base hash)."""
        approved = dict(files)
        self.index.approvals.add(self.source, approved.items())
        self.approved.update(approved)

    def drop_approval(self, path: str) -> None:
        """Delete an approval: the delete is done, or another text is there now."""
        if self.approved.pop(path, None) is not None:
            self.index.approvals.drop(self.source, [path])

    def undo_deletes(self, files: Iterable[tuple[str, str]]) -> None:
        """Have the files of these deletes (path, hash) come back."""
        undone = dict(files)
        self.index.undone_deletes.add(self.source, undone.items())
        self.undone.update(undone)
        self.undone_moved.update(undone)

    def end_undo(self, path: str) -> None:
        """Forget an undone delete: its file is back, or given up."""
        if self.undone.pop(path, None) is not None:
            self.index.undone_deletes.drop(self.source, path)

    def rows_written(self, paths: Sequence[str]) -> None:
        """Have everything that depends on these rows looked at again."""
        self.in_flight.row_written(paths)
        if self.undone or self.undone_lost:
            self.undone_moved.update(path for path in paths if path in self.undone or path in self.undone_lost)

    def request_drain(self) -> int:
        """Ask for a poll from now on that reads the feed to its end; returns the goal to compare ``drained`` with."""
        self.in_flight.drain_goal = self.in_flight.next_poll
        return self.in_flight.drain_goal

    @property
    def first_drain_done(self) -> bool:
        """True if the feed was read to its end since the start."""
        return self.in_flight.drained > 0

    def may_call(self, call: Call) -> bool:
        """True if this kind of call may be made now."""
        return self.retry_state.ready(call, self.now)

    @property
    def trouble(self) -> Problem | None:
        """The current problem with the server or the connection."""
        return self.retry_state.trouble(self.now)

    @property
    def paused(self) -> bool:
        """True if nothing may be changed on either side."""
        return self.source_row.remote_paused or self.now < self.in_flight.paused_until

    @property
    def may_install(self) -> bool:
        """True if files may be installed: the folder was scanned, and no pause, halt or dry run forbids it."""
        if self.setup.run_mode is RunMode.DRY_RUN:
            return False
        return (
            self.in_flight.scan.complete
            and not self.paused
            and self.in_flight.root_error is None
            and self.source_row.halted is None
        )

    @property
    def may_change(self) -> bool:
        """True if files may be sent, removed and parked: ``may_install``, and the feed was read to its end."""
        return self.may_install and self.first_drain_done
