"""The mark that tells a linked folder on a disk of its own from another disk mounted in its place.

A folder is known by its device and its inode. Device numbers change over a reboot, and the top folders of two disks
often have the same inode: on a disk of its own the folder therefore carries a mark, in the agent's folder below it.
On the disk of the agent's state folder it needs none: there the inode decides.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import Final

from agent.core.errors import DiskError, RootError
from agent.core.paths import OWN_NAME
from agent.disk.fs.protocol import Fs
from agent.disk.root import Root, RootIdentity

_PRIVATE: Final = 0o700
_TEXT: Final = b"raven-agent knows by this file that the right disk is mounted here. Without it, it stops.\n"


def confirm(root: Root, expected: RootIdentity, state_folder: str, link: str) -> None:
    """Make sure that this is the folder that was linked.

    Args:
        expected: what it was when it was linked.
        link: the source it was linked to.

    Raises:
        RootError: another folder stands there, or another disk.
    """
    again = f"If it is the right folder: raven-agent move '{root.path}' '{root.path}'"
    if root.identity.inode != expected.inode:
        raise RootError(f"Another folder stands at {root.path} than the one that was linked. {again}")
    if not _beside(root, state_folder) and not _is_marked(root, link):
        raise RootError(f"Another disk seems to be mounted at {root.path}: the mark of this link is missing. {again}")


def write_marker(fs: Fs, path: str, state_folder: str, link: str) -> bool:
    """Mark a folder that is being linked, where it lies on a disk of its own; whether it had to be marked.

    Raises:
        DiskError, RootError: it cannot be marked, or opened.
    """
    with Root(fs, path) as root:
        if _beside(root, state_folder) or _is_marked(root, link):
            return False
        try:
            with contextlib.suppress(FileExistsError):
                fs.mkdir(root.handle, OWN_NAME, _PRIVATE)
            with root.folder(OWN_NAME) as folder:
                file = fs.create(folder, _name(link), 0o600)
                try:
                    fs.write(file, _TEXT)
                    fs.fsync(file)
                finally:
                    fs.close(file)
                fs.fsync_dir(folder)
            fs.fsync_dir(root.handle)
        except OSError as failure:
            raise DiskError(f"{path} lies on a disk of its own and cannot be marked: {failure.strerror}.") from failure
        return True


def _beside(root: Root, state_folder: str) -> bool:
    state = root.fs.open_root(state_folder)
    try:
        return root.fs.same_volume(root.handle, state)
    finally:
        root.fs.close(state)


def _is_marked(root: Root, link: str) -> bool:
    try:
        with root.folder(OWN_NAME) as folder:
            root.fs.stat(folder, _name(link))
    except (OSError, DiskError):
        return False
    return True


def _name(link: str) -> str:
    return f"linked-{hashlib.sha256(link.encode()).hexdigest()[:16]}"
