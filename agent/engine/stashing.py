"""Texts that may stand nowhere but in the index: each is put into the trash, and owed until it stands there."""

from __future__ import annotations

from agent.engine.desk import Desk
from agent.engine.effects import Stash
from agent.engine.messages import Stashed
from agent.index.stashes import Owed

_AGAIN = 30.0
"""Seconds after which a refused text is offered again."""


class Stashing:
    """Keeps its promises over restarts and full disks."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._owed = {owed.id: owed for owed in desk.index.stashes.of(desk.source)}
        self._again_at: dict[str, float] = {}

    def owe(self, path: str, digest: str | None, reason: str) -> None:
        """Put this text into the trash, if its bytes are at hand."""
        desk = self._desk
        if digest is not None and desk.index.conflicts.text(digest) is not None:
            owed = Owed(desk.new_intent_id(), path, digest, reason)
            desk.index.stashes.add(desk.source, owed)
            self._owed[owed.id] = owed

    def on_stashed(self, message: Stashed) -> None:
        """The disk took a text, or refused it."""
        desk = self._desk
        desk.out.stashing.discard(message.stash_id)
        if message.trouble is None:
            desk.index.stashes.paid(message.stash_id)
            self._owed.pop(message.stash_id, None)
            self._again_at.pop(message.stash_id, None)
            return
        if message.stash_id not in self._again_at:
            path = self._owed[message.stash_id].path
            desk.note(path, "trash_refused", message.trouble)
        self._again_at[message.stash_id] = desk.now + _AGAIN

    def plan(self) -> None:
        """Offer what is due."""
        desk = self._desk
        for owed in self._owed.values():
            if owed.id in desk.out.stashing:
                continue
            due = self._again_at.get(owed.id, desk.now)
            if due > desk.now:
                desk.wake(due)
                continue
            text = desk.index.conflicts.text(owed.hash)
            if text is not None:
                desk.out.stashing.add(owed.id)
                desk.emit(Stash(owed.id, owed.path, text, owed.reason))
