"""The marker file that identifies a linked folder on a disk of its own.

A folder is identified by device and inode. Device numbers change over a reboot, and the top folders of two disks often
have the same inode. So on a disk of its own the folder carries a marker in the agent's folder below it. On the disk of
the agent's state folder no marker is needed: there the inode is enough.
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
    """Check that the open root is the folder that was linked.

    Args:
        expected: identity at the time of the link.
        link: id of the source it was linked to.

    Raises:
        RootError: it is another folder, or another disk is mounted at its path.
    """
    if not root.identity.has_inode_of(expected):
        raise RootError(f"The folder at {root.path} is not the one that was linked. {_remedy(root)}")
    if not _is_on_state_disk(root, state_folder) and not _is_marked(root, link):
        raise RootError(
            f"Another disk seems to be mounted at {root.path}: the marker file of this link is missing. {_remedy(root)}"
        )


def _remedy(root: Root) -> str:
    from shlex import quote

    typed = quote(root.path)
    return f"If it is the right folder: raven-agent move {typed} {typed}"


def write_marker(fs: Fs, path: str, state_folder: str, link: str) -> bool:
    """Write the marker into a folder that is being linked, if it lies on a disk of its own.

    Returns:
        True if a marker was written.

    Raises:
        DiskError: it cannot be written.
        RootError: the folder cannot be opened.
    """
    with Root(fs, path) as root:
        if _is_on_state_disk(root, state_folder) or _is_marked(root, link):
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
            raise DiskError(
                f"{path} lies on a disk of its own, and its marker file cannot be written: {failure.strerror}."
            ) from failure
        return True


def _is_on_state_disk(root: Root, state_folder: str) -> bool:
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
