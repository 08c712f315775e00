"""Recovery after a crash: derive the result of each journalled intent from its staging, its path and the trash."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence, Set
from typing import Final

from msgspec import Struct

from agent.core.model import ApplyOutcome, Intent
from agent.core.paths import parent_of
from agent.disk.apply.downloads import LiveDownloads
from agent.disk.apply.moves import recover_move
from agent.disk.apply.staging import StagingArea, StagingMark, group_of, matches
from agent.disk.apply.swap import Swapper
from agent.disk.apply.target import Target, file_missing, hash_at
from agent.disk.apply.trash import Trash
from agent.disk.root import MountMissing, PathBlocked, Root, UnsafePath

_NOT_DONE: Final = "interrupted before it was made"
_UNEXPECTED: Final = "another file than the expected one was there"

Finding = tuple[Intent, ApplyOutcome, str | None]


class _RecoveryContext(Struct, frozen=True):
    """The data that the deciding functions need.

    Attributes:
        trashed: (intent id, hash) of every trash entry.
        now: seconds since the epoch.
        downloads: those that are kept.
    """

    root: Root
    staging: StagingArea
    swapper: Swapper
    trashed: frozenset[tuple[str, str]]
    now: float
    downloads: LiveDownloads


def recover_all(
    root: Root, staging: StagingArea, trash: Trash, intents: Sequence[Intent], now: float, downloads: LiveDownloads
) -> list[Finding]:
    """Finish or undo every intent, and empty the staging folder except for downloads and the marks of committed groups.

    A second call gives the same results, so a crash during recovery is like a crash before it.

    Raises:
        OSError: the disk refused; call it again later.
        ReadInterrupted: the process is stopping; the next one calls it again.
    """
    trash.repair_watches()
    held = staging.contents()
    trashed = frozenset((entry.id, entry.hash) for entry in trash.entries())
    context = _RecoveryContext(root, staging, Swapper(root.fs, staging), trashed, now, downloads)
    committed = {group for group, marks in held.items() if StagingMark.COMMITTED in marks}
    findings: list[Finding] = []
    for intent in intents:
        marks = held.pop(intent.id, set())
        if group_of(intent.id) in committed:
            marks.add(StagingMark.COMMITTED)
        outcome, text = _recover(context, intent, marks)
        if outcome is not ApplyOutcome.DONE and StagingMark.COMMITTED in marks and intent.origin is None:
            # ID.part is removed next. Without this mark, a second recovery would read its absence as "installed".
            staging.cancel(intent.id)
        staging.drop_new(intent.id, StagingMark.PART, downloads.of(intent))
        findings.append((intent, outcome, text))
    for group in {group_of(intent.id) for intent in intents}:
        held.pop(group, None)
    for orphan, marks in held.items():
        _clear_orphan(context, orphan, marks)
    _make_folders_durable(root, trash, intents)
    return findings


def discard(staging: StagingArea, intent: Intent, now: float, download: str | None = None) -> None:
    """Clear the staging of an intent that is not carried out. ``ID.new`` is removed only if it is the agent's file.

    Args:
        download: the download that the new file was, which it becomes again.
    """
    if intent.new is not None and intent.origin is None:
        # First cancel: in a committed group, a missing ID.part means "installed".
        staging.cancel(intent.id)
    staging.drop_new(intent.id, StagingMark.PART, download)
    with contextlib.suppress(FileNotFoundError):
        found = staging.hash_of(intent.id, StagingMark.NEW)
        if matches(found, intent.new):
            # These bytes are known elsewhere: they came with the intent.
            staging.drop_new(intent.id, StagingMark.NEW, download)
        else:
            # An exchange brought these bytes out, so they may be the only copy of a user's file.
            staging.to_trash(intent, StagingMark.NEW, found, now)


def _recover(context: _RecoveryContext, intent: Intent, marks: Set[StagingMark]) -> tuple[ApplyOutcome, str | None]:
    if intent.origin is not None:
        return recover_move(context.root, context.staging, context.swapper, intent, marks, context.now)
    try:
        with context.root.parent(intent.path) as (folder, name):
            return _decide(context, intent, marks, Target(folder, name))
    except (FileNotFoundError, PathBlocked, UnsafePath):
        # The folder is gone or replaced: nothing can be put back to the path, and no file of ours is at it.
        return _decide(context, intent, marks, None)
    except MountMissing as unmounted:
        if marks & {StagingMark.NEW, StagingMark.OLD}:
            # The disk is away, but a user's file may be in the staging. It must be decided now: it goes to the trash.
            return _decide(context, intent, marks, None)
        # Nothing came out of the folder, and the path is unknown. A missing disk must not block the other intents.
        return ApplyOutcome.CHANGED, unmounted.message


def _decide(
    context: _RecoveryContext, intent: Intent, marks: Set[StagingMark], target: Target | None
) -> tuple[ApplyOutcome, str | None]:
    if StagingMark.OLD in marks:
        # The file was renamed away from its path, and is not in the trash yet.
        return _taken(context, intent, marks, target)
    if StagingMark.NEW in marks:
        # A complete new file waited for its swap; the exchange may or may not have taken place.
        return _swapped_or_not(context, intent, target)
    # Nothing that came out of the folder is in the staging: only the path, the marks and the trash can decide.
    if intent.new is None:
        # A removal is true when no file is at the path, no matter who removed it.
        happened = target is None or file_missing(context.root.fs, target)
    else:
        # A creation is true if its group was committed and its ID.part is gone, even if the user changed the file
        # since; or if the path holds the new bytes.
        installed = StagingMark.COMMITTED in marks and not marks & {StagingMark.PART, StagingMark.CANCELLED}
        happened = installed or (
            target is not None and hash_at(context.root.fs, target, context.staging.interrupted) == intent.new
        )
    if happened or (intent.expected is not None and (intent.id, intent.expected) in context.trashed):
        # The expected file reached the trash under this intent, which happens only after the swap.
        return ApplyOutcome.DONE, None
    return ApplyOutcome.CHANGED, _NOT_DONE


def _taken(
    context: _RecoveryContext, intent: Intent, marks: Set[StagingMark], target: Target | None
) -> tuple[ApplyOutcome, str | None]:
    """Decide with ``ID.old`` present: a removal, or a swap without exchange, was interrupted."""
    taken = context.staging.hash_of(intent.id, StagingMark.OLD)
    if not matches(taken, intent.expected):
        if target is None:
            # The user's unexpected file has no folder to go back to.
            context.staging.to_trash(intent, StagingMark.OLD, taken, context.now)
        else:
            # The user's unexpected file goes back to its path, or to the trash if a newer one is there.
            context.swapper.return_old(intent, target, context.now)
        discard(context.staging, intent, context.now, context.downloads.of(intent))
        return ApplyOutcome.CHANGED, _UNEXPECTED
    outcome = ApplyOutcome.DONE
    if StagingMark.NEW in marks:
        # The expected file was taken away, and the new one is not at the path yet: finish the swap.
        outcome = ApplyOutcome.CHANGED if target is None else context.swapper.place(intent, target)
    # The expected file was taken away, so its bytes are the base: they belong in the trash.
    context.staging.to_trash(intent, StagingMark.OLD, taken, context.now)
    discard(context.staging, intent, context.now, context.downloads.of(intent))
    return outcome, None if outcome is ApplyOutcome.DONE else _UNEXPECTED


def _swapped_or_not(
    context: _RecoveryContext, intent: Intent, target: Target | None
) -> tuple[ApplyOutcome, str | None]:
    """Decide with ``ID.new`` present: it is the agent's file before an exchange, and the user's file after one."""
    held = context.staging.hash_of(intent.id, StagingMark.NEW)
    at_path = hash_at(context.root.fs, target, context.staging.interrupted) if target is not None else None
    if matches(held, intent.new):
        # Our file is still in the staging: no exchange took place, or it was already undone.
        discard(context.staging, intent, context.now, context.downloads.of(intent))
        return (ApplyOutcome.DONE, None) if at_path == intent.new else (ApplyOutcome.CHANGED, _NOT_DONE)
    if matches(held, intent.expected):
        # The exchange took place and brought out the expected file; only its move to the trash is missing.
        context.staging.to_trash(intent, StagingMark.NEW, held, context.now)
        return ApplyOutcome.DONE, None
    if target is not None and at_path == intent.new:
        # The exchange brought out an unexpected file, and ours is at the path: undo the exchange.
        context.swapper.put_back(intent, target, context.now)
    else:
        # The exchange brought out an unexpected file, and the path changed again since: that newer file stays.
        context.staging.to_trash(intent, StagingMark.NEW, held, context.now)
    discard(context.staging, intent, context.now, context.downloads.of(intent))
    return ApplyOutcome.CHANGED, _UNEXPECTED


def _clear_orphan(context: _RecoveryContext, orphan: str, marks: Set[StagingMark]) -> None:
    for mark in marks:
        if mark in {StagingMark.NEW, StagingMark.OLD}:
            # No journalled intent names it, and an exchange may have brought it out: it may be a user's file.
            context.staging.trash_orphan(orphan, mark, context.now)
        elif mark is StagingMark.DOWN:
            if context.downloads.ids is not None and orphan not in context.downloads.ids:
                # The transfer was given up, or its row was never committed. The bytes are the server's.
                context.staging.drop(orphan, mark)
        else:
            # An unfinished or never installed file of the agent, or an empty mark.
            context.staging.drop(orphan, mark)


def _make_folders_durable(root: Root, trash: Trash, intents: Sequence[Intent]) -> None:
    touched = {parent_of(intent.path) for intent in intents}
    touched.update(parent_of(intent.origin) for intent in intents if intent.origin is not None)
    for path in sorted(touched):
        with contextlib.suppress(FileNotFoundError, PathBlocked, UnsafePath, MountMissing), root.folder(path) as folder:
            root.fs.fsync_dir(folder)
    root.fs.fsync_dir(trash.folder)
    root.fs.fsync_dir(trash.staging)
