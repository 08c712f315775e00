"""Walking the whole folder in the order of its paths, merged with what the index remembers."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from msgspec import Struct

from agent.core import paths
from agent.core.errors import RootError
from agent.core.model import IndexedFile, IndexedFileRow, Observation, Presence, Reason, SkippedEntry
from agent.core.paths import collision_key
from agent.disk.fs.protocol import Dir, FileType, Listing
from agent.disk.root import MountMissing, Root, gone
from agent.disk.scan.observe import first_look, look, observe, observe_at, placeholder_of
from agent.disk.selection.rules import Selection, SelectionVerdict

__all__ = ["ScanBatch", "look", "scan"]

BATCH: Final = 2000
_MAX_PLAIN_FOLDER: Final = 500
"""Characters of a folder's path up to which no name makes it too long."""
_PROVEN: Final = (0, int(Presence.FILE))
"""What must stand behind the stamp in ``IndexedFile`` for an equal one to prove anything: not racy, and a file."""
_TOO_LARGE: Final = Reason.TOO_LARGE.value


class ScanBatch(Struct, frozen=True):
    """A stretch of a scan.

    Attributes:
        seen: what differs from what was known, in the order of the paths: a new side or a new fingerprint.
        oddities: entries that can never be synced files.
        mounts: folders met in it that are file systems of their own.
    """

    seen: tuple[Observation, ...]
    oddities: tuple[SkippedEntry, ...]
    mounts: tuple[str, ...] = ()


class _Level(Struct):
    """A folder the walk stands in, open until it is left.

    Attributes:
        prefix: its path with a slash behind; nothing for the root.
        names: what is left to be met, in the order of the paths; a folder's name ends with a slash.
        odd: those of the names that are no folder and not surely a synced file, by what they stand for.
        plain: nothing is to be said against its path, whatever plain name comes behind.
        entered_ns: by the clock that stamps files here.
    """

    prefix: str
    handle: Dir
    device: int
    names: Iterator[str]
    odd: dict[str, FileType]
    plain: bool
    entered_ns: int


def scan(
    root: Root,
    selection: Selection,
    known: Iterable[IndexedFileRow],
    *,
    max_bytes: int | None = None,
    batch_size: int = BATCH,
) -> Iterator[ScanBatch]:
    """Everything that differs from ``known``, in batches of at most ``batch_size`` records of each sort.

    ``known`` is sorted by path, by code points. A known path the walk did not meet is looked at by itself, so that
    "absent" always means that somebody looked: below a folder that cannot be listed it comes out as unknown.

    Raises:
        RootError: the root vanished or was replaced; no batch seen through it after that is given out.
        ValueError: ``known`` is not sorted.
    """
    return _Walk(root, selection, known, max_bytes, batch_size).batches()


class _Walk:
    """The walk, merged with what was known; both come in the order of the paths.

    A folder sorts as its name with '/' behind it, which is how the paths inside it compare with its neighbours, so the
    order of the walk is the order of the full paths.
    """

    def __init__(
        self, root: Root, selection: Selection, known: Iterable[IndexedFileRow], max_bytes: int | None, batch_size: int
    ) -> None:
        self._root = root
        self._selection = selection
        self._known = iter(known)
        self._next: IndexedFileRow | None = None
        """The first known path the walk has not come to yet."""
        self._max_bytes = max_bytes
        self._batch_size = batch_size
        self._seen: list[Observation] = []
        self._oddities: list[SkippedEntry] = []
        self._mounts: list[str] = []

    def batches(self) -> Iterator[ScanBatch]:
        """Whatever differs from what was known, and what can never be a synced file."""
        root = self._root
        root.verify()
        self._selection.renew()
        self._next = next(self._known, None)
        try:
            top = root.listing(root.handle)
        except OSError as failure:
            raise RootError(f"The folder {root.path} cannot be listed: {failure.strerror}.") from failure
        levels = [self._level("", root.handle, root.identity.device, top)]
        try:
            while levels:
                if self._is_full():
                    yield self._batch()
                self._go_on(levels)
        finally:
            for level in levels[1:]:
                root.fs.close(level.handle)
        while self._next is not None:
            self._by_itself(IndexedFile._make(self._next))
            if self._is_full():
                yield self._batch()
        last = self._batch()
        if last.seen or last.oddities or last.mounts:
            yield last

    def _go_on(self, levels: list[_Level]) -> None:
        """Takes a stretch of files, and steps into the folder behind them or out of the one they end."""
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
        return max(len(self._seen), len(self._oddities)) >= self._batch_size

    def _batch(self) -> ScanBatch:
        """What was gathered; nothing of it was seen in a folder that took the root's place."""
        self._root.verify()
        batch = ScanBatch(tuple(self._seen), tuple(self._oddities), tuple(self._mounts))
        self._seen, self._oddities, self._mounts = [], [], []
        return batch

    def _files(self, level: _Level) -> str:
        """Takes the files up to the level's next folder, whose name is returned, or to its end, or until there are
        enough for a batch; nothing is left out by coming back.

        For each file of a folder in which nothing changed this is all that is done.
        """
        fs, handle, prefix, odd, now_ns = self._root.fs, level.handle, level.prefix, level.odd, level.entered_ns
        quick_stat, max_bytes = fs.quick_stat, self._max_bytes
        limit = sys.maxsize if max_bytes is None else max_bytes
        seen, room = self._seen, self._batch_size
        for name in level.names:
            if name[-1] == "/":
                return name[:-1]
            path = prefix + name
            known = self._next
            while known is not None and known[0] < path:
                self._by_itself(IndexedFile._make(known))
                if len(seen) >= room:
                    level.names = chain((name,), level.names)
                    return ""
                known = self._next
            if known is not None and known[0] == path:
                self._advance(known)
                if name not in odd:
                    try:
                        found = quick_stat(handle, name)
                    except OSError:
                        found = None
                    # Of a file that is not racy an equal stamp proves that nothing changed but what a server takes.
                    if (
                        found is not None
                        and known[1:7] == found + _PROVEN
                        and found[0] <= limit
                        and known[7] != _TOO_LARGE
                    ):
                        continue
                self._again(level, name, IndexedFile._make(known))
            elif name in odd:
                self._odd(level, name, path)
            else:
                seen.append(first_look(fs, handle, name, path, plain=level.plain, now_ns=now_ns, max_bytes=max_bytes))
            if len(seen) >= room or len(self._oddities) >= room:
                break
        return ""

    def _advance(self, known: IndexedFileRow) -> None:
        """The walk has come to this path."""
        self._next = following = next(self._known, None)
        if following is not None and following[0] < known[0]:
            raise ValueError(f"known paths are not sorted: {following[0]!r} after {known[0]!r}")

    def _by_itself(self, known: IndexedFile) -> None:
        """A known path the walk does not meet is looked at by itself."""
        self._advance(known)
        self._compare(observe(self._root, self._selection, known.path, known, self._max_bytes), known)

    def _compare(self, seen: Observation, known: IndexedFile) -> None:
        if seen.side != known.side or seen.fingerprint != known.fingerprint:
            self._seen.append(seen)

    def _odd(self, level: _Level, name: str, path: str) -> None:
        """A path nothing is known of, and that is not surely a synced file."""
        keeps = self._weigh(path, level.odd[name])
        if keeps is None:
            self._seen.append(observe_at(self._root.fs, level.handle, path, known=None, max_bytes=self._max_bytes))

    def _again(self, level: _Level, name: str, known: IndexedFile) -> None:
        """A path that is known, and its stamp proves nothing."""
        if name in level.odd and self._weigh(known.path, level.odd[name]) is not None:
            seen = observe(self._root, self._selection, known.path, known, self._max_bytes)
        else:
            seen = observe_at(self._root.fs, level.handle, known.path, known=known, max_bytes=self._max_bytes)
        self._compare(seen, known)

    def _weigh(self, path: str, kind: FileType) -> SkippedEntry | SelectionVerdict | None:
        """What keeps a name from being looked at: nothing, a verdict where it is not synced, or what is told of it."""
        try:
            verdict = self._selection.verdict(path)
        except OSError as failure:
            return self._tell(path, Reason.UNREADABLE, f"its ignore files cannot be read: {failure.strerror}")
        if not verdict.selected:
            return verdict
        if _undecodable(path):
            return self._tell(path, Reason.BAD_NAME, "the name is not valid UTF-8")
        if kind is FileType.LINK:
            return self._tell(path, Reason.LINK, "a link, and links are not followed")
        if kind is FileType.SPECIAL:
            return self._tell(path, Reason.SPECIAL, "neither a file nor a folder")
        return None

    def _tell(self, path: str, reason: Reason, text: str) -> SkippedEntry:
        oddity = SkippedEntry(path, reason, text)
        self._oddities.append(oddity)
        return oddity

    def _enter(self, level: _Level, name: str) -> _Level | None:
        path = level.prefix + name
        root, fs = self._root, self._root.fs
        try:
            if not self._selection.may_hold(path):
                return None
            if _undecodable(name):
                self._tell(path, Reason.BAD_NAME, "the folder's name is not valid UTF-8")
                return None
            handle = fs.open_dir(level.handle, name)
            try:
                device = fs.fstat(handle).device
                if device == level.device and path in root.mounts:
                    raise MountMissing(gone(path))
                below = self._level(path + "/", handle, device, root.listing(handle))
            except BaseException:
                fs.close(handle)
                raise
        except FileNotFoundError:
            return None
        except MountMissing as unmounted:
            self._tell(path, Reason.UNMOUNTED, unmounted.message)
            return None
        except OSError as failure:
            if failure.errno not in {errno.ELOOP, errno.ENOTDIR}:
                self._tell(path, Reason.UNREADABLE, f"the folder cannot be read: {failure.strerror}")
            return None
        if device != level.device:
            self._mounts.append(path)
        return below

    def _level(self, prefix: str, handle: Dir, device: int, listed: Listing) -> _Level:
        root, files = self._root, listed.files
        odd = {entry.name: entry.kind for entry in listed.others}
        stood_for = {name for stub in files if stub[0] == "." and (name := placeholder_of(stub))}
        if stood_for:
            # A cloud stub comes under the name of the file it stands for.
            odd.update(dict.fromkeys(stood_for.difference(files, listed.folders, odd), FileType.FILE))
        try:
            self._selection.enter(prefix[:-1], files, handle)
            sure, doubtful = self._selection.sift(prefix[:-1], files)
        except OSError:
            # Asked about one by one, each of them says why nobody can tell.
            sure, doubtful = [], files
        odd.update(dict.fromkeys(doubtful, FileType.FILE))
        names = [*sure, *odd, *(name + "/" for name in listed.folders)]
        names.sort()
        if root.is_case_insensitive():
            names = self._without_twins(prefix, names)
        plain = len(prefix) < _MAX_PLAIN_FOLDER and paths.check(prefix + "x") is None
        return _Level(prefix, handle, device, iter(names), odd, plain, root.fs.now_ns(handle))

    def _without_twins(self, prefix: str, names: list[str]) -> list[str]:
        """On a disk that folds names, the first of each set of twins; the others are told and left alone."""
        first: dict[str, str] = {}
        kept: list[str] = []
        for entry in names:
            name = entry.removesuffix("/")
            other = first.setdefault(collision_key(name), name)
            if other == name:
                kept.append(entry)
            else:
                self._tell(prefix + name, Reason.NAME_TWIN, f"differs from '{other}' only in its spelling")
        return kept


def _undecodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return True
    return False
