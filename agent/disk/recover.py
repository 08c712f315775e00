"""After a crash: what became of each journalled intent, told from its slots, its path and the trash."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence, Set
from typing import Final

from msgspec import Struct

from agent.core.model import Intent, Landing
from agent.core.paths import parent_of
from agent.disk.root import Blocked, Root, Unmounted, Unsafe
from agent.disk.slots import Slots, Stage, group_of
from agent.disk.swap import Spot, Swapper, file_missing, hash_at
from agent.disk.trash import Trash

_NOT_DONE: Final = "interrupted before it was made"
_UNEXPECTED: Final = "something else than expected stood there"

Finding = tuple[Intent, Landing, str | None]


class _Scene(Struct, frozen=True):
    """What the deciding functions work with.

    Attributes:
        trashed: (intent id, hash) of everything in the trash.
        now: seconds since the epoch.
    """

    root: Root
    slots: Slots
    swapper: Swapper
    trashed: frozenset[tuple[str, str]]
    now: float


def recover_all(root: Root, trash: Trash, intents: Sequence[Intent], now: float) -> list[Finding]:
    """Finishes or undoes every intent and empties the slots but for the marks of what was made.

    Asking twice gives the same answers, so a crash in here is like a crash before. Raises OSError.
    """
    slots = Slots(root.fs, trash)
    held = slots.found()
    trashed = frozenset((entry.id, entry.hash) for entry in trash.entries())
    scene = _Scene(root, slots, Swapper(root.fs, slots), trashed, now)
    marked = {group for group, stages in held.items() if Stage.MADE in stages}
    findings: list[Finding] = []
    for intent in intents:
        stages = held.pop(intent.id, set())
        if group_of(intent.id) in marked:
            stages.add(Stage.MADE)
        landing, text = _recover(scene, intent, stages)
        if landing is not Landing.DONE and Stage.MADE in stages:
            # Before the file goes whose absence would say otherwise when this is asked again.
            slots.withdraw(intent.id)
        slots.drop(intent.id, Stage.PART)
        findings.append((intent, landing, text))
    for group in {group_of(intent.id) for intent in intents}:
        held.pop(group, None)
    for orphan, stages in held.items():
        _clear_orphan(scene, orphan, stages)
    _settle(root, trash, intents)
    return findings


def discard(slots: Slots, intent: Intent, now: float) -> None:
    """Clears the slots of an intent that is not carried out. What stands in ``ID.new`` is removed only if it is ours.

    It is withdrawn first: a marked one without ``ID.part`` was put in place.
    """
    if intent.new is not None:
        slots.withdraw(intent.id)
    slots.drop(intent.id, Stage.PART)
    with contextlib.suppress(FileNotFoundError):
        found = slots.hash_of(intent.id, Stage.NEW)
        if found is not None and found == intent.new:
            slots.drop(intent.id, Stage.NEW)
        else:
            slots.to_trash(intent, Stage.NEW, found, now)


def _recover(scene: _Scene, intent: Intent, stages: Set[Stage]) -> tuple[Landing, str | None]:
    try:
        with scene.root.parent(intent.path) as (folder, name):
            return _decide(scene, intent, stages, Spot(folder, name))
    except (FileNotFoundError, Blocked, Unsafe):
        return _decide(scene, intent, stages, None)
    except Unmounted as unmounted:
        # A disk that is away decides nothing for the others; what came out of it, if anything did, is in the slots.
        if stages & {Stage.NEW, Stage.OLD}:
            return _decide(scene, intent, stages, None)
        return Landing.CHANGED, unmounted.message


def _decide(scene: _Scene, intent: Intent, stages: Set[Stage], spot: Spot | None) -> tuple[Landing, str | None]:
    if Stage.OLD in stages:
        return _taken(scene, intent, stages, spot)
    if Stage.NEW in stages:
        return _swapped_or_not(scene, intent, spot)
    if intent.new is None:
        happened = spot is None or file_missing(scene.root.fs, spot)
    else:
        made = Stage.MADE in stages and not stages & {Stage.PART, Stage.VOID}
        happened = made or (spot is not None and hash_at(scene.root.fs, spot) == intent.new)
    if happened or (intent.expected is not None and (intent.id, intent.expected) in scene.trashed):
        return Landing.DONE, None
    return Landing.CHANGED, _NOT_DONE


def _taken(scene: _Scene, intent: Intent, stages: Set[Stage], spot: Spot | None) -> tuple[Landing, str | None]:
    """``ID.old`` is there: a removal, or a swap without exchange, was under way."""
    taken = scene.slots.hash_of(intent.id, Stage.OLD)
    if taken is None or taken != intent.expected:
        if spot is None:
            scene.slots.to_trash(intent, Stage.OLD, taken, scene.now)
        else:
            scene.swapper.return_old(intent, spot, scene.now)
        discard(scene.slots, intent, scene.now)
        return Landing.CHANGED, _UNEXPECTED
    landing = Landing.DONE
    if Stage.NEW in stages:
        landing = Landing.CHANGED if spot is None else scene.swapper.place(intent, spot)
    scene.slots.to_trash(intent, Stage.OLD, taken, scene.now)
    discard(scene.slots, intent, scene.now)
    return landing, None if landing is Landing.DONE else _UNEXPECTED


def _swapped_or_not(scene: _Scene, intent: Intent, spot: Spot | None) -> tuple[Landing, str | None]:
    """``ID.new`` is there: ours if nothing happened, else what an exchange brought out."""
    held = scene.slots.hash_of(intent.id, Stage.NEW)
    stands = hash_at(scene.root.fs, spot) if spot is not None else None
    if held is not None and held == intent.new:
        discard(scene.slots, intent, scene.now)
        return (Landing.DONE, None) if stands == intent.new else (Landing.CHANGED, _NOT_DONE)
    if held is not None and held == intent.expected:
        scene.slots.to_trash(intent, Stage.NEW, held, scene.now)
        return Landing.DONE, None
    if spot is not None and stands == intent.new:
        scene.swapper.put_back(intent, spot, scene.now)
    else:
        scene.slots.to_trash(intent, Stage.NEW, held, scene.now)
    discard(scene.slots, intent, scene.now)
    return Landing.CHANGED, _UNEXPECTED


def _clear_orphan(scene: _Scene, orphan: str, stages: Set[Stage]) -> None:
    for stage in stages:
        if stage in {Stage.NEW, Stage.OLD}:
            scene.slots.adopt(orphan, stage, scene.now)
        else:
            scene.slots.drop(orphan, stage)


def _settle(root: Root, trash: Trash, intents: Sequence[Intent]) -> None:
    for path in sorted({parent_of(intent.path) for intent in intents}):
        with contextlib.suppress(FileNotFoundError, Blocked, Unsafe, Unmounted), root.folder(path) as folder:
            root.fs.fsync_dir(folder)
    root.fs.fsync_dir(trash.folder)
    root.fs.fsync_dir(trash.slots)
