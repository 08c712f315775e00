"""The root: the synced folder, held open. Every path below it is walked from its handle and follows no link."""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from agent.core.errors import DiskError, RootError
from agent.core.paths import are_one_name, collision_key, to_nfc
from agent.disk.fs.protocol import Dir, FileType, FolderEntry, Fs, Listing, classify

_NOT_A_FOLDER: Final = frozenset({errno.ENOTDIR, errno.ELOOP, errno.EMLINK})
_BITS: Final = 1 << 64
_CASE_TRIES: Final = 3
"""Tries to learn the case rule from one name, while its file is being replaced."""
FOLDER_MODE: Final = 0o777
"""Mode of folders created on the way to a file; the umask narrows it."""


class UnsafePath(DiskError):
    """A parent folder of the path is a link."""

    code = "unsafe_path"


class PathBlocked(DiskError):
    """A parent folder of the path is a file, or a folder with another spelling that this file system equates."""

    code = "blocked"


class MountMissing(DiskError):
    """The path lies on a file system that is not mounted now."""

    code = "unmounted"


class RootIdentity(Struct, frozen=True):
    """Device and inode of the linked folder, which identify it under any path."""

    device: int
    inode: int

    def is_same(self, other: RootIdentity) -> bool:
        """Return True if both are the same folder, whether their 64-bit numbers are signed or not."""
        return self.has_inode_of(other) and (self.device - other.device) % _BITS == 0

    def has_inode_of(self, other: RootIdentity) -> bool:
        """Return True if the inodes are equal. Only then can it be the same folder after the disk was mounted again."""
        return (self.inode - other.inode) % _BITS == 0


class Root:
    """One synced folder.

    Attributes:
        fs: the file system.
        path: absolute path, as linked.
        identity: device and inode of the open folder.
        mounts: folders below it that are known mount points. Where one is not mounted, everything below it is unknown,
            never absent.
        nfd_probe: returns True if the file system stores names in NFD; None if no probe file may be written.

    Raises:
        RootError: the folder is missing, unreadable, not a folder, or not the expected one.
    """

    def __init__(self, fs: Fs, path: str, expected: RootIdentity | None = None) -> None:
        self.fs = fs
        self.path = path
        self.mounts: frozenset[str] = frozenset()
        self.nfd_probe: Callable[[], bool] | None = None
        self._case_insensitive: bool | None = None
        self._nfd: bool | None = None
        self._handle: Dir | None = self._open_root()
        with self._closed_on_failure(self._handle):
            self.identity = self._identity(self._handle)
            if expected is not None and not expected.is_same(self.identity):
                raise RootError(f"The folder at {path} is not the one that was linked.")

    def __enter__(self) -> Root:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the handle."""
        self.release()

    @property
    def handle(self) -> Dir:
        """The open folder. After ``release`` it is opened again; raises RootError if it is no longer the same one."""
        if self._handle is None:
            handle = self._open_root()
            with self._closed_on_failure(handle):
                self._check_identity(handle)
            self._handle = handle
        return self._handle

    @property
    def is_open(self) -> bool:
        """True while a handle is open, so that the file system cannot be unmounted."""
        return self._handle is not None

    def release(self) -> None:
        """Close the handle until the next use. No other thread may use the root meanwhile."""
        if self._handle is not None:
            self.fs.close(self._handle)
            self._handle = None

    def _open_root(self) -> Dir:
        try:
            return self.fs.open_root(self.path)
        except (FileNotFoundError, NotADirectoryError) as failure:
            from shlex import quote

            raise RootError(
                f"There is no folder at {self.path} any more. Put it back; "
                f"if it was moved: raven-agent move {quote(self.path)} NEW"
            ) from failure
        except OSError as failure:
            raise RootError(f"The folder {self.path} cannot be opened: {failure.strerror}.") from failure

    def verify(self) -> None:
        """Check that the open folder is still the one at its path.

        Raises:
            RootError: it is not.
        """
        other = self._open_root()
        try:
            self._check_identity(other)
        finally:
            self.fs.close(other)

    def _check_identity(self, handle: Dir) -> None:
        if not self.identity.is_same(self._identity(handle)):
            raise RootError(f"The folder {self.path} was replaced by another one.")

    @contextlib.contextmanager
    def _closed_on_failure(self, handle: Dir) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.fs.close(handle)
            raise

    def _identity(self, handle: Dir) -> RootIdentity:
        found = self.fs.fstat(handle)
        return RootIdentity(found.device, found.inode)

    @contextlib.contextmanager
    def folder(self, path: str) -> Iterator[Dir]:
        """Open a folder below the root and yield its handle; '' is the root itself.

        Raises:
            UnsafePath: a part is a link.
            PathBlocked: a part is a file, or a folder with another spelling.
            MountMissing: it lies on a file system that is not mounted.
            FileNotFoundError: a part is missing.
            OSError: a part cannot be opened.
        """
        with self._walk(path, None) as handle:
            yield handle

    @contextlib.contextmanager
    def parent(self, path: str, create: list[str] | None = None) -> Iterator[tuple[Dir, str]]:
        """Open the folder that contains ``path``. Yield its handle and the last part of the path.

        With a list, missing folders are created and their paths appended to it. Raises as ``folder`` does.
        """
        above, _, name = path.rpartition("/")
        with self._walk(above, create) as handle:
            yield handle, name

    @contextlib.contextmanager
    def _walk(self, path: str, create: list[str] | None) -> Iterator[Dir]:
        handle = self.open_folder(path, create)
        try:
            yield handle
        finally:
            if handle != self.handle:
                self.fs.close(handle)

    def open_folder(self, path: str, create: list[str] | None = None) -> Dir:
        """Open a folder below the root. The caller closes the handle, unless it is ``handle``, the root's own.

        With a list, missing folders are created and their paths appended to it. Raises as ``folder`` does.
        """
        handle = self.handle
        mounts = self._mounts_over(path) if self.mounts else []
        so_far = ""
        for part in path.split("/") if path else ():
            so_far = f"{so_far}/{part}" if so_far else part
            try:
                below = self._step(handle, part, so_far, create, mounts)
            finally:
                if handle != self.handle:
                    self.fs.close(handle)
            handle = below
        return handle

    def _mounts_over(self, path: str) -> list[str]:
        """Return the known mount points on the way to a folder, nested ones too: each can be unmounted by itself."""
        return [mount for mount in self.mounts if f"{path}/".startswith(f"{mount}/")]

    def is_unmounted(self, path: str, folder: Dir, above: Dir) -> bool:
        """Return True if ``path`` is a known mount point with nothing mounted, so it shows the folder beneath."""
        return path in self.mounts and self.fs.mount_of(folder) == self.fs.mount_of(above)

    def _step(self, handle: Dir, part: str, so_far: str, create: list[str] | None, mounts: list[str]) -> Dir:
        try:
            below = self._open(handle, part, so_far)
            if so_far in mounts:
                with self._closed_on_failure(below):
                    if self.is_unmounted(so_far, below, handle):
                        raise MountMissing(not_mounted(so_far))
            return below
        except FileNotFoundError:
            # A missing folder above a mount point hides the mount. A missing folder below it was deleted as usual.
            lost = next((mount for mount in mounts if f"{mount}/".startswith(f"{so_far}/")), None)
            if lost is not None:
                raise MountMissing(not_mounted(lost)) from None
            if create is None:
                raise
        with contextlib.suppress(FileExistsError):
            self.fs.mkdir(handle, part, FOLDER_MODE)
            create.append(so_far)
        return self._open(handle, part, so_far)

    def _open(self, handle: Dir, part: str, so_far: str) -> Dir:
        other = self.case_collision(handle, part)
        if other is not None:
            # Under two spellings of one folder every file in it would have two paths.
            raise PathBlocked(f"'{so_far}' is needed, but this disk takes the existing name '{other}' for the same.")
        try:
            return self.fs.open_dir(handle, part)
        except OSError as failure:
            if failure.errno not in _NOT_A_FOLDER:
                raise
            if self.fs.stat(handle, part).kind is FileType.LINK:
                raise UnsafePath(f"'{so_far}' is a link, and links are not followed.") from failure
            raise PathBlocked(f"'{so_far}' is a file where a folder is needed.") from failure

    def is_case_insensitive(self) -> bool:
        """Return True if this file system equates names that differ only in case.

        It is learned from an existing name, so that nothing is written into the user's folder. While no name has a
        letter, the default of the platform is returned.
        """
        if self._case_insensitive is None:
            self._case_insensitive = self._learn_case()
        return sys.platform == "darwin" if self._case_insensitive is None else self._case_insensitive

    def _learn_case(self) -> bool | None:
        names = {entry.name for entry in self.fs.entries(self.handle)}
        for name in sorted(names):
            other = name.swapcase()
            if other == name or other in names or collision_key(other) != collision_key(name):
                continue
            with contextlib.suppress(OSError):
                for _ in range(_CASE_TRIES):
                    found = self._equates(name, other)
                    if found is not None:
                        return found
        return None

    def _equates(self, name: str, other: str) -> bool | None:
        """Return the verdict of ``are_one_name`` on a listed name. Raises OSError if it cannot be looked up."""
        before = self.fs.stat(self.handle, name).inode
        there = None
        with contextlib.suppress(FileNotFoundError):
            there = self.fs.stat(self.handle, other).inode
        after = before if there == before else self.fs.stat(self.handle, name).inode
        return are_one_name(before, there, after)

    def stores_nfd(self) -> bool:
        """Return True if this file system stores every name in NFD, however it was written, as HFS+ does."""
        if self._nfd is None and self.nfd_probe is not None and self.is_case_insensitive():
            with contextlib.suppress(OSError, DiskError):
                self._nfd = self.nfd_probe()
        return bool(self._nfd)

    def entries(self, handle: Dir) -> list[FolderEntry]:
        """List a folder, with names in NFC if the file system stores NFD.

        Raises:
            OSError: it cannot be listed; or it holds an NFD name and the normalization of the file system is unknown.
                A wrong guess would push the file as a new one and delete it under its real name.
        """
        found = self.fs.entries(handle)
        if self.stores_nfd():
            return [FolderEntry(to_nfc(entry.name), entry.kind) for entry in found]
        unknown = self._nfd is None and self.nfd_probe is not None and self.is_case_insensitive()
        if unknown and any(to_nfc(entry.name) != entry.name for entry in found):
            raise OSError(errno.EAGAIN, "the normalization of names on this disk is not known now")
        return found

    def listing(self, handle: Dir) -> Listing:
        """List a folder as ``entries`` does, grouped by type."""
        if self.nfd_probe is not None and self.is_case_insensitive():
            return classify(self.entries(handle))
        # A case-sensitive file system stores each name as written, so no name needs normalization.
        return self.fs.listing(handle)

    def canonical(self, path: str) -> str:
        """Return the spelling used in the index of a path reported by the disk: NFC if the disk stores NFD."""
        return to_nfc(path) if not path.isascii() and self.stores_nfd() else path

    def case_collision(self, handle: Dir, name: str) -> str | None:
        """Return the existing other spelling that this file system equates with ``name``; None if there is none.

        If the file system stores NFD, an NFD ``name`` collides with its NFC spelling.
        """
        if not self.is_case_insensitive():
            return None
        if self.canonical(name) != name:
            return self.canonical(name)
        key = collision_key(name)
        same = [entry.name for entry in self.entries(handle) if collision_key(entry.name) == key]
        return None if not same or name in same else same[0]


def not_mounted(mount: str) -> str:
    """Return the message for a mount point that is empty or missing."""
    return f"'{mount}' is a mount point, and nothing is mounted there now"
