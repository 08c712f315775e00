"""Walking the whole folder in the order of its paths, merged with what the index remembers."""

from __future__ import annotations

import errno
import sys
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from agent.core import paths
from agent.core.errors import RootError
from agent.core.model import Known, Oddity, Presence, Reason, Seen
from agent.core.paths import twin_key
from agent.disk.fs import Dir, Kind, Listing
from agent.disk.look import first_look, look, observe, observe_at, placeholder_of
from agent.disk.root import Root, Unmounted, gone
from agent.disk.select import Selection, Verdict

__all__ = ["Batch", "look", "scan"]

BATCH: Final = 1000
_MAX_PLAIN_FOLDER: Final = 500
"""Characters of a folder's path up to which no name makes it too long."""
_PROVEN: Final = (0, int(Presence.FILE))
"""What must stand behind the stamp in ``Known`` for an equal one to prove anything: not racy, and a file."""
_TOO_LARGE: Final = Reason.TOO_LARGE.value


@dataclass(frozen=True, slots=True)
class Batch:
    """A stretch of a scan.

    Attributes:
        seen: what differs from what was known, in the order of the paths: a new side or a new fingerprint.
        oddities: entries that can never be synced files.
        mounts: folders met in it that are file systems of their own.
    """

    seen: tuple[Seen, ...]
    oddities: tuple[Oddity, ...]
    mounts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Mount:
    """A folder that is a file system of its own."""

    path: str


_Found = Seen | Oddity | _Mount


@dataclass(slots=True)
class _Level:
    """A folder the walk stands in, open until it is left.

    Attributes:
        prefix: its path with a slash behind; nothing for the root.
        names: what is left to be met, in the order of the paths; a folder's name ends with a slash.
        odd: those of the names that are no folder and not surely a synced file, by what they stand for.
        told: what is to be told of them without a look.
        plain: nothing is to be said against its path, whatever plain name comes behind.
        entered_ns: by the clock that stamps files here.
    """

    prefix: str
    handle: Dir
    device: int
    names: Iterator[str]
    odd: dict[str, Kind]
    told: list[_Found]
    plain: bool
    entered_ns: int


def scan(
    root: Root,
    selection: Selection,
    known: Iterable[Known],
    *,
    max_bytes: int | None = None,
    batch_size: int = BATCH,
) -> Iterator[Batch]:
    """Everything that differs from ``known``, in batches of at most ``batch_size`` records of each sort.

    ``known`` is sorted by path, by code points. A known path the walk did not meet is looked at by itself, so that
    "absent" always means that somebody looked: below a folder that cannot be listed it comes out as unknown.

    Raises:
        RootError: the root vanished or was replaced; no batch seen through it after that is given out.
        ValueError: ``known`` is not sorted.
    """
    root.verify()
    selection.renew()
    seen: list[Seen] = []
    oddities: list[Oddity] = []
    mounts: list[str] = []
    for found in _Walk(root, selection, known, max_bytes).found():
        if isinstance(found, Seen):
            seen.append(found)
        elif isinstance(found, Oddity):
            oddities.append(found)
        else:
            mounts.append(found.path)
        if max(len(seen), len(oddities)) >= batch_size:
            root.verify()
            yield Batch(tuple(seen), tuple(oddities), tuple(mounts))
            seen, oddities, mounts = [], [], []
    root.verify()
    if seen or oddities or mounts:
        yield Batch(tuple(seen), tuple(oddities), tuple(mounts))


class _Walk:
    """The walk, merged with what was known; both come in the order of the paths.

    A folder sorts as its name with '/' behind it, which is how the paths inside it compare with its neighbours, so the
    order of the walk is the order of the full paths.
    """

    def __init__(self, root: Root, selection: Selection, known: Iterable[Known], max_bytes: int | None) -> None:
        self._root = root
        self._selection = selection
        self._known = iter(known)
        self._next = next(self._known, None)
        """The first known path the walk has not come to yet."""
        self._max_bytes = max_bytes

    def found(self) -> Iterator[_Found]:
        """Whatever differs from what was known, and what can never be a synced file."""
        root = self._root
        try:
            top = root.listing(root.handle)
        except OSError as failure:
            raise RootError(f"The folder {root.path} cannot be listed: {failure.strerror}.") from failure
        levels = [self._level("", root.handle, root.identity.device, top)]
        try:
            yield from levels[0].told
            while levels:
                level = levels[-1]
                folder = yield from self._files(level)
                below = self._enter(level, folder) if folder is not None else None
                if isinstance(below, _Level):
                    levels.append(below)
                    yield from below.told
                elif below is not None:
                    yield below
                elif folder is None:
                    levels.pop()
                    if level.handle != root.handle:
                        root.fs.close(level.handle)
        finally:
            for level in levels[1:]:
                root.fs.close(level.handle)
        while self._next is not None:
            yield from self._by_itself()

    def _files(self, level: _Level) -> Generator[_Found, None, str | None]:
        """The files up to the level's next folder, whose name is returned; None at its end.

        For each file of a folder in which nothing changed this is all that is done.
        """
        fs, handle, prefix, odd, now_ns = self._root.fs, level.handle, level.prefix, level.odd, level.entered_ns
        glance, max_bytes = fs.glance, self._max_bytes
        limit = sys.maxsize if max_bytes is None else max_bytes
        for name in level.names:
            if name[-1] == "/":
                return name[:-1]
            path = prefix + name
            known = self._next
            while known is not None and known[0] < path:
                yield from self._by_itself()
                known = self._next
            if known is None or known[0] != path:
                if name in odd:
                    yield from self._odd(level, name, path)
                else:
                    yield first_look(fs, handle, name, path, plain=level.plain, now_ns=now_ns, max_bytes=max_bytes)
                continue
            self._next = following = next(self._known, None)
            if following is not None and following[0] < path:
                raise ValueError(f"known paths are not sorted: {following[0]!r} after {path!r}")
            if name not in odd:
                try:
                    found = glance(handle, name)
                except OSError:
                    found = None
                # Of a file that is not racy an equal stamp proves that nothing changed; what the server takes may have.
                if found is not None and known[1:7] == found + _PROVEN and found[0] <= limit and known[7] != _TOO_LARGE:
                    continue
            yield from self._again(level, name, known)
        return None

    def _by_itself(self) -> Iterator[Seen]:
        """A known path the walk does not meet is looked at by itself."""
        known = self._next
        assert known is not None
        self._next = next(self._known, None)
        if self._next is not None and self._next[0] < known[0]:
            raise ValueError(f"known paths are not sorted: {self._next[0]!r} after {known[0]!r}")
        yield from _difference(observe(self._root, self._selection, known.path, known, self._max_bytes), known)

    def _odd(self, level: _Level, name: str, path: str) -> Iterator[Seen | Oddity]:
        """A path nothing is known of, and that is not surely a synced file."""
        oddity = _weigh(self._selection, path, level.odd[name])
        if oddity is None:
            yield observe_at(self._root.fs, level.handle, path, known=None, max_bytes=self._max_bytes)
        elif isinstance(oddity, Oddity):
            yield oddity

    def _again(self, level: _Level, name: str, known: Known) -> Iterator[Seen | Oddity]:
        """A path that is known, and its stamp proves nothing."""
        oddity = _weigh(self._selection, known.path, level.odd[name]) if name in level.odd else None
        if oddity is not None:
            if isinstance(oddity, Oddity):
                yield oddity
            seen = observe(self._root, self._selection, known.path, known, self._max_bytes)
        else:
            seen = observe_at(self._root.fs, level.handle, known.path, known=known, max_bytes=self._max_bytes)
        yield from _difference(seen, known)

    def _enter(self, level: _Level, name: str) -> _Level | Oddity | None:
        path = level.prefix + name
        root, fs = self._root, self._root.fs
        try:
            if not self._selection.may_hold(path):
                return None
            if _undecodable(name):
                return Oddity(path, Reason.BAD_NAME, "the folder's name is not valid UTF-8")
            handle = fs.open_dir(level.handle, name)
            try:
                device = fs.fstat(handle).device
                if device == level.device and path in root.mounts:
                    raise Unmounted(gone(path))
                below = self._level(path + "/", handle, device, root.listing(handle))
            except BaseException:
                fs.close(handle)
                raise
        except FileNotFoundError:
            return None
        except Unmounted as unmounted:
            return Oddity(path, Reason.UNMOUNTED, unmounted.message)
        except OSError as failure:
            if failure.errno in {errno.ELOOP, errno.ENOTDIR}:
                return None
            return Oddity(path, Reason.UNREADABLE, f"the folder cannot be read: {failure.strerror}")
        if device != level.device:
            below.told.insert(0, _Mount(path))
        return below

    def _level(self, prefix: str, handle: Dir, device: int, listed: Listing) -> _Level:
        root, told, files = self._root, list[_Found](), listed.files
        odd = {entry.name: entry.kind for entry in listed.others}
        stood_for = {name for stub in files if stub[0] == "." and (name := placeholder_of(stub))}
        if stood_for:
            # A cloud stub comes under the name of the file it stands for.
            odd.update(dict.fromkeys(stood_for.difference(files, listed.folders, odd), Kind.FILE))
        try:
            self._selection.enter(prefix[:-1], handle, files)
            sure, doubtful = self._selection.sift(prefix[:-1], files)
        except OSError:
            # Asked about one by one, each of them says why nobody can tell.
            sure, doubtful = [], files
        odd.update(dict.fromkeys(doubtful, Kind.FILE))
        names = [*sure, *odd, *(name + "/" for name in listed.folders)]
        names.sort()
        if root.folds():
            names = _without_twins(prefix, names, told)
        plain = len(prefix) < _MAX_PLAIN_FOLDER and paths.check(prefix + "x") is None
        return _Level(prefix, handle, device, iter(names), odd, told, plain, root.fs.now_ns(handle))


def _difference(seen: Seen, known: Known) -> Iterator[Seen]:
    if seen.side != known.side or seen.fingerprint != known.fingerprint:
        yield seen


def _without_twins(prefix: str, names: list[str], told: list[_Found]) -> list[str]:
    """On a disk that folds names, the first of each set of twins; the others are told and left alone."""
    first: dict[str, str] = {}
    kept: list[str] = []
    for entry in names:
        name = entry.removesuffix("/")
        other = first.setdefault(twin_key(name), name)
        if other == name:
            kept.append(entry)
        else:
            told.append(Oddity(prefix + name, Reason.NAME_TWIN, f"differs from '{other}' only in its spelling"))
    return kept


def _weigh(selection: Selection, path: str, kind: Kind) -> Oddity | Verdict | None:
    """What keeps a name from being looked at: None for nothing, a verdict where it is not synced."""
    try:
        verdict = selection.verdict(path)
        if not verdict.selected:
            return verdict
    except OSError as failure:
        return Oddity(path, Reason.UNREADABLE, f"its ignore files cannot be read: {failure.strerror}")
    if _undecodable(path):
        return Oddity(path, Reason.BAD_NAME, "the name is not valid UTF-8")
    if kind is Kind.LINK:
        return Oddity(path, Reason.LINK, "a link, and links are not followed")
    if kind is Kind.SPECIAL:
        return Oddity(path, Reason.SPECIAL, "neither a file nor a folder")
    return None


def _undecodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return True
    return False
