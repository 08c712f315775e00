"""Settling: what became of an operation whose answer never came or did not say."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from agent.core.model import Operation, RemoteConflict, Verb


class InDoubtVerdict(enum.StrEnum):
    """What the evidence says of an operation."""

    APPLIED = "applied"
    """It is the head, or the feed told of it."""
    SUPERSEDED = "superseded"
    """It was applied and another version stands on top of it."""
    CONFLICT = "conflict"
    NOT_APPLIED = "not_applied"
    """Nothing speaks for it. Where the head moved as well, the three trees park the path by themselves."""


def judge_in_doubt(
    operation: Operation, head: str | None, versions: Sequence[str], conflicts: Sequence[RemoteConflict]
) -> tuple[InDoubtVerdict, RemoteConflict | None]:
    """Judge an operation by what the server shows once its feed has been read to the end without the operation's id.

    ``versions`` are the history's hashes, newest first. The order of the rules matters: an open conflict with our text
    wins over the history, because a refused text may be in the history from an earlier time.
    """
    for conflict in conflicts:
        # Another machine may have been refused the same text; what it pushed stood on a base of its own.
        same = conflict.path == operation.path and conflict.local_hash == operation.hash
        if same and conflict.base_hash == operation.base and head != operation.hash:
            return InDoubtVerdict.CONFLICT, conflict
    if head == operation.hash:
        return InDoubtVerdict.APPLIED, None
    if operation.verb is Verb.UPSERT and head != operation.base and operation.hash in _since(operation.base, versions):
        return InDoubtVerdict.SUPERSEDED, None
    return InDoubtVerdict.NOT_APPLIED, None


def _since(base: str | None, versions: Sequence[str]) -> Sequence[str]:
    """The versions that came after the base. Where the base is not among them nothing can be told apart from an
    older visit of the same text, so nothing counts: a needless conflict is better than an edit taken for applied.
    """
    if base is None:
        return versions
    return versions[: versions.index(base)] if base in versions else ()
