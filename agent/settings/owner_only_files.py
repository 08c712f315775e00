"""Folders and files that are their owner's alone, and that hold the old or the new after a crash, never a part."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from agent.core.errors import AgentError


class ConfigError(AgentError):
    """The settings or the folders that hold them make no sense; nothing was started."""

    code = "config"


def ensure_private(folder: Path) -> None:
    """Make ``folder`` a directory only its owner can enter.

    Raises:
        ConfigError: it cannot be made, is a link or a file, or belongs to somebody else (a trap laid in a shared
            temporary folder, for one).
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat() if not folder.is_symlink() else folder.stat()
    except OSError as error:
        raise ConfigError(
            f"cannot make the folder {folder}: {error.strerror}", "set RAVEN_AGENT_HOME to a folder you can write to"
        ) from error
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"{folder} is not a folder", "move it away")
    if found.st_uid != os.getuid():
        raise ConfigError(f"{folder} belongs to another user", "remove it, or set RAVEN_AGENT_HOME")
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)


def private(path: str, flags: int) -> int:
    """An ``opener`` for ``open``: a file made by it is its owner's alone from the first moment, whatever the umask."""
    return os.open(path, flags, 0o600)


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace ``path`` as a whole: after a crash it holds the old bytes or the new ones, never a part.

    Raises:
        OSError: the disk refused; the old file stands.
    """
    import tempfile

    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as out:
            os.fchmod(out.fileno(), mode)
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
