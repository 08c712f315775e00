"""What the parts of the engine share while they work on one message: the index, the clock reading, what is outstanding.

Nothing here outlives the process: everything that must is in the index, and a fresh Desk over the same index goes on.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Final

from msgspec.structs import replace

from agent.core.conflict import Conflict
from agent.core.errors import Problem
from agent.core.model import Operation, Side
from agent.engine.config import EngineConfig, RunMode
from agent.engine.effects import Effect, FetchHead, FetchHeadsAndConflicts
from agent.engine.in_flight import InFlight, SyncCounters
from agent.engine.messages import Call
from agent.engine.retry_state import RetryState
from agent.index.activity import ActivityKind
from agent.index.operations import OPEN_STATES, OperationState, PushReason, StoredOperation
from agent.index.problems import PathProblem
from agent.index.sources import SourceRow
from agent.index.store import Index
from agent.index.trees import PathRow

_UNKNOWN: Final = (OperationState.STORED, OperationState.UNSETTLED)
"""Stages in which nobody has said yet what became of an operation."""
_MOMENT: Final = (1 << 48) - 1
"""The bits of an operation's id that tell when it was made."""
_LONG: Final = 30.0
"""Seconds from which on a path counts as put off for long."""


class EngineContext:
    """Shared by the parts of one source's engine."""

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
        """How many rows were written since the process started."""
        self._totals: tuple[int, int] | None = None
        self.due: float | None = None
        self.source_row: SourceRow = index.sources.get(setup.source)
        self.problems: dict[str, list[PathProblem]] = {}
        self.open_operations: dict[str, list[StoredOperation]] = {}
        self.unanswered: set[str] = set()
        """Paths with an operation whose outcome is not known."""
        self.approved: dict[str, str] = index.approvals.all(setup.source)
        """Deletes a person has approved: path to the hash it then held."""
        self._moves: dict[int, tuple[OperationState, int | None]] = {}
        self._unwritten_activity: list[tuple[str, str, str | None, str | None]] = []
        self.new_activity: list[tuple[str, str, str | None, str | None]] = []
        """What was noted in this step: (path, what, detail, operation id)."""
        self.parked: dict[str, Conflict] = {}
        self.foreign: dict[str, Conflict] = {}
        self._load()

    def _load(self) -> None:
        source = self.setup.source
        for entry in self.index.operations.open(source):
            self.replace_operation(entry)
        for conflict in self.index.conflicts.live(source):
            self.keep_conflict(conflict)
        for problem in self.index.problems.all(source):
            self.problems.setdefault(problem.path, []).append(problem)

    @property
    def source(self) -> int:
        """The registry's key of the source."""
        return self.setup.source

    def emit(self, effect: Effect) -> None:
        """Ask for an effect; it is carried out once this step is committed."""
        self.effects.append(effect)

    def wake(self, moment: float) -> None:
        """Something is due at this moment."""
        if self.due is None or moment < self.due:
            self.due = moment

    def new_operation_ids(self, count: int) -> list[str]:
        """The moment in milliseconds and 80 random bits each; nothing but chance must ever repeat one. Ids of one time
        lie together in the indexes of both sides, so that a batch touches few pages of them.
        """
        moment = f"{int(self.now * 1000) & _MOMENT:012x}"
        digits = self.rng.randbytes(10 * count).hex()
        return [moment + digits[start : start + 20] for start in range(0, len(digits), 20)]

    def new_operation_id(self) -> str:
        """One of them."""
        return self.new_operation_ids(1)[0]

    def new_intent_id(self) -> str:
        """64 random bits."""
        return f"{self.rng.getrandbits(64):016x}"

    def new_intent_ids(self) -> Iterator[str]:
        """Ids for intents that are carried out together: 64 random bits they share, and a number."""
        group = self.new_intent_id()
        return (f"{group}_{number}" for number in itertools.count())

    def update_source_row(self, **changes: object) -> None:
        """Change where the source stands and write it."""
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
        """Remember a conflict where the parts look for it."""
        if conflict.parks:
            self.parked[conflict.path] = conflict
            self.in_flight.unclassified.add(conflict.path)
        elif not conflict.mine:
            for server_id in conflict.server_ids:
                self.foreign[server_id] = conflict

    def retry_time(self, path: str) -> float:
        """When a path may be worked on again, 0 for now; what a pass put off for long is left to whatever comes after
        it, or a pass that takes longer than that would never end.
        """
        due = self.in_flight.retry_at.get(path, 0.0)
        return float("inf") if self.in_flight.waiting_passes and due >= self.in_flight.pass_began + _LONG else due

    @property
    def is_long_pass(self) -> bool:
        """Whether somebody waits for a pass that has lasted so long that what still stirs is left to the time after."""
        return bool(self.in_flight.waiting_passes) and self.now >= self.in_flight.pass_began + _LONG

    def fetch_head(self, path: str, row: PathRow) -> None:
        """Ask what the server holds at a path, once at a time, and not while the path is put off."""
        if self.may_fetch_head(path):
            self.in_flight.asking[path] = (row.remote.hash, row.position)
            self.emit(FetchHead(path))

    def fetch_heads_and_conflicts(self, rows: Iterable[PathRow]) -> None:
        """Ask what the server holds at these paths together with its conflicts, as ``fetch_head`` does."""
        asked = [row for row in rows if self.may_fetch_head(row.path)]
        for row in asked:
            self.in_flight.asking[row.path] = (row.remote.hash, row.position)
        if asked:
            self.emit(FetchHeadsAndConflicts(tuple(row.path for row in asked)))

    def may_fetch_head(self, path: str) -> bool:
        """Whether this path's head may be asked for now: it is not being asked for, nor put off."""
        due = self.retry_time(path)
        if due > self.now:
            if due < float("inf"):
                self.wake(due)
            return False
        return path not in self.in_flight.asking

    def set_problem(self, problem: PathProblem) -> None:
        """Note that a path cannot be synced."""
        self.index.problems.add(self.source, [problem])
        others = [p for p in self.problems.get(problem.path, []) if p.origin != problem.origin]
        self.problems[problem.path] = [*others, problem]

    def clear_problem(self, path: str, *origins: str) -> None:
        """A path has no such problem any more."""
        found = self.problems.get(path)
        if not found:
            return
        lifted = [p for p in found if p.origin in origins]
        if lifted:
            self.index.problems.clear(self.source, [path], *(p.origin for p in lifted))
            rest = [p for p in found if p.origin not in origins]
            if rest:
                self.problems[path] = rest
            else:
                del self.problems[path]

    def totals(self) -> tuple[int, int]:
        """How many files the folder holds, and their bytes; counted in the index once, and then with each change."""
        if self._totals is None:
            self._totals = self.index.trees.totals(self.source)
        return self._totals

    def recount(self, before: Iterable[Side | None], after: Iterable[Side]) -> None:
        """These local sides are another now; None where nobody knows what was there, so that all is counted anew."""
        if self._totals is None:
            return
        files, size = self._totals
        for old, new in zip(before, after, strict=True):
            if old is None:
                self._totals = None
                return
            files += new.is_file - old.is_file
            size += (new.size or 0 if new.is_file else 0) - (old.size or 0 if old.is_file else 0)
        self._totals = files, size

    def is_busy(self, path: str) -> bool:
        """Whether an operation of ours on this path has an unknown outcome, or the folder is being changed there."""
        return path in self.in_flight.applying or path in self.unanswered

    def replace_operation(self, entry: StoredOperation) -> None:
        """Put a changed operation back among the open ones; a done one leaves them."""
        path = entry.operation.path
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
            # Nothing was parked here while an outcome was open, and the outcome itself need not move a side.
            self.moved.add(path)

    def unanswered_operations(self, beside: Set[str] = frozenset()) -> list[StoredOperation]:
        """Operations whose outcome is not known, ``beside`` those on some paths, oldest first."""
        paths = self.unanswered - beside
        entries = [e for path in paths for e in self.open_operations[path] if e.state is not OperationState.ACKED]
        return sorted(entries, key=lambda entry: entry.seq)

    def move_operations(
        self, entries: Iterable[StoredOperation], stage: OperationState, echoed: int | None = None
    ) -> None:
        """Move operations on to a stage: here at once, in the index with the end of the step at the latest."""
        for entry in entries:
            position = self._moves.get(entry.seq, (stage, None))[1] if echoed is None else echoed
            self._moves[entry.seq] = (stage, position)
            self.replace_operation(replace(entry, state=stage, echoed=entry.echoed if position is None else position))

    def add_operations(self, operations: Sequence[tuple[Operation, PathRow]], why: PushReason) -> list[StoredOperation]:
        """Store operations on these rows; they are sent once this step is committed, never before."""
        placed = [(op, max(row.position, self.in_flight.newest_position)) for op, row in operations]
        entries = self.index.operations.add(self.source, placed, why, self.now)
        for entry in entries:
            self.replace_operation(entry)
        return entries

    def operations_by_id(self, ids: Sequence[str]) -> dict[str, StoredOperation]:
        """Our own operations among these ids, done ones too."""
        self.flush()
        return self.index.operations.by_ids(self.source, ids)

    def operations_of(self, path: str) -> list[StoredOperation]:
        """Every remembered operation on a path, oldest first."""
        self.flush()
        return self.index.operations.of_path(self.source, path)

    def flush(self) -> None:
        """Write what was gathered in this step: many rows in one statement."""
        if self._moves:
            self.index.operations.move(self._moves)
            self._moves.clear()
        if self._unwritten_activity:
            self.index.activity.append(self.source, self.now, self._unwritten_activity)
            self._unwritten_activity.clear()

    def drop_approval(self, path: str) -> None:
        """An approved delete is done, or means something else by now."""
        if self.approved.pop(path, None) is not None:
            self.index.approvals.drop(self.source, [path])

    def request_drain(self) -> int:
        """Want the feed read to its end by a poll that starts from now on; the goal to compare ``drained`` with."""
        self.in_flight.drain_goal = self.in_flight.next_poll
        return self.in_flight.drain_goal

    @property
    def first_drain_done(self) -> bool:
        """Whether the feed was read to its end since the start."""
        return self.in_flight.drained > 0

    def may_call(self, call: Call) -> bool:
        """Whether the server may be asked this now."""
        return self.retry_state.ready(call, self.now)

    @property
    def trouble(self) -> Problem | None:
        """What is wrong with the server or the way there."""
        return self.retry_state.trouble(self.now)

    @property
    def paused(self) -> bool:
        """Whether nothing may be changed on either side."""
        return self.source_row.remote_paused or self.now < self.in_flight.paused_until

    @property
    def may_install(self) -> bool:
        """Whether files may be installed: the folder has been looked at and nothing forbids it. Who only observes
        changes neither side.
        """
        if self.setup.run_mode is RunMode.DRY_RUN:
            return False
        return (
            self.in_flight.scanned
            and not self.paused
            and self.in_flight.root_trouble is None
            and self.source_row.halted is None
        )

    @property
    def may_change(self) -> bool:
        """Whether all three trees are known well enough to send, remove and park: the feed was read to its end."""
        return self.may_install and self.first_drain_done
