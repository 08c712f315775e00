"""The synced folder, held open: every way into it starts at its handle and follows no link."""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from agent.core.errors import DiskError, RootError
from agent.core.paths import collision_key, to_nfc
from agent.disk.fs.protocol import Dir, FileType, FolderEntry, Fs, Listing, classify

_NOT_A_FOLDER: Final = frozenset({errno.ENOTDIR, errno.ELOOP, errno.EMLINK})
FOLDER_MODE: Final = 0o777
"""The mode of folders made on the way to a file; the umask narrows it."""


class UnsafePath(DiskError):
    """The way to the path leads through a link."""

    code = "unsafe_path"


class PathBlocked(DiskError):
    """A file, or a folder this disk takes for it, stands where the way to the path needs a folder."""

    code = "blocked"


class MountMissing(DiskError):
    """The path lies on a file system that is not mounted now."""

    code = "unmounted"


class RootIdentity(Struct, frozen=True):
    """Which folder this is, whatever it is called."""

    device: int
    inode: int


class Root:
    """One synced folder.

    Attributes:
        fs: the file system it lies on.
        path: its absolute path, as linked.
        handle: the open folder.
        identity: which folder was opened.
        mounts: folders below it that are known to be file systems of their own. Where one of them is not mounted,
            what lies below it is unknown, never missing.
        probe: tries whether the disk decomposes names; None where nothing may be tried.

    Raises:
        RootError: it is missing, unreadable, no folder, or not the one expected.
    """

    def __init__(self, fs: Fs, path: str, expected: RootIdentity | None = None) -> None:
        self.fs = fs
        self.path = path
        self.mounts: frozenset[str] = frozenset()
        self.probe: Callable[[], bool] | None = None
        self._folds: bool | None = None
        self._decomposes: bool | None = None
        try:
            self.handle = fs.open_root(path)
        except OSError as failure:
            raise RootError(f"The folder {path} cannot be opened: {failure.strerror}.") from failure
        self.identity = self._identity(self.handle)
        if expected is not None and expected != self.identity:
            fs.close(self.handle)
            raise RootError(f"Another folder stands at {path} than the one that was linked.")

    def __enter__(self) -> Root:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the handle back."""
        self.fs.close(self.handle)

    def verify(self) -> None:
        """The folder that is held open still stands at its path, or RootError says that it does not."""
        try:
            other = self.fs.open_root(self.path)
        except OSError as failure:
            raise RootError(f"The folder {self.path} has gone: {failure.strerror}.") from failure
        try:
            if self._identity(other) != self.identity:
                raise RootError(f"The folder {self.path} has been replaced by another one.")
        finally:
            self.fs.close(other)

    def _identity(self, handle: Dir) -> RootIdentity:
        found = self.fs.fstat(handle)
        return RootIdentity(found.device, found.inode)

    @contextlib.contextmanager
    def folder(self, path: str) -> Iterator[Dir]:
        """The handle of a folder below the root; '' is the root itself.

        Raises:
            Unsafe, Blocked: a link, a file or another spelling of a folder stands on the way.
            Unmounted: it lies on a file system that is gone.
            FileNotFoundError: a part is missing.
            OSError: a part cannot be opened.
        """
        with self._walk(path, None) as handle:
            yield handle

    @contextlib.contextmanager
    def parent(self, path: str, create: list[str] | None = None) -> Iterator[tuple[Dir, str]]:
        """The handle of the folder ``path`` lies in, and the path's last part.

        Given a list, missing folders are made and their paths appended to it. Raises as ``folder`` does.
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
        """The handle of a folder below the root, to be closed by the caller unless it is ``handle``, the root's own.

        Given a list, missing folders are made and their paths appended to it. Raises as ``folder`` does.
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
        """The file systems this folder lies in, those within others too: each may be gone by itself."""
        return [mount for mount in self.mounts if f"{path}/".startswith(f"{mount}/")]

    def is_unmounted(self, path: str, folder: Dir, above: Dir) -> bool:
        """Whether this folder is known as a file system of its own and shows what lies under its mount point."""
        return path in self.mounts and self.fs.fstat(folder).device == self.fs.fstat(above).device

    def _step(self, handle: Dir, part: str, so_far: str, create: list[str] | None, mounts: list[str]) -> Dir:
        try:
            below = self._open(handle, part, so_far)
            if so_far in mounts and self.is_unmounted(so_far, below, handle):
                self.fs.close(below)
                raise MountMissing(gone(so_far))
            return below
        except FileNotFoundError:
            # A mount point is missing with all above it; what is missing below one was deleted like any folder.
            lost = next((mount for mount in mounts if f"{mount}/".startswith(f"{so_far}/")), None)
            if lost is not None:
                raise MountMissing(gone(lost)) from None
            if create is None:
                raise
        with contextlib.suppress(FileExistsError):
            self.fs.mkdir(handle, part, FOLDER_MODE)
            create.append(so_far)
        return self._open(handle, part, so_far)

    def _open(self, handle: Dir, part: str, so_far: str) -> Dir:
        twin = self.case_collision(handle, part)
        if twin is not None:
            # Below a folder of another spelling every file would be found under two paths.
            raise PathBlocked(
                f"'{twin}' stands where '{so_far}' is asked for, and this disk takes them for the same name."
            )
        try:
            return self.fs.open_dir(handle, part)
        except OSError as failure:
            if failure.errno not in _NOT_A_FOLDER:
                raise
            if self.fs.stat(handle, part).kind is FileType.LINK:
                raise UnsafePath(f"'{so_far}' is a link, and links are not followed.") from failure
            raise PathBlocked(f"'{so_far}' is a file where a folder is needed.") from failure

    def is_case_insensitive(self) -> bool:
        """Whether this file system takes names that differ only in case for one.

        Learnt from a name that is already there, so that nothing is written into the user's folder; until there is
        one with a letter in it, the platform's habit counts.
        """
        if self._folds is None:
            self._folds = self._learn_folding()
        return sys.platform == "darwin" if self._folds is None else self._folds

    def _learn_folding(self) -> bool | None:
        names = {entry.name for entry in self.fs.entries(self.handle)}
        for name in sorted(names):
            other = name.swapcase()
            if other == name or other in names or collision_key(other) != collision_key(name):
                continue
            try:
                inode = self.fs.stat(self.handle, name).inode
                try:
                    return self.fs.stat(self.handle, other).inode == inode
                except FileNotFoundError:
                    # Only while the name itself still stands does it say that the other spelling does not lead to it.
                    self.fs.stat(self.handle, name)
                    return False
            except OSError:
                continue
        return None

    def stores_nfd(self) -> bool:
        """Whether this file system writes every name down decomposed, whatever was asked for, as HFS+ does."""
        if self._decomposes is None and self.probe is not None and self.is_case_insensitive():
            with contextlib.suppress(OSError, DiskError):
                self._decomposes = self.probe()
        return bool(self._decomposes)

    def entries(self, handle: Dir) -> list[FolderEntry]:
        """The folder's names; composed where the disk cannot keep them so, as other programs spell them.

        Raises:
            OSError: it cannot be listed, or it holds a decomposed name and nobody can tell now whose spelling that is:
                taken for another file's, it would be pushed as a new one, and deleted under the name it has elsewhere.
        """
        found = self.fs.entries(handle)
        if self.stores_nfd():
            return [FolderEntry(to_nfc(entry.name), entry.kind) for entry in found]
        untold = self._decomposes is None and self.probe is not None and self.is_case_insensitive()
        if untold and any(to_nfc(entry.name) != entry.name for entry in found):
            raise OSError(errno.EAGAIN, "whether this disk decomposes names cannot be told now")
        return found

    def listing(self, handle: Dir) -> Listing:
        """As ``entries``, told apart."""
        if self.probe is not None and self.is_case_insensitive():
            return classify(self.entries(handle))
        # Where names are kept as they were given, none is spelled otherwise than it stands there.
        return self.fs.listing(handle)

    def spelled(self, path: str) -> str:
        """How a path the disk told of is spelled here."""
        return to_nfc(path) if not path.isascii() and self.stores_nfd() else path

    def case_collision(self, handle: Dir, name: str) -> str | None:
        """The name that stands in the folder where a folding file system answers to ``name``, if another; where it
        keeps only one form of a name, that form of it.
        """
        if not self.is_case_insensitive():
            return None
        if self.spelled(name) != name:
            return self.spelled(name)
        key = collision_key(name)
        twins = [entry.name for entry in self.entries(handle) if collision_key(entry.name) == key]
        return None if not twins or name in twins else twins[0]


def gone(mount: str) -> str:
    """Words for a mount point that is empty or missing."""
    return f"'{mount}' was a file system of its own and is not mounted now"
