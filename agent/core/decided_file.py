"""The effect of a decision on a conflict on the file in the folder, before it is carried out. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from agent.core.model import Resolution


class DecidedFile(enum.StrEnum):
    """The change of the file in the folder. The values are public."""

    KEPT = "kept"
    """The file stays as it is, and the server gets its text."""
    ABSENT = "absent"
    """There is no file, and the server's is deleted."""
    REPLACED = "replaced"
    """The server's text replaces the file's, which goes to the trash."""
    MERGED = "merged"
    """The merged text replaces the file's, which goes to the trash."""
    CREATED = "created"
    """There is no file, and one is made."""
    REMOVED = "removed"
    """The file goes to the trash, as it was deleted on the server."""


DECIDED_WORDS: Final[Mapping[str, str]] = {
    DecidedFile.KEPT: "the file here stays, and its text goes to the server",
    DecidedFile.ABSENT: "there is no file here, and the server's is deleted",
    DecidedFile.REPLACED: "the server's text replaces the file here, whose text goes to the trash",
    DecidedFile.MERGED: "the merged text replaces the file here, whose text goes to the trash",
    DecidedFile.CREATED: "the file comes back here",
    DecidedFile.REMOVED: "the file is removed here, and its text goes to the trash",
}
"""The changes in words."""


def decided_file(choice: Resolution, local: str | None, remote: str | None, merged: str | None = None) -> DecidedFile:
    """Return what a decision does to the file in the folder.

    Args:
        choice: the decision.
        local: sha256 of the file in the folder; None if there is none.
        remote: sha256 of the server's file; None if there is none.
        merged: sha256 of the merged text; only with ``MANUAL_MERGE``.
    """
    wanted = {Resolution.KEEP_LOCAL: local, Resolution.KEEP_RAVEN: remote, Resolution.MANUAL_MERGE: merged}[choice]
    if wanted == local:
        return DecidedFile.ABSENT if local is None else DecidedFile.KEPT
    if local is None:
        return DecidedFile.CREATED
    if wanted is None:
        return DecidedFile.REMOVED
    return DecidedFile.MERGED if choice is Resolution.MANUAL_MERGE else DecidedFile.REPLACED
