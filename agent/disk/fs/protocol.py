"""The seam to the file system: the primitives that all code of ``agent.disk`` is built on.

Names are single path parts, decoded with surrogate escapes. They are always used relative to an open folder handle, so
a link that replaces a parent folder cannot lead anywhere else. Every method raises ``OSError`` with the ``errno`` of
the platform. A crash or a user's edit can come between any two calls; each call alone is atomic.

Durability: every process sees the effect of ``write``, ``create`` and the renames at once. The effect survives a power
loss only after ``fsync`` (bytes and attributes of one file), ``fsync_dir`` (names in one folder) or ``syncfs`` (both,
for the whole file system) has returned.
"""

from __future__ import annotations

import enum
import errno
from collections.abc import Iterable
from typing import Final, NamedTuple, NewType, Protocol

from msgspec import Struct

from agent.disk.fs.attributes import CreationDefaults

Dir = NewType("Dir", int)
"""An open folder."""
File = NewType("File", int)
"""An open file."""
MountId = NewType("MountId", bytes)
"""Opaque identity of a mount. Compare two of them only for equality, and only while both mounts exist."""


class FileType(enum.StrEnum):
    """The type of a directory entry. Links are never followed."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    SPECIAL = "special"


class SwapPrimitive(enum.StrEnum):
    """The way to replace a file on a file system."""

    EXCHANGE = "exchange"
    """One call exchanges two names."""
    LINK = "link"
    """Rename the old file away, then link the new one without replacing. The name is missing for a moment."""


class Stat(NamedTuple):
    """The result of lstat on a name or fstat on a handle.

    Attributes:
        kind: file, folder, link or special.
        size: bytes.
        mtime_ns, ctime_ns: nanoseconds since the epoch, limited to signed 64 bits (the years 1678 to 2261).
        inode, device: signed 64-bit numbers; together the identity of the object.
        mode: permission bits.
        dataless: True if the bytes are in the cloud, so that reading would download them.
        links: number of names of the object.
    """

    kind: FileType
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int
    mode: int
    dataless: bool = False
    links: int = 1


Stamp = tuple[int, int, int, int]
"""Size, mtime_ns, ctime_ns and inode of a regular file. An equal stamp means an unchanged file, unless it is racy."""


class FolderEntry(Struct, frozen=True, gc=False):
    """One name in a folder and its type."""

    name: str
    kind: FileType


class Listing(NamedTuple):
    """The names in a folder, grouped by type.

    Attributes:
        files: names of regular files.
        folders: names of folders.
        others: links and specials.
    """

    files: list[str]
    folders: list[str]
    others: list[FolderEntry]


UNSUPPORTED: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""Error numbers of a file system or kernel that lacks a primitive."""


class Fs(Protocol):
    """The primitives. ``PosixFs`` is the real implementation; tests wrap or replace it."""

    def open_root(self, path: str) -> Dir:
        """Open a folder by its absolute path. Links in that path are the user's own choice and are followed."""
        ...

    def open_dir(self, parent: Dir, name: str) -> Dir:
        """Open a folder. A link or another type fails with ENOTDIR or ELOOP."""
        ...

    def close(self, handle: Dir | File) -> None:
        """Close a handle."""
        ...

    def entries(self, folder: Dir) -> list[FolderEntry]:
        """List every name but '.' and '..', unordered. On an error it fails; it never returns a partial list."""
        ...

    def listing(self, folder: Dir) -> Listing:
        """List the same names as ``entries``, grouped by type."""
        ...

    def stat(self, folder: Dir, name: str) -> Stat:
        """Return the stat of a name; links are not followed."""
        ...

    def quick_stat(self, folder: Dir, name: str) -> Stamp | None:
        """Return the stamp of a regular file whose bytes are on the disk; None for anything else.

        For speed, values beyond 64 bits are not limited here: such a stamp never equals one that is stored.
        """
        ...

    def birth_ns(self, folder: Dir, name: str, inode: int) -> int | None:
        """Return the time at which a file was created, in nanoseconds since the epoch.

        Returns:
            None if the file system keeps no such time, or if the name is now another object than ``inode``.
        """
        ...

    def fstat(self, handle: Dir | File) -> Stat:
        """Return the stat of an open handle."""
        ...

    def read_small(self, folder: Dir, name: str, limit: int) -> tuple[bytes, Stamp] | None:
        """Read a regular file of at most ``limit`` bytes. Return its bytes and its stamp from before the read.

        A later write, also one during the read, gives the file another stamp. So an equal stamp proves these bytes,
        unless it is racy. A second stat would prove no more: it does not see a writer that is slower than one read.

        Returns:
            None if it is another type, is larger, or changed its length. The single calls then tell which.
        """
        ...

    def open_file(self, folder: Dir, name: str) -> File:
        """Open a regular file for reading. A link fails with ELOOP; a FIFO never blocks."""
        ...

    def read(self, file: File, limit: int) -> bytes:
        """Read the next bytes, at most ``limit``; empty at the end of the file."""
        ...

    def read_at(self, file: File, offset: int, limit: int) -> bytes:
        """Read at most ``limit`` bytes from ``offset`` on; empty behind the end. The position of ``read`` stays."""
        ...

    def create(self, folder: Dir, name: str, mode: int) -> File:
        """Create a file that must not exist (EEXIST) and open it for writing. The umask narrows ``mode``."""
        ...

    def open_append(self, folder: Dir, name: str) -> File:
        """Open an existing file of the agent's own, to write behind its last byte. A link fails with ELOOP."""
        ...

    def write(self, file: File, data: bytes) -> None:
        """Append all of ``data``."""
        ...

    def copy_range(self, source: File, offset: int, limit: int, target: File) -> int:
        """Append at most ``limit`` bytes of ``source`` from ``offset`` on to ``target``, a file from ``create``.

        The two files share the blocks where the file system can do so, if ``offset`` is a multiple of the block size.

        Returns:
            The number of bytes appended; 0 from the end of ``source`` on.
        """
        ...

    def clone_attributes(self, folder: Dir, name: str, file: File) -> None:
        """Copy the mode bits, extended attributes, ACL and, where allowed, the owner of the named file to ``file``.

        Attributes that the file system or the permissions refuse are left out. Set-user-ID, set-group-ID and file
        capabilities are never copied.
        """
        ...

    def creation_defaults(self, folder: Dir) -> CreationDefaults:
        """Return what the folder gives to a file created in it: its group and its default ACL."""
        ...

    def apply_creation_defaults(self, file: File, defaults: CreationDefaults) -> None:
        """Give the file the mode, ACL and group that it would have got in a folder with these defaults."""
        ...

    def may_be_written(self, folder: Dir, name: str) -> bool:
        """Return False if no process has the file open for writing. True if one has, or if the system cannot tell."""
        ...

    def fsync(self, file: File) -> None:
        """Make the bytes and attributes of a file durable."""
        ...

    def fsync_dir(self, folder: Dir) -> None:
        """Make the names in a folder durable."""
        ...

    def syncfs(self, folder: Dir) -> None:
        """Make everything written to this file system durable; ENOTSUP if the platform has no such call."""
        ...

    def mkdir(self, parent: Dir, name: str, mode: int) -> None:
        """Create a folder that must not exist. The umask narrows ``mode``."""
        ...

    def rmdir(self, parent: Dir, name: str) -> None:
        """Remove an empty folder."""
        ...

    def exchange(self, dir_a: Dir, name_a: str, dir_b: Dir, name_b: str) -> None:
        """Exchange two existing names atomically; an error of ``UNSUPPORTED`` if the file system cannot."""
        ...

    def rename(self, source: Dir, old: str, target: Dir, new: str) -> None:
        """Rename atomically. It would replace ``new``, so ``target`` must be a folder that only the agent writes to."""
        ...

    def rename_noreplace(self, source: Dir, old: str, target: Dir, new: str) -> None:
        """Rename unless ``new`` exists (EEXIST).

        Without a native call ``source`` must be the agent's own folder: the file is linked, then the old name is
        removed, and a crash in between leaves both names.
        """
        ...

    def unlink(self, folder: Dir, name: str) -> None:
        """Remove a file. Only for the agent's own temporary files and for trash past its retention."""
        ...

    def mount_of(self, folder: Dir) -> MountId:
        """Return the mount that a folder lies on.

        Two mounts never have equal identities, not even two bind mounts of one device. On a system without mount ids
        the identity is that of the device.
        """
        ...

    def same_volume(self, one: Dir, other: Dir) -> bool:
        """Return True if a file can be renamed from one folder to the other (same file system and same mount)."""
        ...

    def swap_primitive(self, folder: Dir) -> SwapPrimitive:
        """Determine the swap primitive of a file system, with two temporary files in ``folder``."""
        ...

    def free_bytes(self, folder: Dir) -> int:
        """Return the bytes that this user may still write to the file system of a folder."""
        ...

    def now_ns(self, handle: Dir | File) -> int:
        """Return the time of the clock that stamps files on this file system, in nanoseconds since the epoch."""
        ...


def classify(entries: Iterable[FolderEntry]) -> Listing:
    """Group entries by their type."""
    found = Listing([], [], [])
    for entry in entries:
        if entry.kind is FileType.FILE:
            found.files.append(entry.name)
        elif entry.kind is FileType.FOLDER:
            found.folders.append(entry.name)
        else:
            found.others.append(entry)
    return found


def stamp_of(found: Stat) -> Stamp | None:
    """Return the stamp of a regular file whose bytes are on the disk; None for anything else."""
    if found.kind is not FileType.FILE or found.dataless:
        return None
    return found.size, found.mtime_ns, found.ctime_ns, found.inode
