"""What became of operations: outcomes into the trees, and evidence gathered where no outcome came."""

from __future__ import annotations

from msgspec.structs import replace

from agent.core.in_doubt import InDoubtVerdict, judge_in_doubt
from agent.core.model import Operation, Presence, RemoteConflict, RemoteHead, Verb
from agent.engine.conflicts import ConflictTracker
from agent.engine.context import EngineContext
from agent.engine.messages import Call
from agent.engine.path_store import PathStore, agreed, remote_side, sent_side
from agent.index.activity import ActivityKind
from agent.index.operations import OperationState, PushReason, StoredOperation
from agent.index.trees import PathRow

_ASK_AT_ONCE = 4
_KNOWN_AT_MOST = 5000
"""Own operations whose places in the feed are known, from which on nothing more is sent until it was read past them."""


class InDoubt:
    """Every operation ends here, exactly once."""

    def __init__(self, ctx: EngineContext, path_store: PathStore, conflict_tracker: ConflictTracker) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._conflicts = conflict_tracker

    def applied(self, row: PathRow, entry: StoredOperation) -> PathRow:
        """The operation is what the server holds, or held at its place in the order."""
        ctx = self._ctx
        operation = entry.operation
        if operation.verb is Verb.DELETE:
            ctx.tally.deleted_remote += 1
        else:
            ctx.tally.pushed += 1
        kind = ActivityKind.DELETED_REMOTE if operation.verb is Verb.DELETE else ActivityKind.PUSHED
        ctx.record_activity(row.path, kind, None, operation.id)
        ctx.drop_approval(row.path)
        side = sent_side(operation.hash, operation.size)
        if entry.reason is PushReason.RESOLVE:
            # The folder does not hold the decided text yet: the base moves with the install that follows.
            return replace(row, remote=side)
        return agreed(row, side)

    def acknowledge(self, answered: list[tuple[StoredOperation, int | None]]) -> None:
        """The server says these were applied, and where in the order, or their echoes will tell."""
        ctx, ordered = self._ctx, self._ctx.setup.ordered_feed
        rows = self._path_store.rows([entry.operation.path for entry, _ in answered])
        changed = []
        for entry, position in answered:
            before = rows[entry.operation.path]
            row = self.applied(before, entry)
            ctx.move_operations([entry], OperationState.ACKED, position)
            if position is not None:
                row = replace(row, position=max(row.position, position))
            elif ordered and entry.operation.hash == before.remote.hash:
                # Somebody else had written the same first: there will be no event of ours.
                ctx.move_operations([entry], OperationState.ECHOED)
            changed.append(row)
        self._path_store.change(changed)
        self._know([position for _, position in answered if position is not None])
        ctx.in_flight.mark_changed(rows)
        ctx.in_flight.echo_goal = ctx.in_flight.next_poll

    def _know(self, positions: list[int]) -> None:
        """The feed need not tell these again."""
        self._ctx.in_flight.acknowledge(positions)

    def read_first(self) -> bool:
        """Whether the feed has to be read before more is sent: what stays open until then is kept in memory, and of a
        long push that would be everything. It is asked for once nothing is on its way: a feed that is still being
        written would tell what the answers tell as well, texts and all.
        """
        in_flight = self._ctx.in_flight
        if sum(span.last - span.first + 1 for span in in_flight.acknowledged_spans) < _KNOWN_AT_MOST:
            return False
        if not in_flight.batch and in_flight.drained >= in_flight.drain_goal:
            self._ctx.request_drain()
        return True

    def passed_over(self, past: int) -> None:
        """The feed was read beyond ``past``, and did not tell what was known up to there."""
        ctx = self._ctx
        told = [
            entry
            for entries in ctx.open_operations.values()
            for entry in entries
            if entry.state is OperationState.ACKED and entry.echoed is not None and entry.echoed <= past
        ]
        ctx.move_operations(told, OperationState.ECHOED)

    def conflict(self, entry: StoredOperation, found: RemoteConflict) -> None:
        """The server parked this operation."""
        ctx = self._ctx
        ctx.move_operations([entry], OperationState.DONE)
        row = self._path_store.row(entry.operation.path)
        self._path_store.change([self._conflicts.conflicted(row, entry.operation, found)])
        ctx.in_flight.mark_changed([row.path])

    def refused(self, entry: StoredOperation, text: str) -> None:
        """The server will never take this operation."""
        ctx = self._ctx
        ctx.move_operations([entry], OperationState.DONE)
        ctx.record_activity(entry.operation.path, ActivityKind.REFUSED, text, entry.operation.id)
        conflict = ctx.parked.get(entry.operation.path)
        if entry.reason is PushReason.RESOLVE and conflict is not None:
            self._conflicts.reopen(conflict, self._path_store.row(entry.operation.path), text)

    def abandon(self, entries: list[StoredOperation]) -> None:
        """Nobody can say any more what became of these; the three trees will, as if they had never been sent."""
        self._ctx.move_operations(entries, OperationState.ABANDONED)

    def doubt(self, entries: list[StoredOperation]) -> None:
        """Nobody said what became of these: read the feed to its end, then judge what it did not mention."""
        ctx = self._ctx
        if not entries:
            return
        ctx.move_operations(entries, OperationState.UNSETTLED)
        goal = ctx.request_drain()
        for entry in entries:
            ctx.in_flight.settle_goal[entry.operation.id] = goal

    def on_head(self, row: PathRow, head: RemoteHead | None, conflicts: tuple[RemoteConflict, ...] | None) -> PathRow:
        """Judge the unsettled operations of a path by what the server shows."""
        ctx = self._ctx
        for entry in list(ctx.open_operations.get(row.path, ())):
            if entry.state is not OperationState.UNSETTLED or conflicts is None or not self._drained(entry):
                continue
            row = self._judge(row, entry, head, conflicts)
        return row

    def _judge(
        self, row: PathRow, entry: StoredOperation, head: RemoteHead | None, conflicts: tuple[RemoteConflict, ...]
    ) -> PathRow:
        ctx = self._ctx
        operation = entry.operation
        digest = head.hash if head else None
        versions = [version.hash for version in head.versions] if head else []
        unclaimed = [c for c in conflicts if c.id not in ctx.foreign]
        verdict, found = judge_in_doubt(operation, digest, versions, unclaimed)
        ctx.in_flight.settle_goal.pop(operation.id, None)
        ctx.record_activity(row.path, ActivityKind.SETTLED, verdict.value, operation.id)
        if verdict is InDoubtVerdict.CONFLICT and found is not None:
            ctx.move_operations([entry], OperationState.DONE)
            return self._conflicts.conflicted(replace(row, remote=remote_side(digest)), operation, found)
        if verdict is InDoubtVerdict.NOT_APPLIED:
            # It may still be under way and arrive late; a conflict it opens then is known by this stage.
            ctx.move_operations([entry], OperationState.ABANDONED)
            return replace(row, remote=remote_side(digest))
        row = self.applied(row, entry)
        ctx.move_operations([entry], OperationState.DONE)
        return replace(row, remote=remote_side(digest))

    def _drained(self, entry: StoredOperation) -> bool:
        return self._ctx.in_flight.drained >= self._ctx.in_flight.settle_goal.get(entry.operation.id, 0)

    def resendable(self, entry: StoredOperation) -> bool:
        """Whether asking again by sending again is the exact way: the server answers the first outcome, and the
        bytes the id stands for are still there.
        """
        ctx = self._ctx
        if entry.state is not OperationState.UNSETTLED or not ctx.setup.item_results or not self._drained(entry):
            return False
        if entry.operation.id in ctx.in_flight.batch:
            return False
        return entry.reason is PushReason.RESOLVE or self._still_there(entry.operation)

    def _still_there(self, operation: Operation) -> bool:
        local = self._path_store.row(operation.path).local
        return local.hash == operation.hash and local.presence in (Presence.ABSENT, Presence.FILE)

    def plan(self) -> None:
        """Ask for the heads of what can be settled in no other way."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if not ctx.may_call(Call.HEAD):
            return
        paths: dict[str, None] = {}
        for entry in ctx.unanswered_operations(beside=in_flight.pushing):
            if len(in_flight.asking) + len(paths) >= _ASK_AT_ONCE:
                break
            path = entry.operation.path
            if entry.state is not OperationState.UNSETTLED or not self._drained(entry):
                continue
            # What is put off takes no turn from the others.
            if not self.resendable(entry) and ctx.may_fetch_head(path):
                paths[path] = None
        ctx.fetch_heads_and_conflicts(self._path_store.rows(list(paths)).values())
