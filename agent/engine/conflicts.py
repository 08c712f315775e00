"""Disagreements: opened wherever they are found, followed while either side moves, closed when both sides agree."""

from __future__ import annotations

from collections.abc import Set

from msgspec.structs import replace

from agent.core import paths
from agent.core.conflict import Conflict, ConflictOrigin, ConflictState
from agent.core.events import ConflictClosed, ConflictOpened
from agent.core.model import ConflictKind, Mode, Operation, Presence, RemoteConflict, Resolution, Verb
from agent.core.reconcile import Step, disagreement
from agent.engine.config import RunMode
from agent.engine.context import EngineContext
from agent.engine.effects import FetchConflicts
from agent.engine.messages import Call, ConflictsArrived
from agent.engine.path_store import PathStore, remote_side
from agent.engine.trash_outbox import TrashOutbox
from agent.index.activity import ActivityKind
from agent.index.operations import OperationState, PushReason
from agent.index.trees import PathRow

_BETWEEN_TREES = frozenset({ConflictOrigin.TREES, ConflictOrigin.OVERTAKEN_EDIT})
_HEAD_IS_LOCAL = frozenset({ConflictOrigin.LOST_UPDATE, ConflictOrigin.SERVER_EDIT})
"""Origins whose ``remote`` side is a text beside the server's head, which is our own."""


class ConflictTracker:
    """Opens, follows and closes conflicts. A parked path is sent nowhere and installed nowhere."""

    def __init__(self, ctx: EngineContext, path_store: PathStore, trash_outbox: TrashOutbox) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._trash_outbox = trash_outbox
        self._listed: list[RemoteConflict] = []
        """Open conflicts that were listed and not compared with ours yet."""
        self._met_after = 0
        self._stirred: set[str] = set()
        """Paths whose conflicts moved since the list was asked for: what it says of them may be old."""

    # Opening

    def open(
        self, row: PathRow, origin: ConflictOrigin, other: str | None, server_ids: tuple[str, ...] = ()
    ) -> Conflict:
        """Park a path.

        Args:
            other: the remote text of the disagreement; for TREES the server's head.
        """
        ctx = self._ctx
        self._stirred.add(row.path)
        kind = disagreement(row.base, row.local, remote_side(other))
        conflict = Conflict(
            0, 1, row.path, kind, origin, row.base.hash, row.local.hash, other, row.remote.hash, server_ids,
            ctx.now, ConflictState.OPEN, True,
        )  # fmt: skip
        conflict = ctx.index.conflicts.open(ctx.source, conflict)
        ctx.keep_conflict(conflict)
        ctx.moved.add(row.path)
        ctx.tally.conflicts_opened += 1
        ctx.record_activity(row.path, ActivityKind.CONFLICT, kind.value)
        self._keep_text(row.path, other)
        return conflict

    def _keep_text(self, path: str, digest: str | None) -> None:
        held = self._ctx.in_flight.contents.get(path)
        if held is not None and held[0] == digest:
            self._ctx.index.texts.put(*held)

    def conflicted(self, row: PathRow, operation: Operation, found: RemoteConflict) -> PathRow:
        """The server refused one of our operations and parked it."""
        ctx = self._ctx
        if row.remote.hash in (operation.base, found.remote_hash):
            # Nothing newer was told meanwhile, so the conflict's snapshot is the best knowledge of the head.
            row = replace(row, remote=remote_side(found.remote_hash, row.remote.rev))
        if found.remote_hash is not None and found.remote_text is not None:
            ctx.index.texts.put(found.remote_hash, found.remote_text)
        else:
            ctx.in_flight.request_conflicts()
        parked = ctx.parked.get(row.path)
        if parked is not None:
            self.save(replace(parked, server_ids=_joined(parked.server_ids, found.id)))
        elif operation.hash == found.remote_hash == row.remote.hash:
            # A stale push of the very text the server holds: a disagreement by the rules, none by the bytes. What was
            # saved since stands on that text.
            row = replace(row, base=row.remote)
            self._close_quietly(row, found.id, ConflictOrigin.STALE_OWN)
        else:
            self.open(row, ConflictOrigin.TREES, row.remote.hash, (found.id,))
        return row

    def lost_update(self, row: PathRow, operation: Operation | None, other: str) -> None:
        """Our own write replaced a foreign version nobody had seen; that version is parked against ours."""
        ctx = self._ctx
        if row.path in ctx.parked:
            ctx.record_activity(row.path, ActivityKind.OVERWRITTEN_UNSEEN, other)
            self._trash_outbox.enqueue(row.path, other, "overwritten")
            return
        ctx.record_activity(row.path, ActivityKind.OVERWRITTEN_UNSEEN, other, operation.id if operation else None)
        self.open(row, ConflictOrigin.LOST_UPDATE, other)

    def _close_quietly(self, row: PathRow, server_id: str, origin: ConflictOrigin) -> None:
        """A conflict nobody need see: the server's head stays, the conflict is closed there."""
        ctx = self._ctx
        conflict = self.open(row, origin, row.remote.hash, (server_id,))
        self.save(
            replace(
                conflict,
                state=ConflictState.RESOLVING,
                choice=Resolution.KEEP_RAVEN,
                wanted_hash=row.remote.hash,
                mine=True,
            )
        )
        ctx.tally.conflicts_opened -= 1

    # What the server tells

    def on_server_conflict(self, row: PathRow, event: ConflictOpened) -> None:
        """The feed says a conflict was opened: ours, another machine's, or an edit made on the server."""
        ctx = self._ctx
        self._stirred.add(row.path)
        if event.conflict_id in ctx.foreign or any(event.conflict_id in c.server_ids for c in ctx.parked.values()):
            return
        if event.by_server_edit:
            ctx.in_flight.request_conflicts()
            # Where nothing is selected it is only shown: parked, it would be let go at once, and met with every list.
            if row.path in ctx.parked or row.local.presence is Presence.OUT_OF_SCOPE:
                self._list(row, event, ConflictOrigin.SERVER_EDIT)
            else:
                self.open(row, ConflictOrigin.SERVER_EDIT, event.remote_hash, (event.conflict_id,))
            return
        entries = [e for e in ctx.operations_of(row.path) if e.operation.hash == event.local_hash]
        for entry in reversed(entries):
            if entry.state in (OperationState.STORED, OperationState.UNSETTLED):
                # Its answer is on the way or lost; this event is the answer as well, and the settling will find it.
                ctx.in_flight.request_conflicts()
                return
            if entry.state is OperationState.ABANDONED and row.path not in ctx.parked:
                self._close_quietly(row, event.conflict_id, ConflictOrigin.STALE_OWN)
                return
        self._list(row, event, ConflictOrigin.FOREIGN)

    def _list(self, row: PathRow, event: ConflictOpened, origin: ConflictOrigin) -> None:
        """Note a conflict that parks nothing: another machine's, or a server edit behind a conflict of our own."""
        ctx = self._ctx
        kind = disagreement(row.base, remote_side(event.local_hash), remote_side(event.remote_hash))
        listed = Conflict(
            0, 1, row.path, kind, origin, None, event.local_hash, event.remote_hash,
            row.remote.hash, (event.conflict_id,), ctx.now, ConflictState.OPEN, False,
        )  # fmt: skip
        ctx.keep_conflict(ctx.index.conflicts.open(ctx.source, listed))

    def on_server_closed(self, row: PathRow, event: ConflictClosed) -> PathRow | None:
        """Somebody resolved a conflict; the row it leaves, where ours was decided elsewhere."""
        ctx = self._ctx
        self._stirred.add(row.path)
        foreign = ctx.foreign.pop(event.conflict_id, None)
        if foreign is not None:
            ctx.index.conflicts.close(foreign, ctx.now)
            return None
        conflict = ctx.parked.get(row.path)
        if conflict is None or event.conflict_id not in conflict.server_ids:
            return None
        left = tuple(i for i in conflict.server_ids if i != event.conflict_id)
        conflict = replace(conflict, server_ids=left)
        self.save(conflict)
        if conflict.state is ConflictState.RESOLVING or left:
            return None
        if conflict.origin in _HEAD_IS_LOCAL:
            self.close(conflict, "resolved on the server")
            return None
        # What the folder holds now must be what was shown there: a push the server refused with this conflict. One that
        # never arrived showed nobody anything.
        shown = {entry.operation.hash for entry in ctx.operations_of(row.path) if entry.state is OperationState.DONE}
        decided = row.local.hash == conflict.local_hash and row.local.hash in shown
        decided = decided and row.local.presence is not Presence.UNKNOWN
        if not decided or ctx.setup.mode is not Mode.BIDIRECTIONAL:
            return None
        # Whoever closed it had both texts before them; ours has not moved since, so the decision covers it and the
        # folder follows. The local text goes to the trash with the install.
        self.close(conflict, "resolved on the server")
        return replace(row, base=remote_side(row.local.hash), remote=remote_side(event.hash))

    def on_conflicts(self, message: ConflictsArrived) -> None:
        """The whole list of open conflicts: texts to keep, and other machines' conflicts that are gone."""
        ctx = self._ctx
        ctx.in_flight.listing_conflicts = False
        ctx.retry_state.answered(Call.CONFLICTS)
        listed = {conflict.id: conflict for conflict in message.conflicts}
        for conflict in ctx.parked.values():
            for server_id in conflict.server_ids:
                found = listed.get(server_id)
                if found is not None:
                    self._keep_texts(found)
        gone = ctx.in_flight.conflicts_asked - listed.keys()
        for server_id in [i for i in ctx.foreign if i in gone]:
            ctx.index.conflicts.close(ctx.foreign.pop(server_id), ctx.now)
        for conflict in [
            c for c in ctx.parked.values() if c.state is ConflictState.OPEN and gone.intersection(c.server_ids)
        ]:
            self._forgotten(conflict, gone)
        self._listed = [conflict for conflict in listed.values() if paths.check(conflict.path) is None]
        if self._listed:
            self._met_after = ctx.request_drain()

    def _meet_listed(self) -> None:
        """Conflicts the feed may have skipped: each is taken as the feed would have told it, once that has been read to
        the moment of the list. By an older head a push somebody else made is not told from an edit on the server.
        """
        if not self._listed or self._ctx.in_flight.drained < self._met_after:
            return
        listed, self._listed = [found for found in self._listed if found.path not in self._stirred], []
        rows = self._path_store.rows([found.path for found in listed])
        for found in listed:
            row = rows[found.path]
            if self._is_unanswered(found):
                # The list in hand is all there is to know before the settling; asking again would not end.
                continue
            # A refused edit made on the server stands against the head, a refused push against an older one. Only a
            # push can be a delete, also of what is not known here yet.
            head = row.remote.hash
            refused_edit = head is not None and found.local_hash == head and found.remote_hash not in (None, head)
            self.on_server_conflict(
                row,
                ConflictOpened(
                    found.path, found.id, row.position, found.local_hash, found.remote_hash, by_server_edit=refused_edit
                ),
            )

    def _is_unanswered(self, found: RemoteConflict) -> bool:
        """Whether this may be the answer to a push of ours whose outcome is not known."""
        entries = self._ctx.open_operations.get(found.path, ())
        unanswered = [entry for entry in entries if entry.state in (OperationState.STORED, OperationState.UNSETTLED)]
        return any(entry.operation.hash == found.local_hash for entry in unanswered)

    def _forgotten(self, conflict: Conflict, gone: Set[str]) -> None:
        """The server has no such conflict any more: a delete wiped it without a word."""
        left = tuple(i for i in conflict.server_ids if i not in gone)
        if left or conflict.origin is not ConflictOrigin.SERVER_EDIT:
            self.save(replace(conflict, server_ids=left))
            return
        self._trash_outbox.enqueue(conflict.path, conflict.remote_hash, "conflict")
        self.close(conflict, "gone from the server")

    def _keep_texts(self, found: RemoteConflict) -> None:
        for digest, text in ((found.local_hash, found.local_text), (found.remote_hash, found.remote_text)):
            if digest is not None and text is not None:
                self._ctx.index.texts.put(digest, text)

    # Following

    def update_conflicts(self) -> None:
        """Look at every path that moved in this step: open, follow or close its conflict."""
        ctx = self._ctx
        self._meet_listed()
        moved, ctx.moved = ctx.moved, set()
        if not ctx.in_flight.scan.complete or not ctx.first_drain_done or ctx.setup.run_mode is RunMode.DRY_RUN:
            # Half-read trees disagree for no reason; every row that asks to be parked is looked at again later.
            ctx.moved = moved
            return
        rows = self._path_store.rows(sorted(moved))
        for path, row in rows.items():
            conflict = ctx.parked.get(path)
            if conflict is not None:
                self._follow(conflict, row)
            elif row.step is Step.PARK and not ctx.is_busy(path):
                self.open(row, ConflictOrigin.TREES, row.remote.hash)
                self._share(ctx.parked[path], row)

    def _follow(self, conflict: Conflict, row: PathRow) -> None:
        ctx = self._ctx
        if ctx.is_busy(row.path) or Presence.UNKNOWN in (row.local.presence, row.remote.presence):
            return
        if conflict.origin is ConflictOrigin.STALE_OWN:
            return
        if conflict.state is ConflictState.RESOLVING and self._is_progress(conflict, row):
            return
        conflict = self._head_followed(conflict, row)
        other = conflict.remote_hash if conflict.origin in _HEAD_IS_LOCAL else row.remote.hash
        if row.local.presence is Presence.OUT_OF_SCOPE:
            self.close(conflict, "left the selection")
        elif row.local.hash == row.remote.hash == other:
            self._agree(conflict, row)
        elif conflict.origin in _BETWEEN_TREES and row.step is not Step.PARK and not conflict.server_ids:
            self.close(conflict, "one side went back to what both had")
        elif self._is_our_own_past(conflict, row):
            self.save(
                replace(conflict, state=ConflictState.RESOLVING, choice=Resolution.KEEP_LOCAL,
                        wanted_hash=row.local.hash, remote_hash=row.remote.hash, head_hash=row.remote.hash)
            )  # fmt: skip
        elif (row.local.hash, other, row.remote.hash) != (
            conflict.local_hash,
            conflict.remote_hash,
            conflict.head_hash,
        ):
            self._advance(conflict, row, other)

    def _head_followed(self, conflict: Conflict, row: PathRow) -> Conflict:
        """A text beside our own head was disputed, and the head moved on: what is decided now replaces that head, so
        that is what must be shown. The disputed text is kept in the trash.
        """
        if conflict.origin not in _HEAD_IS_LOCAL or row.remote.hash in (conflict.head_hash, row.local.hash):
            return conflict
        self._trash_outbox.enqueue(row.path, conflict.remote_hash, "conflict")
        overtaken = (
            ConflictOrigin.OVERTAKEN_EDIT if conflict.origin is ConflictOrigin.SERVER_EDIT else ConflictOrigin.TREES
        )
        return replace(conflict, origin=overtaken)

    def _is_our_own_past(self, conflict: Conflict, row: PathRow) -> bool:
        """Whether what was refused was refused against what both sides agree on by now: an older text of ours that
        arrived late, say. The edit stands on the head, so there is nothing for a person to decide.
        """
        unmoved = conflict.generation == 1 and row.local.hash == conflict.local_hash
        refused = (
            conflict.origin is ConflictOrigin.TREES
            and bool(conflict.server_ids)
            and conflict.state is ConflictState.OPEN
        )
        return refused and unmoved and row.step is Step.PUSH

    def _is_progress(self, conflict: Conflict, row: PathRow) -> bool:
        """Whether what moved is our own carrying out of the decision."""
        wanted = conflict.wanted_hash
        return row.local.hash in (conflict.local_hash, wanted) and row.remote.hash in (conflict.head_hash, wanted)

    def _agree(self, conflict: Conflict, row: PathRow) -> None:
        if not conflict.server_ids:
            self.close(conflict, "both sides became equal")
            return
        self.save(
            replace(conflict, state=ConflictState.RESOLVING, choice=Resolution.KEEP_RAVEN, wanted_hash=row.remote.hash,
                    local_hash=row.local.hash, remote_hash=row.remote.hash, head_hash=row.remote.hash)
        )  # fmt: skip

    def _advance(self, conflict: Conflict, row: PathRow, other: str | None) -> None:
        note = "the file or the server's version changed; please look again" if conflict.choice else None
        kind = disagreement(remote_side(conflict.base_hash), row.local, remote_side(other))
        moved = replace(
            conflict, generation=conflict.generation + 1, kind=kind, local_hash=row.local.hash, remote_hash=other,
            head_hash=row.remote.hash, state=ConflictState.OPEN, choice=None, wanted_hash=None, note=note,
        )  # fmt: skip
        self.save(moved)
        self._keep_text(row.path, other)
        if conflict.origin is ConflictOrigin.TREES:
            self._share(moved, row)

    def _share(self, conflict: Conflict, row: PathRow) -> None:
        """One push that is known to be stale, so that both texts stand on the server too.

        Edit against delete stays local: there the push would bring the file back.
        """
        ctx = self._ctx
        if conflict.server_ids or ctx.is_busy(row.path) or row.local.reason is not None:
            return
        if conflict.kind is ConflictKind.EDIT_DELETE:
            return
        entries = ctx.operations_of(row.path)
        if any(
            e.reason is PushReason.PARK and e.operation.hash == row.local.hash and e.state is OperationState.DONE
            for e in entries
        ):
            return
        verb = Verb.UPSERT if row.local.is_file else Verb.DELETE
        operation = Operation(
            ctx.new_operation_id(), row.path, verb, row.local.hash, row.local.size or 0, row.base.hash
        )
        ctx.add_operations([(operation, row)], PushReason.PARK)

    # Closing

    def close(self, conflict: Conflict, note: str) -> None:
        """The disagreement is over."""
        ctx = self._ctx
        ctx.index.conflicts.close(replace(conflict, state=ConflictState.CLOSED), ctx.now)
        ctx.parked.pop(conflict.path, None)
        ctx.moved.add(conflict.path)
        self._stirred.add(conflict.path)
        ctx.record_activity(conflict.path, ActivityKind.CONFLICT_CLOSED, note)
        waiting = [
            c for c in ctx.foreign.values() if c.path == conflict.path and c.origin is ConflictOrigin.SERVER_EDIT
        ]
        for following in waiting[:1]:
            del ctx.foreign[following.server_ids[0]]
            self.save(replace(following, mine=True))

    def reopen(self, conflict: Conflict, row: PathRow, note: str) -> None:
        """A resolution could not be carried out as decided: show the conflict anew.

        One whose other text is nowhere to be had, because somebody closed it on the server meanwhile, is over.
        """
        gone = conflict.origin in _HEAD_IS_LOCAL and not conflict.server_ids and conflict.remote_hash is not None
        if gone and self._ctx.index.texts.get(conflict.remote_hash) is None:
            self.close(conflict, "resolved on the server")
            return
        other = conflict.remote_hash if conflict.origin in _HEAD_IS_LOCAL else row.remote.hash
        self.save(
            replace(
                conflict, generation=conflict.generation + 1, local_hash=row.local.hash, remote_hash=other,
                head_hash=row.remote.hash, state=ConflictState.OPEN, choice=None, wanted_hash=None, note=note,
            )
        )  # fmt: skip
        self._ctx.moved.add(conflict.path)

    def save(self, conflict: Conflict) -> None:
        """Write a changed conflict."""
        self._ctx.index.conflicts.save(conflict)
        self._ctx.keep_conflict(conflict)

    def on_list_failed(self) -> None:
        """The list of conflicts could not be had: ask for it again."""
        self._ctx.in_flight.listing_conflicts = False
        self._ctx.in_flight.request_conflicts()

    def plan(self) -> None:
        """Ask for the list of conflicts where their texts are wanted."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if in_flight.conflicts_wanted and not in_flight.listing_conflicts and ctx.may_call(Call.CONFLICTS):
            known = {i for conflict in ctx.parked.values() for i in conflict.server_ids}
            in_flight.conflicts_asked = known | ctx.foreign.keys()
            in_flight.conflicts_wanted = False
            self._stirred.clear()
            self._listed = []
            in_flight.listing_conflicts = True
            ctx.emit(FetchConflicts())


def _joined(ids: tuple[str, ...], new: str) -> tuple[str, ...]:
    return ids if new in ids else (*ids, new)
