"""Carry intents out: complete new files in, old files to the trash, a whole group behind one sync."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from agent.core import paths
from agent.core.accepts import TEXT, Accepts
from agent.core.errors import DiskError
from agent.core.model import ApplyOutcome, ApplyResult, Intent, Observation, Purpose
from agent.core.os_errors import DISK_FULL, explain
from agent.core.supply import Supply
from agent.disk.apply.downloads import LiveDownloads, StagedDownloads
from agent.disk.apply.durable import GROUP_SYNC, sync_all
from agent.disk.apply.job import ApplyJob
from agent.disk.apply.moves import NOT_MOVED, Mover, origin_of
from agent.disk.apply.new_files import NewFiles
from agent.disk.apply.recover import discard, recover_all
from agent.disk.apply.staging import StagingArea, StagingMark, group_of
from agent.disk.apply.swap import Swapper
from agent.disk.apply.target import Target, has_bytes, kind_at, remove_emptied_folders, remove_empty_folder
from agent.disk.apply.trash import Trash
from agent.disk.fs.protocol import FileType
from agent.disk.root import MountMissing, PathBlocked, Root, UnsafePath
from agent.disk.scan.digest import never
from agent.disk.scan.observe import observe, observe_at
from agent.disk.scan.parent_cache import ParentCache
from agent.disk.selection.rules import Selection

_T = TypeVar("_T")

_COLLISION: Final = "'{}' is there, and this disk takes the two names for the same"
_GONE: Final = (FileNotFoundError, PathBlocked, UnsafePath, MountMissing)
"""A folder that does not exist any more needs no sync."""


class Installer:
    """Changes the folder of one source. Used by one thread at a time."""

    def __init__(
        self,
        root: Root,
        trash: Trash,
        selection: Selection,
        *,
        accepts: Accepts = TEXT,
        interrupted: Callable[[], bool] = never,
        downloads: StagedDownloads | None = None,
    ) -> None:
        self._root = root
        self._fs = root.fs
        self._trash = trash
        self._selection = selection
        self.accepts = accepts
        self._staging = StagingArea(root.fs, trash, interrupted)
        self._swapper = Swapper(root.fs, self._staging)
        self._downloads = downloads or StagedDownloads(root.fs, trash, interrupted)
        self._new_files = NewFiles(root, trash, self._staging, self._downloads)
        self._parents = ParentCache(root)
        self._mover = Mover(root, self._staging, self._swapper, self._parents)
        self._touched: set[str] = set()
        """Folders in which names changed and that must be made durable."""

    def apply(self, changes: Sequence[tuple[Intent, Supply]], now: float) -> list[ApplyResult]:
        """Carry out each journalled intent, or return the reason why not. A result of DONE is durable on return.

        All new files are written and made durable together, marked, and swapped in one by one. Then the folders are
        made durable. The supply of a removal is ignored. No file is held in memory but the bytes of ``Inline``.

        ``Staged``: the download becomes the new file by a rename. If the intent is not carried out it is a download
        again, unless its bytes are wrong: then it is removed. ``FromFolder``: the file is copied before any file of
        the group is changed. If it does not hold the bytes, the result is CHANGED, and they must come from elsewhere.

        An intent with ``origin`` is a move, as ``Mover.move`` describes. The group is carried out in this order: all
        removals, the moves in the order given, then all others. After any result the caller must observe the old path
        again: the result has an observation of the new one only.

        Raises:
            RootError: the root is missing or another folder.
            DiskError: swaps were made and cannot be made durable; ``recover`` determines their results.
            ReadInterrupted: the process is stopping. The intents remain for ``recover``.
        """
        self._root.verify()
        self._selection.refresh()
        jobs = [ApplyJob(intent, supply, now) for intent, supply in changes]
        ordered = sorted(jobs, key=lambda job: job.order)
        self._parents.moved_away.clear()
        self._touched.clear()
        self._new_files.begin_group()
        try:
            for job in ordered:
                self._guarded(job, self._prepare)
            self._make_files_durable(ordered)
            self._mark(ordered)
            removals = [job for job in ordered if job.intent.new is None]
            for job in removals:
                self._guarded(job, self._remove)
            moves = [job for job in jobs if job.is_move]
            for job in moves:
                self._guarded(job, self._move)
            self._remove_emptied([*removals, *moves])
            for job in ordered[len(removals) :]:
                if not job.is_move:
                    self._guarded(job, self._install)
        finally:
            self._parents.release()
        self._make_folders_durable()
        self._new_files.end_group(jobs)
        return [self._result(job) for job in jobs]

    def release(self, intent_ids: Iterable[str]) -> None:
        """Remove the marks of intents whose results are committed."""
        self._staging.release(intent_ids)

    def recover(
        self, intents: Iterable[Intent], now: float, downloads: LiveDownloads | None = None
    ) -> list[ApplyResult]:
        """Finish or undo journalled intents after a crash, clear the staging, and return the results.

        Args:
            downloads: those that are wanted; all others are removed. None: none is removed.

        Raises:
            RootError, DiskError: the results cannot be determined now. A later call loses nothing.
        """
        self._root.verify()
        self._selection.refresh()
        try:
            live = downloads or LiveDownloads()
            results = recover_all(self._root, self._staging, self._trash, list(intents), now, live)
        except OSError as failure:
            raise DiskError(
                f"Interrupted changes to {self._root.path} cannot be finished: {explain(failure)}."
            ) from failure
        return [ApplyResult(intent.id, outcome, self._observe(intent.path), text) for intent, outcome, text in results]

    def _guarded(self, job: ApplyJob, step: Callable[[ApplyJob], None]) -> None:
        """Take one step for an undecided job. An error of the disk becomes its outcome."""
        if job.outcome is not None:
            return
        try:
            step(job)
        except UnsafePath as unsafe:
            job.decide(ApplyOutcome.UNSAFE, unsafe.message)
        except PathBlocked as blocked:
            job.decide(ApplyOutcome.BLOCKED, blocked.message)
        except DiskError as failure:
            job.decide(ApplyOutcome.FAILED, failure.message)
        except OSError as failure:
            job.decide(ApplyOutcome.FAILED, explain(failure, self._place_of(job, failure)))
        if job.outcome not in {None, ApplyOutcome.DONE}:
            # Do not clean up while the user's old file is still in the staging: recovery would take the missing new
            # file for an installed one.
            if not self._holds(job, StagingMark.OLD):
                self._clean(job)
            if self._holds(job, StagingMark.NEW) or self._holds(job, StagingMark.OLD):
                raise DiskError(f"The change to {job.intent.path} is incomplete: {job.text}.")

    def _place_of(self, job: ApplyJob, failure: OSError) -> str | None:
        """Return the path for errors that concern its folder, and the linked folder for errors of the whole disk."""
        if failure.errno in DISK_FULL or failure.errno == errno.EROFS:
            return self._root.path
        return paths.parent_of(job.intent.path) or None if failure.errno == errno.EXDEV else None

    def _holds(self, job: ApplyJob, mark: StagingMark) -> bool:
        """Return True if the staging holds this file. A decided job must not leave a user's file there."""
        try:
            return self._staging.holds(job.intent.id, mark)
        except DiskError:
            # A staging folder that cannot be opened was not open before either, so no file came out into it.
            return False
        except OSError as failure:
            raise DiskError(
                f"The result of the change to {job.intent.path} cannot be determined: {explain(failure)}."
            ) from failure

    def _prepare(self, job: ApplyJob) -> None:
        """Refuse what must not be done, and write the new file."""
        intent = job.intent
        refusal = paths.check(intent.path)
        if refusal is not None:
            return job.decide(ApplyOutcome.UNSAFE, refusal)
        verdict = self._selection.verdict(intent.path)
        if not verdict.selected:
            return job.decide(ApplyOutcome.OUT_OF_SCOPE, f"not selected: {verdict.rule} ({verdict.origin})")
        if intent.origin is not None:
            return self._prepare_move(job)
        if intent.new is None:
            return None
        self._new_files.check(job)
        if job.outcome is not None:
            return None
        if intent.expected is None:
            # The rename itself finds out if a file is there.
            return self._new_files.write(job, None)
        try:
            return self._write(job, Target(*self._parents.open_parent(intent.path)))
        except (FileNotFoundError, PathBlocked):
            # An earlier intent of the same group may remove what blocks the path.
            return self._new_files.write(job, None)

    def _prepare_move(self, job: ApplyJob) -> None:
        """Refuse a move that is no plain one, or whose old path must not be touched."""
        intent, origin = job.intent, origin_of(job.intent)
        refusal = paths.check(origin)
        if refusal is not None:
            return job.decide(ApplyOutcome.UNSAFE, refusal)
        if intent.new is None or intent.expected is not None or not self._selection.verdict(origin).selected:
            return job.decide(ApplyOutcome.CHANGED, NOT_MOVED.format(origin))
        return None

    def _write(self, job: ApplyJob, target: Target) -> None:
        is_file = self._is_file(target)
        if is_file and self._is_installed(job, target):
            if self._root.case_collision(target.folder, target.name) is None:
                return job.decide(ApplyOutcome.DONE)
            is_file = False
        return self._new_files.write(job, target if is_file else None)

    def _make_files_durable(self, jobs: list[ApplyJob]) -> None:
        written = [job for job in jobs if job.outcome is None and job.inode is not None]
        try:
            if len(written) < GROUP_SYNC or not sync_all(self._fs, self._trash.staging):
                for job in written:
                    self._staging.make_durable(job.intent.id)
        except OSError as failure:
            for job in written:
                job.decide(ApplyOutcome.FAILED, explain(failure, self._root.path))
                self._clean(job)

    def _mark(self, jobs: list[ApplyJob]) -> None:
        """Mark each group as committed.

        From then on a missing new file counts as installed, so jobs that were refused are cancelled first.
        """
        creations = [job for job in jobs if job.outcome is None and job.is_creation]
        try:
            for job in jobs if creations else ():
                if job.intent.new is not None and not job.is_move and job.outcome not in {None, ApplyOutcome.DONE}:
                    self._staging.cancel(job.intent.id)
            for group in {group_of(job.intent.id) for job in creations}:
                self._staging.mark_group(group)
        except OSError as failure:
            for job in creations:
                job.decide(ApplyOutcome.FAILED, explain(failure, self._root.path))
                self._clean(job)

    def _install(self, job: ApplyJob) -> None:
        if not job.is_creation:
            self._staging.mark_ready(job.intent.id)
        self._again_if_removed(job, self._place)

    def _again_if_removed(self, job: ApplyJob, step: Callable[[ApplyJob], _T]) -> _T:
        """Take a step, and once more if its folder was removed after it was opened for an earlier file."""
        try:
            return step(job)
        except FileNotFoundError:
            if not self._parents.reused:
                raise
            self._parents.release()
            return step(job)

    def _move(self, job: ApplyJob) -> None:
        target = self._again_if_removed(job, self._mover.move)
        self._touched.update(map(paths.parent_of, (job.intent.path, origin_of(job.intent), *job.made)))
        if target is not None:
            job.seen = job.observe_new(self._fs, target, self.accepts)

    def _place(self, job: ApplyJob) -> None:
        """Bring the path to the intended state, after a last check of what is there."""
        intent = job.intent
        target = Target(*self._parents.open_parent(intent.path, job.made))
        self._touched.add(paths.parent_of(intent.path))
        self._touched.update(map(paths.parent_of, job.made))
        collision = self._root.case_collision(target.folder, target.name)
        if collision is not None:
            return job.decide(ApplyOutcome.BLOCKED, _COLLISION.format(collision))
        if not job.is_creation:
            if not self._is_file(target):
                return job.decide(ApplyOutcome.CHANGED, "the expected file is not there")
            outcome = self._swapper.replace(intent, target, job.now)
        else:
            outcome = self._swapper.create(intent, target)
            if outcome is ApplyOutcome.CHANGED and kind_at(self._fs, target) is FileType.FOLDER:
                if not remove_empty_folder(self._fs, target):
                    return job.decide(ApplyOutcome.BLOCKED, "a folder that is not empty is there")
                outcome = self._swapper.create(intent, target)
            if outcome is ApplyOutcome.CHANGED and self._is_installed(job, target):
                self._clean(job)
                return job.decide(ApplyOutcome.DONE)
        if outcome is ApplyOutcome.DONE:
            job.seen = job.observe_new(self._fs, target, self.accepts)
        return job.decide(outcome)

    def _remove(self, job: ApplyJob) -> None:
        intent = job.intent
        try:
            target = Target(*self._parents.open_parent(intent.path))
        except (FileNotFoundError, PathBlocked):
            # Without its folder the file does not exist.
            return job.decide(ApplyOutcome.DONE)
        self._touched.add(paths.parent_of(intent.path))
        collision = self._root.case_collision(target.folder, target.name)
        if collision is not None:
            return job.decide(ApplyOutcome.BLOCKED, _COLLISION.format(collision))
        kind = kind_at(self._fs, target)
        if kind is None or kind is FileType.FOLDER:
            return job.decide(ApplyOutcome.DONE)
        if kind is not FileType.FILE or intent.expected is None:
            return job.decide(ApplyOutcome.CHANGED, "another file than the expected one is there")
        outcome = self._swapper.remove(intent, target, job.now)
        if outcome is ApplyOutcome.DONE:
            job.seen = observe_at(self._fs, target.folder, intent.path, known=None, accepts=self.accepts)
        return job.decide(outcome)

    def _is_file(self, target: Target) -> bool:
        return kind_at(self._fs, target) is FileType.FILE

    def _is_installed(self, job: ApplyJob, target: Target) -> bool:
        return has_bytes(self._fs, target, job.intent.new, job.size, self._staging.interrupted)

    def _remove_emptied(self, jobs: list[ApplyJob]) -> None:
        """Remove the folders that a pull emptied."""
        self._parents.release()
        done = [job.intent for job in jobs if job.intent.purpose is Purpose.PULL and job.is_done]
        self._touched.update(remove_emptied_folders(self._root, [intent.origin or intent.path for intent in done]))

    def _clean(self, job: ApplyJob) -> None:
        """Remove everything of a job that was not carried out. Bytes that are not the agent's go to the trash."""
        intent = job.intent
        if job.made:
            self._parents.release()
        with contextlib.suppress(OSError, DiskError):
            discard(self._staging, intent, job.now, job.download)
        for made in reversed(job.made):
            with contextlib.suppress(OSError, DiskError), self._root.parent(made) as (folder, name):
                self._fs.rmdir(folder, name)

    def _make_folders_durable(self) -> None:
        touched = sorted(self._touched)
        if not touched:
            return
        try:
            if len(touched) >= GROUP_SYNC and sync_all(self._fs, self._root.handle):
                return
            for path in touched:
                with contextlib.suppress(*_GONE), self._root.folder(path) as folder:
                    self._fs.fsync_dir(folder)
            self._fs.fsync_dir(self._trash.folder)
            self._fs.fsync_dir(self._trash.staging)
        except OSError as failure:
            raise DiskError(f"Changes to {self._root.path} cannot be made durable: {explain(failure)}.") from failure

    def _result(self, job: ApplyJob) -> ApplyResult:
        assert job.outcome is not None
        intent = job.intent
        if intent.path not in self._parents.moved_away:
            return ApplyResult(intent.id, job.outcome, job.seen or self._observe(intent.path), job.text)
        seen = self._observe(intent.path)
        if (
            job.is_done
            and intent.expected is None
            and intent.new is not None
            and (seen is None or not seen.side.is_file)
        ):
            # The file disappeared together with its folder. No user deleted it here, so it must not count as a delete.
            with contextlib.suppress(OSError):
                self._staging.cancel(intent.id)
            return ApplyResult(intent.id, ApplyOutcome.CHANGED, seen, "its folder was moved or removed meanwhile")
        return ApplyResult(intent.id, job.outcome, seen, job.text)

    def _observe(self, path: str) -> Observation | None:
        if paths.check(path) is not None:
            return None
        return observe(self._root, self._selection, path, None, self.accepts)
