"""System calls that Python does not wrap: renameat2, statx and syncfs on Linux; renameatx_np and fcopyfile on macOS."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import struct
import sys
from collections.abc import Callable
from typing import Any, Final

from agent.disk.fs.attributes import copyable

_libc: Final = ctypes.CDLL(None, use_errno=True)

_RENAME_NOREPLACE: Final = 1
_RENAME_EXCHANGE: Final = 2
_RENAME_SWAP: Final = 2
_RENAME_EXCL: Final = 4
_COPYFILE_ACL_AND_XATTR: Final = 1 | 4
_AT_SYMLINK_NOFOLLOW: Final = 0x100
_AT_EMPTY_PATH: Final = 0x1000
_AT_STATX_DONT_SYNC: Final = 0x4000
_STATX_INO: Final = 0x100
_STATX_BTIME: Final = 0x800
_STATX_MNT_ID: Final = 0x1000
_STATX_BYTES: Final = 256
_DEVICE_AND_MOUNT: Final = slice(136, 152)
"""Position of ``stx_dev_major``, ``stx_dev_minor`` and ``stx_mnt_id`` in ``struct statx``."""

_INODE: Final = struct.Struct("=32xQ")
"""Position of ``stx_ino`` in ``struct statx``."""
_BIRTH: Final = struct.Struct("=80xqI")
"""Position of the seconds and nanoseconds of ``stx_btime`` in ``struct statx``."""


def _function(name: str) -> Callable[..., Any] | None:
    try:
        return getattr(_libc, name)  # type: ignore[no-any-return]
    except AttributeError:
        return None


_renameat2: Final = _function("renameat2")
_renameatx_np: Final = _function("renameatx_np")
_fcopyfile: Final = _function("fcopyfile")
_statx: Final = _function("statx") if sys.platform == "linux" else None
_SYNCFS_REPORTS_SINCE: Final = (5, 8)


def syncfs_reports_errors(system: str, release: str) -> bool:
    """Return True if ``syncfs`` reports write errors, which Linux does since 5.8."""
    number = re.match(r"(\d+)\.(\d+)", release)
    return system == "Linux" and number is not None and (int(number[1]), int(number[2])) >= _SYNCFS_REPORTS_SINCE


_syncfs: Final = _function("syncfs") if syncfs_reports_errors(os.uname().sysname, os.uname().release) else None


def _checked(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _rename(dir_a: int, name_a: str, dir_b: int, name_b: str, flags: int) -> None:
    call = _renameatx_np if sys.platform == "darwin" else _renameat2
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    _checked(call(dir_a, os.fsencode(name_a), dir_b, os.fsencode(name_b), ctypes.c_uint(flags)))


def exchange(dir_a: int, name_a: str, dir_b: int, name_b: str) -> None:
    """Exchange two names atomically. Raises OSError; its errno is in ``UNSUPPORTED`` if the system cannot."""
    _rename(dir_a, name_a, dir_b, name_b, _RENAME_SWAP if sys.platform == "darwin" else _RENAME_EXCHANGE)


def rename_noreplace(dir_a: int, name_a: str, dir_b: int, name_b: str) -> None:
    """Rename unless the new name exists. Raises OSError; its errno is in ``UNSUPPORTED`` if the system cannot."""
    _rename(dir_a, name_a, dir_b, name_b, _RENAME_EXCL if sys.platform == "darwin" else _RENAME_NOREPLACE)


def syncfs(descriptor: int) -> None:
    """Make the whole file system of ``descriptor`` durable. Raises ENOTSUP without a call that reports errors."""
    if _syncfs is None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    _checked(_syncfs(descriptor))


def mount_id(descriptor: int) -> bytes:
    """Return the device and the mount of an open file or folder as opaque bytes; of the device alone if unknown.

    Two bind mounts of one device have different mounts, so the device number alone does not tell them apart.
    """
    if _statx is not None:
        found = ctypes.create_string_buffer(_STATX_BYTES)
        # The buffer begins with the mask of the fields that the kernel filled in (from Linux 5.8 on: the mount).
        if _statx(descriptor, b"", _AT_EMPTY_PATH | _AT_STATX_DONT_SYNC, _STATX_MNT_ID, found) == 0:
            raw = found.raw
            if int.from_bytes(raw[:4], sys.byteorder) & _STATX_MNT_ID:
                return raw[_DEVICE_AND_MOUNT]
    device = os.fstat(descriptor).st_dev
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", "rb") as info:
            mount = next((line for line in info if line.startswith(b"mnt_id:")), b"")
    except OSError:
        mount = b""
    return b"%d %s" % (device, mount)


def birth_ns(folder: int, name: str) -> tuple[int, int] | None:
    """Return the inode and the birth time in nanoseconds of a name; None if the system or the file system has none."""
    if sys.platform == "darwin":
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        # A float of seconds is exact to less than a microsecond. The truncation never makes a file younger.
        return status.st_ino, int(status.st_birthtime * 1_000_000) * 1000
    if _statx is None:
        return None
    found = ctypes.create_string_buffer(_STATX_BYTES)
    wanted = _STATX_INO | _STATX_BTIME
    if _statx(folder, os.fsencode(name), _AT_SYMLINK_NOFOLLOW | _AT_STATX_DONT_SYNC, wanted, found) != 0:
        return None
    raw = found.raw
    if int.from_bytes(raw[:4], sys.byteorder) & wanted != wanted:
        return None
    seconds, nanoseconds = _BIRTH.unpack_from(raw)
    return _INODE.unpack_from(raw)[0], seconds * 1_000_000_000 + nanoseconds


def copy_attributes(source: int, target: int) -> None:
    """Copy extended attributes, which include ACLs, between two open files. Refused ones are left out."""
    if sys.platform == "darwin":
        if _fcopyfile is not None:
            _fcopyfile(source, target, None, ctypes.c_uint32(_COPYFILE_ACL_AND_XATTR))
        return
    try:
        names = os.listxattr(source)
    except OSError:
        return
    for name in filter(copyable, names):
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError:
            continue


def grants_read_lease(file: int) -> bool:
    """Return True if the kernel grants a read lease, which proves that no process has the file open for writing.

    The lease is given back at once. False also where the system or the file system has no leases.
    """
    if sys.platform != "linux":
        return False
    from signal import SIGURG

    try:
        # A process that opens the file during the lease makes the kernel signal this one. The default signal, SIGIO,
        # would end the process; SIGURG is ignored.
        fcntl.fcntl(file, fcntl.F_SETSIG, SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    return True
