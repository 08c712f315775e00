"""The conflicts the server shows, in the feed and in its list: whose they are, and when they end.

``core/claim.py`` decides whose a conflict is. The list is read in full; a conflict the feed skipped is found there.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from agent.core import paths
from agent.core.claim import Claim, ConflictEvidence, OwnPush, claim
from agent.core.conflict import SWAPPED, Conflict, ConflictOrigin, ConflictState
from agent.core.conflict_verdict import Ended
from agent.core.events import ConflictClosed, ConflictOpened
from agent.core.reconcile import disagreement
from agent.core.remote_records import RemoteConflict
from agent.engine.conflicts import ConflictTracker
from agent.engine.context import EngineContext
from agent.engine.effects import FetchConflicts
from agent.engine.messages import Call, ConflictsArrived
from agent.engine.path_store import PathStore
from agent.index.operations import OperationState, StoredOperation
from agent.index.trees import PathRow

_IN_DOUBT = (OperationState.STORED, OperationState.UNSETTLED)


class ServerConflicts:
    """Takes in conflicts that the server opened or closed, and other machines' conflicts as lines of a list."""

    def __init__(self, ctx: EngineContext, path_store: PathStore, conflict_tracker: ConflictTracker) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._conflicts = conflict_tracker
        self._parts: dict[str, RemoteConflict] = {}
        """The parts of the list that came so far, without texts."""
        self._listed: list[RemoteConflict] = []
        """Listed conflicts that were not compared with ours yet."""
        self._gone: set[str] = set()
        """Ids of known conflicts that the list did not hold."""
        self._compare_after = 0
        """Number of the poll after which they may be compared."""
        self._bases_checked = False

    # The feed

    def on_opened(self, row: PathRow, event: ConflictOpened) -> None:
        """Take in a conflict that the feed shows."""
        self._conflicts.changed.add(row.path)
        found = ConflictEvidence(
            event.conflict_id, event.local_hash, event.remote_hash, event.by_server_edit,
            local_rev=event.local_rev, remote_rev=event.remote_rev,
        )  # fmt: skip
        if event.conflict_id not in self._ctx.foreign:
            self._take_in(row, found)

    def on_closed(self, row: PathRow, event: ConflictClosed) -> PathRow | None:
        """Take in that a conflict was resolved; return the changed row if the folder follows the resolution."""
        ctx = self._ctx
        self._conflicts.changed.add(row.path)
        ended = Ended(decided=True, held=event.version)
        if event.conflict_id in ctx.foreign:
            self._conflicts.follow(ctx.foreign[event.conflict_id], row, ended)
            return None
        for conflict in ctx.conflicts_at(row.path):
            if event.conflict_id in conflict.server_ids:
                return self._without(conflict, {event.conflict_id}, row, ended)
        return None

    def on_deleted(self, path: str) -> None:
        """Take in that a file was deleted. Some servers close its conflicts with it and send no event for that."""
        if not self._ctx.setup.keeps_history and self._conflicts.is_open_at(path):
            self._ctx.in_flight.request_conflicts()

    def _without(self, conflict: Conflict, ids: set[str], row: PathRow, ended: Ended) -> PathRow | None:
        left = tuple(i for i in conflict.server_ids if i not in ids)
        conflict = replace(conflict, server_ids=left)
        self._conflicts.save(conflict)
        if left:
            # The server still holds another conflict about it.
            return None
        return self._conflicts.follow(conflict, row, ended)

    # Whose a conflict is

    def _take_in(self, row: PathRow, found: ConflictEvidence) -> None:
        """Act on whose conflict this is. One that is listed as another machine's may turn out to be ours."""
        ctx = self._ctx
        if any(found.id in conflict.server_ids for conflict in ctx.conflicts_at(row.path)):
            return
        own = own_pushes(ctx.operations_of(row.path))
        same_text = any(push.hash == found.local_hash for push in own)
        resolved = ctx.index.conflicts.resolved(ctx.source, row.path) if same_text else []
        parked = ctx.parked.get(row.path)
        match claim(found, own, parked, resolved, row.remote.hash):
            case Claim.SERVER_EDIT:
                self._conflicts.open_beside_head(
                    row, ConflictOrigin.SERVER_EDIT, found.remote_version, (found.id,), found.base_version
                )
                # The feed says neither the base nor the text; a list that met it as another's kept no text.
                ctx.in_flight.request_conflicts()
            case Claim.IN_DOUBT:
                # The outcome of our push decides. The feed's word is not enough to know it; the list may be.
                self._want_base(found)
            case Claim.OURS if parked is not None:
                self._conflicts.join(parked, found.id, found.local_version)
            case Claim.STALE_OWN | Claim.RESOLVED if parked is None:
                self._conflicts.unlist(found.id)
                self._conflicts.close_quietly(row, found.id)
            case Claim.OVER if self._ctx.setup.blind_resolve:
                # Closing leaves the head there.
                self._conflicts.unlist(found.id)
                self._conflicts.close_quietly(row, found.id)
            case Claim.UNSURE:
                self._want_base(found)
                self._open_foreign(row, found)
            case _:
                self._open_foreign(row, found)

    def _want_base(self, found: ConflictEvidence) -> None:
        if not found.base_known:
            self._ctx.in_flight.request_conflicts()

    def _open_foreign(self, row: PathRow, found: ConflictEvidence) -> None:
        """Note another machine's conflict; it parks nothing."""
        ctx = self._ctx
        if found.id in ctx.foreign:
            return
        kind = disagreement(found.base_hash is not None, found.local_hash is not None, found.remote_hash is not None)
        listed = Conflict(
            0, 1, row.path, kind, ConflictOrigin.FOREIGN, found.base_hash, found.local_hash, found.remote_hash,
            row.remote.hash, (found.id,), ctx.now, ConflictState.OPEN, False,
            base_rev=found.base_rev, local_rev=found.local_rev, remote_rev=found.remote_rev,
        )  # fmt: skip
        ctx.keep_conflict(ctx.index.conflicts.open(ctx.source, listed))

    # The list

    def on_list(self, message: ConflictsArrived) -> None:
        """Take in the server's list of open conflicts: the texts and bases of ours, and which of them are gone."""
        ctx = self._ctx
        arrived = {found.id: found for found in message.conflicts}
        for conflict in ctx.all_conflicts():
            for found in (arrived[i] for i in conflict.server_ids if i in arrived):
                self._complete(conflict, found)
        # Texts of other machines' conflicts are not kept: all of them together may be large.
        light = (replace(found, local_text=None, remote_text=None) for found in message.conflicts)
        self._parts |= {found.id: found for found in light}
        if message.last:
            listed, self._parts = self._parts, {}
            self._on_whole_list(listed)

    def _on_whole_list(self, listed: dict[str, RemoteConflict]) -> None:
        ctx = self._ctx
        ctx.in_flight.listing_conflicts = False
        ctx.retry_state.answered(Call.CONFLICTS)
        self._gone = set(ctx.in_flight.conflicts_asked - listed.keys())
        self._listed = [conflict for conflict in listed.values() if paths.check(conflict.path) is None]
        if self._listed or self._gone:
            self._compare_after = ctx.request_drain()

    def _drop_gone(self) -> None:
        """Take in conflicts that are not listed any more and that the feed has not closed: a delete wiped them."""
        ctx = self._ctx
        gone, self._gone = self._gone, set()
        for server_id in [i for i in ctx.foreign if i in gone]:
            self._conflicts.close(ctx.foreign[server_id], "gone from the server")
        for conflict in [c for c in ctx.all_conflicts() if gone.intersection(c.server_ids)]:
            if conflict.state is ConflictState.OPEN:
                row = self._path_store.row(conflict.path)
                self._without(conflict, gone, row, Ended(decided=False))

    def _complete(self, conflict: Conflict, found: RemoteConflict) -> None:
        """Keep what only the list says: the texts, and the base of a refused server edit."""
        self._keep_texts(found)
        if conflict.origin in SWAPPED and conflict.base_version != found.base_version:
            self._conflicts.save(replace(conflict, base_hash=found.base_hash, base_rev=found.base_rev))

    def _keep_texts(self, found: RemoteConflict) -> None:
        for digest, text in ((found.local_hash, found.local_text), (found.remote_hash, found.remote_text)):
            if digest is not None and text is not None:
                self._ctx.index.texts.put(digest, text)

    def on_list_failed(self) -> None:
        """Ask for the list again: it could not be had."""
        self._ctx.in_flight.listing_conflicts = False
        self._ctx.in_flight.request_conflicts()

    def compare_listed(self) -> None:
        """Take in what the list says beyond the feed, once the feed was read to the moment of the list.

        Against an older head, another machine's refused push would look like a refused edit of the server. And a
        conflict that is missing from the list may have been resolved, which the feed says with the result.
        """
        if not (self._listed or self._gone) or self._ctx.in_flight.drained < self._compare_after:
            return
        self._drop_gone()
        changed = self._conflicts.changed
        listed, self._listed = [found for found in self._listed if found.path not in changed], []
        rows = self._path_store.rows([found.path for found in listed])
        for found in listed:
            row = rows[found.path]
            refused_edit = found.id not in self._ctx.foreign and looks_like_server_edit(found, row.remote.hash)
            self._take_in(
                row,
                ConflictEvidence(
                    found.id,
                    found.local_hash,
                    found.remote_hash,
                    refused_edit,
                    found.base_hash,
                    base_known=True,
                    base_rev=found.base_rev,
                    local_rev=found.local_rev,
                    remote_rev=found.remote_rev,
                ),
            )

    def plan(self) -> None:
        """Ask for the list if a text, a base or an ended conflict is wanted from it."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if not self._bases_checked:
            # A base that was still missing when the last process ended is asked for once by each process.
            self._bases_checked = True
            in_flight.conflicts_wanted |= any(
                conflict.origin in SWAPPED and conflict.base_hash is None for conflict in ctx.all_conflicts()
            )
        if in_flight.conflicts_wanted and not in_flight.listing_conflicts and ctx.may_call(Call.CONFLICTS):
            ours = {i for conflict in ctx.all_conflicts() for i in conflict.server_ids}
            in_flight.conflicts_asked = ours | ctx.foreign.keys()
            in_flight.conflicts_wanted = False
            self._conflicts.changed.clear()
            self._listed, self._gone, self._parts = [], set(), {}
            in_flight.listing_conflicts = True
            ctx.emit(FetchConflicts(frozenset(self._without_text())))

    def _without_text(self) -> Iterator[str]:
        """Yield the ids of our conflicts whose other text is not in the index."""
        ctx = self._ctx
        for conflict in ctx.all_conflicts():
            if conflict.remote_hash is not None and not ctx.index.texts.has(conflict.remote_hash):
                yield from conflict.server_ids


def looks_like_server_edit(found: RemoteConflict, head: str | None) -> bool:
    """Return True if a listed conflict is a refused server edit, as far as the list shows it; the feed says it exactly.

    A refused server edit names the head as its local side, and was made on another version than that. A refused push
    names an older head as its remote side, and only a push can be a delete or lack a base.
    """
    if head is None or found.local_hash != head or found.remote_hash in (None, head):
        return False
    return found.base_hash not in (None, found.local_hash)


def own_pushes(entries: list[StoredOperation]) -> list[OwnPush]:
    """Return operations as ``core/claim.py`` takes them."""
    return [
        OwnPush(
            entry.operation.hash,
            entry.operation.base,
            in_doubt=entry.state in _IN_DOUBT,
            abandoned=entry.state is OperationState.ABANDONED,
            base_rev=entry.operation.base_rev,
        )
        for entry in entries
    ]
