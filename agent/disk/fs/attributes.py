"""Ownership, mode and ACL of files that the agent creates, on Linux and macOS.

A new file gets what an editor's file would get in the same folder: the umask or the folder's default ACL, and the group
of a set-group-ID folder. Set-user-ID, set-group-ID and file capabilities are never given to a file.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import struct
import sys
from pathlib import Path
from typing import Final, NamedTuple

SAFE_BITS: Final = 0o777
"""Mode bits that a file may take over from another one: without set-user-ID, set-group-ID and sticky."""
NEW_FILE: Final = 0o666
"""The mode an editor asks for; the umask or the default ACL narrows it."""

_DEFAULT_ACL: Final = "system.posix_acl_default"
_ACCESS_ACL: Final = "system.posix_acl_access"
_NEVER_COPIED: Final = frozenset({"security.capability", "security.ima", "security.evm"})
"""Privileges and signatures that belong to the old bytes."""
_HEAD: Final = struct.Struct("<I")
_ENTRY: Final = struct.Struct("<HHI")
_USER_OBJ, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x04, 0x10, 0x20


class CreationDefaults(NamedTuple):
    """Attributes that a folder gives to a file created in it.

    Attributes:
        group: numeric group; None for the process's own.
        acl: the default ACL in the kernel's format; None if there is none, so that the umask applies.
    """

    group: int | None = None
    acl: bytes | None = None


def creation_defaults(folder: int) -> CreationDefaults:
    """Return the defaults of an open folder."""
    found = os.fstat(folder)
    # On macOS, as in BSD, every new file has the group of its folder.
    inherits = sys.platform == "darwin" or bool(found.st_mode & stat.S_ISGID)
    acl = None
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            acl = os.getxattr(folder, _DEFAULT_ACL)
    return CreationDefaults(found.st_gid if inherits else None, acl)


def apply_creation_defaults(file: int, defaults: CreationDefaults) -> None:
    """Give an open file what the kernel would have given it in a folder with these defaults.

    What the permissions refuse is left out: a group the user is not a member of, for example.
    """
    with contextlib.suppress(OSError):
        os.fchown(file, -1, os.getegid() if defaults.group is None else defaults.group)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.removexattr(file, _ACCESS_ACL)
        if defaults.acl is not None:
            with contextlib.suppress(OSError):
                os.setxattr(file, _ACCESS_ACL, access_acl(defaults.acl, NEW_FILE))
                return
    os.fchmod(file, NEW_FILE & ~_umask())


def access_acl(default: bytes, mode: int) -> bytes:
    """Return the ACL of a file created with ``mode`` under a default ACL, as the kernel's ``posix_acl_create`` does."""
    entries = list(_ENTRY.iter_unpack(default[_HEAD.size :]))
    group_class = _MASK if any(tag == _MASK for tag, _, _ in entries) else _GROUP_OBJ
    allowed = {_USER_OBJ: mode >> 6 & 7, group_class: mode >> 3 & 7, _OTHER: mode & 7}
    narrowed = [_ENTRY.pack(tag, permissions & allowed.get(tag, 7), owner) for tag, permissions, owner in entries]
    return default[: _HEAD.size] + b"".join(narrowed)


def copyable(attribute: str) -> bool:
    """True if an extended attribute may be given to a file with other bytes."""
    return attribute not in _NEVER_COPIED


def _umask() -> int:
    """Return the umask without setting it, which another thread's new file would see."""
    with contextlib.suppress(OSError):
        found = re.search(r"^Umask:\s*([0-7]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
        if found is not None:
            return int(found[1], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
