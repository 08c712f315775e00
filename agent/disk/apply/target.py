"""The place of one file in the linked folder, and the looks at it that a change needs."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable

from msgspec import Struct

from agent.core.errors import DiskError
from agent.core.paths import ancestors, parent_of
from agent.disk.apply.staging import file_hash
from agent.disk.fs.protocol import Dir, FileType, Fs
from agent.disk.root import Root
from agent.disk.scan.digest import never


class Target(Struct, frozen=True):
    """The place of an intent: the open folder and the last part of the path."""

    folder: Dir
    name: str


def kind_at(fs: Fs, target: Target) -> FileType | None:
    """Return the type of the entry at the target; None if there is none."""
    try:
        return fs.stat(target.folder, target.name).kind
    except FileNotFoundError:
        return None


def file_missing(fs: Fs, target: Target) -> bool:
    """Return True if no file, folder or link is at the target."""
    return kind_at(fs, target) is None


def hash_at(fs: Fs, target: Target, interrupted: Callable[[], bool] = never) -> str | None:
    """Return the sha256 of the file at the target; None if there is none, or if its bytes cannot be read whole.

    Raises:
        ReadInterrupted: ``interrupted`` returned True.
    """
    try:
        found = file_hash(fs, target.folder, target.name, interrupted)
    except FileNotFoundError:
        return None
    return None if found is None else found.sha256


def has_bytes(
    fs: Fs, target: Target, sha256: str | None, size: int | None, interrupted: Callable[[], bool] = never
) -> bool:
    """Return True if the file at the target has this hash.

    Args:
        size: bytes of the wanted file, if known. A file of another size is not read: it may be huge.

    Raises:
        ReadInterrupted: ``interrupted`` returned True.
    """
    try:
        found = fs.stat(target.folder, target.name)
    except FileNotFoundError:
        return False
    if found.kind is not FileType.FILE or (size is not None and found.size != size):
        return False
    return hash_at(fs, target, interrupted) == sha256


def remove_empty_folder(fs: Fs, target: Target) -> bool:
    """Remove the folder at the target if it is empty. Return False if it is not. Raises OSError."""
    try:
        fs.rmdir(target.folder, target.name)
    except OSError as failure:
        if failure.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
        return False
    return True


def remove_emptied_folders(root: Root, paths_of_files: Iterable[str]) -> set[str]:
    """Remove the folders above these files that are empty now, from the innermost outwards. Never raises.

    Returns:
        The folders in which names changed.
    """
    touched: set[str] = set()
    staying: set[str] = set()
    for above in sorted({above for path in paths_of_files for above in ancestors(path)}, reverse=True):
        # Paths below a folder sort after it, so every removal that could empty this folder was tried before.
        if above in staying:
            continue
        try:
            with root.parent(above) as (folder, name):
                root.fs.rmdir(folder, name)
        except (OSError, DiskError):
            staying.update((above, *ancestors(above)))
        else:
            touched.add(parent_of(above))
    return touched
