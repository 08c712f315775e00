"""After a crash: what became of each journalled intent, told from its staging, its path and the trash."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence, Set
from typing import Final

from msgspec import Struct

from agent.core.model import ApplyOutcome, Intent
from agent.core.paths import parent_of
from agent.disk.apply.staging import StagingArea, StagingMark, group_of
from agent.disk.apply.swap import Swapper, Target, file_missing, hash_at
from agent.disk.apply.trash import Trash
from agent.disk.root import MountMissing, PathBlocked, Root, UnsafePath

_NOT_DONE: Final = "interrupted before it was made"
_UNEXPECTED: Final = "something else than expected stood there"

Finding = tuple[Intent, ApplyOutcome, str | None]


class _RecoveryContext(Struct, frozen=True):
    """What the deciding functions work with.

    Attributes:
        trashed: (intent id, hash) of everything in the trash.
        now: seconds since the epoch.
    """

    root: Root
    staging: StagingArea
    swapper: Swapper
    trashed: frozenset[tuple[str, str]]
    now: float


def recover_all(root: Root, trash: Trash, intents: Sequence[Intent], now: float) -> list[Finding]:
    """Finishes or undoes every intent and empties the staging but for the marks of what was made.

    Asking twice gives the same answers, so a crash in here is like a crash before. Raises OSError.
    """
    staging = StagingArea(root.fs, trash)
    held = staging.found()
    trashed = frozenset((entry.id, entry.hash) for entry in trash.entries())
    scene = _RecoveryContext(root, staging, Swapper(root.fs, staging), trashed, now)
    marked = {group for group, stages in held.items() if StagingMark.COMMITTED in stages}
    findings: list[Finding] = []
    for intent in intents:
        stages = held.pop(intent.id, set())
        if group_of(intent.id) in marked:
            stages.add(StagingMark.COMMITTED)
        landing, text = _recover(scene, intent, stages)
        if landing is not ApplyOutcome.DONE and StagingMark.COMMITTED in stages:
            # Before the file goes whose absence would say otherwise when this is asked again.
            staging.cancel(intent.id)
        staging.drop(intent.id, StagingMark.PART)
        findings.append((intent, landing, text))
    for group in {group_of(intent.id) for intent in intents}:
        held.pop(group, None)
    for orphan, stages in held.items():
        _clear_orphan(scene, orphan, stages)
    _settle(root, trash, intents)
    return findings


def discard(staging: StagingArea, intent: Intent, now: float) -> None:
    """Clears the staging of an intent that is not carried out. What stands in ``ID.new`` is removed only if it is ours.

    It is withdrawn first: a marked one without ``ID.part`` was put in place.
    """
    if intent.new is not None:
        staging.cancel(intent.id)
    staging.drop(intent.id, StagingMark.PART)
    with contextlib.suppress(FileNotFoundError):
        found = staging.hash_of(intent.id, StagingMark.NEW)
        if found is not None and found == intent.new:
            staging.drop(intent.id, StagingMark.NEW)
        else:
            staging.to_trash(intent, StagingMark.NEW, found, now)


def _recover(scene: _RecoveryContext, intent: Intent, stages: Set[StagingMark]) -> tuple[ApplyOutcome, str | None]:
    try:
        with scene.root.parent(intent.path) as (folder, name):
            return _decide(scene, intent, stages, Target(folder, name))
    except (FileNotFoundError, PathBlocked, UnsafePath):
        return _decide(scene, intent, stages, None)
    except MountMissing as unmounted:
        # A disk that is away decides nothing for the others; what came out of it, if anything did, is in the staging.
        if stages & {StagingMark.NEW, StagingMark.OLD}:
            return _decide(scene, intent, stages, None)
        return ApplyOutcome.CHANGED, unmounted.message


def _decide(
    scene: _RecoveryContext, intent: Intent, stages: Set[StagingMark], spot: Target | None
) -> tuple[ApplyOutcome, str | None]:
    if StagingMark.OLD in stages:
        return _taken(scene, intent, stages, spot)
    if StagingMark.NEW in stages:
        return _swapped_or_not(scene, intent, spot)
    if intent.new is None:
        happened = spot is None or file_missing(scene.root.fs, spot)
    else:
        made = StagingMark.COMMITTED in stages and not stages & {StagingMark.PART, StagingMark.CANCELLED}
        happened = made or (spot is not None and hash_at(scene.root.fs, spot) == intent.new)
    if happened or (intent.expected is not None and (intent.id, intent.expected) in scene.trashed):
        return ApplyOutcome.DONE, None
    return ApplyOutcome.CHANGED, _NOT_DONE


def _taken(
    scene: _RecoveryContext, intent: Intent, stages: Set[StagingMark], spot: Target | None
) -> tuple[ApplyOutcome, str | None]:
    """``ID.old`` is there: a removal, or a swap without exchange, was under way."""
    taken = scene.staging.hash_of(intent.id, StagingMark.OLD)
    if taken is None or taken != intent.expected:
        if spot is None:
            scene.staging.to_trash(intent, StagingMark.OLD, taken, scene.now)
        else:
            scene.swapper.return_old(intent, spot, scene.now)
        discard(scene.staging, intent, scene.now)
        return ApplyOutcome.CHANGED, _UNEXPECTED
    landing = ApplyOutcome.DONE
    if StagingMark.NEW in stages:
        landing = ApplyOutcome.CHANGED if spot is None else scene.swapper.place(intent, spot)
    scene.staging.to_trash(intent, StagingMark.OLD, taken, scene.now)
    discard(scene.staging, intent, scene.now)
    return landing, None if landing is ApplyOutcome.DONE else _UNEXPECTED


def _swapped_or_not(scene: _RecoveryContext, intent: Intent, spot: Target | None) -> tuple[ApplyOutcome, str | None]:
    """``ID.new`` is there: ours if nothing happened, else what an exchange brought out."""
    held = scene.staging.hash_of(intent.id, StagingMark.NEW)
    stands = hash_at(scene.root.fs, spot) if spot is not None else None
    if held is not None and held == intent.new:
        discard(scene.staging, intent, scene.now)
        return (ApplyOutcome.DONE, None) if stands == intent.new else (ApplyOutcome.CHANGED, _NOT_DONE)
    if held is not None and held == intent.expected:
        scene.staging.to_trash(intent, StagingMark.NEW, held, scene.now)
        return ApplyOutcome.DONE, None
    if spot is not None and stands == intent.new:
        scene.swapper.put_back(intent, spot, scene.now)
    else:
        scene.staging.to_trash(intent, StagingMark.NEW, held, scene.now)
    discard(scene.staging, intent, scene.now)
    return ApplyOutcome.CHANGED, _UNEXPECTED


def _clear_orphan(scene: _RecoveryContext, orphan: str, stages: Set[StagingMark]) -> None:
    for stage in stages:
        if stage in {StagingMark.NEW, StagingMark.OLD}:
            scene.staging.adopt(orphan, stage, scene.now)
        else:
            scene.staging.drop(orphan, stage)


def _settle(root: Root, trash: Trash, intents: Sequence[Intent]) -> None:
    for path in sorted({parent_of(intent.path) for intent in intents}):
        with contextlib.suppress(FileNotFoundError, PathBlocked, UnsafePath, MountMissing), root.folder(path) as folder:
            root.fs.fsync_dir(folder)
    root.fs.fsync_dir(trash.folder)
    root.fs.fsync_dir(trash.staging)
