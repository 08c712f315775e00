"""Carrying a person's decision out: on the server first, step by step as it shows itself, then in the folder."""

from __future__ import annotations

import hashlib

from msgspec.structs import replace

from agent.core.conflict import Conflict, ConflictOrigin, ConflictState
from agent.core.errors import Problem, ProblemKind
from agent.core.model import (
    ApplyOutcome,
    ApplyResult,
    Intent,
    Operation,
    Presence,
    Purpose,
    RemoteConflict,
    RemoteHead,
    Resolution,
    Verb,
    side_of,
)
from agent.core.resolution import CloseOnServer, Done, HeadMoved, Push, next_step
from agent.engine.conflicts import ConflictTracker
from agent.engine.context import EngineContext
from agent.engine.downloads import Downloads, seen_at
from agent.engine.effects import CloseConflict
from agent.engine.messages import Call, ConflictCloseAnswered, Resolve
from agent.engine.path_store import PathStore
from agent.engine.trash_outbox import TrashOutbox
from agent.index.activity import ActivityKind
from agent.index.operations import OperationState, PushReason
from agent.index.problems import ProblemOrigin
from agent.index.trees import PathRow

_SWAPPED = frozenset({ConflictOrigin.SERVER_EDIT, ConflictOrigin.OVERTAKEN_EDIT})
"""On the server the two sides of these are the other way round: its ``local`` is the head."""
_ASK_AT_ONCE = 20
_AGAIN = 10.0
"""Seconds before a step that cannot be taken now is tried again."""


class Resolutions:
    """Works on every conflict whose decision is made."""

    def __init__(
        self,
        ctx: EngineContext,
        path_store: PathStore,
        conflict_tracker: ConflictTracker,
        downloads: Downloads,
        trash_outbox: TrashOutbox,
    ) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._conflicts = conflict_tracker
        self._downloads = downloads
        self._trash_outbox = trash_outbox

    def on_resolve(self, message: Resolve) -> None:
        """A person decided. A decision on an older generation is refused: it was made on other texts."""
        ctx = self._ctx
        conflict = next((c for c in ctx.parked.values() if c.id == message.conflict), None)
        if conflict is None or conflict.generation != message.generation:
            return
        wanted = self._wanted(conflict, message)
        if message.text is not None and wanted is not None:
            ctx.index.texts.put(wanted, message.text)
        self._drop_unsent(conflict.path)
        conflict = replace(
            conflict, state=ConflictState.RESOLVING, choice=message.choice, wanted_hash=wanted, note=None
        )
        self._conflicts.save(conflict)
        ctx.record_activity(conflict.path, ActivityKind.RESOLVING, message.choice.value)
        self._stash_loser(conflict)

    def _wanted(self, conflict: Conflict, message: Resolve) -> str | None:
        if message.choice is Resolution.KEEP_LOCAL:
            return conflict.local_hash
        if message.choice is Resolution.KEEP_RAVEN:
            return conflict.remote_hash
        return hashlib.sha256(message.text or b"").hexdigest()

    def _drop_unsent(self, path: str) -> None:
        """A stale push that was never sent would only open the conflict that is being resolved."""
        ctx = self._ctx
        for entry in list(ctx.open_operations.get(path, ())):
            if entry.state is OperationState.STORED and entry.operation.id not in ctx.in_flight.batch:
                ctx.index.operations.drop([entry.operation.id])
                ctx.replace_operation(replace(entry, state=OperationState.DONE))

    def _stash_loser(self, conflict: Conflict) -> None:
        """The local loser goes to the trash with the install; the other side's text is put there now."""
        if conflict.remote_hash != conflict.wanted_hash:
            self._trash_outbox.enqueue(conflict.path, conflict.remote_hash, "conflict")

    # The server's part

    def plan(self) -> None:
        """Ask the server where every resolution stands."""
        ctx = self._ctx
        if not ctx.may_change or not ctx.may_call(Call.HEAD):
            return
        paths = [
            conflict.path
            for conflict in ctx.parked.values()
            if conflict.state is ConflictState.RESOLVING
            and conflict.id not in ctx.in_flight.closing
            and not ctx.is_busy(conflict.path)
            and ctx.may_fetch_head(conflict.path)
        ]
        # Together, because the server lists all its conflicts or none.
        room = max(0, _ASK_AT_ONCE - len(ctx.in_flight.asking))
        ctx.fetch_heads_and_conflicts(self._path_store.rows(paths[:room]).values())

    def on_head(self, row: PathRow, head: RemoteHead | None, listed: tuple[RemoteConflict, ...]) -> None:
        """Take the next step of the resolution of this path."""
        ctx = self._ctx
        conflict = ctx.parked.get(row.path)
        if conflict is None or conflict.state is not ConflictState.RESOLVING or ctx.is_busy(row.path):
            return
        ours = self._ours(conflict, listed)
        late = head is not None and ctx.index.texts.get(head.hash) is None
        self._keep_texts(conflict, head, ours)
        if late and head is not None and head.hash != conflict.wanted_hash:
            # Not at hand when it was decided against, so not put by then.
            self._trash_outbox.enqueue(row.path, head.hash, "conflict")
        if conflict.origin is ConflictOrigin.STALE_OWN:
            # Whatever the head is by now, it stays; only the conflict goes.
            conflict = replace(conflict, wanted_hash=head.hash if head else None, head_hash=head.hash if head else None)
        step = next_step(
            conflict.wanted_hash, conflict.head_hash, head.hash if head else None, ours,
            keeps_history=ctx.setup.keeps_history,
            keeps_head=Resolution.KEEP_LOCAL if conflict.origin in _SWAPPED else Resolution.KEEP_RAVEN,
        )  # fmt: skip
        if isinstance(step, HeadMoved):
            self._give_up(conflict, row, "the server's version changed; please look again")
        elif isinstance(step, Done):
            self._finish(conflict, row)
        elif self._text(step) is None and self._needs_text(step):
            self._give_up(conflict, row, "the text to keep is nowhere at hand any more")
        elif isinstance(step, Push):
            self._put(row, step)
        elif ctx.may_call(Call.CLOSE):
            ctx.in_flight.closing.add(conflict.id)
            expected = (head.hash if head else None) if ctx.setup.expected_hash else None
            texts = () if ctx.setup.keeps_history else self._texts_of(step.conflict)
            text = self._text(step)
            ctx.emit(CloseConflict(conflict.id, step.conflict.id, step.choice, text, expected, row.path, texts))
        else:
            ctx.in_flight.defer(row.path, ctx.now + _AGAIN)

    def _give_up(self, conflict: Conflict, row: PathRow, note: str) -> None:
        """It cannot be carried out as decided. What nobody was shown is not shown now either."""
        if conflict.origin is ConflictOrigin.STALE_OWN:
            self._conflicts.close(conflict, note)
        else:
            self._conflicts.reopen(conflict, row, note)

    def _ours(self, conflict: Conflict, listed: tuple[RemoteConflict, ...]) -> list[RemoteConflict]:
        """Open conflicts of this path that are ours to close; the ones with the decided text first."""
        ctx = self._ctx
        sent = {e.operation.hash for e in ctx.operations_of(conflict.path)}
        ours = [
            c
            for c in listed
            if c.path == conflict.path
            and (
                c.id in conflict.server_ids
                or (c.id not in ctx.foreign and not ctx.setup.item_results and c.local_hash in sent)
            )
        ]
        wanted = conflict.wanted_hash
        return sorted(ours, key=lambda c: (wanted not in (c.local_hash, c.remote_hash), c.id))

    def _keep_texts(self, conflict: Conflict, head: RemoteHead | None, ours: list[RemoteConflict]) -> None:
        texts = self._ctx.index.texts
        if head is not None:
            texts.put(head.hash, head.content)
        for found in ours:
            for digest, text in ((found.local_hash, found.local_text), (found.remote_hash, found.remote_text)):
                if digest is not None and text is not None:
                    texts.put(digest, text)

    def _texts_of(self, found: RemoteConflict) -> tuple[bytes, ...]:
        texts = (self._ctx.index.texts.get(digest) for digest in (found.local_hash, found.remote_hash))
        return tuple(text for text in texts if text)

    def _needs_text(self, step: CloseOnServer | Push) -> bool:
        return step.hash is not None if isinstance(step, Push) else step.text_hash is not None

    def _text(self, step: CloseOnServer | Push) -> bytes | None:
        return self._ctx.index.texts.get(step.hash if isinstance(step, Push) else step.text_hash)

    def _put(self, row: PathRow, step: Push) -> None:
        verb = Verb.DELETE if step.hash is None else Verb.UPSERT
        size = len(self._text(step) or b"")
        operation = Operation(self._ctx.new_operation_id(), row.path, verb, step.hash, size, step.base)
        self._ctx.add_operations([(operation, row)], PushReason.RESOLVE)

    def on_close_answered(self, message: ConflictCloseAnswered) -> None:
        """The server took a step, or somebody was faster: what it shows now decides the next one."""
        ctx = self._ctx
        ctx.in_flight.closing.discard(message.conflict)
        ctx.retry_state.answered(Call.CLOSE)
        ctx.request_drain()

    def on_close_failed(self, key: int, problem: Problem) -> None:
        """The server did not take a step. What it refuses for good is shown to the person again."""
        ctx = self._ctx
        ctx.in_flight.closing.discard(key)
        conflict = next((c for c in ctx.parked.values() if c.id == key), None)
        if conflict is not None and problem.kind in (ProblemKind.BAD_REQUEST, ProblemKind.TOO_LARGE):
            self._give_up(conflict, self._path_store.row(conflict.path), problem.message)

    # The folder's part

    def _finish(self, conflict: Conflict, row: PathRow) -> None:
        """The server holds what was decided; now the folder."""
        wanted = conflict.wanted_hash
        if conflict.origin is ConflictOrigin.STALE_OWN:
            # The folder is not touched: what was saved since is an edit like any other.
            self._conflicts.close(conflict, "closed quietly")
            return
        if row.local.presence is Presence.UNKNOWN:
            self._ctx.in_flight.defer(row.path, self._ctx.now + _AGAIN)
            return
        if row.local.hash == wanted:
            self._done(conflict, row)
            return
        text = self._ctx.index.texts.get(wanted)
        if wanted is not None and text is None:
            self._conflicts.reopen(conflict, row, "the text to keep is nowhere at hand any more")
            return
        intent = Intent(self._ctx.new_intent_id(), row.path, wanted, conflict.local_hash, Purpose.RESOLVE)
        self._downloads.carry([(intent, text or b"")])

    def landed(self, row: PathRow, intent: Intent, landed: ApplyResult) -> PathRow:
        """What became of the folder's part."""
        conflict = self._ctx.parked.get(row.path)
        row = seen_at(row, landed.seen)
        if landed.landing is ApplyOutcome.DONE:
            self._ctx.clear_problem(row.path, ProblemOrigin.PULL)
            row = replace(row, base=side_of(intent.new))
            if conflict is not None:
                self._conflicts.close(conflict, f"resolved: {conflict.choice}")
        elif conflict is not None:
            # The base has not moved, so what the user wrote meanwhile still disagrees with the decided text.
            self._conflicts.reopen(conflict, row, landed.text or "the file changed while it was being resolved")
        return row

    def _done(self, conflict: Conflict, row: PathRow) -> None:
        self._path_store.change([replace(row, base=side_of(conflict.wanted_hash))])
        self._conflicts.close(conflict, f"resolved: {conflict.choice}")
