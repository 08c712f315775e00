"""Removal of uploads that ended without being used."""

from __future__ import annotations

from typing import Final

from agent.hub.domain.drive_model import UPLOAD_IDLE_MS
from agent.hub.domain.drive_ports import Blobs
from agent.hub.domain.ports import Growth, Store

_AT_ONCE: Final = 100


def sweep_uploads(store: Store, blobs: Blobs, now: int) -> None:
    """Remove uploads that ended a day before `now`, with the bytes of those that were never complete."""
    with store.read() as session:
        stale = session.stale_uploads(now - 2 * UPLOAD_IDLE_MS, _AT_ONCE)
    if not stale:
        return
    with store.write(Growth.SMALL) as session:
        session.remove_uploads([upload for upload, _ in stale])
    blobs.discard([upload for upload, is_open in stale if is_open])
