"""Public words: the states of a source, and the reasons of skipped files.

They have a module of their own, because a command that only prints a daemon's answer imports nothing else.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final


class Reason(enum.StrEnum):
    """The reason why a selected file is skipped."""

    BINARY = "binary"
    NOT_UTF8 = "not_utf8"
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"
    BAD_NAME = "bad_name"
    SPECIAL = "special_file"
    PLACEHOLDER = "placeholder"
    NAME_TWIN = "name_twin"
    BLOCKED = "blocked"
    """There is a file in place of a needed folder, or a folder that is not empty in place of a file."""
    REFUSED = "refused"
    """The server rejects this file."""
    GARBLED = "garbled"
    """An event of the server about this file cannot be understood."""
    NOT_LISTED = "not_listed"
    """The server lists it no longer, and has reported no delete."""
    UNSAFE_PATH = "unsafe_path"
    LINK = "link"
    CHANGING = "changing"
    SHRUNK = "shrunk"
    """Shorter than before at the same modification time, as after a crash."""
    UNMOUNTED = "unmounted"
    """Its file system is not mounted now."""
    DISK = "disk"
    """The disk refused the access (full, read-only, a failing trash)."""
    TEXT_LOST = "text_lost"
    """Its delete was undone, and its text is nowhere any more."""

    @property
    def is_policy(self) -> bool:
        """True if the file is left out by policy, so that it does not count as a failure."""
        return self in _POLICY


_POLICY: Final = frozenset({Reason.BINARY, Reason.NOT_UTF8, Reason.SPECIAL, Reason.LINK})


class SourceState(enum.StrEnum):
    """The one word that describes a source: the first member that holds, in this order."""

    SIGNED_OUT = "signed_out"
    HALTED = "halted"
    ERROR = "error"
    OFFLINE = "offline"
    PAUSED = "paused"
    CONFLICT = "conflict"
    SYNCING = "syncing"
    UP_TO_DATE = "up_to_date"


def first_state(holds: Mapping[SourceState, bool]) -> SourceState:
    """Return the state that describes a source, of those that hold; up to date if none does."""
    return next((state for state in SourceState if holds.get(state)), SourceState.UP_TO_DATE)
