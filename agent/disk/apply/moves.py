"""Moves: a file of the linked folder gets another path, and keeps its inode, its attributes and its open handles.

The file is renamed from its old path to ``ID.old``, out of the user's reach, and its hash is checked there. Then it is
renamed to the new path, which must be free. Nothing is copied, and nothing goes to the trash. Anything unexpected puts
the file back to its old path.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Set
from typing import Final

from msgspec.structs import replace

from agent.core import paths
from agent.core.model import ApplyOutcome, Intent
from agent.disk.apply.job import ApplyJob
from agent.disk.apply.staging import FileHash, StagingArea, StagingMark, file_hash, matches
from agent.disk.apply.swap import Swapper
from agent.disk.apply.target import Target, has_bytes, kind_at, remove_empty_folder
from agent.disk.fs.protocol import FileType, Stat
from agent.disk.root import MountMissing, PathBlocked, Root, UnsafePath
from agent.disk.scan.digest import HELD
from agent.disk.scan.observe import RACY_NS
from agent.disk.scan.parent_cache import ParentCache

NOT_MOVED: Final = "'{}' does not hold the file that was to be moved"
_TAKEN: Final = "another file is at the new path"
_FULL_FOLDER: Final = "a folder that is not empty is there"
_COLLISION: Final = "'{}' is there, and this disk takes the two names for the same"
_OTHER_MOUNT: Final = "a file cannot be moved to or from another file system; it must be copied"
_INTERRUPTED: Final = "interrupted before it was moved"
_NO_FOLDER: Final = (FileNotFoundError, PathBlocked, UnsafePath, MountMissing)


def origin_of(intent: Intent) -> str:
    """Return the old path of a move."""
    assert intent.origin is not None
    return intent.origin


class Mover:
    """Moves single files of one folder. Used by one thread at a time."""

    def __init__(self, root: Root, staging: StagingArea, swapper: Swapper, parents: ParentCache) -> None:
        self._root = root
        self._fs = root.fs
        self._staging = staging
        self._swapper = swapper
        self._parents = parents

    def move(self, job: ApplyJob) -> Target | None:
        """Move the file of a job, and decide its outcome. Return the new place if it was moved just now.

        CHANGED: the old path does not hold the intended bytes, the new one is in use, or one of them is on another file
        system. The file is then at its old path. The caller can copy it instead (``FromFolder``) and remove the old
        one, as two intents. BLOCKED: a folder that is not empty, or another spelling, is at the new path.
        A change of case alone, which some disks take for the same name, is a move like any other.

        Raises:
            UnsafePath, PathBlocked, MountMissing, OSError: the new path cannot be used, or the disk refused.
        """
        intent = job.intent
        with self._origin(intent) as origin:
            target = Target(*self._parents.open_parent(intent.path, job.made))
            refused = self._refusal(job, origin, target)
            if refused is not None:
                job.decide(*refused)
                return None
            assert origin is not None
            taken = self._take(intent, origin, job.now)
            if isinstance(taken, str):
                job.decide(ApplyOutcome.CHANGED, taken)
                return None
            problem = self._place(intent, origin, target, job.now)
            if problem is not None:
                job.decide(ApplyOutcome.CHANGED, problem)
                return None
        job.inode, job.size, job.mtime_ns = taken.stat.inode, taken.stat.size, taken.stat.mtime_ns
        job.digest = taken.digest
        job.decide(ApplyOutcome.DONE)
        return target

    @contextlib.contextmanager
    def _origin(self, intent: Intent) -> Iterator[Target | None]:
        """Open the old folder; None if the file is not in a folder of that name any more."""
        with contextlib.ExitStack() as opened:
            origin: Target | None = None
            with contextlib.suppress(*_NO_FOLDER):
                origin = Target(*opened.enter_context(self._root.parent(origin_of(intent))))
                if self._root.case_collision(origin.folder, origin.name) is not None:
                    # The file has another spelling by now.
                    origin = None
            yield origin

    def _refusal(self, job: ApplyJob, origin: Target | None, target: Target) -> tuple[ApplyOutcome, str | None] | None:
        """Return the outcome of a move that must not begin; None if it may."""
        intent = job.intent
        here = None if origin is None else kind_at(self._fs, origin)
        collision = self._root.case_collision(target.folder, target.name)
        if collision is not None and origin is not None and collision == origin.name and _same_folder(intent):
            # Only the case changes: the new name is free once the file is away from the old one.
            there = None
        elif collision is not None:
            return ApplyOutcome.BLOCKED, _COLLISION.format(collision)
        else:
            there = kind_at(self._fs, target)
        if there not in {None, FileType.FOLDER}:
            # Only if the old path is free was the file moved before; else the two paths are two files.
            moved = _was_moved(self._root, self._staging, intent, target)
            return (ApplyOutcome.DONE, None) if moved else (ApplyOutcome.CHANGED, _TAKEN)
        if here is not FileType.FILE:
            return ApplyOutcome.CHANGED, NOT_MOVED.format(origin_of(intent))
        if there is FileType.FOLDER and not remove_empty_folder(self._fs, target):
            return ApplyOutcome.BLOCKED, _FULL_FOLDER
        return None

    def _take(self, intent: Intent, origin: Target, now: float) -> FileHash | str:
        """Rename the file to ``ID.old`` and check it. Return the reason if it was another one; it is back then.

        A large file is hashed at its old path first, so that it does not vanish from the folder while it is read. An
        equal stat afterwards proves its bytes, as in a scan.
        """
        before: FileHash | None = None
        if self._fs.stat(origin.folder, origin.name).size > HELD:
            before = file_hash(self._fs, origin.folder, origin.name, self._staging.interrupted)
            if not matches(before, intent.new):
                return NOT_MOVED.format(origin_of(intent))
        try:
            self._fs.rename(origin.folder, origin.name, self._staging.handle, intent.id + StagingMark.OLD)
        except FileNotFoundError:
            return NOT_MOVED.format(origin_of(intent))
        except OSError as failure:
            if failure.errno != errno.EXDEV:
                raise
            return _OTHER_MOUNT
        taken = before
        if before is None or not self._is_proof(before.stat, self._staged_stat(intent)):
            taken = self._staging.hash_of(intent.id, StagingMark.OLD)
        if taken is not None and matches(taken, intent.new):
            return taken
        self._swapper.return_old(_as_origin(intent), origin, now)
        return NOT_MOVED.format(origin_of(intent))

    def _staged_stat(self, intent: Intent) -> Stat:
        return self._fs.stat(self._staging.handle, intent.id + StagingMark.OLD)

    def _is_proof(self, before: Stat, after: Stat) -> bool:
        """Return True if the file was not written since it was hashed. The rename alone changes the ctime."""
        same = (before.inode, before.size, before.mtime_ns) == (after.inode, after.size, after.mtime_ns)
        return same and after.mtime_ns <= self._fs.now_ns(self._staging.handle) - RACY_NS

    def _place(self, intent: Intent, origin: Target, target: Target, now: float) -> str | None:
        """Rename ``ID.old`` to the new path. Return the reason if it is in use; the file is back then."""
        try:
            self._staging.mark_moved(intent.id)
            self._fs.rename_noreplace(self._staging.handle, intent.id + StagingMark.OLD, target.folder, target.name)
        except OSError as failure:
            put_back(self._staging, self._swapper, intent, origin, now)
            if failure.errno not in {errno.EEXIST, errno.EXDEV}:
                raise
            return _TAKEN if failure.errno == errno.EEXIST else _OTHER_MOUNT
        return None


def put_back(staging: StagingArea, swapper: Swapper, intent: Intent, origin: Target, now: float) -> None:
    """Undo a move: ``ID.old`` goes back to its old path, or to the trash if another file is there by now.

    Raises:
        OSError: the disk refused; ``ID.old`` is still in the staging folder.
    """
    # First the mark: without it, a missing ID.old does not mean "moved".
    staging.drop(intent.id, StagingMark.MOVED)
    swapper.return_old(_as_origin(intent), origin, now)


def recover_move(
    root: Root, staging: StagingArea, swapper: Swapper, intent: Intent, marks: Set[StagingMark], now: float
) -> tuple[ApplyOutcome, str | None]:
    """Finish or undo an interrupted move: the file is at one of the two paths, or in the trash if neither can take it.

    A second call gives the same result.

    Raises:
        OSError: the disk refused; call it again later.
        ReadInterrupted: the process is stopping.
    """
    with _opened(root, intent.path) as target, _opened(root, origin_of(intent)) as origin:
        if StagingMark.OLD not in marks:
            # The file is not in the staging folder: it was not taken, was put back, or is at its new path.
            if StagingMark.MOVED in marks or _was_moved(root, staging, intent, target):
                return ApplyOutcome.DONE, None
            return ApplyOutcome.CHANGED, _INTERRUPTED
        if _is_staged_file(root, staging, intent, target):
            # A crash fell between the link and the unlink that replace a rename: the file has both names.
            staging.drop(intent.id, StagingMark.OLD)
            return ApplyOutcome.DONE, None
        if _is_staged_file(root, staging, intent, origin):
            staging.drop(intent.id, StagingMark.MOVED)
            staging.drop(intent.id, StagingMark.OLD)
            return ApplyOutcome.CHANGED, _INTERRUPTED
        taken = staging.hash_of(intent.id, StagingMark.OLD)
        if target is not None and matches(taken, intent.new):
            # The file was taken and is the intended one: finish the move if the new path is still free.
            with contextlib.suppress(OSError):
                staging.mark_moved(intent.id)
                root.fs.rename_noreplace(staging.handle, intent.id + StagingMark.OLD, target.folder, target.name)
                return ApplyOutcome.DONE, None
        if origin is not None:
            put_back(staging, swapper, intent, origin, now)
        else:
            # Neither folder exists any more.
            staging.drop(intent.id, StagingMark.MOVED)
            staging.to_trash(_as_origin(intent), StagingMark.OLD, taken, now)
        return ApplyOutcome.CHANGED, _INTERRUPTED


@contextlib.contextmanager
def _opened(root: Root, path: str) -> Iterator[Target | None]:
    """Open the folder that contains ``path``; None if there is no such folder now."""
    with contextlib.ExitStack() as opened:
        target: Target | None = None
        with contextlib.suppress(*_NO_FOLDER):
            target = Target(*opened.enter_context(root.parent(path)))
        yield target


def _was_moved(root: Root, staging: StagingArea, intent: Intent, target: Target | None) -> bool:
    """Return True if the new path holds the file and the old one is known to be free."""
    try:
        with root.parent(origin_of(intent)) as (folder, name):
            if kind_at(root.fs, Target(folder, name)) is not None:
                return False
    except (FileNotFoundError, PathBlocked):
        pass
    except (UnsafePath, MountMissing):
        # A file below a link or on a disk that is away is not known to be missing.
        return False
    return target is not None and has_bytes(root.fs, target, intent.new, None, staging.interrupted)


def _is_staged_file(root: Root, staging: StagingArea, intent: Intent, place: Target | None) -> bool:
    """Return True if the file at this place is ``ID.old`` under a second name."""
    if place is None:
        return False
    try:
        there = root.fs.stat(place.folder, place.name)
    except FileNotFoundError:
        return False
    held = root.fs.stat(staging.handle, intent.id + StagingMark.OLD)
    return (there.device, there.inode) == (held.device, held.inode)


def _as_origin(intent: Intent) -> Intent:
    """Return the intent under which a file that cannot go back to its old path is in the trash."""
    return replace(intent, path=origin_of(intent), expected=intent.new)


def _same_folder(intent: Intent) -> bool:
    return paths.parent_of(intent.path) == paths.parent_of(origin_of(intent))
