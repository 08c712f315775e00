"""From the trees to the server: which operations go into the next batch, and what its answer means."""

from __future__ import annotations

from agent.core.errors import ProblemKind
from agent.core.model import Operation, Outcome, Presence, Reason, Result, Verb
from agent.core.reconcile import Step
from agent.engine.context import EngineContext
from agent.engine.delete_guard import DeleteGuard
from agent.engine.effects import OutgoingOperation, Send
from agent.engine.in_doubt import InDoubt
from agent.engine.local_changes import LocalChanges
from agent.engine.messages import BatchAnswered, Call, PathsChanged
from agent.engine.path_store import PathStore
from agent.index.operations import OperationState, PushReason, StoredOperation
from agent.index.problems import PathProblem, ProblemOrigin
from agent.index.trees import PathRow

_REFUSED_AGAIN = 3600.0


class Uploads:
    """A few batches at a time; uploads before deletes, so that a rename never leaves a file without a copy."""

    def __init__(
        self,
        ctx: EngineContext,
        path_store: PathStore,
        in_doubt: InDoubt,
        delete_guard: DeleteGuard,
        observing: LocalChanges,
    ) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._in_doubt = in_doubt
        self._delete_guard = delete_guard
        self._local_changes = observing
        self._chosen: dict[Step, str] = {}
        """The path up to which the work of a step was chosen; what comes after it was not looked at yet."""

    # Answers

    def on_answer(self, message: BatchAnswered) -> None:
        """Take the outcomes of a batch in flight."""
        ctx = self._ctx
        batch = {i: ctx.in_flight.batch.pop(i) for i in ctx.in_flight.batches.pop(message.number, ())}
        # An echo in the feed may have been quicker than the answer; what it settled is not open any more.
        live = {i: self._live(entry) for i, entry in batch.items()}
        outcomes = {outcome.operation_id: outcome for outcome in message.outcomes}
        applied: list[tuple[StoredOperation, int | None]] = []
        doubtful: list[StoredOperation] = []
        for identifier, entry in live.items():
            if entry is None:
                continue
            outcome = outcomes.get(identifier) or Outcome(identifier, Result.UNCERTAIN)
            if outcome.result is Result.APPLIED:
                applied.append((entry, outcome.position))
            elif outcome.result is Result.UNCERTAIN or (outcome.result is Result.CONFLICT and outcome.conflict is None):
                doubtful.append(entry)
            else:
                self._take(entry, outcome)
        self._in_doubt.acknowledge(applied)
        self._in_doubt.doubt(doubtful)
        if message.problem is None:
            ctx.retry_state.answered(Call.PUSH)
        elif message.problem.kind is ProblemKind.PAUSED:
            ctx.update_source_row(remote_paused=True)
        elif ctx.may_call(Call.PUSH):
            # Another batch that failed in the same moment is the same failure.
            ctx.retry_state.failed(Call.PUSH, message.problem, ctx.now)

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
            self._local_changes.on_noticed(PathsChanged(frozenset([entry.operation.path])))
            if entry.state is OperationState.STORED:
                ctx.index.operations.drop([entry.operation.id])
                ctx.replace_operation(
                    StoredOperation(entry.seq, entry.operation, entry.reason, OperationState.DONE, entry.created_at)
                )
                ctx.moved.add(entry.operation.path)

    def _refuse(self, entry: StoredOperation, outcome: Outcome) -> None:
        """The server will not have this file: it is one skipped file, with the reason, until it changes."""
        ctx = self._ctx
        reason = Reason.TOO_LARGE if outcome.result is Result.TOO_LARGE else Reason.REFUSED
        row = self._path_store.row(entry.operation.path)
        text = outcome.detail or "the server refuses this file"
        self._in_doubt.refused(entry, text)
        if outcome.limit is not None:
            ctx.update_source_row(max_bytes=outcome.limit)
        ctx.set_problem(PathProblem(row.path, ProblemOrigin.PUSH, reason, text, ctx.now))
        local = row.local
        if entry.operation.verb is Verb.DELETE:
            # There is no local file the refusal could be noted on: it is tried again in an hour, or when asked.
            ctx.in_flight.retry_at[row.path] = ctx.now + _REFUSED_AGAIN
        if local.hash == entry.operation.hash and local.is_file:
            local = type(local)(local.presence, local.hash, local.size, reason, local.rev)
        self._path_store.change(
            [PathRow(row.path, row.base, local, row.fingerprint, row.remote, row.remote_id, row.position)]
        )

    # Batches

    def plan(self) -> None:
        """Send the next batches, as far as there is anything to send and others are not in the way."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if not ctx.may_change or not ctx.may_call(Call.PUSH) or self._in_doubt.read_first():
            return
        # A server that just failed is asked with one batch whether it is well again.
        together = ctx.setup.ordered_feed and ctx.retry_state.is_well(Call.PUSH)
        while len(in_flight.batches) < (ctx.setup.batches if together else 1):
            entries = self._choose()
            if not entries:
                return
            in_flight.batch.update((entry.operation.id, entry) for entry in entries)
            in_flight.batches[in_flight.next_batch] = tuple(entry.operation.id for entry in entries)
            parcels = tuple(OutgoingOperation(entry.operation, self._given(entry)) for entry in entries)
            ctx.emit(Send(in_flight.next_batch, parcels))
            in_flight.next_batch += 1

    def _given(self, entry: StoredOperation) -> bytes | None:
        if entry.reason is not PushReason.RESOLVE:
            return None
        return self._ctx.index.texts.get(entry.operation.hash) or b""

    def _choose(self) -> list[StoredOperation]:
        """What goes into one batch: what waits already, then new uploads, and only without any of these, deletes.

        Deletes come last so that a rename's upload is acknowledged before the old name goes.
        """
        waiting = self._waiting()[: self._ctx.setup.batch_items]
        rows = self._ready(Step.PUSH, self._ctx.setup.batch_items - len(waiting))
        if waiting or rows:
            return waiting + self._store(rows, Verb.UPSERT)
        if any(entry.operation.verb is Verb.UPSERT for entry in self._ctx.in_flight.batch.values()):
            return []
        deletes = self._ready(Step.PUSH_DELETE, self._ctx.setup.batch_items)
        if deletes and self._new_names_to_come():
            return []
        self._delete_guard.count(Step.PUSH_DELETE, deletes)
        return self._store(deletes, Verb.DELETE)

    def _new_names_to_come(self) -> bool:
        """Whether a file may still come up under a new name: it may be the one that a delete is due for. A renamed file
        is whole; one that changes while it is read is not waited for, it may never come to rest.
        """
        in_flight = self._ctx.in_flight
        rows = self._path_store.rows(
            sorted((in_flight.changed_paths.keys() | in_flight.scanning_paths) - in_flight.unstable)
        ).values()
        return in_flight.scanning or any(_may_be_new(row) for row in rows)

    def _waiting(self) -> list[StoredOperation]:
        """Stored operations that are not on their way, oldest first, one for a path."""
        waiting = []
        for entry in self._ctx.unanswered_operations(beside=self._ctx.in_flight.pushing):
            if entry.state is OperationState.STORED or self._in_doubt.resendable(entry):
                waiting.append(entry)
        return waiting

    def _ready(self, step: Step, room: int) -> list[PathRow]:
        """Rows of this step that may be sent now, as many as a batch has room for, in files and in bytes.

        They are taken in path order, going round: what is on its way is not gone through again for every batch.
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
        while rows := ctx.index.trees.with_step(ctx.source, step, after=path, limit=room):
            for row in rows:
                if not self._free(row.path) or (step is not Step.PUSH and not self._delete_guard.allows(row)):
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
            operation = Operation(identifier, row.path, verb, digest, size, row.base.hash)
            operations.append((operation, row))
        self._path_store.read(rows)
        return ctx.add_operations(operations, PushReason.PUSH)


def _may_be_new(row: PathRow) -> bool:
    """Whether nothing was agreed on for this path, and what stands there, if it is known at all, can be sent."""
    return row.base.presence is Presence.ABSENT and (
        row.local.presence is Presence.ABSENT or (row.local.is_file and row.local.reason is None)
    )
