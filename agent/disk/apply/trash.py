"""What the agent replaced or removed, kept as plain files whose names say everything about them.

There is no table: an entry is called ``TIME-ID-SHA256-REASON-PATH``, the path percent-encoded. A path too long for a
name is cut, ends in '+', and stands whole in ``TIME-ID.path`` beside it, written before the entry appears.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from msgspec import Struct

from agent.core.errors import DiskError
from agent.core.paths import MAX_PART_BYTES, OWN_NAME
from agent.disk.fs.protocol import Dir, FileType, Fs
from agent.disk.root import Root
from agent.disk.scan.digest import CHUNK

_STAMP: Final = "%Y%m%dT%H%M%SZ"
_ENTRY: Final = re.compile(r"(\d{8}T\d{6}Z)-([0-9A-Za-z_.]+)-([0-9a-f]{64})-([a-z_]+)-(.+)")
_ID: Final = re.compile(r"[0-9A-Za-z_.]{1,64}")
_REASON: Final = re.compile(r"[a-z_]{1,20}")
_CUT: Final = "+"
_SIDECAR: Final = ".path"
_PRIVATE: Final = 0o700
_PROBE: Final = "\u00e9.part"
"""Ends as what was never finished does, so that one a crash left is cleared away."""


class TrashEntry(Struct, frozen=True):
    """One file in the trash.

    Attributes:
        id: the intent that moved it here, or the id it was stashed under.
        path: where it stood, relative to the root.
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


class Trash:
    """The trash of one source, and beside it the staging in which new files are written before they are swapped in.

    Both lie on the root's file system: in the state folder if a name can be renamed from there into the root, else in
    ``ROOT/.raven-agent/``. They are made, readable by their owner only, when first needed.
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
        """Gives the handles back."""
        for handle in self._handles or ():
            self._fs.close(handle)
        self._handles = None

    @property
    def folder(self) -> Dir:
        """The folder the entries lie in. Raises DiskError if it cannot be made."""
        return self._opened()[0]

    @property
    def staging(self) -> Dir:
        """The folder for files on their way in or out. Raises DiskError if it cannot be made."""
        return self._opened()[1]

    def entries(self) -> Iterator[TrashEntry]:
        """Every entry, the oldest first. Names that are no entry's are passed over."""
        for entry in sorted(self._fs.entries(self.folder), key=lambda entry: entry.name):
            found = self._parse(entry.name) if entry.kind is FileType.FILE else None
            if found is not None:
                yield found

    def read(self, entry_id: str) -> bytes:
        """The bytes of one entry. Raises DiskError if there is no such entry or it cannot be read."""
        for entry in self.entries():
            if entry.id == entry_id:
                try:
                    return self._content(entry.name)
                except OSError as failure:
                    raise DiskError(f"The trash entry {entry_id} cannot be read: {failure.strerror}.") from failure
        raise DiskError(f"There is no trash entry {entry_id}.")

    def stash(self, path: str, content: bytes, reason: str, entry_id: str, now: float) -> None:
        """Keeps bytes that stand nowhere else; durable when it returns. The same id and bytes again change nothing.

        Raises:
            OSError: the disk refused; nothing was left behind.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        if any((entry.id, entry.hash) == (entry_id, sha256) for entry in self.entries()):
            return
        part = f"{entry_id}.part"
        with contextlib.suppress(FileNotFoundError):
            self._fs.unlink(self.staging, part)
        self._write(self.staging, part, content)
        try:
            self.absorb(part, path, sha256=sha256, reason=reason, entry_id=entry_id, now=now)
        except OSError:
            self._fs.unlink(self.staging, part)
            raise
        self._fs.fsync_dir(self.folder)

    def absorb(self, slot: str, path: str, *, sha256: str, reason: str, entry_id: str, now: float) -> None:
        """Moves a file out of the staging into the trash; as durable as the trash folder is next made.

        Raises:
            OSError: the disk refused; the file is still in its slot.
        """
        name = self._name(path, sha256, reason, entry_id, now)
        self._sidecar(name, path)
        self._fs.rename_noreplace(self.staging, slot, self.folder, name)

    def stores_nfd(self) -> bool:
        """Tries whether this file system writes names down decomposed. Raises DiskError, OSError if it cannot tell."""
        with contextlib.suppress(FileExistsError):
            self._fs.close(self._fs.create(self.staging, _PROBE, 0o600))
        names = {entry.name for entry in self._fs.entries(self.staging)}
        self._fs.unlink(self.staging, _PROBE)
        return _PROBE not in names

    def prune(
        self, now: float, max_age_seconds: float, max_bytes: int, on_server: Callable[[str], bool]
    ) -> list[TrashEntry]:
        """Removes what is older than ``max_age_seconds``, then the oldest until ``max_bytes`` are kept.

        Of the second sort, entries whose hash ``on_server`` does not know go last. Returns what was removed.
        """
        entries = list(self.entries())
        gone = [entry for entry in entries if now - entry.moved_at > max_age_seconds]
        kept = [entry for entry in entries if now - entry.moved_at <= max_age_seconds]
        total = sum(entry.size for entry in kept)
        if total > max_bytes:
            for entry in sorted(kept, key=lambda entry: (not on_server(entry.hash), entry.moved_at)):
                if total <= max_bytes:
                    break
                gone.append(entry)
                total -= entry.size
        for entry in gone:
            self._remove(entry)
        return gone

    def _opened(self) -> tuple[Dir, Dir]:
        if self._handles is None:
            try:
                self._handles = self._open()
            except OSError as failure:
                raise DiskError(f"No trash can be made for {self._root.path}: {failure.strerror}.") from failure
        return self._handles

    def _open(self) -> tuple[Dir, Dir]:
        base = self._fs.open_root(self._state_folder)
        try:
            if not self._fs.same_volume(base, self._root.handle):
                inside = self._private(self._root.handle, OWN_NAME)
                self._fs.close(base)
                base = inside
            return self._own(base, "trash"), self._own(base, "slots")
        finally:
            self._fs.close(base)

    def _own(self, base: Dir, name: str) -> Dir:
        shared = self._private(base, name)
        try:
            return self._private(shared, self._source)
        finally:
            self._fs.close(shared)

    def _private(self, parent: Dir, name: str) -> Dir:
        with contextlib.suppress(FileExistsError):
            self._fs.mkdir(parent, name, _PRIVATE)
            self._fs.fsync_dir(parent)
        return self._fs.open_dir(parent, name)

    def _name(self, path: str, sha256: str, reason: str, entry_id: str, now: float) -> str:
        if not _ID.fullmatch(entry_id) or not _REASON.fullmatch(reason):
            raise ValueError(f"not fit for a name: id {entry_id!r}, reason {reason!r}")
        stamp = datetime.datetime.fromtimestamp(now, datetime.UTC).strftime(_STAMP)
        head = f"{stamp}-{entry_id}-{sha256}-{reason}-"
        quoted = quote_from_bytes(path.encode("utf-8", "surrogateescape"), safe="")
        if len(head) + len(quoted) > MAX_PART_BYTES:
            quoted = quoted[: MAX_PART_BYTES - len(head) - len(_CUT)] + _CUT
        return head + quoted

    def _parse(self, name: str) -> TrashEntry | None:
        parts = _ENTRY.fullmatch(name)
        if parts is None:
            return None
        stamp, entry_id, sha256, reason, quoted = parts.groups()
        moved_at = datetime.datetime.strptime(stamp, _STAMP).replace(tzinfo=datetime.UTC).timestamp()
        raw = unquote_to_bytes(quoted.removesuffix(_CUT))
        try:
            if quoted.endswith(_CUT):
                with contextlib.suppress(FileNotFoundError):
                    raw = self._content(_sidecar_name(name))
            size = self._fs.stat(self.folder, name).size
        except FileNotFoundError:
            return None
        path = raw.decode("utf-8", "surrogateescape" if not quoted.endswith(_CUT) else "replace")
        return TrashEntry(entry_id, path, sha256, size, reason, moved_at, name)

    def _sidecar(self, name: str, path: str) -> None:
        """Writes the whole path beside an entry whose name had to cut it; one a crash left half written is replaced."""
        if name.endswith(_CUT):
            sidecar = _sidecar_name(name)
            with contextlib.suppress(FileNotFoundError):
                self._fs.unlink(self.folder, sidecar)
            self._write(self.folder, sidecar, path.encode("utf-8", "surrogateescape"))

    def _write(self, folder: Dir, name: str, content: bytes) -> None:
        file = self._fs.create(folder, name, 0o600)
        try:
            try:
                self._fs.write(file, content)
                self._fs.fsync(file)
            finally:
                self._fs.close(file)
        except OSError:
            self._fs.unlink(folder, name)
            raise

    def _content(self, name: str) -> bytes:
        file = self._fs.open_file(self.folder, name)
        try:
            pieces = []
            while data := self._fs.read(file, CHUNK):
                pieces.append(data)
            return b"".join(pieces)
        finally:
            self._fs.close(file)

    def _remove(self, entry: TrashEntry) -> None:
        self._fs.unlink(self.folder, entry.name)
        if entry.name.endswith(_CUT):
            with contextlib.suppress(FileNotFoundError):
                self._fs.unlink(self.folder, _sidecar_name(entry.name))


def _sidecar_name(name: str) -> str:
    stamp, entry_id = name.split("-", 2)[:2]
    return f"{stamp}-{entry_id}{_SIDECAR}"
