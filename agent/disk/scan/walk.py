"""The scan: a walk over the whole folder in the order of its paths, merged with the records of the index."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from msgspec import Struct

from agent.core import paths
from agent.core.accepts import TEXT, Accepts
from agent.core.errors import RootError
from agent.core.model import IndexedFile, IndexedFileRow, Observation, Presence, Reason, SkippedEntry
from agent.core.paths import collision_key
from agent.disk.fs.protocol import Dir, FileType, Listing, MountId
from agent.disk.root import MountMissing, Root, not_mounted
from agent.disk.scan.births import with_birth
from agent.disk.scan.observe import (
    OF_NO_TEXT,
    READ_ALL,
    UNREAD,
    ReadPolicy,
    observe,
    observe_at,
    observe_new,
    placeholder_target,
)
from agent.disk.selection.rules import Selection, SelectionVerdict

__all__ = ["ScanBatch", "scan"]

BATCH: Final = 2000
_MAX_PLAIN_FOLDER: Final = 500
"""Length of a folder's path, in characters, up to which no name in it makes a path too long."""
_PROVEN: Final = (0, int(Presence.FILE))
"""Fields ``racy`` and ``presence`` of an ``IndexedFile`` whose stamp is proof: not racy, and a file."""
_SIZE: Final = frozenset({Reason.TOO_LARGE})


class ScanBatch(Struct, frozen=True):
    """A part of a scan.

    Attributes:
        seen: observations whose side or fingerprint differs from the index, in the order of the paths.
        skipped: entries that can never be synced files.
        mounts: mount points found below the root.
        large: paths of large files that must be read to be known; see ``ReadPolicy``.
    """

    seen: tuple[Observation, ...]
    skipped: tuple[SkippedEntry, ...]
    mounts: tuple[str, ...] = ()
    large: tuple[str, ...] = ()


class _Level(Struct):
    """One open folder on the walk's stack.

    Attributes:
        prefix: its path with a slash at the end; empty for the root.
        names: names still to visit, in the order of the paths; the name of a folder ends with a slash.
        doubtful: names that may not be synced files, with their types. They are checked one by one.
        plain: True if ``core.paths.check`` accepts every plain name in this folder.
        mount: the mount it lies on.
        entered_ns: time of the clock that stamps files here, from before the listing.
    """

    prefix: str
    handle: Dir
    mount: MountId
    names: Iterator[str]
    doubtful: dict[str, FileType]
    plain: bool
    entered_ns: int


def scan(
    root: Root,
    selection: Selection,
    known: Iterable[IndexedFileRow],
    *,
    accepts: Accepts = TEXT,
    batch_size: int = BATCH,
    policy: ReadPolicy = READ_ALL,
) -> Iterator[ScanBatch]:
    """Yield everything that differs from ``known``, in batches of at most ``batch_size`` records of each kind.

    A known path that the walk does not find is observed by itself, so "absent" is always an observation: below a folder
    that cannot be listed the result is "unknown".

    Args:
        known: records of the index, sorted by the code points of their paths.
        accepts: the contents that the server takes.

    Raises:
        RootError: the root is missing or was replaced. No batch from after that is yielded.
        ValueError: ``known`` is not sorted.
    """
    return _Walk(root, selection, known, accepts, batch_size, policy).batches()


class _Walk:
    """The walk, merged with the records of the index; both are in the order of the paths.

    A folder sorts as its name with '/' at the end, as the paths inside it do. So the order of the walk is the order of
    the full paths.
    """

    def __init__(
        self,
        root: Root,
        selection: Selection,
        known: Iterable[IndexedFileRow],
        accepts: Accepts,
        batch_size: int,
        policy: ReadPolicy,
    ) -> None:
        self._root = root
        self._selection = selection
        self._known = iter(known)
        self._next: IndexedFileRow | None = None
        """The first known path that the walk has not reached."""
        self._accepts = accepts
        self._rejudged = _SIZE if accepts.text_only else _SIZE | OF_NO_TEXT
        """Reasons that may be over without a change of the file."""
        self._batch_size = batch_size
        self._policy = policy
        self._seen: list[Observation] = []
        self._skipped: list[SkippedEntry] = []
        self._mounts: list[str] = []
        self._large: list[Observation] = []
        self._takes_births = False
        """Birth times of new files are taken: the index is not empty, so a new file may be a renamed one."""

    def batches(self) -> Iterator[ScanBatch]:
        """Yield what differs from the index, and entries that can never be synced files."""
        root = self._root
        root.verify()
        self._selection.refresh()
        self._next = next(self._known, None)
        self._takes_births = self._next is not None
        try:
            top = root.listing(root.handle)
        except OSError as failure:
            raise RootError(f"The folder {root.path} cannot be listed: {failure.strerror}.") from failure
        levels = [self._level("", root.handle, root.fs.mount_of(root.handle), top)]
        try:
            while levels:
                if self._is_full():
                    yield self._batch()
                self._advance_walk(levels)
        finally:
            for level in levels[1:]:
                root.fs.close(level.handle)
        while self._next is not None:
            self._observe_alone(IndexedFile._make(self._next))
            if self._is_full():
                yield self._batch()
        last = self._batch()
        if last.seen or last.skipped or last.mounts or last.large:
            yield last

    def _advance_walk(self, levels: list[_Level]) -> None:
        """Visit the next files of the innermost folder, then enter the next folder or leave this one."""
        level = levels[-1]
        folder = self._files(level)
        if folder:
            below = self._enter(level, folder)
            if below is not None:
                levels.append(below)
        elif not self._is_full():
            levels.pop()
            if level.handle != self._root.handle:
                self._root.fs.close(level.handle)

    def _is_full(self) -> bool:
        return max(len(self._seen), len(self._skipped)) >= self._batch_size

    def _batch(self) -> ScanBatch:
        """Return the collected batch, after a check that all of it was seen in the linked root."""
        self._root.verify()
        large = tuple(one.path for one in self._large)
        batch = ScanBatch(tuple(self._seen), tuple(self._skipped), tuple(self._mounts), large)
        self._seen, self._skipped, self._mounts, self._large = [], [], [], []
        return batch

    def _files(self, level: _Level) -> str:
        """Visit files until the next folder, the end, or a full batch. Return the name of that folder, or ''.

        A later call goes on where this one stopped. For each unchanged file this loop is all the work of a scan.
        """
        fs, handle, prefix, doubtful = self._root.fs, level.handle, level.prefix, level.doubtful
        quick_stat, accepts, policy, now_ns = fs.quick_stat, self._accepts, self._policy, level.entered_ns
        limit = sys.maxsize if accepts.max_bytes is None else accepts.max_bytes
        rejudged = self._rejudged
        seen, large, room, births = self._seen, self._large, self._batch_size, self._takes_births
        for name in level.names:
            if name[-1] == "/":
                return name[:-1]
            path = prefix + name
            known = self._next
            while known is not None and known[0] < path:
                self._observe_alone(IndexedFile._make(known))
                if len(seen) >= room:
                    level.names = chain((name,), level.names)
                    return ""
                known = self._next
            if known is not None and known[0] == path:
                self._advance(known)
                if name not in doubtful:
                    try:
                        found = quick_stat(handle, name)
                    except OSError:
                        found = None
                    # An equal stamp of a file that is not racy proves equal bytes. Only what the server takes can have
                    # changed.
                    if (
                        found is not None
                        and known[1:7] == found + _PROVEN
                        and found[0] <= limit
                        and (known[7] is None or known[7] not in rejudged)
                    ):
                        continue
                self._observe_known(level, name, IndexedFile._make(known))
            elif name in doubtful:
                self._observe_doubtful(level, name, path)
            else:
                new = observe_new(
                    fs, handle, name, path, plain=level.plain, now_ns=now_ns, accepts=accepts, policy=policy
                )
                if births:
                    new = with_birth(fs, handle, new, None)
                (large if new.side is UNREAD else seen).append(new)
            if len(seen) >= room or len(self._skipped) >= room:
                break
        return ""

    def _advance(self, known: IndexedFileRow) -> None:
        """Take the next record of the index: the walk has reached ``known``."""
        self._next = following = next(self._known, None)
        if following is not None and following[0] < known[0]:
            raise ValueError(f"known paths are not sorted: {following[0]!r} after {known[0]!r}")

    def _observe_alone(self, known: IndexedFile) -> None:
        """Observe a known path that the walk did not find."""
        self._advance(known)
        self._compare(observe(self._root, self._selection, known.path, known, self._accepts, self._policy), known)

    def _compare(self, seen: Observation, known: IndexedFile) -> None:
        if seen.side is UNREAD:
            self._large.append(seen)
        elif seen.side != known.side or seen.fingerprint != known.fingerprint:
            self._seen.append(seen)

    def _observe_doubtful(self, level: _Level, name: str, path: str) -> None:
        """Observe a path that is not in the index, if it is a synced file at all."""
        if self._obstacle(path, level.doubtful[name]) is None:
            fs, handle = self._root.fs, level.handle
            seen = observe_at(fs, handle, path, known=None, accepts=self._accepts, policy=self._policy)
            if self._takes_births:
                seen = with_birth(fs, handle, seen, None)
            if seen.side is UNREAD:
                self._large.append(seen)
            else:
                self._seen.append(seen)

    def _observe_known(self, level: _Level, name: str, known: IndexedFile) -> None:
        """Observe a path of the index whose stamp is no proof."""
        if name in level.doubtful and self._obstacle(known.path, level.doubtful[name]) is not None:
            seen = observe(self._root, self._selection, known.path, known, self._accepts, self._policy)
        else:
            fs, handle = self._root.fs, level.handle
            seen = observe_at(fs, handle, known.path, known=known, accepts=self._accepts, policy=self._policy)
            seen = with_birth(fs, handle, seen, known)
        self._compare(seen, known)

    def _obstacle(self, path: str, kind: FileType) -> SkippedEntry | SelectionVerdict | None:
        """Return the reason not to observe a name: a verdict if it is out of scope, or its entry in ``skipped``."""
        try:
            verdict = self._selection.verdict(path)
        except OSError as failure:
            return self._skip(path, Reason.UNREADABLE, f"its ignore files cannot be read: {failure.strerror}")
        if not verdict.selected:
            return verdict
        if _undecodable(path):
            return self._skip(path, Reason.BAD_NAME, "the name is not valid UTF-8")
        if kind is FileType.LINK:
            return self._skip(path, Reason.LINK, "a link, and links are not followed")
        if kind is FileType.SPECIAL:
            return self._skip(path, Reason.SPECIAL, "neither a file nor a folder")
        return None

    def _skip(self, path: str, reason: Reason, text: str) -> SkippedEntry:
        entry = SkippedEntry(path, reason, text)
        self._skipped.append(entry)
        return entry

    def _enter(self, level: _Level, name: str) -> _Level | None:
        path = level.prefix + name
        root, fs = self._root, self._root.fs
        try:
            if not self._selection.may_contain(path):
                return None
            if _undecodable(name):
                self._skip(path, Reason.BAD_NAME, "the folder's name is not valid UTF-8")
                return None
            handle = fs.open_dir(level.handle, name)
            try:
                mount = fs.mount_of(handle)
                if mount == level.mount and path in root.mounts:
                    raise MountMissing(not_mounted(path))
                below = self._level(path + "/", handle, mount, root.listing(handle))
            except BaseException:
                fs.close(handle)
                raise
        except FileNotFoundError:
            return None
        except MountMissing as unmounted:
            self._skip(path, Reason.UNMOUNTED, unmounted.message)
            return None
        except OSError as failure:
            if failure.errno not in {errno.ELOOP, errno.ENOTDIR}:
                self._skip(path, Reason.UNREADABLE, f"the folder cannot be read: {failure.strerror}")
            return None
        if mount != level.mount:
            self._mounts.append(path)
        return below

    def _level(self, prefix: str, handle: Dir, mount: MountId, listed: Listing) -> _Level:
        root, files = self._root, listed.files
        doubtful = {entry.name: entry.kind for entry in listed.others}
        targets = {name for stub in files if stub[0] == "." and (name := placeholder_target(stub))}
        if targets:
            # A cloud placeholder is visited under the name of its file.
            doubtful.update(dict.fromkeys(targets.difference(files, listed.folders, doubtful), FileType.FILE))
        try:
            self._selection.learn_folder(prefix[:-1], files, handle)
            sure, unsure = self._selection.filter_names(prefix[:-1], files)
        except OSError:
            # An ignore file cannot be read. Checked one by one, each file reports that.
            sure, unsure = [], files
        doubtful.update(dict.fromkeys(unsure, FileType.FILE))
        names = [*sure, *doubtful, *(name + "/" for name in listed.folders)]
        names.sort()
        if root.is_case_insensitive():
            names = self._without_collisions(prefix, names)
        plain = len(prefix) < _MAX_PLAIN_FOLDER and paths.check(prefix + "x") is None
        return _Level(prefix, handle, mount, iter(names), doubtful, plain, root.fs.now_ns(handle))

    def _without_collisions(self, prefix: str, names: list[str]) -> list[str]:
        """Keep the first of the names that this disk equates. The others are reported as skipped."""
        first: dict[str, str] = {}
        kept: list[str] = []
        for entry in names:
            name = entry.removesuffix("/")
            other = first.setdefault(collision_key(name), name)
            if other == name:
                kept.append(entry)
            else:
                self._skip(prefix + name, Reason.NAME_TWIN, f"differs from '{other}' only in its spelling")
        return kept


def _undecodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return True
    return False
