"""Carrying intents out: whole new files in, old ones to the trash, several at once behind one sync."""

from __future__ import annotations

import contextlib
import errno
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct, field

from agent.core import paths
from agent.core.errors import DiskError
from agent.core.model import ApplyOutcome, ApplyResult, Intent, Observation, Purpose
from agent.disk.apply.recover import discard, recover_all
from agent.disk.apply.staging import StagingArea, StagingMark, group_of
from agent.disk.apply.swap import Swapper, Target, hash_at
from agent.disk.apply.trash import Trash
from agent.disk.fs.protocol import UNSUPPORTED, Dir, FileType
from agent.disk.root import MountMissing, PathBlocked, Root, UnsafePath
from agent.disk.scan.digest import xxh3
from agent.disk.scan.observe import fingerprint_of, observe, observe_at, side_of_content
from agent.disk.scan.parent_cache import ParentCache
from agent.disk.selection.rules import Selection

GROUP_SYNC: Final = 8
"""From this many on, one ``syncfs`` is cheaper than an fsync each; below it, it would wait for strangers' writes."""

_TWIN: Final = "'{}' stands there, which this disk takes for the same name"
_GONE: Final = (FileNotFoundError, PathBlocked, UnsafePath, MountMissing)
"""A folder that need not be made durable: it is not there."""


class _ApplyJob(Struct):
    """One intent on its way.

    Attributes:
        inode, mtime_ns: of the new file, once it is written.
        landing: None while it is undecided.
        seen: what it is known to have left at its path.
        made: folders made for it.
    """

    intent: Intent
    content: bytes
    now: float
    inode: int | None = None
    mtime_ns: int | None = None
    landing: ApplyOutcome | None = None
    text: str | None = None
    seen: Observation | None = None
    made: list[str] = field(default_factory=list)

    def decide(self, landing: ApplyOutcome, text: str | None = None) -> None:
        self.landing, self.text = landing, text

    @property
    def is_done(self) -> bool:
        """Whether it was carried out."""
        return self.landing is ApplyOutcome.DONE

    @property
    def is_creation(self) -> bool:
        """Whether a file is to stand where none is expected."""
        return self.intent.new is not None and self.intent.expected is None

    @property
    def order(self) -> tuple[bool, str]:
        """Removals first, as they make room, and folder by folder."""
        return (self.intent.new is not None, paths.parent_of(self.intent.path))


class Installer:
    """Changes the folder of one source, from one thread at a time."""

    def __init__(self, root: Root, trash: Trash, selection: Selection, *, max_bytes: int | None = None) -> None:
        self._root = root
        self._fs = root.fs
        self._trash = trash
        self._selection = selection
        self._max_bytes = max_bytes
        self._staging = StagingArea(root.fs, trash)
        self._swapper = Swapper(root.fs, self._staging)
        self._parents = ParentCache(root)
        self._touched: set[str] = set()
        """Folders whose names changed, to be made durable."""

    def carry_out(self, jobs: Sequence[tuple[Intent, bytes]], now: float) -> list[ApplyResult]:
        """Makes each journalled intent true, or says why not. What is DONE is durable when this returns.

        All new files are written and made durable together, marked, swapped in one by one, and the folders made
        durable. The bytes that go with a removal are ignored.

        Raises:
            RootError: the root is gone or another one.
            DiskError: the swaps were made and cannot be made durable; ``recover`` decides what they came to.
        """
        self._root.verify()
        self._selection.renew()
        works = [_ApplyJob(intent, content, now) for intent, content in jobs]
        ordered = sorted(works, key=lambda work: work.order)
        self._parents.moved_away.clear()
        self._touched.clear()
        try:
            for work in ordered:
                self._guarded(work, self._prepare)
            self._settle_files(ordered)
            self._mark(ordered)
            removals = [work for work in ordered if work.intent.new is None]
            for work in removals:
                self._guarded(work, self._remove)
            self._remove_emptied(removals)
            for work in ordered[len(removals) :]:
                self._guarded(work, self._install)
        finally:
            self._parents.release()
        self._settle_folders()
        return [self._landed(work) for work in works]

    def forget(self, intent_ids: Iterable[str]) -> None:
        """The results of these intents are committed: their marks are no longer needed."""
        self._staging.forget(intent_ids)

    def recover(self, intents: Iterable[Intent], now: float) -> list[ApplyResult]:
        """After a crash: decides what became of journalled intents, finishes or undoes them, and clears the staging.

        Raises:
            RootError, DiskError: it cannot be decided now; nothing is lost by asking again.
        """
        self._root.verify()
        self._selection.renew()
        try:
            results = recover_all(self._root, self._trash, list(intents), now)
        except OSError as failure:
            raise DiskError(f"Interrupted changes to {self._root.path} cannot be settled: {failure}.") from failure
        return [ApplyResult(intent.id, landing, self._look(intent.path), text) for intent, landing, text in results]

    def _guarded(self, work: _ApplyJob, step: Callable[[_ApplyJob], None]) -> None:
        """Takes one step for an intent that is still undecided; what the disk refuses becomes its landing."""
        if work.landing is not None:
            return
        try:
            step(work)
        except UnsafePath as unsafe:
            work.decide(ApplyOutcome.UNSAFE, unsafe.message)
        except PathBlocked as blocked:
            work.decide(ApplyOutcome.BLOCKED, blocked.message)
        except DiskError as failure:
            work.decide(ApplyOutcome.FAILED, failure.message)
        except OSError as failure:
            work.decide(ApplyOutcome.FAILED, f"the disk refused: {failure.strerror or failure}")
        if work.landing not in {None, ApplyOutcome.DONE}:
            # Beside what was taken out and not returned, a missing new file would say that it was put in place.
            if not self._holds(work, StagingMark.OLD):
                self._clean(work)
            if self._holds(work, StagingMark.NEW) or self._holds(work, StagingMark.OLD):
                raise DiskError(f"The change to {work.intent.path} is half made: {work.text}.")

    def _holds(self, work: _ApplyJob, stage: StagingMark) -> bool:
        """Whether something of this intent is in the staging. What came out of the folder must not be left there of one
        that counts as decided.
        """
        try:
            return self._staging.holds(work.intent.id, stage)
        except DiskError:
            # Slots that cannot be opened now were not there for anything to come out into.
            return False
        except OSError as failure:
            raise DiskError(f"The change to {work.intent.path} cannot be told: {failure.strerror}.") from failure

    def _prepare(self, work: _ApplyJob) -> None:
        """Refuses what may not be done at all, and writes the new file."""
        intent = work.intent
        refusal = paths.check(intent.path)
        if refusal is not None:
            return work.decide(ApplyOutcome.UNSAFE, refusal)
        if intent.new is not None and hashlib.sha256(work.content).hexdigest() != intent.new:
            return work.decide(ApplyOutcome.FAILED, "the bytes do not match their hash")
        verdict = self._selection.verdict(intent.path)
        if not verdict.selected:
            return work.decide(ApplyOutcome.OUT_OF_SCOPE, f"not selected: {verdict.rule} ({verdict.origin})")
        if intent.new is None:
            return None
        if intent.expected is None:
            # What stands there, if anything, is found out by putting the new file there.
            return self._fill(work, None)
        try:
            return self._write(work, Target(*self._parents.open_parent(intent.path)))
        except (FileNotFoundError, PathBlocked):
            # Whatever is in the way may be removed by an earlier intent of the same group.
            return self._fill(work, None)

    def _write(self, work: _ApplyJob, spot: Target) -> None:
        try:
            found = self._fs.stat(spot.folder, spot.name)
        except FileNotFoundError:
            found = None
        is_file = found is not None and found.kind is FileType.FILE
        same_size = is_file and found is not None and found.size == len(work.content)
        if same_size and hash_at(self._fs, spot) == work.intent.new:
            if self._root.case_collision(spot.folder, spot.name) is None:
                return work.decide(ApplyOutcome.DONE)
            is_file = False
        return self._fill(work, spot if is_file else None)

    def _fill(self, work: _ApplyJob, model: Target | None) -> None:
        source = None if model is None else (model.folder, model.name)
        written = self._staging.write(work.intent.id, work.content, source)
        work.inode, work.mtime_ns = written.inode, written.mtime_ns

    def _settle_files(self, works: list[_ApplyJob]) -> None:
        written = [work for work in works if work.landing is None and work.inode is not None]
        try:
            if len(written) < GROUP_SYNC or not self._sync_all(self._trash.staging):
                for work in written:
                    self._staging.settle(work.intent.id)
        except OSError as failure:
            for work in written:
                work.decide(ApplyOutcome.FAILED, f"the disk refused: {failure.strerror or failure}")
                self._clean(work)

    def _sync_all(self, folder: Dir) -> bool:
        """One sync of the whole file system; False where there is no such call."""
        try:
            self._fs.syncfs(folder)
        except OSError as failure:
            if failure.errno not in UNSUPPORTED:
                raise
            return False
        return True

    def _mark(self, works: list[_ApplyJob]) -> None:
        """Once a mark stands, a new file that is missing in the staging counts as put in place: what will not be is
        withdrawn before.
        """
        creations = [work for work in works if work.landing is None and work.is_creation]
        try:
            for work in works if creations else ():
                if work.intent.new is not None and work.landing not in {None, ApplyOutcome.DONE}:
                    self._staging.cancel(work.intent.id)
            for group in {group_of(work.intent.id) for work in creations}:
                self._staging.mark(group)
        except OSError as failure:
            for work in creations:
                work.decide(ApplyOutcome.FAILED, f"the disk refused: {failure.strerror or failure}")
                self._clean(work)

    def _install(self, work: _ApplyJob) -> None:
        if not work.is_creation:
            self._staging.ready(work.intent.id)
        try:
            self._place(work)
        except FileNotFoundError:
            if not self._parents.reused:
                raise
            # The folder went after it was walked to for another file.
            self._parents.release()
            self._place(work)

    def _place(self, work: _ApplyJob) -> None:
        """Brings the path to what the intent wants, having looked at it a last time."""
        intent = work.intent
        spot = Target(*self._parents.open_parent(intent.path, work.made))
        self._touched.add(paths.parent_of(intent.path))
        self._touched.update(map(paths.parent_of, work.made))
        twin = self._root.case_collision(spot.folder, spot.name)
        if twin is not None:
            return work.decide(ApplyOutcome.BLOCKED, _TWIN.format(twin))
        if not work.is_creation:
            if not self._is_file(spot):
                return work.decide(ApplyOutcome.CHANGED, "the expected file is not there")
            landing = self._swapper.replace(intent, spot, work.now)
        else:
            landing = self._swapper.create(intent, spot)
            if landing is ApplyOutcome.CHANGED and self._kind(spot) is FileType.FOLDER:
                if not self._removed_empty(spot):
                    return work.decide(ApplyOutcome.BLOCKED, "a folder that still holds something stands there")
                landing = self._swapper.create(intent, spot)
            if landing is ApplyOutcome.CHANGED and hash_at(self._fs, spot) == intent.new:
                self._clean(work)
                return work.decide(ApplyOutcome.DONE)
        if landing is ApplyOutcome.DONE:
            work.seen = self._installed(work, spot)
        return work.decide(landing)

    def _remove(self, work: _ApplyJob) -> None:
        intent = work.intent
        try:
            spot = Target(*self._parents.open_parent(intent.path))
        except (FileNotFoundError, PathBlocked):
            # No folder, no file to remove.
            return work.decide(ApplyOutcome.DONE)
        self._touched.add(paths.parent_of(intent.path))
        twin = self._root.case_collision(spot.folder, spot.name)
        if twin is not None:
            return work.decide(ApplyOutcome.BLOCKED, _TWIN.format(twin))
        kind = self._kind(spot)
        if kind is None or kind is FileType.FOLDER:
            return work.decide(ApplyOutcome.DONE)
        if kind is not FileType.FILE or intent.expected is None:
            return work.decide(ApplyOutcome.CHANGED, "something else stands there")
        landing = self._swapper.remove(intent, spot, work.now)
        if landing is ApplyOutcome.DONE:
            work.seen = observe_at(self._fs, spot.folder, intent.path, known=None, max_bytes=self._max_bytes)
        return work.decide(landing)

    def _is_file(self, spot: Target) -> bool:
        return self._kind(spot) is FileType.FILE

    def _kind(self, spot: Target) -> FileType | None:
        try:
            return self._fs.stat(spot.folder, spot.name).kind
        except FileNotFoundError:
            return None

    def _removed_empty(self, spot: Target) -> bool:
        try:
            self._fs.rmdir(spot.folder, spot.name)
        except OSError as failure:
            if failure.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            return False
        return True

    def _remove_emptied(self, works: list[_ApplyJob]) -> None:
        """Removes the folders above what a pull removed, upwards, as long as they are empty."""
        self._parents.release()
        pulled = [work.intent.path for work in works if work.intent.purpose is Purpose.PULL and work.is_done]
        staying: set[str] = set()
        for above in sorted({above for path in pulled for above in paths.ancestors(path)}, reverse=True):
            # Everything below a name sorts behind it, so what could empty this folder has been tried.
            if above in staying:
                continue
            try:
                with self._root.parent(above) as (folder, name):
                    self._fs.rmdir(folder, name)
            except (OSError, DiskError):
                staying.update((above, *paths.ancestors(above)))
            else:
                self._touched.add(paths.parent_of(above))

    def _clean(self, work: _ApplyJob) -> None:
        """Leaves nothing of an intent that was not carried out. Bytes that are not ours go to the trash."""
        intent = work.intent
        if work.made:
            self._parents.release()
        with contextlib.suppress(OSError, DiskError):
            discard(self._staging, intent, work.now)
        for made in reversed(work.made):
            with contextlib.suppress(OSError, DiskError), self._root.parent(made) as (folder, name):
                self._fs.rmdir(folder, name)

    def _settle_folders(self) -> None:
        touched = sorted(self._touched)
        if not touched:
            return
        try:
            if len(touched) >= GROUP_SYNC and self._sync_all(self._root.handle):
                return
            for path in touched:
                with contextlib.suppress(*_GONE), self._root.folder(path) as folder:
                    self._fs.fsync_dir(folder)
            self._fs.fsync_dir(self._trash.folder)
            self._fs.fsync_dir(self._trash.staging)
        except OSError as failure:
            raise DiskError(f"Changes to {self._root.path} cannot be made durable: {failure.strerror}.") from failure

    def _landed(self, work: _ApplyJob) -> ApplyResult:
        assert work.landing is not None
        intent = work.intent
        if intent.path not in self._parents.moved_away:
            return ApplyResult(intent.id, work.landing, work.seen or self._look(intent.path), work.text)
        seen = self._look(intent.path)
        if work.is_done and work.is_creation and (seen is None or not seen.side.is_file):
            # It went with its folder, and nobody who saw it took it away: that it is missing here is nobody's delete.
            with contextlib.suppress(OSError):
                self._staging.cancel(intent.id)
            return ApplyResult(intent.id, ApplyOutcome.CHANGED, seen, "its folder was taken away meanwhile")
        return ApplyResult(intent.id, work.landing, seen, work.text)

    def _installed(self, work: _ApplyJob, spot: Target) -> Observation | None:
        """What we put there ourselves, known without reading it again, if it still is what stands there."""
        intent = work.intent
        if intent.new is None:
            return None
        try:
            found = self._fs.stat(spot.folder, spot.name)
            now_ns = self._fs.now_ns(spot.folder)
        except OSError:
            return None
        if (found.inode, found.size, found.mtime_ns) != (work.inode, len(work.content), work.mtime_ns):
            return None
        side = side_of_content(intent.path, work.content, intent.new, self._max_bytes)
        return Observation(intent.path, side, fingerprint_of(found, xxh3(work.content), now_ns))

    def _look(self, path: str) -> Observation | None:
        if paths.check(path) is not None:
            return None
        return observe(self._root, self._selection, path, None, self._max_bytes)
