"""The real file system, on Linux and macOS."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat as stat_bits
import sys
import time
from typing import Final

from agent.disk.fs import attributes, syscalls
from agent.disk.fs.attributes import CreationDefaults
from agent.disk.fs.protocol import (
    UNSUPPORTED,
    Dir,
    File,
    FileType,
    FolderEntry,
    Listing,
    MountId,
    Stamp,
    Stat,
    SwapPrimitive,
)

_SF_DATALESS: Final = 0x40000000
_FULLFSYNC: Final[int | None] = getattr(fcntl, "F_FULLFSYNC", None)
_COARSE: Final[int] = getattr(time, "CLOCK_REALTIME_COARSE", time.CLOCK_REALTIME)
_PROBES: Final = (".raven-agent-probe-a", ".raven-agent-probe-b")
_NO_COPY_CALL: Final = UNSUPPORTED | {errno.EXDEV, errno.EBADF, errno.EPERM, errno.ETXTBSY}
"""Error numbers of ``copy_file_range`` on file systems and kernels that cannot copy between these two files."""
_COPIED_AT_ONCE: Final = 1 << 20

_KINDS: Final = {stat_bits.S_IFREG: FileType.FILE, stat_bits.S_IFDIR: FileType.FOLDER, stat_bits.S_IFLNK: FileType.LINK}
_TYPE_BITS: Final = 0o170000
_REGULAR: Final[int] = stat_bits.S_IFREG
_MODE_BITS: Final = 0o7777
_MOST: Final = (1 << 63) - 1
_LEAST: Final = -(1 << 63)
_HAS_FLAGS: Final = hasattr(os.stat_result, "st_flags")
_READING: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_READING_NOATIME: Final = _READING | getattr(os, "O_NOATIME", 0)
"""Flags for reading without an update of the access time, which would cost a write. Only the owner may use them."""


def _stat(found: os.stat_result) -> Stat:
    mode = found.st_mode
    return Stat(
        _KINDS.get(mode & _TYPE_BITS, FileType.SPECIAL),
        found.st_size,
        _in_64_bits(found.st_mtime_ns),
        _in_64_bits(found.st_ctime_ns),
        _signed(found.st_ino),
        _signed(found.st_dev),
        mode & _MODE_BITS,
        _HAS_FLAGS and bool(getattr(found, "st_flags", 0) & _SF_DATALESS),
        found.st_nlink,
    )


def _entry(found: os.DirEntry[str]) -> FolderEntry:
    if found.is_file(follow_symlinks=False):
        return FolderEntry(found.name, FileType.FILE)
    if found.is_symlink():
        return FolderEntry(found.name, FileType.LINK)
    if found.is_dir(follow_symlinks=False):
        return FolderEntry(found.name, FileType.FOLDER)
    return FolderEntry(found.name, FileType.SPECIAL)


def _in_64_bits(number: int) -> int:
    """Limit a time to what a signed 64-bit column holds. Only a wrong clock or ``touch`` makes a time beyond that."""
    return number if _LEAST <= number <= _MOST else max(_LEAST, min(_MOST, number))


def _signed(number: int) -> int:
    """Return the signed 64-bit number with the same bits. Some file systems use all 64 bits for inode numbers."""
    return number if number <= _MOST else number - (1 << 64)


class PosixFs:
    """``Fs`` over the system calls. It has no state, so any thread may use it."""

    def open_root(self, path: str) -> Dir:
        """As in ``Fs``."""
        return Dir(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def open_dir(self, parent: Dir, name: str) -> Dir:
        """As in ``Fs``."""
        return Dir(os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent))

    def close(self, handle: Dir | File) -> None:
        """As in ``Fs``."""
        os.close(handle)

    def entries(self, folder: Dir) -> list[FolderEntry]:
        """As in ``Fs``."""
        with os.scandir(folder) as found:
            return [_entry(entry) for entry in found]

    def listing(self, folder: Dir) -> Listing:
        """As in ``Fs``."""
        files: list[str] = []
        folders: list[str] = []
        others: list[FolderEntry] = []
        with os.scandir(folder) as found:
            for entry in found:
                if entry.is_file(follow_symlinks=False):
                    files.append(entry.name)
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                else:
                    others.append(_entry(entry))
        return Listing(files, folders, others)

    def stat(self, folder: Dir, name: str) -> Stat:
        """As in ``Fs``."""
        return _stat(os.stat(name, dir_fd=folder, follow_symlinks=False))

    def quick_stat(self, folder: Dir, name: str) -> Stamp | None:
        """As in ``Fs``."""
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if found.st_mode & _TYPE_BITS != _REGULAR or (_HAS_FLAGS and _stat(found).dataless):
            return None
        return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino

    def birth_ns(self, folder: Dir, name: str, inode: int) -> int | None:
        """As in ``Fs``."""
        found = syscalls.birth_ns(folder, name)
        return found[1] if found is not None and _signed(found[0]) == inode else None

    def fstat(self, handle: Dir | File) -> Stat:
        """As in ``Fs``."""
        return _stat(os.fstat(handle))

    def read_small(self, folder: Dir, name: str, limit: int) -> tuple[bytes, Stamp] | None:
        """As in ``Fs``."""
        if _HAS_FLAGS and self.quick_stat(folder, name) is None:
            # Opening a file whose bytes are in the cloud could download it.
            return None
        try:
            file = os.open(name, _READING_NOATIME, dir_fd=folder)
        except PermissionError:
            file = self._open_file(folder, name)
        try:
            before = os.fstat(file)
            size = before.st_size
            if before.st_mode & _TYPE_BITS != _REGULAR or size > limit:
                return None
            content = os.read(file, size + 1)
            if len(content) != size:
                return None
            mtime, ctime, inode = before.st_mtime_ns, before.st_ctime_ns, before.st_ino
            if mtime > _MOST or mtime < _LEAST or ctime > _MOST or ctime < _LEAST or inode > _MOST:
                return content, (size, _in_64_bits(mtime), _in_64_bits(ctime), _signed(inode))
            return content, (size, mtime, ctime, inode)
        finally:
            os.close(file)

    def open_file(self, folder: Dir, name: str) -> File:
        """As in ``Fs``."""
        return File(self._open_file(folder, name))

    def _open_file(self, folder: Dir, name: str) -> int:
        try:
            return os.open(name, _READING_NOATIME, dir_fd=folder)
        except PermissionError as failure:
            if failure.errno != errno.EPERM:
                raise
        return os.open(name, _READING, dir_fd=folder)

    def read(self, file: File, limit: int) -> bytes:
        """As in ``Fs``."""
        return os.read(file, limit)

    def read_at(self, file: File, offset: int, limit: int) -> bytes:
        """As in ``Fs``."""
        return os.pread(file, limit, offset)

    def create(self, folder: Dir, name: str, mode: int) -> File:
        """As in ``Fs``."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return File(os.open(name, flags, mode, dir_fd=folder))

    def open_append(self, folder: Dir, name: str) -> File:
        """As in ``Fs``."""
        return File(os.open(name, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder))

    def write(self, file: File, data: bytes) -> None:
        """As in ``Fs``."""
        left = memoryview(data)
        while left:
            left = left[os.write(file, left) :]

    def copy_range(self, source: File, offset: int, limit: int, target: File) -> int:
        """As in ``Fs``. On Linux the kernel copies, and shares blocks on Btrfs and XFS."""
        if sys.platform == "linux":
            try:
                return os.copy_file_range(source, target, limit, offset_src=offset)
            except OSError as failure:
                if failure.errno not in _NO_COPY_CALL:
                    raise
        data = os.pread(source, min(limit, _COPIED_AT_ONCE), offset)
        self.write(target, data)
        return len(data)

    def clone_attributes(self, folder: Dir, name: str, file: File) -> None:
        """As in ``Fs``."""
        model = self.open_file(folder, name)
        try:
            found = os.fstat(model)
            with contextlib.suppress(OSError):
                os.fchown(file, found.st_uid, found.st_gid)
            syscalls.copy_attributes(model, file)
            # Set the mode last: a change of owner clears set-id bits, and an ACL rewrites the bits of the group.
            # A set-id bit was given to the old bytes by their owner; other bytes never get it.
            os.fchmod(file, found.st_mode & attributes.SAFE_BITS)
        finally:
            os.close(model)

    def creation_defaults(self, folder: Dir) -> CreationDefaults:
        """As in ``Fs``."""
        return attributes.creation_defaults(folder)

    def apply_creation_defaults(self, file: File, defaults: CreationDefaults) -> None:
        """As in ``Fs``."""
        attributes.apply_creation_defaults(file, defaults)

    def may_be_written(self, folder: Dir, name: str) -> bool:
        """As in ``Fs``. Linux grants a read lease only while no process has the file open for writing."""
        file = self._open_file(folder, name)
        try:
            return not syscalls.grants_read_lease(file)
        finally:
            os.close(file)

    def fsync(self, file: File) -> None:
        """As in ``Fs``. On macOS it uses F_FULLFSYNC, because fsync there stops at the cache of the drive."""
        if _FULLFSYNC is not None:
            with contextlib.suppress(OSError):
                fcntl.fcntl(file, _FULLFSYNC)
                return
        os.fsync(file)

    def fsync_dir(self, folder: Dir) -> None:
        """As in ``Fs``."""
        try:
            os.fsync(folder)
        except OSError as failure:
            # Some network file systems have no fsync for folders. Nothing makes their renames more durable.
            if failure.errno not in UNSUPPORTED:
                raise

    def syncfs(self, folder: Dir) -> None:
        """As in ``Fs``."""
        syscalls.syncfs(folder)

    def mkdir(self, parent: Dir, name: str, mode: int) -> None:
        """As in ``Fs``."""
        os.mkdir(name, mode, dir_fd=parent)

    def rmdir(self, parent: Dir, name: str) -> None:
        """As in ``Fs``."""
        os.rmdir(name, dir_fd=parent)

    def exchange(self, dir_a: Dir, name_a: str, dir_b: Dir, name_b: str) -> None:
        """As in ``Fs``."""
        syscalls.exchange(dir_a, name_a, dir_b, name_b)

    def rename(self, source: Dir, old: str, target: Dir, new: str) -> None:
        """As in ``Fs``."""
        os.rename(old, new, src_dir_fd=source, dst_dir_fd=target)

    def rename_noreplace(self, source: Dir, old: str, target: Dir, new: str) -> None:
        """As in ``Fs``."""
        try:
            syscalls.rename_noreplace(source, old, target, new)
            return
        except OSError as failure:
            if failure.errno not in UNSUPPORTED:
                raise
        os.link(old, new, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        os.unlink(old, dir_fd=source)

    def unlink(self, folder: Dir, name: str) -> None:
        """As in ``Fs``."""
        os.unlink(name, dir_fd=folder)

    def mount_of(self, folder: Dir) -> MountId:
        """As in ``Fs``."""
        return MountId(syscalls.mount_id(folder))

    def same_volume(self, one: Dir, other: Dir) -> bool:
        """As in ``Fs``."""
        return self.mount_of(one) == self.mount_of(other)

    def swap_primitive(self, folder: Dir) -> SwapPrimitive:
        """As in ``Fs``."""
        made: list[str] = []
        try:
            for name in _PROBES:
                with contextlib.suppress(FileExistsError):
                    self.close(self.create(folder, name, 0o600))
                made.append(name)
            self.exchange(folder, _PROBES[0], folder, _PROBES[1])
            return SwapPrimitive.EXCHANGE
        except OSError as failure:
            if failure.errno not in UNSUPPORTED | {errno.EPERM}:
                raise
            return SwapPrimitive.LINK
        finally:
            for name in made:
                with contextlib.suppress(OSError):
                    self.unlink(folder, name)

    def free_bytes(self, folder: Dir) -> int:
        """As in ``Fs``."""
        found = os.fstatvfs(folder)
        return found.f_bavail * found.f_frsize

    def now_ns(self, handle: Dir | File) -> int:
        """As in ``Fs``: the coarse realtime clock, with which the kernel stamps local files.

        A network file system stamps with the clock of its server. If that clock is ahead, files only seem racy and are
        read again. The alternative, a probe file in the user's folder, was rejected.
        """
        return time.clock_gettime_ns(_COARSE)
