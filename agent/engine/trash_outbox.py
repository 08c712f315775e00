"""Texts that may stand nowhere but in the index: each is put into the trash, and owed until it stands there."""

from __future__ import annotations

from agent.engine.context import EngineContext
from agent.engine.effects import WriteToTrash
from agent.engine.messages import TrashWriteFinished
from agent.index.activity import ActivityKind
from agent.index.trash_outbox import PendingTrashWrite

_AGAIN = 30.0
"""Seconds after which a refused text is offered again."""


class TrashOutbox:
    """Keeps its promises over restarts and full disks."""

    def __init__(self, ctx: EngineContext) -> None:
        self._ctx = ctx
        self._owed = {owed.id: owed for owed in ctx.index.trash_outbox.all(ctx.source)}
        self._again_at: dict[str, float] = {}

    def enqueue(self, path: str, digest: str | None, reason: str) -> None:
        """Put this text into the trash, if its bytes are at hand."""
        ctx = self._ctx
        if digest is not None and ctx.index.texts.get(digest) is not None:
            owed = PendingTrashWrite(ctx.new_intent_id(), path, digest, reason)
            ctx.index.trash_outbox.add(ctx.source, owed)
            self._owed[owed.id] = owed

    def on_stashed(self, message: TrashWriteFinished) -> None:
        """The disk took a text, or refused it."""
        ctx = self._ctx
        ctx.in_flight.writing_to_trash.discard(message.stash_id)
        if message.trouble is None:
            ctx.index.trash_outbox.mark_written(message.stash_id)
            self._owed.pop(message.stash_id, None)
            self._again_at.pop(message.stash_id, None)
            return
        if message.stash_id not in self._again_at:
            path = self._owed[message.stash_id].path
            ctx.record_activity(path, ActivityKind.TRASH_REFUSED, message.trouble)
        self._again_at[message.stash_id] = ctx.now + _AGAIN

    def plan(self) -> None:
        """Offer what is due."""
        ctx = self._ctx
        for owed in self._owed.values():
            if owed.id in ctx.in_flight.writing_to_trash:
                continue
            due = self._again_at.get(owed.id, ctx.now)
            if due > ctx.now:
                ctx.wake(due)
                continue
            text = ctx.index.texts.get(owed.hash)
            if text is not None:
                ctx.in_flight.writing_to_trash.add(owed.id)
                ctx.emit(WriteToTrash(owed.id, owed.path, text, owed.reason))
