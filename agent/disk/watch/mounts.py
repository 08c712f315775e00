"""The mounts of the system that concern one root, from ``/proc/self/mountinfo``.

The kernel reports an unmounted device to inotify, but not an unmounted bind mount. A poll of this file for POLLPRI
returns after every change of the mounts, whatever its kind.
"""

from __future__ import annotations

import os
import re
from typing import Final

MOUNTINFO: Final = "/proc/self/mountinfo"
_MOUNT_POINT: Final = 4
_OCTAL: Final = re.compile(rb"\\([0-7]{3})")


class MountTable:
    """The mounts at, above and below one root. Used by one thread.

    Attributes:
        descriptor: the open file, to be polled for POLLPRI.

    Raises:
        OSError: the system has no mountinfo.
    """

    def __init__(self, root_path: str) -> None:
        self._root = os.fsencode(os.path.realpath(root_path))
        self.descriptor = os.open(MOUNTINFO, os.O_RDONLY | os.O_CLOEXEC)
        self._mounts = mounts_of(self._read(), self._root)

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)

    def changes(self) -> set[str]:
        """Return the folders whose mount changed since the last call, relative to the root; '' is the root itself."""
        before, self._mounts = self._mounts, mounts_of(self._read(), self._root)
        changed = {point for _, point in before ^ self._mounts}
        return {os.fsdecode(point[len(self._root) :].lstrip(b"/")) for point in changed}

    def _read(self) -> bytes:
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        parts = []
        while part := os.read(self.descriptor, 1 << 16):
            parts.append(part)
        return b"".join(parts)


def mounts_of(mountinfo: bytes, root: bytes) -> frozenset[tuple[bytes, bytes]]:
    """Return (mount id, mount point) of every mount that shows a part of ``root``, an absolute path.

    A mount above the root counts with the mount point ``root``, because it can hide the root.
    """
    found = set()
    for line in mountinfo.splitlines():
        fields = line.split(b" ", _MOUNT_POINT + 1)
        if len(fields) <= _MOUNT_POINT:
            continue
        point = _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), fields[_MOUNT_POINT])
        if point == root or point.startswith(root.rstrip(b"/") + b"/"):
            found.add((fields[0], point))
        elif root.startswith(point.rstrip(b"/") + b"/"):
            found.add((fields[0], root))
    return frozenset(found)
