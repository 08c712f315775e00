"""Outcomes of operations, and evidence for those in doubt: their answer was lost or does not say what happened."""

from __future__ import annotations

from msgspec.structs import replace

from agent.core.delete_guard import UnansweredVerdict, judge_unanswered
from agent.core.in_doubt import InDoubtVerdict, find_applied, judge_in_doubt
from agent.core.model import Presence, side_of
from agent.core.remote_records import Operation, Outcome, RemoteConflict, RemoteHead, Result, Verb
from agent.core.version import Version, is_same_version
from agent.engine.conflicts import ConflictTracker
from agent.engine.context import EngineContext
from agent.engine.effects import Recall
from agent.engine.messages import Call, Recalled
from agent.engine.path_store import PathStore, agreed, left
from agent.index.activity import ActivityKind
from agent.index.operations import OperationState, PushReason, StoredOperation
from agent.index.problems import ProblemOrigin
from agent.index.trees import PathRow

_HEADS_AT_ONCE = 4
_RECALLS_AT_ONCE = 4
_MOST_UNREAD = 5000
"""Acknowledged operations whose events were not read yet. With more, uploads pause until the feed was read."""


class InDoubt:
    """Records the outcome of each operation, exactly once."""

    def __init__(self, ctx: EngineContext, path_store: PathStore, conflict_tracker: ConflictTracker) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._conflicts = conflict_tracker
        self._recalled: set[str] = set()
        """Operations about which the server could prove nothing, since they came in doubt."""

    def applied(self, row: PathRow, entry: StoredOperation, made: Version | None) -> PathRow:
        """Record that the server applied the operation; return the row afterwards.

        Args:
            row: the path's trees.
            entry: the operation.
            made: the version that it made on the server; None is "no file".
        """
        ctx = self._ctx
        operation = entry.operation
        if operation.verb is Verb.DELETE:
            ctx.tally.deleted_remote += 1
        else:
            ctx.tally.pushed += 1
            # A move sends no content.
            ctx.traffic.sent += operation.size if operation.verb is Verb.UPSERT else 0
        kind = ActivityKind.DELETED_REMOTE if operation.verb is Verb.DELETE else ActivityKind.PUSHED
        moved = None if operation.old_path is None else f"moved from {operation.old_path}"
        ctx.record_activity(row.path, kind, moved, operation.id)
        ctx.drop_approval(row.path)
        ctx.clear_problem(row.path, ProblemOrigin.PUSH)
        if entry.reason is PushReason.RESOLVE:
            # The folder does not hold the decided text yet. The base moves with the install that follows.
            return replace(row, remote=side_of(made))
        return agreed(row, made)

    def acknowledge(self, answered: list[tuple[StoredOperation, Outcome]]) -> None:
        """Record operations that the server acknowledged, each with its outcome."""
        ctx, ordered = self._ctx, self._ctx.setup.ordered_feed
        rows = self._path_store.rows([path for entry, _ in answered for path in entry.operation.paths])
        changed = []
        for entry, outcome in answered:
            position = outcome.position
            before = rows[entry.operation.path]
            made = entry.operation.result(outcome.rev, outcome.remote_id)
            known = before.remote.version
            if made is not None and known is not None and made.remote_id is None and is_same_version(made, known):
                # The answer names no file, and the feed has named it already.
                made = replace(made, remote_id=known.remote_id)
            row = self.applied(before, entry, made)
            ctx.move_operations([self.record_result(entry, made)], OperationState.ACKED, position)
            if position is not None:
                row = replace(row, position=max(row.position, position))
            elif ordered and entry.operation.hash == before.remote.hash:
                # Another writer had written the same text first: there will be no event of ours.
                ctx.move_operations([entry], OperationState.ECHOED)
            if outcome.replaced is not None:
                self._replaced(row, entry.operation, outcome.replaced)
            changed.append(row)
            if entry.operation.old_path is not None:
                changed.append(left(rows[entry.operation.old_path], entry.operation))
        self._path_store.change(changed)
        # The feed may leave these events out.
        ctx.in_flight.acknowledge(each.position for _, each in answered if each.position is not None)
        ctx.in_flight.mark_changed(rows)
        ctx.in_flight.echo_goal = ctx.in_flight.next_poll

    def record_result(self, entry: StoredOperation, made: Version | None) -> StoredOperation:
        """Record the version that an operation made, to recognise it in the feed; returns the changed operation.

        A revision that is the hash says nothing new, so it is not written.
        """
        operation = entry.operation
        if made is None or (made.rev in (None, operation.hash) and made.remote_id == operation.remote_id):
            return entry
        rev = None if made.rev == operation.hash else made.rev
        entry = replace(entry, rev=rev, operation=replace(operation, remote_id=made.remote_id))
        self._ctx.index.operations.set_result(entry)
        return entry

    def _replaced(self, row: PathRow, operation: Operation, replaced: Version) -> None:
        """Park the version that our push replaced, unless it had the text of our base or our own."""
        if replaced.hash not in (operation.base, operation.hash):
            self._conflicts.lost_update(row, operation, replaced)

    def read_first(self) -> bool:
        """Return True if the feed must be read before more is sent, or memory would grow with the push.

        The feed is read once no batch is on its way: a feed that still grows would repeat the answers, texts included.
        """
        in_flight = self._ctx.in_flight
        if sum(span.last - span.first + 1 for span in in_flight.acknowledged_spans) < _MOST_UNREAD:
            return False
        if not in_flight.batch and in_flight.drained >= in_flight.drain_goal:
            self._ctx.request_drain()
        return True

    def passed_over(self, past: int) -> None:
        """Record that the feed was read beyond ``past`` and left out our acknowledged events up to there."""
        ctx = self._ctx
        passed = [
            entry
            for entries in ctx.open_operations.values()
            for entry in entries
            if entry.state is OperationState.ACKED and entry.echoed is not None and entry.echoed <= past
        ]
        ctx.move_operations(passed, OperationState.ECHOED)

    def conflict(self, entry: StoredOperation, found: RemoteConflict) -> None:
        """Record that the server refused an operation and opened a conflict."""
        ctx = self._ctx
        ctx.move_operations([entry], OperationState.DONE)
        row = self._path_store.row(entry.operation.path)
        self._path_store.change([self._conflicts.refused(row, entry, found)])
        ctx.in_flight.mark_changed([row.path])

    def late_answer(self, outcome: Outcome) -> None:
        """Take the answer to an operation that is over: it was given up, or the feed has shown its event.

        A conflict that it opened is known from here alone on a server without events for them. The list says of it
        all that is needed to judge whose it is.
        """
        if outcome.result is Result.CONFLICT:
            self._ctx.in_flight.request_conflicts()

    def refused(self, entry: StoredOperation, text: str) -> None:
        """Record that the server rejects an operation for good. ``text``: why, for people."""
        ctx = self._ctx
        ctx.move_operations([entry], OperationState.DONE)
        ctx.record_activity(entry.operation.path, ActivityKind.REFUSED, text, entry.operation.id)
        conflict = ctx.parked.get(entry.operation.path)
        if entry.reason is PushReason.RESOLVE and conflict is not None:
            self._conflicts.refuse(conflict, self._path_store.row(entry.operation.path), text)

    def abandon(self, entries: list[StoredOperation]) -> None:
        """Give up on the outcome of operations. The three trees decide, as if they had not been sent."""
        self._ctx.move_operations(entries, OperationState.ABANDONED)

    def doubt(self, entries: list[StoredOperation]) -> None:
        """Put operations in doubt: read the feed to its end, then judge those it did not mention."""
        ctx = self._ctx
        if not entries:
            return
        ctx.move_operations(entries, OperationState.UNSETTLED)
        goal = ctx.request_drain()
        for entry in entries:
            ctx.in_flight.settle_goal[entry.operation.id] = goal
            self._recalled.discard(entry.operation.id)

    def on_head(self, row: PathRow, head: RemoteHead | None, conflicts: tuple[RemoteConflict, ...] | None) -> PathRow:
        """Judge the operations in doubt of a path by what the server shows; return the row afterwards."""
        ctx = self._ctx
        for entry in list(ctx.open_operations.get(row.path, ())):
            doubtful = entry.state is OperationState.UNSETTLED and self._drained(entry) and not self._must_recall(entry)
            if not doubtful or conflicts is None:
                continue
            row = self._judge(row, entry, head, conflicts)
        return row

    def _judge(
        self, row: PathRow, entry: StoredOperation, head: RemoteHead | None, conflicts: tuple[RemoteConflict, ...]
    ) -> PathRow:
        ctx = self._ctx
        operation = entry.operation
        held = head.version if head else None
        versions = [each.version for each in head.versions] if head else []
        verdict, found = judge_in_doubt(operation, held, versions, conflicts)
        self._settled(operation)
        if self._can_continue(entry, verdict, held):
            ctx.move_operations([entry], OperationState.STORED)
            return replace(row, remote=side_of(held))
        ctx.record_activity(row.path, ActivityKind.SETTLED, verdict.value, operation.id)
        if verdict is InDoubtVerdict.CONFLICT and found is not None:
            # The server holds our text in a conflict: the operation is over, and the path is parked.
            ctx.move_operations([entry], OperationState.DONE)
            return self._conflicts.refused(replace(row, remote=side_of(held)), entry, found)
        if verdict is InDoubtVerdict.NOT_APPLIED:
            # It may still arrive late. A conflict that it opens then is recognised by this state.
            ctx.move_operations([entry], OperationState.ABANDONED)
            ctx.moves.fail(operation)
            return replace(row, remote=side_of(held))
        # Applied, or applied and replaced since: our version was on the server, and the head is what it shows now.
        made = held if verdict is InDoubtVerdict.APPLIED else find_applied(operation, held, versions)
        if made is None and operation.verb is Verb.MOVE:
            made = operation.base_version
        before = row.remote.version
        row = self.applied(row, entry, made)
        self._leave(operation)
        ctx.move_operations([self.record_result(entry, made)], OperationState.DONE)
        if verdict is InDoubtVerdict.APPLIED and before is not None and operation.verb is not Verb.MOVE:
            # The feed showed another version after our base, and ours is the head: it was replaced, and seen by no one.
            self._replaced(row, operation, before)
        row = replace(row, remote=side_of(held))
        if found is not None:
            self._conflicts.end_refusal(row, entry, found)
        return row

    def _leave(self, operation: Operation) -> None:
        """Record at the old path of a move that its file is away."""
        if operation.old_path is not None:
            self._path_store.change([left(self._path_store.row(operation.old_path), operation)])
            self._ctx.in_flight.mark_changed([operation.old_path])

    def _settled(self, operation: Operation) -> None:
        self._ctx.in_flight.settle_goal.pop(operation.id, None)
        self._recalled.discard(operation.id)

    def _can_continue(self, entry: StoredOperation, verdict: InDoubtVerdict, held: Version | None) -> bool:
        """Return True if the upload was interrupted and the same operation can go on with its missing chunks."""
        unchanged = (None if held is None else held.hash) == entry.operation.base
        interrupted = verdict is InDoubtVerdict.NOT_APPLIED and entry.resume is not None
        return interrupted and unchanged and self._still_there(entry.operation)

    # Proof that only the server has

    def on_recalled(self, message: Recalled) -> None:
        """Take what the server proves about an operation in doubt."""
        ctx, outcome = self._ctx, message.outcome
        ctx.in_flight.recalling.discard(outcome.operation_id)
        ctx.retry_state.answered(Call.RECALL)
        entry = self._doubtful(outcome.operation_id)
        if entry is None:
            return
        if outcome.result is Result.APPLIED:
            self._settled(entry.operation)
            self._applied_before(entry, outcome)
        elif outcome.result is Result.CONFLICT and outcome.conflict is not None:
            self._settled(entry.operation)
            self.conflict(entry, outcome.conflict)
        elif outcome.result is Result.NOT_SENT and self._still_there(entry.operation):
            self._settled(entry.operation)
            ctx.move_operations([entry], OperationState.STORED)
        else:
            self._recalled.add(outcome.operation_id)

    def on_recall_failed(self, operation_id: str) -> None:
        """Ask again later."""
        self._ctx.in_flight.recalling.discard(operation_id)

    def _doubtful(self, operation_id: str) -> StoredOperation | None:
        for entry in self._ctx.unanswered_operations():
            if entry.operation.id == operation_id and entry.state is OperationState.UNSETTLED:
                return entry
        return None

    def _applied_before(self, entry: StoredOperation, outcome: Outcome) -> None:
        """Record that an operation was applied at some time before. The feed may have shown a later version since."""
        ctx, operation = self._ctx, entry.operation
        before = self._path_store.row(operation.path)
        made = operation.result(outcome.rev, outcome.remote_id)
        row = self.applied(before, entry, made)
        is_move = operation.verb is Verb.MOVE
        newer = before.position > entry.after if is_move else False
        if newer or not is_same_version(before.remote.version, None if is_move else operation.base_version):
            row = replace(row, remote=before.remote)
        self._leave(operation)
        ctx.move_operations([self.record_result(entry, made)], OperationState.DONE, outcome.position)
        self._path_store.change([row])
        ctx.in_flight.mark_changed([row.path])

    def _must_recall(self, entry: StoredOperation) -> bool:
        """Return True if the server is still to be asked for its proof, before anything else is concluded."""
        return self._ctx.setup.resumable_uploads and entry.operation.id not in self._recalled

    def _plan_recalls(self) -> None:
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if not ctx.setup.resumable_uploads or not ctx.may_call(Call.RECALL):
            return
        for entry in ctx.unanswered_operations(beside=in_flight.pushing):
            operation = entry.operation
            if len(in_flight.recalling) >= _RECALLS_AT_ONCE:
                return
            if entry.state is not OperationState.UNSETTLED or not self._drained(entry):
                continue
            if self._must_recall(entry) and operation.id not in in_flight.recalling:
                in_flight.recalling.add(operation.id)
                ctx.emit(Recall(operation, entry.resume))

    def _drained(self, entry: StoredOperation) -> bool:
        return self._ctx.in_flight.drained >= self._ctx.in_flight.settle_goal.get(entry.operation.id, 0)

    def resendable(self, entry: StoredOperation) -> bool:
        """Return True if sending the operation again shows its outcome exactly.

        The server must answer with the first outcome, and the bytes of the operation must still be in the folder.
        """
        ctx = self._ctx
        if entry.state is not OperationState.UNSETTLED or not ctx.setup.item_results or not self._drained(entry):
            return False
        if entry.operation.id in ctx.in_flight.batch or self._must_recall(entry):
            return False
        if self._judge_delete(entry) is UnansweredVerdict.ASK:
            return False
        return entry.reason is PushReason.RESOLVE or self._still_there(entry.operation)

    def sendable(self, entry: StoredOperation) -> bool:
        """Return True if an operation without an answer may be sent now."""
        may_send = self._judge_delete(entry) is UnansweredVerdict.SEND
        return may_send and (entry.state is OperationState.STORED or self.resendable(entry))

    def _judge_delete(self, entry: StoredOperation) -> UnansweredVerdict:
        """Judge an operation without an answer. Only a delete that is no decision of a person is not simply sent."""
        ctx, operation = self._ctx, entry.operation
        if operation.verb is not Verb.DELETE or entry.reason is PushReason.RESOLVE:
            return UnansweredVerdict.SEND
        held = ctx.is_withheld(operation.path, operation.base)
        in_doubt = entry.state is OperationState.UNSETTLED
        return judge_unanswered(in_doubt=in_doubt, held=held, pending=ctx.in_flight.delete_check_pending)

    def without_returned(self, entries: list[StoredOperation]) -> list[StoredOperation]:
        """Give up deletes that have not reached the server and whose file is back: that is an edit of the same file."""
        deletes = [
            each for each in entries if each.operation.verb is Verb.DELETE and each.reason is not PushReason.RESOLVE
        ]
        unsent = [each for each in deletes if each.state is OperationState.STORED]
        rows = self._path_store.rows([each.operation.path for each in unsent])
        returned = [each for each in unsent if rows[each.operation.path].local.is_file]
        self.abandon(returned)
        return [each for each in entries if each not in returned] if returned else entries

    def _still_there(self, operation: Operation) -> bool:
        local = self._path_store.row(operation.path).local
        return local.hash == operation.hash and local.presence in (Presence.ABSENT, Presence.FILE)

    def plan(self) -> None:
        """Give up deletes that are held by now, and ask for the heads of paths that can be judged in no other way."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if in_flight.held_deletes is not None or ctx.undone:
            unanswered = ctx.unanswered_operations(beside=in_flight.pushing)
            self.abandon([entry for entry in unanswered if self._judge_delete(entry) is UnansweredVerdict.GIVE_UP])
        self._plan_recalls()
        if not ctx.may_call(Call.HEAD):
            return
        paths: dict[str, None] = {}
        for entry in ctx.unanswered_operations(beside=in_flight.pushing):
            if len(in_flight.asking) + len(paths) >= _HEADS_AT_ONCE:
                break
            path = entry.operation.path
            if entry.state is not OperationState.UNSETTLED or not self._drained(entry) or self._must_recall(entry):
                continue
            # A path that waits for a retry takes no place from the others.
            if not self.resendable(entry) and ctx.may_fetch_head(path):
                paths[path] = None
        ctx.fetch_heads_and_conflicts(self._path_store.rows(list(paths)).values())
