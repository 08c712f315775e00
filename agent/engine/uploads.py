"""From the trees to the server: the operations of the next batch, and the meaning of its answer."""

from __future__ import annotations

from collections.abc import Set

from msgspec.structs import replace

from agent.core.backoff import resend_delay
from agent.core.errors import Problem, ProblemKind
from agent.core.model import Reason
from agent.core.reconcile import Step
from agent.core.remote_records import Operation, Outcome, Result, Verb
from agent.engine.config import RunMode
from agent.engine.context import EngineContext
from agent.engine.delete_guard import DeleteGuard
from agent.engine.effects import CancelUpload, OutgoingOperation, Send
from agent.engine.in_doubt import InDoubt
from agent.engine.local_changes import LocalChanges
from agent.engine.messages import BatchAnswered, Call, PathsChanged, Resumable
from agent.engine.outgoing_moves import OutgoingMoves
from agent.engine.path_store import PathStore, may_be_new
from agent.index.operations import OperationState, PushReason, StoredOperation
from agent.index.problems import PathProblem, ProblemOrigin
from agent.index.trees import PathRow

_REFUSED_FIRST, _REFUSED_GROWTH, _REFUSED_MOST = 60.0, 4.0, 86400.0
"""Seconds until a file that was set aside is tried again, the factor for each further time, and the longest delay."""


class Uploads:
    """Sends a few batches at a time; uploads before deletes, so that a renamed file always has a copy."""

    def __init__(
        self,
        ctx: EngineContext,
        path_store: PathStore,
        in_doubt: InDoubt,
        delete_guard: DeleteGuard,
        local_changes: LocalChanges,
    ) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._in_doubt = in_doubt
        self._delete_guard = delete_guard
        self._local_changes = local_changes
        self._moves = OutgoingMoves(ctx, path_store)
        self._chosen: dict[Step, str] = {}
        """The last path chosen for each step; the search for the next batch begins behind it."""
        self._refusals: dict[str, int] = {}
        """Number of times in a row that a path was set aside since the start."""
        self._refused_until: dict[str, float] = {}
        """Paths set aside, with the time of the next try."""
        self._failed_beside: dict[str, int] = {}
        """Paths the server failed on, with the number of operations it had taken by then."""
        self._cancelled: set[str] = set()
        """Operations in flight whose upload was cancelled, because their file has other bytes by now."""
        self._taken = 0
        """Number of operations the server took since the start."""
        self._taken_before = 0
        """The same before the newest answer."""

    # Answers

    def on_answer(self, message: BatchAnswered) -> None:
        """Take the outcomes of a batch in flight."""
        ctx = self._ctx
        batch = ctx.in_flight.end_batch(message.number)
        self._cancelled.difference_update(batch)
        # An event of the feed may have closed an operation before its answer arrived.
        live = {i: self._live(entry) for i, entry in batch.items()}
        outcomes = {outcome.operation_id: outcome for outcome in message.outcomes}
        applied: list[tuple[StoredOperation, Outcome]] = []
        doubtful: list[StoredOperation] = []
        failed: list[tuple[StoredOperation, Outcome]] = []
        for identifier, entry in live.items():
            outcome = outcomes.get(identifier) or Outcome(identifier, Result.UNCERTAIN)
            if entry is None:
                self._in_doubt.late_answer(outcome)
            elif outcome.result is Result.APPLIED:
                applied.append((entry, outcome))
            elif outcome.result is Result.UNCERTAIN or (outcome.result is Result.CONFLICT and outcome.conflict is None):
                doubtful.append(entry)
            elif outcome.server_fault:
                failed.append((entry, outcome))
            else:
                self._take(entry, outcome)
        self._taken += sum(each.result in (Result.APPLIED, Result.CONFLICT) for each in message.outcomes)
        fault, unproven = self._set_aside(failed)
        if self._failed_beside or ctx.in_flight.misses:
            for entry, _ in applied:
                ctx.in_flight.clear_misses(entry.operation.path)
                self._failed_beside.pop(entry.operation.path, None)
                self._refusals.pop(entry.operation.path, None)
        self._in_doubt.acknowledge(applied)
        for entry in doubtful if message.problem is None else ():
            # No other delay applies, and the server may keep a conflict of each try.
            self._send_later(entry.operation.path)
        self._in_doubt.doubt(doubtful + unproven)
        problem = message.problem or fault
        if problem is None:
            ctx.retry_state.answered(Call.PUSH)
        elif problem.kind is ProblemKind.PAUSED:
            ctx.update_source_row(remote_paused=True)
        elif ctx.may_call(Call.PUSH):
            # A second batch that failed at the same moment is the same failure.
            ctx.retry_state.failed(Call.PUSH, problem, ctx.now)

    def on_resumable(self, message: Resumable) -> None:
        """Store the state with which another process can continue an upload. The sender waits for the commit."""
        ctx = self._ctx
        ctx.index.operations.set_resume(message.operation_id, message.state)
        entry = ctx.in_flight.batch.get(message.operation_id)
        live = None if entry is None else self._live(entry)
        if live is not None:
            ctx.replace_operation(replace(live, resume=message.state))

    def _set_aside(self, failed: list[tuple[StoredOperation, Outcome]]) -> tuple[Problem | None, list[StoredOperation]]:
        """Set aside the files the server fails on, but only those beside which it took others.

        Without such proof the failure is the server's own. Its operations stay queued, their outcome in doubt: some may
        have been applied before the failure.

        Returns:
            The server's problem, and the operations to keep.
        """
        unproven = []
        fault = None
        for entry, outcome in failed:
            path = entry.operation.path
            # Others passed in this answer, or since the server failed on this path before.
            proven = self._taken > self._failed_beside.get(path, self._taken_before)
            self._failed_beside[path] = self._taken
            if proven:
                self._refuse(entry, outcome)
            else:
                unproven.append(entry)
                fault = Problem(ProblemKind.SERVER_FAULT, outcome.detail or "the server fails on every push")
        self._taken_before = self._taken
        return fault, unproven

    def _live(self, entry: StoredOperation) -> StoredOperation | None:
        for other in self._ctx.open_operations.get(entry.operation.path, ()):
            if other.operation.id == entry.operation.id and other.state is not OperationState.ACKED:
                return other
        return None

    def _take(self, entry: StoredOperation, outcome: Outcome) -> None:
        ctx = self._ctx
        if outcome.result is Result.CONFLICT and outcome.conflict is not None:
            self._in_doubt.conflict(entry, outcome.conflict)
        elif outcome.result in (Result.REJECTED, Result.TOO_LARGE):
            self._refuse(entry, outcome)
        elif outcome.result is Result.CHANGED:
            self._on_changed(entry.operation)
            if entry.state is OperationState.STORED:
                ctx.index.operations.drop([entry.operation.id])
                ctx.replace_operation(replace(entry, state=OperationState.DONE))
                ctx.moved.add(entry.operation.path)

    def _on_changed(self, operation: Operation) -> None:
        """Scan a file whose bytes are not those of its operation."""
        self._local_changes.on_paths_changed(PathsChanged(frozenset(operation.paths)))
        self._send_later(operation.path)

    def _send_later(self, path: str) -> None:
        """Delay the next try of a file after a miss, each time longer. A change that a scan finds ends the delay."""
        if delay := resend_delay(self._ctx.in_flight.missed(path)):
            self._ctx.in_flight.defer(path, self._ctx.now + delay)

    def _refuse(self, entry: StoredOperation, outcome: Outcome) -> None:
        """Set aside one file that the server refuses, with the reason. A refused move travels as two changes."""
        ctx = self._ctx
        if entry.operation.verb is Verb.MOVE:
            self._in_doubt.abandon([entry])
            ctx.moves.fail(entry.operation)
            return
        reason = Reason.TOO_LARGE if outcome.result is Result.TOO_LARGE else Reason.REFUSED
        row = self._path_store.row(entry.operation.path)
        text = outcome.detail or "the server refuses this file"
        self._in_doubt.refused(entry, text)
        if outcome.limit is not None:
            ctx.update_source_row(max_bytes=outcome.limit)
        again_at = None if reason is Reason.TOO_LARGE else self._next_try(row.path)
        ctx.set_problem(PathProblem(row.path, ProblemOrigin.PUSH, reason, text, ctx.now, again_at))
        local = row.local
        if entry.operation.verb is Verb.DELETE and again_at is not None:
            # No local file can carry the refusal of a delete.
            ctx.in_flight.defer(row.path, again_at)
        if local.hash == entry.operation.hash and local.is_file:
            local = replace(local, reason=reason)
        self._path_store.change([replace(row, local=local)])

    def _next_try(self, path: str) -> float:
        count = self._refusals[path] = self._refusals.get(path, 0) + 1
        delay = min(_REFUSED_FIRST * _REFUSED_GROWTH ** (count - 1), _REFUSED_MOST)
        self._refused_until[path] = self._ctx.now + delay
        return self._refused_until[path]

    def retry_refused(self) -> None:
        """Try every refused file again: a start may follow an update of the server."""
        rows = self._path_store.with_step(Step.SKIP, Step.PARK)
        self._retry([row for row in rows if row.local.reason is Reason.REFUSED])

    def _retry_due(self) -> None:
        due = [path for path, moment in self._refused_until.items() if moment <= self._ctx.now]
        for path in due:
            del self._refused_until[path]
        if due:
            rows = self._path_store.rows(due).values()
            self._retry([row for row in rows if row.local.reason is Reason.REFUSED])
        if self._refused_until and self._ctx.setup.run_mode is RunMode.DAEMON:
            self._ctx.wake(min(self._refused_until.values()))

    def _retry(self, rows: list[PathRow]) -> None:
        for row in rows:
            self._ctx.clear_problem(row.path, ProblemOrigin.PUSH)
        self._path_store.change(replace(row, local=replace(row.local, reason=None)) for row in rows)

    # Batches

    def plan(self) -> None:
        """Send the next batches if there is work and the limits allow it."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        self._retry_due()
        self._wake_for_misses()
        self._cancel_changed()
        if not ctx.may_change or not ctx.may_call(Call.PUSH) or self._in_doubt.read_first():
            return
        # After a failure, one batch tests if the server works again.
        well = ctx.retry_state.is_well(Call.PUSH)
        together = ctx.setup.ordered_feed and well
        while len(in_flight.batches) - len(self._large_in_flight()) < (ctx.setup.batches if together else 1):
            entries = self._choose()
            if not entries:
                break
            outgoing = tuple(OutgoingOperation(entry.operation, self._override(entry)) for entry in entries)
            ctx.emit(Send(in_flight.begin_batch(entries), outgoing))
        self._plan_large(well=well)

    def _wake_for_misses(self) -> None:
        ctx = self._ctx
        for path in ctx.in_flight.misses:
            if ctx.now < (due := ctx.retry_time(path)) < float("inf"):
                ctx.wake(due)

    # Large contents: each is a batch of its own, beside the others

    def _plan_large(self, *, well: bool) -> None:
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if ctx.setup.inline_limit is None:
            return
        while len(self._large_in_flight()) < ctx.setup.uploads and (well or not in_flight.batches):
            entries = self._waiting(large=True)[:1] or self._store(self._smallest_large(), Verb.UPSERT)
            if not entries:
                return
            outgoing = OutgoingOperation(entries[0].operation, self._override(entries[0]), True, entries[0].resume)
            ctx.emit(Send(in_flight.begin_batch(entries), (outgoing,)))

    def _large_in_flight(self) -> list[StoredOperation]:
        if self._ctx.setup.inline_limit is None:
            return []
        return [entry for entry in self._ctx.in_flight.batch.values() if self._is_large(entry)]

    def _is_large(self, entry: StoredOperation) -> bool:
        return entry.operation.verb is Verb.UPSERT and self._ctx.setup.is_large(entry.operation.size)

    def _smallest_large(self) -> list[PathRow]:
        free = [(size, path) for path, (size, _) in self._ctx.in_flight.large.pushes.items() if self._free(path)]
        return [self._path_store.row(min(free)[1])] if free else []

    def _cancel_changed(self) -> None:
        """End uploads of files that have other bytes by now: what they send would be refused at their end."""
        ctx = self._ctx
        for entry in self._large_in_flight():
            operation = entry.operation
            changed = self._path_store.row(operation.path).local.hash != operation.hash
            if changed and entry.reason is not PushReason.RESOLVE and operation.id not in self._cancelled:
                self._cancelled.add(operation.id)
                ctx.emit(CancelUpload(operation.id))

    def _large_to_come(self) -> Set[str | None]:
        """Return the hashes of large uploads that are not acknowledged: a delete of one may be half of a rename."""
        unanswered = {entry.operation.hash for entry in self._ctx.unanswered_operations() if self._is_large(entry)}
        return unanswered | {digest for _, digest in self._ctx.in_flight.large.pushes.values()}

    # Small contents and deletes

    def _override(self, entry: StoredOperation) -> bytes | None:
        if entry.reason is not PushReason.RESOLVE:
            return None
        text = self._ctx.index.texts.get(entry.operation.hash)
        # A large text that the index lacks is that of the folder, and is read there.
        return None if text is None and self._is_large(entry) else text or b""

    def _choose(self) -> list[StoredOperation]:
        """Choose one batch: waiting operations, moves and new uploads; only if there are none of these, deletes.

        The upload of a renamed file is then acknowledged before its old path is deleted. A large upload holds up only
        the deletes of its own content.
        """
        self._moves.choose(self._free)
        most = self._ctx.setup.batch_items
        waiting = self._in_doubt.without_returned(self._waiting(large=False)[:most])
        rows = self._ready(Step.PUSH, most - len(waiting))
        if waiting or rows:
            return waiting + self._store(rows, Verb.UPSERT)
        batch = self._ctx.in_flight.batch.values()
        if any(entry.operation.verb is Verb.UPSERT and not self._is_large(entry) for entry in batch):
            return []
        deletes = self._ready(Step.PUSH_DELETE, most)
        if not deletes or self._new_names_to_come():
            return []
        self._delete_guard.count(Step.PUSH_DELETE, deletes)
        return self._store(deletes, Verb.DELETE)

    def _new_names_to_come(self) -> bool:
        """True if a scan may still find a new file: it may be a renamed one, whose old path is due for a delete.

        A file that changes while it is read is no renamed one, and is not waited for: it may never be quiet.
        """
        in_flight = self._ctx.in_flight
        rows = self._path_store.rows(
            sorted(
                (in_flight.changed_paths.keys() | in_flight.scanning_paths | in_flight.reading.paths)
                - in_flight.unstable
            )
        ).values()
        return in_flight.scan.running or any(may_be_new(row) for row in rows)

    def _waiting(self, *, large: bool) -> list[StoredOperation]:
        """Return stored operations that are not in flight, oldest first, one for each path."""
        waiting = []
        ctx, in_flight = self._ctx, self._ctx.in_flight
        for entry in ctx.unanswered_operations(beside=in_flight.pushing):
            path = entry.operation.path
            if self._is_large(entry) is not large:
                continue
            if entry.reason is not PushReason.RESOLVE and (
                path in in_flight.changed_paths or path in in_flight.scanning_paths
            ):
                # While the file is written, its bytes are not those of the operation: every try would fail.
                continue
            if path in in_flight.misses and ctx.retry_time(path) > ctx.now:
                continue
            if self._in_doubt.sendable(entry):
                waiting.append(entry)
        return waiting

    def _ready(self, step: Step, room: int) -> list[PathRow]:
        """Return rows of this step that may be sent now, up to the limits of a batch.

        They are taken in path order, round-robin, so that rows in flight are not read again for every batch.
        """
        behind = self._chosen.pop(step, "")
        chosen = self._ready_behind(step, room, behind) if room else []
        if not chosen and behind:
            chosen = self._ready_behind(step, room, "")
        if chosen:
            self._chosen[step] = chosen[-1].path
        return chosen

    def _ready_behind(self, step: Step, room: int, path: str) -> list[PathRow]:
        ctx = self._ctx
        chosen: list[PathRow] = []
        size = 0
        renamed: Set[str | None] | None = None
        while rows := self._path_store.with_step(step, after=path, limit=room):
            for row in rows:
                if not self._free(row.path) or (step is not Step.PUSH and not self._delete_guard.may_delete(row)):
                    continue
                if ctx.setup.inline_limit is not None:
                    renamed = self._large_to_come() if renamed is None and step is not Step.PUSH else renamed
                    if row.path in ctx.in_flight.large.pushes or (renamed and row.base.hash in renamed):
                        continue
                size += row.local.size or 0
                if chosen and size > ctx.setup.batch_bytes:
                    return chosen
                chosen.append(row)
                if len(chosen) >= room:
                    return chosen
            path = rows[-1].path
        return chosen

    def _free(self, path: str) -> bool:
        ctx = self._ctx
        if ctx.retry_time(path) > ctx.now:
            return False
        return path not in ctx.parked and path not in ctx.in_flight.changed_paths and not ctx.is_busy(path)

    def _store(self, rows: list[PathRow], verb: Verb) -> list[StoredOperation]:
        ctx = self._ctx
        operations = []
        for row, identifier in zip(rows, ctx.new_operation_ids(len(rows)), strict=True):
            digest, size = (row.local.hash, row.local.size or 0) if verb is Verb.UPSERT else (None, 0)
            base = row.base
            operation = Operation(identifier, row.path, verb, digest, size, base.hash, base.rev, base.remote_id)
            operations.append((operation, row))
        self._path_store.read(rows)
        return ctx.add_operations(operations, PushReason.PUSH)
