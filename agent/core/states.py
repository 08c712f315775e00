"""The words that stand in documents: the state of a source, and why a file is skipped.

Apart from the other nouns, because a command that only prints what a daemon answered needs no more than these.
"""

from __future__ import annotations

import enum
from typing import Final


class Reason(enum.StrEnum):
    """Why a selected file is skipped."""

    BINARY = "binary"
    NOT_UTF8 = "not_utf8"
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"
    BAD_NAME = "bad_name"
    SPECIAL = "special_file"
    PLACEHOLDER = "placeholder"
    NAME_TWIN = "name_twin"
    BLOCKED = "blocked"
    """A file stands where a folder is needed, or a folder that still holds something where a file is needed."""
    REFUSED = "refused"
    """The server rejects this file, whatever is done."""
    GARBLED = "garbled"
    """What the server told of the file cannot be understood."""
    UNSAFE_PATH = "unsafe_path"
    LINK = "link"
    CHANGING = "changing"
    SHRUNK = "shrunk"
    """Shorter than before although its time did not change: what a crash leaves of a file."""
    UNMOUNTED = "unmounted"
    """It lies on a file system that is not mounted now."""
    DISK = "disk"
    """The disk refused the write (full, read-only)."""

    @property
    def is_policy(self) -> bool:
        """Whether the file is left out by policy, so that it does not count as a failure."""
        return self in _POLICY


_POLICY: Final = frozenset({Reason.BINARY, Reason.NOT_UTF8, Reason.SPECIAL, Reason.LINK})


class SourceState(enum.StrEnum):
    """The one word that describes a source; the first that holds, in this order."""

    SIGNED_OUT = "signed_out"
    HALTED = "halted"
    ERROR = "error"
    OFFLINE = "offline"
    PAUSED = "paused"
    CONFLICT = "conflict"
    SYNCING = "syncing"
    UP_TO_DATE = "up_to_date"
