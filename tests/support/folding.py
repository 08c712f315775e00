"""A file system that takes names for one if they differ only in case, over the real one."""

from __future__ import annotations

import contextlib
import errno
import os
import unicodedata
from typing import Any

from agent.disk.fs.posix import PosixFs
from agent.disk.fs.protocol import Dir, File, Stat
from support.derived_fs import DerivedFsCalls


def folded(name: str) -> str:
    """What two names have in common that are one name here; as APFS and ext4 fold, normal forms too."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


class FoldingFs(DerivedFsCalls):
    """``Fs`` as a disk that folds case and keeps it: a name is found in any spelling and stays as it was made."""

    def __init__(self) -> None:
        self._real = PosixFs()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def open_dir(self, parent: Dir, name: str) -> Dir:
        """As in ``Fs``."""
        return self._real.open_dir(parent, _standing(parent, name))

    def stat(self, folder: Dir, name: str) -> Stat:
        """As in ``Fs``."""
        return self._real.stat(folder, _standing(folder, name))

    def open_file(self, folder: Dir, name: str) -> File:
        """As in ``Fs``."""
        return self._real.open_file(folder, _standing(folder, name))

    def create(self, folder: Dir, name: str, mode: int) -> File:
        """As in ``Fs``."""
        return self._real.create(folder, _standing(folder, name), mode)

    def clone_attributes(self, folder: Dir, name: str, file: File) -> None:
        """As in ``Fs``."""
        self._real.clone_attributes(folder, _standing(folder, name), file)

    def may_be_written(self, folder: Dir, name: str) -> bool:
        """As in ``Fs``."""
        return self._real.may_be_written(folder, _standing(folder, name))

    def mkdir(self, parent: Dir, name: str, mode: int) -> None:
        """As in ``Fs``."""
        self._real.mkdir(parent, _standing(parent, name), mode)

    def rmdir(self, parent: Dir, name: str) -> None:
        """As in ``Fs``."""
        self._real.rmdir(parent, _standing(parent, name))

    def exchange(self, dir_a: Dir, name_a: str, dir_b: Dir, name_b: str) -> None:
        """As in ``Fs``."""
        self._real.exchange(dir_a, _standing(dir_a, name_a), dir_b, _standing(dir_b, name_b))

    def rename(self, source: Dir, old: str, target: Dir, new: str) -> None:
        """As in ``Fs``; a new spelling of the same name is taken as it is written."""
        old, there = _standing(source, old), _standing(target, new)
        same = os.path.samestat(os.fstat(source), os.fstat(target)) and old == there
        self._real.rename(source, old, target, new if same else there)

    def rename_noreplace(self, source: Dir, old: str, target: Dir, new: str) -> None:
        """As in ``Fs``."""
        if _standing(target, new) != new:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
        self._real.rename_noreplace(source, _standing(source, old), target, new)

    def unlink(self, folder: Dir, name: str) -> None:
        """As in ``Fs``."""
        self._real.unlink(folder, _standing(folder, name))


def _standing(folder: int, name: str) -> str:
    """The name that stands in the folder where this one is asked for; the name itself where none does."""
    with contextlib.suppress(OSError):
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        return name
    key = folded(name)
    return next((there for there in os.listdir(folder) if folded(there) == key), name)
