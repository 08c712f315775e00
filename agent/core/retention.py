"""The choice of trash entries that are removed: by age, and by the size of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

LARGE_SHARE: Final = 4
"""One part in so many of the limit. A larger entry counts as large: a few of them fill the trash."""
LARGE_AT_LEAST: Final = 8 << 20
"""Bytes. No smaller entry counts as large, however small the limit is."""


class Kept(Protocol):
    """An entry of the trash. ``moved_at``: seconds since the epoch; ``size``: bytes; ``hash``: sha256."""

    @property
    def hash(self) -> str:
        """The sha256 of its bytes."""
        ...

    @property
    def size(self) -> int:
        """Its bytes."""
        ...

    @property
    def moved_at(self) -> float:
        """The time of its move into the trash, in seconds since the epoch."""
        ...


_Entry = TypeVar("_Entry", bound=Kept)


def is_large(size: int, max_bytes: int) -> bool:
    """Return True if an entry of this size counts as large under this limit."""
    return size > max(max_bytes // LARGE_SHARE, LARGE_AT_LEAST)


def expired(
    entries: Sequence[_Entry], now: float, max_age_seconds: float, max_bytes: int, on_server: Callable[[str], bool]
) -> list[_Entry]:
    """Return the entries to remove: those past their age, then the oldest until at most ``max_bytes`` are kept.

    Small entries and large ones each have the limit for themselves, so that one large file does not empty the trash of
    everything else. Entries whose hash is ``on_server`` go first. Of the large ones that are not, the newest stays
    until its age is over, because it may be the only copy; if it alone is over the limit it is not counted.

    Args:
        on_server: asked only if a limit is exceeded.
    """
    gone = [entry for entry in entries if now - entry.moved_at > max_age_seconds]
    kept = [entry for entry in entries if now - entry.moved_at <= max_age_seconds]
    for large in (False, True):
        group = [entry for entry in kept if is_large(entry.size, max_bytes) is large]
        total = sum(entry.size for entry in group)
        if total <= max_bytes:
            continue
        ranked = [(not on_server(entry.hash), entry.moved_at, entry) for entry in group]
        ranked.sort(key=lambda rank: rank[:2])
        if large and ranked[-1][0]:
            _, _, newest = ranked.pop()
            total -= newest.size if newest.size > max_bytes else 0
        for _, _, entry in ranked:
            if total <= max_bytes:
                break
            gone.append(entry)
            total -= entry.size
    return gone
