"""The trash: files that the agent replaced or removed, kept as plain files whose names hold all their data.

There is no table. An entry is named ``TIME-ID-SHA256-REASON-PATH``, with the path percent-encoded. A path that is too
long for a name is cut and ends with '+'. The whole path is then in ``TIME-ID.path``, written before the entry appears.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct, structs

from agent.core.errors import DiskError
from agent.core.model import SENTINEL_BASE
from agent.core.os_errors import explain
from agent.core.paths import OWN_NAME
from agent.core.retention import expired
from agent.disk.apply.trash_names import TrashName, entry_name, parse_name, sidecar_name
from agent.disk.apply.trash_texts import TrashText, write_texts
from agent.disk.apply.watch_records import (
    WatchRecord,
    read_file,
    read_record,
    recorded_ids,
    remove_record,
    write_file,
    write_record,
)
from agent.disk.fs.protocol import Dir, FileType, Fs, Stat
from agent.disk.root import Root
from agent.disk.scan.digest import CHUNK

_ID: Final = re.compile(r"[0-9A-Za-z_.]{1,64}")
_REASON: Final = re.compile(r"[a-z_]{1,20}")
_PRIVATE: Final = 0o700
_COMPOSED: Final = "\u00e9"
_DECOMPOSED: Final = "e\u0301"
_STAGING: Final = "slots"


class TrashEntry(Struct, frozen=True):
    """One file in the trash.

    Attributes:
        id: the intent that moved it here, or the id given to ``store``.
        path: its former path, relative to the root.
        hash: sha256 of its bytes.
        size: bytes.
        reason: why it was moved.
        moved_at: seconds since the epoch.
        name: its name in the trash folder.
    """

    id: str
    path: str
    hash: str
    size: int
    reason: str
    moved_at: float
    name: str


class WatchedEntry(Struct, frozen=True):
    """An entry whose file a process may still change.

    Attributes:
        size, mtime_ns: of the bytes that its hash names.
    """

    entry: TrashEntry
    size: int
    mtime_ns: int


class Trash:
    """The trash of one source, and its staging folder, in which new files are written before they are swapped in.

    Both are on the root's file system: in the state folder if a rename from there into the root is possible, else in
    ``ROOT/.raven-agent/``. They are created on first use and are readable by their owner only.
    """

    def __init__(self, fs: Fs, root: Root, state_folder: str, source: str = "default") -> None:
        self._fs = fs
        self._root = root
        self._state_folder = state_folder
        self._source = source
        self._handles: tuple[Dir, Dir] | None = None

    def __enter__(self) -> Trash:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close both folders."""
        for handle in self._handles or ():
            self._fs.close(handle)
        self._handles = None

    @property
    def folder(self) -> Dir:
        """The open folder of the entries. Raises DiskError if it cannot be created."""
        return self._opened()[0]

    @property
    def staging(self) -> Dir:
        """The open staging folder. Raises DiskError if it cannot be created."""
        return self._opened()[1]

    def entries(self) -> Iterator[TrashEntry]:
        """Yield every entry, the oldest first. Other names are ignored."""
        return self._read(self.names())

    def names(self) -> list[TrashName]:
        """Return the names of the entries, the oldest first. No entry is opened, so this is cheap for a large trash."""
        files = sorted(found.name for found in self._fs.entries(self.folder) if found.kind is FileType.FILE)
        return [name for file in files if (name := parse_name(file)) is not None]

    def entry(self, name: TrashName) -> TrashEntry | None:
        """Return the entry with this name; None if it is gone."""
        try:
            raw = name.raw_path
            if sidecar := sidecar_name(name.name):
                with contextlib.suppress(FileNotFoundError):
                    raw = read_file(self._fs, self.folder, sidecar)
            size = self._fs.stat(self.folder, name.name).size
        except FileNotFoundError:
            return None
        path = raw.decode("utf-8", "replace" if name.is_cut else "surrogateescape")
        return TrashEntry(name.id, path, name.hash, size, name.reason, name.moved_at, name.name)

    def entries_of(self, path: str) -> Iterator[TrashEntry]:
        """Yield the entries of one path, the oldest first. Only these are read."""
        return (one for one in self._read(name for name in self.names() if name.may_be_of(path)) if one.path == path)

    def entries_with_id(self, begin: str) -> list[TrashEntry]:
        """Return the entries whose id begins like this, the oldest first."""
        return list(self._read(name for name in self.names() if name.id.startswith(begin)))

    def _read(self, names: Iterable[TrashName]) -> Iterator[TrashEntry]:
        return (found for name in names if (found := self.entry(name)) is not None)

    def read(self, entry_id: str) -> bytes:
        """Return the bytes of one entry.

        Raises:
            DiskError: there is no such entry, it cannot be read, or its bytes are not the ones of its hash.
        """
        entry = next((one for one in self.entries_with_id(entry_id) if one.id == entry_id), None)
        if entry is None:
            raise DiskError(f"There is no trash entry {entry_id}.")
        try:
            content = read_file(self._fs, self.folder, entry.name)
        except OSError as failure:
            raise DiskError(f"The trash entry {entry_id} cannot be read: {explain(failure)}.") from failure
        if entry.hash not in (SENTINEL_BASE, hashlib.sha256(content).hexdigest()):
            raise DiskError(
                f"A program changed {entry.path} after it was moved to the trash (entry {entry_id}).",
                "raven-agent trash shows it again once the program has closed the file",
            )
        return content

    def pieces(self, entry: TrashEntry) -> Iterator[bytes]:
        """Iterate over an entry's bytes; their receiver checks the hash. Raises DiskError."""
        try:
            with contextlib.ExitStack() as opened:
                file = self._fs.open_file(self.folder, entry.name)
                opened.callback(self._fs.close, file)
                while piece := self._fs.read(file, CHUNK):
                    yield piece
        except OSError as failure:
            raise DiskError(f"The trash entry {entry.id} cannot be read: {explain(failure)}.") from failure

    def store(self, path: str, content: bytes, reason: str, entry_id: str, now: float) -> None:
        """Write one text as an entry, as ``store_all`` does."""
        self.store_all([TrashText(path, content, reason, entry_id)], now)

    def store_all(self, texts: Sequence[TrashText], now: float) -> None:
        """Write texts as entries; durable on return. A second call with the same ids and bytes changes nothing.

        Raises:
            OSError: the disk refused; some of the texts may be entries, and nothing else was left behind.
        """

        def add(staged: str, text: TrashText, sha256: str) -> None:
            self._add(staged, text.path, sha256, text.reason, text.entry_id, now)

        write_texts(self._fs, self.staging, self.folder, texts, add)

    def move_in(
        self, staged: str, path: str, *, sha256: str, hashed: Stat | None, reason: str, entry_id: str, now: float
    ) -> None:
        """Move a user's file from the staging folder into the trash; durable once the trash folder is.

        A file that a process may still change, through an open handle or another hard link, is watched from then on.
        So is a file that was changed after it was hashed.

        Args:
            hashed: the stat of the bytes that ``sha256`` names; None if the hash is unknown.

        Raises:
            OSError: the disk refused; the file is still in the staging folder.
        """
        links = 0
        may_change = False
        if self._fs.stat(self.staging, staged).kind is FileType.FILE:
            # First the lease, then the stat: a program that closed the file in between has left its last write there.
            may_change = self._fs.may_be_written(self.staging, staged)
            found = self._fs.stat(self.staging, staged)
            hashed, links = hashed or found, found.links
            may_change = may_change or not same_bytes(found, hashed)
            if links > 1 and self._finish_move(staged, entry_id, found, hashed if may_change or links > 2 else None):
                return
            if may_change or links > 1:
                self.watch(entry_id, self._name(path, sha256, reason, entry_id, now), hashed)
        try:
            self._add(staged, path, sha256, reason, entry_id, now)
        except OSError as error:
            if not isinstance(error, FileExistsError):
                # An equal entry would have a record of its own.
                self.unwatch(entry_id)
            raise

    def _finish_move(self, staged: str, entry_id: str, found: Stat, watched: Stat | None) -> bool:
        """Finish a move that a crash cut off between link and unlink: the entry is another name of the staged file."""
        for name in self.names():
            if name.id == entry_id and self._fs.stat(self.folder, name.name).inode == found.inode:
                self.unwatch(entry_id) if watched is None else self.watch(entry_id, name.name, watched)
                self._fs.fsync_dir(self.folder)
                self._fs.unlink(self.staging, staged)
                return True
        return False

    def _add(self, staged: str, path: str, sha256: str, reason: str, entry_id: str, now: float) -> None:
        name = self._name(path, sha256, reason, entry_id, now)
        self._sidecar(name, path)
        self._fs.rename_noreplace(self.staging, staged, self.folder, name)

    def watch(self, entry_id: str, name: str, found: Stat) -> None:
        """Record that the file of an entry may still change. The record appears whole, or replaces the old one.

        Args:
            found: the stat of the bytes that the entry's hash names.
        """
        record = WatchRecord(name, found.size, found.mtime_ns)
        write_record(self._fs, self.staging, entry_id, record)

    def unwatch(self, entry_id: str) -> None:
        """Remove the record of ``watch``, if there is one."""
        remove_record(self._fs, self.staging, entry_id)

    def watched(self) -> Iterator[WatchedEntry]:
        """Yield every entry that may still change.

        A record without an entry is skipped and kept: ``move_in`` writes the record before the file is in the trash,
        and this may be another thread.
        """
        for _, watched in self._records():
            if watched is not None:
                yield watched

    def repair_watches(self) -> None:
        """Correct the records after a crash. Call it only from the thread that calls ``move_in``.

        A record whose entry has another name by now gets that name; a record without an entry is removed.
        """
        for entry_id, watched in list(self._records()):
            if watched is not None:
                continue
            renamed = [entry for entry in self.entries() if entry.id == entry_id]
            record = read_record(self._fs, self.staging, entry_id)
            if renamed and record is not None:
                write_record(self._fs, self.staging, entry_id, record._replace(name=renamed[-1].name))
            else:
                self.unwatch(entry_id)

    def _records(self) -> Iterator[tuple[str, WatchedEntry | None]]:
        """Yield the entry id of each record, and the entry; None if the entry is not there or the record is damaged."""
        for entry_id in recorded_ids(self._fs, self.staging) if self.exists() else ():
            record = read_record(self._fs, self.staging, entry_id)
            name = None if record is None else parse_name(record.name)
            entry = None if name is None else self.entry(name)
            watched = record and entry and WatchedEntry(entry, record.size, record.mtime_ns)
            yield entry_id, watched or None

    def correct(self, entry: TrashEntry, sha256: str) -> TrashEntry:
        """Rename an entry to the hash of its present bytes. Raises OSError."""
        name = self._name(entry.path, sha256, entry.reason, entry.id, entry.moved_at)
        if name != entry.name:
            self._fs.rename_noreplace(self.folder, entry.name, self.folder, name)
            self._fs.fsync_dir(self.folder)
        return structs.replace(entry, hash=sha256, name=name)

    def stores_nfd(self) -> bool:
        """Try whether this file system stores names decomposed (NFD). Raises DiskError or OSError if that fails."""
        # Another handle may probe at the same time. The ending makes recovery remove what a crash left behind.
        ending = f"{os.urandom(8).hex()}.part"
        self._fs.close(self._fs.create(self.staging, _COMPOSED + ending, 0o600))
        try:
            return any(entry.name == _DECOMPOSED + ending for entry in self._fs.entries(self.staging))
        finally:
            # Recovery on another thread may have removed it.
            with contextlib.suppress(FileNotFoundError):
                self._fs.unlink(self.staging, _COMPOSED + ending)

    def prune(
        self, now: float, max_age_seconds: float, max_bytes: int, on_server: Callable[[str], bool]
    ) -> list[TrashEntry]:
        """Remove the entries that ``core.retention.expired`` chooses, but none that changes now. Returns them."""
        changing = {one.entry.id for one in self.watched() if self._was_changed(one)}
        entries = [entry for entry in self.entries() if entry.id not in changing]
        gone = expired(entries, now, max_age_seconds, max_bytes, on_server)
        for entry in gone:
            self._remove(entry)
        return gone

    def _opened(self) -> tuple[Dir, Dir]:
        if self._handles is None:
            try:
                self._handles = self._open()
            except OSError as failure:
                raise DiskError(f"No trash can be created for {self._root.path}: {explain(failure)}.") from failure
        return self._handles

    def exists(self) -> bool:
        """Return True if the trash was created before. Creates nothing. Raises OSError if that cannot be determined."""
        if self._handles is not None:
            return True
        handles = [self._fs.open_root(self._state_folder)]
        try:
            names = [_STAGING, self._source]
            if not self._fs.same_volume(handles[0], self._root.handle):
                handles.append(self._root.handle)
                names = [OWN_NAME, *names]
            for name in names:
                handles.append(self._fs.open_dir(handles[-1], name))
        except FileNotFoundError:
            return False
        finally:
            for handle in handles:
                if handle != self._root.handle:
                    self._fs.close(handle)
        return True

    def _open(self) -> tuple[Dir, Dir]:
        with contextlib.ExitStack() as passed, contextlib.ExitStack() as kept:
            base = self._fs.open_root(self._state_folder)
            passed.callback(self._fs.close, base)
            if not self._fs.same_volume(base, self._root.handle):
                base = self._private(self._root.handle, OWN_NAME, passed)
            own = [self._private(base, name, passed) for name in ("trash", _STAGING)]
            entries, staging = (self._private(folder, self._source, kept) for folder in own)
            kept.pop_all()
            return entries, staging

    def _private(self, parent: Dir, name: str, opened: contextlib.ExitStack) -> Dir:
        """Open a private folder, made if it is missing. It is closed with ``opened``."""
        with contextlib.suppress(FileExistsError):
            self._fs.mkdir(parent, name, _PRIVATE)
            self._fs.fsync_dir(parent)
        handle = self._fs.open_dir(parent, name)
        opened.callback(self._fs.close, handle)
        return handle

    def _name(self, path: str, sha256: str, reason: str, entry_id: str, now: float) -> str:
        if not _ID.fullmatch(entry_id) or not _REASON.fullmatch(reason):
            raise ValueError(f"not usable in a name: id {entry_id!r}, reason {reason!r}")
        return entry_name(path, sha256, reason, entry_id, now)

    def _sidecar(self, name: str, path: str) -> None:
        """Write the whole path beside an entry whose name cuts it. A half-written one of a crash is replaced."""
        if sidecar := sidecar_name(name):
            with contextlib.suppress(FileNotFoundError):
                self._fs.unlink(self.folder, sidecar)
            write_file(self._fs, self.folder, sidecar, path.encode("utf-8", "surrogateescape"))

    def _was_changed(self, watched: WatchedEntry) -> bool:
        return not same_bytes(self._fs.stat(self.folder, watched.entry.name), watched)

    def _remove(self, entry: TrashEntry) -> None:
        self.unwatch(entry.id)
        self._fs.unlink(self.folder, entry.name)
        if sidecar := sidecar_name(entry.name):
            with contextlib.suppress(FileNotFoundError):
                self._fs.unlink(self.folder, sidecar)


def same_bytes(one: Stat | WatchedEntry, other: Stat | WatchedEntry) -> bool:
    """Return True if neither the size nor the modification time differs."""
    return (one.size, one.mtime_ns) == (other.size, other.mtime_ns)
