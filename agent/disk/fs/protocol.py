"""The seam to the file system: the few primitives everything in this room is made of.

Names are single path parts, decoded with surrogate escapes, and are always used against an open folder handle, so that
no link swapped in at a parent can lead anywhere else. Every method raises ``OSError`` with the ``errno`` of the
platform. A crash or a user's own edit may fall between any two calls; each call alone is whole.

Durability: what ``write``, ``create`` and the renames did is visible to every process at once, and survives a power
loss only after ``fsync`` (a file's bytes and attributes), ``fsync_dir`` (a folder's names) or ``syncfs`` (both, for
everything on that file system) has returned.
"""

from __future__ import annotations

import enum
import errno
from collections.abc import Iterable
from typing import Final, NamedTuple, NewType, Protocol

from msgspec import Struct

Dir = NewType("Dir", int)
"""An open folder."""
File = NewType("File", int)
"""An open file."""


class FileType(enum.StrEnum):
    """What a name stands for; links are never followed."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    SPECIAL = "special"


class SwapPrimitive(enum.StrEnum):
    """How a new file takes the place of another here."""

    EXCHANGE = "exchange"
    """One call exchanges the two names."""
    LINK = "link"
    """The old file is renamed away, then the new one is linked without replacing; the name is gone for a moment."""


class Stat(NamedTuple):
    """What lstat says of a name, or fstat of a handle.

    Attributes:
        kind: file, folder, link or special.
        size: bytes.
        mtime_ns, ctime_ns: nanoseconds.
        inode, device: together the identity of the object.
        mode: permission bits.
        dataless: the bytes stand in a cloud and reading would fetch them.
    """

    kind: FileType
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int
    mode: int
    dataless: bool = False


Stamp = tuple[int, int, int, int]
"""What shows that a regular file was touched: size, mtime_ns, ctime_ns, inode; see ``Stat``."""


class FolderEntry(Struct, frozen=True, gc=False):
    """One name in a folder."""

    name: str
    kind: FileType


class Listing(NamedTuple):
    """The names in a folder, told apart.

    Attributes:
        files: names of regular files.
        folders: names of folders.
        others: links and specials.
    """

    files: list[str]
    folders: list[str]
    others: list[FolderEntry]


UNSUPPORTED: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""The errors of a file system or kernel that lacks a primitive."""


class Fs(Protocol):
    """The primitives. ``PosixFs`` is the real one; tests put others over or under it."""

    def open_root(self, path: str) -> Dir:
        """Opens a folder by its absolute path; links on the way there are the user's own choice and are followed."""
        ...

    def open_dir(self, parent: Dir, name: str) -> Dir:
        """Opens a folder; a link or anything else fails with ENOTDIR or ELOOP."""
        ...

    def close(self, handle: Dir | File) -> None:
        """Gives a handle back."""
        ...

    def entries(self, folder: Dir) -> list[FolderEntry]:
        """Every name but '.' and '..', in no order. Fails whole: a listing is never cut short silently."""
        ...

    def listing(self, folder: Dir) -> Listing:
        """The same names as ``entries``."""
        ...

    def stat(self, folder: Dir, name: str) -> Stat:
        """What the name stands for, links not followed."""
        ...

    def quick_stat(self, folder: Dir, name: str) -> Stamp | None:
        """As ``stat``, of a regular file whose bytes are on the disk; None for anything else."""
        ...

    def fstat(self, handle: Dir | File) -> Stat:
        """What the handle stands for."""
        ...

    def read_small(self, folder: Dir, name: str, limit: int) -> tuple[bytes, Stamp] | None:
        """All bytes of a regular file of at most ``limit``, with the stamp it had before they were read.

        What is written after that moment, while they are read too, leaves the file with another stamp: an equal one
        proves these bytes, unless it is racy. A second stat would prove no more, for a writer that is slower than one
        read is not seen by it either.

        None where it is anything else, or has another length than it had: the single calls tell what. Fails as they do.
        """
        ...

    def open_file(self, folder: Dir, name: str) -> File:
        """Opens a regular file for reading; a link fails with ELOOP, a FIFO never blocks."""
        ...

    def read(self, file: File, limit: int) -> bytes:
        """The next bytes, at most ``limit``; empty at the end of the file."""
        ...

    def create(self, folder: Dir, name: str, mode: int) -> File:
        """Makes a file that must not exist (EEXIST) and opens it for writing; ``mode`` is subject to the umask."""
        ...

    def write(self, file: File, data: bytes) -> None:
        """Appends all of ``data``."""
        ...

    def clone_attributes(self, folder: Dir, name: str, file: File) -> None:
        """Gives ``file`` the mode bits, extended attributes, ACL and, where allowed, owner of the named file.

        Attributes the file system or the permissions refuse are left out.
        """
        ...

    def fsync(self, file: File) -> None:
        """The file's bytes and attributes are durable when this returns."""
        ...

    def fsync_dir(self, folder: Dir) -> None:
        """The folder's names are durable when this returns."""
        ...

    def syncfs(self, folder: Dir) -> None:
        """Everything written to this file system is durable when this returns; ENOTSUP where there is no such call."""
        ...

    def mkdir(self, parent: Dir, name: str, mode: int) -> None:
        """Makes a folder that must not exist; ``mode`` is subject to the umask."""
        ...

    def rmdir(self, parent: Dir, name: str) -> None:
        """Removes an empty folder."""
        ...

    def exchange(self, dir_a: Dir, name_a: str, dir_b: Dir, name_b: str) -> None:
        """Exchanges two existing names at once; an error of ``UNSUPPORTED`` where this cannot be done here."""
        ...

    def rename(self, source: Dir, old: str, target: Dir, new: str) -> None:
        """Moves a name at once. It would replace ``new``, so ``target`` is a folder only the agent writes to."""
        ...

    def rename_noreplace(self, source: Dir, old: str, target: Dir, new: str) -> None:
        """Moves a name unless ``new`` exists (EEXIST). Without a native call ``source`` must be the agent's own folder:
        the file is linked, then the old name removed, and a crash in between leaves both names.
        """
        ...

    def unlink(self, folder: Dir, name: str) -> None:
        """Removes a file. Only ever for the agent's own temporary files and for trash past its retention."""
        ...

    def same_volume(self, one: Dir, other: Dir) -> bool:
        """Whether a name can be renamed from one folder to the other (same file system, same mount)."""
        ...

    def swap_primitive(self, folder: Dir) -> SwapPrimitive:
        """Finds out, with two files of its own in ``folder``, how files are swapped here."""
        ...

    def now_ns(self, handle: Dir | File) -> int:
        """The clock that stamps files where ``handle`` lies, in nanoseconds since the epoch."""
        ...


class DerivedFsCalls:
    """The calls of ``Fs`` that are made of others, made of them: for file systems that stand over or under another."""

    def listing(self: Fs, folder: Dir) -> Listing:
        """As in ``Fs``."""
        return classify(self.entries(folder))

    def quick_stat(self: Fs, folder: Dir, name: str) -> Stamp | None:
        """As in ``Fs``."""
        return stamp_of(self.stat(folder, name))

    def read_small(self: Fs, folder: Dir, name: str, limit: int) -> tuple[bytes, Stamp] | None:
        """As in ``Fs``."""
        if self.quick_stat(folder, name) is None:
            # Opened, a file that lies in a cloud might be fetched.
            return None
        file = self.open_file(folder, name)
        try:
            before = stamp_of(self.fstat(file))
            if before is None or before[0] > limit:
                return None
            content = self.read(file, before[0] + 1)
            return (content, before) if len(content) == before[0] else None
        finally:
            self.close(file)


def classify(entries: Iterable[FolderEntry]) -> Listing:
    """Names by what they stand for."""
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
    """The stamp of a regular file whose bytes are on the disk."""
    if found.kind is not FileType.FILE or found.dataless:
        return None
    return found.size, found.mtime_ns, found.ctime_ns, found.inode
