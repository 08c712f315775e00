"""Walking the whole folder in the order of its paths, merged with what the index remembers."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

from agent.core.errors import RootError
from agent.core.model import Known, Oddity, Reason, Seen
from agent.core.paths import twin_key
from agent.disk.fs import Dir, Entry, Kind
from agent.disk.look import look, observe, observe_at, placeholder_of
from agent.disk.root import Root, Unmounted, gone
from agent.disk.select import Selection

__all__ = ["Batch", "look", "scan"]

BATCH: Final = 1000


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
class _Spot:
    """A selected file the walk stands before; its folder is open until the walk goes on."""

    path: str
    handle: Dir


@dataclass(frozen=True, slots=True)
class _Mount:
    """A folder that is a file system of its own."""

    path: str


@dataclass(slots=True)
class _Level:
    prefix: str
    handle: Dir
    device: int
    entries: Iterator[Entry | Oddity | _Mount]


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
    for found in _merged(root, selection, known, max_bytes):
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


def _merged(
    root: Root, selection: Selection, known: Iterable[Known], max_bytes: int | None
) -> Iterator[Seen | Oddity | _Mount]:
    remembered = _sorted(known)
    next_known = next(remembered, None)
    for spot in _walk(root, selection):
        if isinstance(spot, Oddity | _Mount):
            yield spot
            continue
        while next_known is not None and next_known.path < spot.path:
            yield from _difference(observe(root, selection, next_known.path, next_known, max_bytes), next_known)
            next_known = next(remembered, None)
        match = next_known if next_known is not None and next_known.path == spot.path else None
        yield from _difference(observe_at(root.fs, spot.handle, spot.path, known=match, max_bytes=max_bytes), match)
        if match is not None:
            next_known = next(remembered, None)
    while next_known is not None:
        yield from _difference(observe(root, selection, next_known.path, next_known, max_bytes), next_known)
        next_known = next(remembered, None)


def _sorted(known: Iterable[Known]) -> Iterator[Known]:
    last = ""
    for row in known:
        if row.path < last:
            raise ValueError(f"known paths are not sorted: {row.path!r} after {last!r}")
        last = row.path
        yield row


def _difference(seen: Seen, known: Known | None) -> Iterator[Seen]:
    if known is None or seen.side != known.side or seen.fingerprint != known.fingerprint:
        yield seen


def _walk(root: Root, selection: Selection) -> Iterator[_Spot | Oddity | _Mount]:
    """Every selected file, ordered as its path is.

    A folder sorts as its name with '/' behind it, which is how the paths inside it compare with its neighbours, so the
    order of the walk is the order of the full paths.
    """
    fs = root.fs
    try:
        top = root.entries(root.handle)
    except OSError as failure:
        raise RootError(f"The folder {root.path} cannot be listed: {failure.strerror}.") from failure
    levels = [_Level("", root.handle, root.identity.device, _without_twins(root, "", _ordered(top)))]
    try:
        while levels:
            level = levels[-1]
            entry = next(level.entries, None)
            if entry is None:
                levels.pop()
                if level.handle != root.handle:
                    fs.close(level.handle)
            elif isinstance(entry, Oddity | _Mount):
                yield entry
            elif entry.kind is Kind.FOLDER:
                below = _enter(root, selection, level, entry)
                if isinstance(below, _Level):
                    levels.append(below)
                elif below is not None:
                    yield below
            else:
                found = _weigh(root, selection, level, entry)
                if found is not None:
                    yield found
    finally:
        for level in levels[1:]:
            fs.close(level.handle)


def _ordered(entries: list[Entry]) -> list[Entry]:
    """The entries as the walk takes them, a cloud stub under the name of the file it stands for."""
    found = {entry.name: entry for entry in entries}
    for entry in entries:
        name = placeholder_of(entry.name)
        if name is not None:
            found.setdefault(name, Entry(name, Kind.FILE))
    return sorted(found.values(), key=lambda entry: entry.name + "/" if entry.kind is Kind.FOLDER else entry.name)


def _enter(root: Root, selection: Selection, level: _Level, entry: Entry) -> _Level | Oddity | None:
    path = level.prefix + entry.name
    try:
        if not selection.may_hold(path):
            return None
        if _undecodable(entry.name):
            return Oddity(path, Reason.BAD_NAME, "the folder's name is not valid UTF-8")
        handle = root.fs.open_dir(level.handle, entry.name)
        try:
            device = root.fs.fstat(handle).device
            if device == level.device and path in root.mounts:
                raise Unmounted(gone(path))
            inside = root.entries(handle)
        except BaseException:
            root.fs.close(handle)
            raise
    except FileNotFoundError:
        return None
    except Unmounted as unmounted:
        return Oddity(path, Reason.UNMOUNTED, unmounted.message)
    except OSError as failure:
        if failure.errno in {errno.ELOOP, errno.ENOTDIR}:
            return None
        return Oddity(path, Reason.UNREADABLE, f"the folder cannot be read: {failure.strerror}")
    told = [] if device == level.device else [_Mount(path)]
    return _Level(path + "/", handle, device, chain(told, _without_twins(root, path + "/", _ordered(inside))))


def _without_twins(root: Root, prefix: str, entries: list[Entry]) -> Iterator[Entry | Oddity]:
    """On a disk that folds names, the first of each set of twins; the others are told and left alone."""
    if not root.folds():
        return iter(entries)
    first: dict[str, str] = {}
    kept: list[Entry | Oddity] = []
    for entry in entries:
        name = first.setdefault(twin_key(entry.name), entry.name)
        if name == entry.name:
            kept.append(entry)
        else:
            kept.append(Oddity(prefix + entry.name, Reason.NAME_TWIN, f"differs from '{name}' only in its spelling"))
    return iter(kept)


def _weigh(root: Root, selection: Selection, level: _Level, entry: Entry) -> _Spot | Oddity | None:
    path = level.prefix + entry.name
    try:
        if not selection.verdict(path).selected:
            return None
    except OSError as failure:
        return Oddity(path, Reason.UNREADABLE, f"its ignore files cannot be read: {failure.strerror}")
    if _undecodable(entry.name):
        return Oddity(path, Reason.BAD_NAME, "the name is not valid UTF-8")
    if entry.kind is Kind.LINK:
        return Oddity(path, Reason.LINK, "a link, and links are not followed")
    if entry.kind is Kind.SPECIAL:
        return Oddity(path, Reason.SPECIAL, "neither a file nor a folder")
    return _Spot(path, level.handle)


def _undecodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return True
    return False
