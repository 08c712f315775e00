"""Texts that may exist only in the index: each is written to the trash, and retried until it is there."""

from __future__ import annotations

from collections.abc import Iterator

from agent.engine.context import EngineContext
from agent.engine.effects import TextForTrash, WriteToTrash
from agent.engine.messages import TrashWriteFinished
from agent.index.activity import ActivityKind
from agent.index.trash_outbox import PendingTrashWrite

_AGAIN = 30.0
"""Seconds until a refused write is tried again."""
_TOGETHER = 100
_BYTES_TOGETHER = 4 << 20
"""Texts, and about the bytes, that are made durable together: their names and bytes cost one wait for the disk."""


class TrashOutbox:
    """Survives restarts and full disks."""

    def __init__(self, ctx: EngineContext) -> None:
        self._ctx = ctx
        self._pending = {pending.id: pending for pending in ctx.index.trash_outbox.all(ctx.source)}
        self._again_at: dict[str, float] = {}

    def enqueue(self, path: str, digest: str | None, reason: str) -> None:
        """Have a text written to the trash, if the index holds its bytes."""
        ctx = self._ctx
        if digest is not None and ctx.index.texts.get(digest) is not None:
            pending = PendingTrashWrite(ctx.new_intent_id(), path, digest, reason)
            ctx.index.trash_outbox.add(ctx.source, pending)
            self._pending[pending.id] = pending

    def on_write_finished(self, message: TrashWriteFinished) -> None:
        """The disk took a text or refused it."""
        ctx = self._ctx
        ctx.in_flight.writing_to_trash.discard(message.stash_id)
        if message.trouble is None:
            ctx.index.trash_outbox.mark_written(message.stash_id)
            self._pending.pop(message.stash_id, None)
            self._again_at.pop(message.stash_id, None)
            return
        if message.stash_id not in self._again_at:
            path = self._pending[message.stash_id].path
            ctx.record_activity(path, ActivityKind.TRASH_REFUSED, message.trouble)
        self._again_at[message.stash_id] = ctx.now + _AGAIN

    def plan(self) -> None:
        """Ask for the writes that are due."""
        texts: list[TextForTrash] = []
        size = 0
        for text in self._due():
            texts.append(text)
            size += len(text.content)
            if len(texts) == _TOGETHER or size >= _BYTES_TOGETHER:
                self._ctx.emit(WriteToTrash(tuple(texts)))
                texts, size = [], 0
        if texts:
            self._ctx.emit(WriteToTrash(tuple(texts)))

    def _due(self) -> Iterator[TextForTrash]:
        ctx = self._ctx
        for pending in self._pending.values():
            if pending.id in ctx.in_flight.writing_to_trash:
                continue
            due = self._again_at.get(pending.id, ctx.now)
            if due > ctx.now:
                ctx.wake(due)
                continue
            text = ctx.index.texts.get(pending.hash)
            if text is not None:
                ctx.in_flight.writing_to_trash.add(pending.id)
                yield TextForTrash(pending.id, pending.path, text, pending.reason)
