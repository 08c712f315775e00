"""Linux's inotify, one watch a folder, so that folders out of scope cost none."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MODIFY: Final = 0x2
ATTRIB: Final = 0x4
CLOSE_WRITE: Final = 0x8
MOVED_FROM: Final = 0x40
MOVED_TO: Final = 0x80
CREATE: Final = 0x100
DELETE: Final = 0x200
DELETE_SELF: Final = 0x400
MOVE_SELF: Final = 0x800
OVERFLOW: Final = 0x4000
IGNORED: Final = 0x8000
IS_FOLDER: Final = 0x40000000

_ONLYDIR: Final = 0x1000000
_DONT_FOLLOW: Final = 0x2000000
_WANTED: Final = (
    MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF
) | _ONLYDIR
_HEAD: Final = struct.Struct("iIII")
_BUFFER: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class RawEvent:
    """One event: in the folder of ``watch``, to ``name`` ('' for the folder itself)."""

    watch: int
    mask: int
    name: str


class Inotify:
    """A bare inotify instance. Raises OSError where the kernel refuses one."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = self._checked(self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))

    def close(self) -> None:
        """Gives the instance and its watches back."""
        os.close(self.descriptor)

    def add(self, path: str, *, follow: bool) -> int:
        """Watches a folder; the same folder has the same number. ENOSPC: the kernel's limit is reached."""
        wanted = _WANTED if follow else _WANTED | _DONT_FOLLOW
        return self._checked(self._libc.inotify_add_watch(self.descriptor, os.fsencode(path), ctypes.c_uint32(wanted)))

    def remove(self, watch: int) -> None:
        """Ends a watch; that it has ended already is fine."""
        self._libc.inotify_rm_watch(self.descriptor, watch)

    def read(self) -> Iterator[RawEvent]:
        """What has happened so far, without waiting for more."""
        try:
            data = os.read(self.descriptor, _BUFFER)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            watch, mask, _, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size
            yield RawEvent(watch, mask, os.fsdecode(data[at : at + length].rstrip(b"\x00")))
            at += length

    def _checked(self, result: int) -> int:
        if result < 0:
            code = ctypes.get_errno() or errno.EIO
            raise OSError(code, os.strerror(code))
        return result
