"""The conflicts of this machine: opened, followed while a side moves, and closed.

``core/conflict_verdict.py`` decides. This module gathers what is known of a path, asks ``judge``, and carries the
verdict out.
"""

from __future__ import annotations

from msgspec.structs import replace

from agent.core.conflict import HEAD_IS_LOCAL, Conflict, ConflictOrigin, ConflictState
from agent.core.conflict_verdict import Action, Ended, Knowledge, UserDecision, Verdict, judge
from agent.core.model import ConflictKind, Presence, Resolution, side_of
from agent.core.reconcile import Step, disagreement
from agent.core.remote_records import Operation, RemoteConflict, Verb
from agent.core.version import Version, is_same_version
from agent.engine.config import RunMode
from agent.engine.context import EngineContext
from agent.engine.incoming_moves import IncomingMoves
from agent.engine.path_store import PathStore
from agent.engine.trash_outbox import TrashOutbox
from agent.index.activity import ActivityKind
from agent.index.operations import OperationState, PushReason, StoredOperation
from agent.index.trees import PathRow

_ROUNDS = 4
"""Rounds of ``update_conflicts`` in one step. A closed conflict makes room for one that waits behind it."""


class ConflictTracker:
    """Carries out what is decided about conflicts. Nothing is sent or installed for a parked path."""

    def __init__(
        self, ctx: EngineContext, path_store: PathStore, trash_outbox: TrashOutbox, moves: IncomingMoves
    ) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._trash_outbox = trash_outbox
        self._moves = moves
        self.changed: set[str] = set()
        """Paths whose conflicts changed since the server's list was asked for: the list may be older."""
        self._busy: set[str] = set()
        """Paths whose trees disagree, and whose work under way comes first."""

    # Opening

    def open_between_trees(self, row: PathRow, server_ids: tuple[str, ...] = (), local_rev: str | None = None) -> None:
        """Park a path whose folder and server disagree.

        Args:
            row: the path's trees.
            server_ids: the server's conflicts about it.
            local_rev: the server's revision of the folder's text, if the server refused it.
        """
        conflict = self._record(row, ConflictOrigin.TREES, row.remote.version, server_ids, row.base.version)
        conflict = replace(conflict, local_rev=local_rev)
        self._show(conflict, row)
        self._join_equals(conflict)

    def open_beside_head(
        self,
        row: PathRow,
        origin: ConflictOrigin,
        other: Version | None,
        server_ids: tuple[str, ...] = (),
        base: Version | None = None,
    ) -> None:
        """Note a text beside the server's head; it is shown as soon as the folder has that head.

        Args:
            row: the path's trees.
            origin: LOST_UPDATE or SERVER_EDIT.
            other: the version with that text; None for a delete.
            server_ids: the server's conflicts that hold it.
            base: the version it was made on; None if that is not known.
        """
        conflict = self._record(row, origin, other, server_ids, base, mine=False)
        self._ctx.keep_conflict(conflict)
        self._ctx.moved.add(row.path)
        self._carry_out(conflict, self._judge(conflict, row), row)

    def _record(
        self,
        row: PathRow,
        origin: ConflictOrigin,
        other: Version | None,
        server_ids: tuple[str, ...],
        base: Version | None,
        *,
        mine: bool = True,
    ) -> Conflict:
        ctx = self._ctx
        self.changed.add(row.path)
        kind = ConflictKind.EDIT_EDIT
        if row.local.is_file or other is not None:
            kind = disagreement(base is not None, row.local.is_file, other is not None)
        base_hash, base_rev = (base.hash, base.rev) if base else (None, None)
        other_hash, other_rev = (other.hash, other.rev) if other else (None, None)
        conflict = Conflict(
            0, 1, row.path, kind, origin, base_hash, row.local.hash, other_hash, row.remote.hash, server_ids, ctx.now,
            ConflictState.OPEN, mine, base_rev=base_rev, remote_rev=other_rev,
        )  # fmt: skip
        return ctx.index.conflicts.open(ctx.source, conflict)

    def refused(self, row: PathRow, entry: StoredOperation, found: RemoteConflict) -> PathRow:
        """Record that the server refused one of our pushes and opened a conflict; return the row afterwards."""
        ctx, operation = self._ctx, entry.operation
        resolving = entry.reason is PushReason.RESOLVE
        known = row.remote.version
        if is_same_version(known, operation.base_version) or is_same_version(known, found.remote_version):
            # No newer version is known, so the conflict's snapshot is the best knowledge of the head.
            row = replace(row, remote=side_of(found.remote_version))
        if found.remote_hash is not None and found.remote_text is not None:
            ctx.index.texts.put(found.remote_hash, found.remote_text)
        else:
            ctx.in_flight.request_conflicts()
        self.unlist(found.id)
        parked = ctx.parked.get(row.path)
        if parked is not None and (resolving or parked.origin not in HEAD_IS_LOCAL):
            # A refused resolution opens no disagreement of its own: the head that is asked for next decides on it.
            self.join(parked, found.id, found.local_version)
        elif operation.hash == found.remote_hash == row.remote.hash:
            # The push was stale, and its text is the very text the server holds: nothing differs. What was saved since
            # is based on that text, unless it was a decided text that the folder never held.
            if not resolving or row.local.hash == operation.hash:
                row = replace(row, base=row.remote)
            self.close_quietly(row, found.id)
        else:
            if parked is not None:
                # The folder's text was refused, so it does not hold the head: that disagreement comes first.
                self._set_back(parked)
            self.open_between_trees(row, (found.id,), found.local_rev if found.local_hash == row.local.hash else None)
        return row

    def end_refusal(self, row: PathRow, entry: StoredOperation, found: RemoteConflict) -> None:
        """Close the server's conflict about an operation of ours whose text is the head: nothing differs.

        A server on which closing may change a head that was not compared again keeps it, as a line of the list.
        """
        ctx = self._ctx
        if not (ctx.setup.blind_resolve or ctx.setup.expected_hash):
            return
        self.unlist(found.id)
        parked = ctx.parked.get(row.path)
        if parked is not None and (entry.reason is PushReason.RESOLVE or parked.origin not in HEAD_IS_LOCAL):
            # Its own end closes it as well.
            self.join(parked, found.id, found.local_version)
            return
        if parked is not None:
            self._set_back(parked)
        self.close_quietly(row, found.id)

    def _set_back(self, parked: Conflict) -> None:
        """Have a text beside the head wait behind another conflict of its path."""
        self.save(replace(parked, mine=False, state=ConflictState.OPEN, choice=None, wanted_hash=None))

    def lost_update(self, row: PathRow, operation: Operation | None, other: Version) -> None:
        """Park a version that was replaced unseen, by a push of ours or (``operation`` None) by another writer's."""
        ctx = self._ctx
        ctx.record_activity(row.path, ActivityKind.OVERWRITTEN_UNSEEN, other.hash, operation.id if operation else None)
        if row.path in ctx.parked:
            self._trash_outbox.enqueue(row.path, other.hash, "overwritten")
            return
        # Both versions were made on our push's base.
        base = operation.base_version if operation else None
        self.open_beside_head(row, ConflictOrigin.LOST_UPDATE, other, base=base)

    def close_quietly(self, row: PathRow, server_id: str) -> None:
        """Close a conflict on the server without showing it; the server's head stays."""
        conflict = self._record(row, ConflictOrigin.STALE_OWN, row.remote.version, (server_id,), row.base.version)
        self.save(
            replace(
                conflict,
                state=ConflictState.RESOLVING,
                choice=Resolution.KEEP_RAVEN,
                wanted_hash=row.remote.hash,
            )
        )

    def join(self, conflict: Conflict, server_id: str, refused: Version | None) -> None:
        """Add a server conflict to the record of the same disagreement; it may be listed as another machine's.

        Args:
            conflict: the record.
            server_id: the server's id of the conflict.
            refused: the text that the server refused; None for a delete.
        """
        self.unlist(server_id)
        if server_id not in conflict.server_ids:
            joined = replace(conflict, server_ids=(*conflict.server_ids, server_id))
            if refused is not None and refused.hash == conflict.local_hash:
                joined = replace(joined, local_rev=refused.rev)
            self.save(joined)

    def _join_equals(self, conflict: Conflict) -> None:
        """Take listed conflicts that show the same disagreement: another machine pushed the same text as we did."""
        ctx = self._ctx
        for server_id, listed in list(ctx.foreign.items()):
            if (listed.path, listed.local_hash) != (conflict.path, conflict.local_hash):
                continue
            if listed.base_hash is None:
                # The feed did not say the base; the list does.
                ctx.in_flight.request_conflicts()
            elif is_same_version(listed.base_version, conflict.base_version):
                self.join(ctx.parked[conflict.path], server_id, listed.local_version)

    def unlist(self, server_id: str) -> None:
        """Take a conflict off the list of other machines' conflicts, if it is there."""
        listed = self._ctx.foreign.get(server_id)
        if listed is not None:
            self.close(listed, "ours")

    # Following

    def update_conflicts(self) -> None:
        """Judge the conflicts of each path that moved, and park each path whose trees disagree."""
        ctx = self._ctx
        if not ctx.in_flight.scan.complete or not ctx.first_drain_done or ctx.setup.run_mode is RunMode.DRY_RUN:
            # Trees that were read in part disagree for no reason. The paths stay in ``moved`` for later.
            return
        ctx.moved |= self._busy
        self._busy.clear()
        for _ in range(_ROUNDS):
            moved, ctx.moved = ctx.moved, set()
            if not moved:
                return
            for row in self._path_store.rows(sorted(moved)).values():
                self._update(row)

    def _update(self, row: PathRow) -> None:
        ctx = self._ctx
        parked = ctx.parked.get(row.path)
        if parked is not None:
            self._carry_out(parked, self._judge(parked, row), row)
        # An edited file that the server moved takes its edit to the new path.
        waits = ctx.is_busy(row.path) or self._moves.awaits(row.path)
        if row.path not in ctx.parked and row.step is Step.PARK:
            if waits:
                # The work under way may end without a change of the row.
                self._busy.add(row.path)
            else:
                self.open_between_trees(row)
        # A text beside the head comes after a disagreement about the head, and one at a time.
        for waiting in ctx.waiting.get(row.path, ()):
            self._carry_out(waiting, self._judge(waiting, row), row)

    def follow(self, conflict: Conflict, row: PathRow, ended: Ended) -> PathRow | None:
        """Judge a conflict whose server conflicts have ended; return the changed row if the folder follows them."""
        refused_here = ended.decided and self._was_refused(row)
        known = replace(self._knowledge(conflict, row), ended=ended, refused_here=refused_here)
        verdict = judge(conflict, known)
        self._carry_out(conflict, verdict, row)
        if verdict.action is not Action.CLOSE_AND_FOLLOW:
            return None
        # The refused text is the folder's. It counts as agreed, so the result is an ordinary pull.
        return replace(row, base=side_of(conflict.local_version), remote=side_of(verdict.follow))

    def _was_refused(self, row: PathRow) -> bool:
        """Return True if the folder's text reached the server: a push that never arrived was shown to no person."""
        entries = self._ctx.operations_of(row.path)
        return any(e.operation.hash == row.local.hash and e.state is OperationState.DONE for e in entries)

    def decide(self, conflict: Conflict, decision: UserDecision) -> bool:
        """Take a person's decision; False if it was made on texts that have moved."""
        row = self._path_store.row(conflict.path)
        verdict = judge(conflict, replace(self._knowledge(conflict, row), decision=decision))
        self._carry_out(conflict, verdict, row)
        return verdict.action is Action.CARRY_OUT

    def refuse(self, conflict: Conflict, row: PathRow, refusal: str) -> None:
        """Withdraw a decision that cannot be carried out, and show the conflict again.

        Args:
            conflict: the conflict.
            row: the path's trees.
            refusal: why; a sentence for people.
        """
        held = conflict.remote_hash is None or self._ctx.index.texts.has(conflict.remote_hash)
        known = replace(self._knowledge(conflict, row), refusal=refusal, other_text=held, busy=False)
        self._carry_out(conflict, judge(conflict, known), row)
        self._ctx.moved.add(conflict.path)

    def _knowledge(self, conflict: Conflict, row: PathRow) -> Knowledge:
        ctx = self._ctx
        parked = ctx.parked.get(row.path)
        occupied = parked is not None and parked.id != conflict.id
        return Knowledge(row.base, row.local, row.remote, ctx.setup.mode, busy=ctx.is_busy(row.path), occupied=occupied)

    def _judge(self, conflict: Conflict, row: PathRow) -> Verdict:
        return judge(conflict, self._knowledge(conflict, row))

    def _carry_out(self, conflict: Conflict, verdict: Verdict, row: PathRow) -> None:
        for digest in verdict.to_trash:
            self._trash_outbox.enqueue(conflict.path, digest, "conflict")
        if verdict.action in (Action.CLOSE, Action.CLOSE_AND_FOLLOW):
            self.close(conflict, verdict.reason)
        elif verdict.action is Action.SHOW:
            self._show(verdict.conflict, row)
        elif verdict.conflict != conflict:
            self.save(verdict.conflict)
            self._ctx.moved.add(conflict.path)

    def _show(self, conflict: Conflict, row: PathRow) -> None:
        ctx = self._ctx
        if conflict.path not in ctx.parked:
            ctx.tally.conflicts_opened += 1
            ctx.record_activity(conflict.path, ActivityKind.CONFLICT, conflict.kind.value)
        self.save(conflict)
        self._keep_text(conflict.path, conflict.remote_hash)
        if conflict.origin is ConflictOrigin.TREES:
            self._share(conflict, row)

    def _keep_text(self, path: str, digest: str | None) -> None:
        held = self._ctx.in_flight.contents.get(path)
        if held is not None and held[0] == digest:
            self._ctx.index.texts.put(*held)

    def _share(self, conflict: Conflict, row: PathRow) -> None:
        """Send one push that is known to be stale, so that the server holds both texts.

        An edit against a delete is not sent: that push would bring the file back.
        """
        ctx = self._ctx
        if conflict.server_ids or ctx.is_busy(row.path) or row.local.reason is not None:
            return
        if ctx.setup.is_large(row.local.size or 0):
            # Perhaps gigabytes, only to be refused. The folder keeps its text as long as the path is parked.
            return
        if conflict.kind is ConflictKind.EDIT_DELETE or row.local.presence not in (Presence.FILE, Presence.ABSENT):
            return
        for entry in ctx.operations_of(row.path):
            same = entry.reason is PushReason.PARK and entry.operation.hash == row.local.hash
            if same and entry.state is OperationState.DONE:
                return
        verb = Verb.UPSERT if row.local.is_file else Verb.DELETE
        operation = Operation(
            ctx.new_operation_ids(1)[0], row.path, verb, row.local.hash, row.local.size or 0,
            row.base.hash, row.base.rev, row.base.remote_id,
        )  # fmt: skip
        ctx.add_operations([(operation, row)], PushReason.PARK)

    # Closing and saving

    def close(self, conflict: Conflict, reason: str) -> None:
        """Close a conflict; one that waits behind it is judged next."""
        ctx = self._ctx
        ctx.index.conflicts.close(conflict, ctx.now)
        ctx.drop_conflict(conflict)
        ctx.moved.add(conflict.path)
        self.changed.add(conflict.path)
        if conflict.origin is not ConflictOrigin.FOREIGN:
            ctx.record_activity(conflict.path, ActivityKind.CONFLICT_CLOSED, reason)

    def save(self, conflict: Conflict) -> None:
        """Write a changed conflict."""
        self._ctx.index.conflicts.save(conflict)
        self._ctx.keep_conflict(conflict)

    def is_open_at(self, path: str) -> bool:
        """Return True if the server may hold a conflict about this path."""
        ctx = self._ctx
        parked = ctx.parked.get(path)
        return (
            (parked is not None and bool(parked.server_ids))
            or path in ctx.waiting
            or any(listed.path == path for listed in ctx.foreign.values())
        )
