"""Judgement of operations in doubt: those whose answer was lost or does not say what happened."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from agent.core.remote_records import Operation, RemoteConflict, Verb
from agent.core.version import Version, is_base, is_same_version


class InDoubtVerdict(enum.StrEnum):
    """Outcome of an operation, as far as the evidence shows it."""

    APPLIED = "applied"
    """It is the head."""
    SUPERSEDED = "superseded"
    """It was applied, and another version replaced it since."""
    CONFLICT = "conflict"
    """The server refused it and keeps its text in a conflict."""
    NOT_APPLIED = "not_applied"
    """Nothing shows it. If the head moved as well, the three trees disagree and the path is parked."""


def judge_in_doubt(
    operation: Operation, head: Version | None, versions: Sequence[Version], conflicts: Sequence[RemoteConflict]
) -> tuple[InDoubtVerdict, RemoteConflict | None]:
    """Judge an operation by what the server shows, once its feed was read to the end without the operation's id.

    Args:
        operation: the operation.
        head: the version that the server holds at the path now; None is "no file".
        versions: the file's history, newest first.
        conflicts: open conflicts that no other operation has claimed.

    Returns:
        The verdict, and the open conflict that refuses the operation: always for CONFLICT, perhaps for APPLIED.
    """
    base = operation.base_version
    if operation.verb is Verb.MOVE:
        return _judge_move(operation, head), None
    # The base must be ours too, because another machine may have been refused the same text on another base.
    refusal = next((each for each in conflicts if _refuses(each, operation)), None)
    if (head.hash if head else None) == operation.hash:
        # The server holds the bytes. It makes no difference which writer put them there. A conflict about them has
        # nothing left to decide, and no other evidence will name it again.
        return InDoubtVerdict.APPLIED, refusal
    if refusal is not None:
        # An open conflict wins over the history: a refused text may be in the history from an earlier time.
        return InDoubtVerdict.CONFLICT, refusal
    if operation.verb is Verb.UPSERT and not is_same_version(head, base) and find_applied(operation, head, versions):
        # The bytes came after our base and another version replaced them.
        return InDoubtVerdict.SUPERSEDED, None
    # No evidence: a needless conflict is better than an edit that is taken for applied.
    return InDoubtVerdict.NOT_APPLIED, None


def _refuses(conflict: RemoteConflict, operation: Operation) -> bool:
    same = conflict.path == operation.path and conflict.local_hash == operation.hash
    if operation.hash is None and conflict.local_rev is not None:
        # A text of unknown hash was refused, and no delete.
        return False
    return same and is_base(operation.base_version, conflict.base_hash, conflict.base_rev)


def _judge_move(operation: Operation, head: Version | None) -> InDoubtVerdict:
    """Judge a move: the file itself must be at the new path. Another file with its bytes is no evidence."""
    if head is None or head.remote_id is None or head.remote_id != operation.remote_id:
        return InDoubtVerdict.NOT_APPLIED
    return InDoubtVerdict.APPLIED if head.hash == operation.hash else InDoubtVerdict.SUPERSEDED


def find_applied(operation: Operation, head: Version | None, versions: Sequence[Version]) -> Version | None:
    """Return the newest version with the operation's bytes that came after its base; None if there is none.

    Args:
        operation: the operation.
        head: the version that the server holds at the path now; None is "no file".
        versions: the file's history, newest first.
    """
    if not is_history_of_ours(operation, None if head is None else head.remote_id):
        return None
    return next((each for each in _since(operation.base_version, versions) if each.hash == operation.hash), None)


def is_history_of_ours(operation: Operation, file: str | None) -> bool:
    """Return True if the history of a file is known to be that of the operation's own file.

    Where files have ids, a file that moved to the path brings the history of its old path. A new file of ours has no id
    until the server answers, so a history alone never proves it, even if its first version is ours and has our bytes.

    Args:
        operation: the operation. Its id of the file may be known by other evidence, as from an upload session.
        file: the id of the file with this history; None where the path is the only identity.
    """
    if file is None:
        return True
    if operation.remote_id is not None:
        return operation.remote_id == file
    # The revision of the base names the file as well as the content.
    return operation.base_rev is not None


def _since(base: Version | None, versions: Sequence[Version]) -> Sequence[Version]:
    """Return the versions that came after the base, found by its revision where that is known.

    If the history does not hold the base, an older visit of the same text cannot be excluded, so nothing counts.
    """
    if base is None:
        return versions
    found = next((number for number, each in enumerate(versions) if is_same_version(each, base)), None)
    return () if found is None else versions[:found]
