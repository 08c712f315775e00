"""Sentences for errors of the operating system: what happened, what waits, what to do."""

from __future__ import annotations

import errno
from typing import Final

_SENTENCES: Final = {
    errno.ENOSPC: "the disk is full; changes wait, and go on by themselves once there is free space",
    errno.EDQUOT: "your disk quota is used up; changes wait, and go on by themselves once there is free space",
    errno.EROFS: "the disk is mounted read-only; mount it writable, and changes go on by themselves",
    errno.EXDEV: (
        "the folder is on another file system than the linked folder, so a new version cannot be put there;"
        " link that folder on its own, or exclude it"
    ),
    errno.EACCES: "the user that runs the agent has no permission; give it access to the folder",
    errno.EPERM: "the operation is not permitted; check the owner and the attributes of the file",
    errno.EIO: "the disk reported a read or write error; check the disk",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n), or stop other programs",
    errno.ENFILE: "the system has too many open files; stop other programs",
    errno.ENAMETOOLONG: "the name is too long for this disk; rename the file on the other side",
    errno.EILSEQ: "this disk does not take the characters of the name; rename the file on the other side",
}

DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The errors of a disk without free space."""


def explain(error: OSError, where: str | None = None) -> str:
    """Return one clause that says what the error means and what to do, without an exception's name or number.

    Args:
        where: the file or folder concerned; by default the one that the error names.
    """
    place = where or (str(error.filename) if error.filename else None)
    meaning = _SENTENCES.get(error.errno or 0)
    if meaning is None:
        meaning = (error.strerror or str(error) or "unknown error").lower()
    return f"{place}: {meaning}" if place else meaning
