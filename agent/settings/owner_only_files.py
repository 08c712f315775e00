"""Folders and files that only their owner can read. A write leaves the old content or the new, never a part."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from agent.settings.errors import ConfigError

__all__ = ["create_once", "ensure_private", "explain_refusal", "private", "write_atomically"]


def ensure_private(folder: Path) -> None:
    """Make ``folder``, 0700, unless it is there. The mode of a folder that is there is never changed.

    Every file in it is 0600, so a folder that others can list is accepted. One that others can write to is not: they
    could replace the files in it.

    Raises:
        ConfigError: the folder cannot be made, is a file, belongs to another user, can be written to by others, or is
            a link that another user made (a trap in a shared temporary folder).
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        entry = folder.lstat()
        found = folder.stat() if stat.S_ISLNK(entry.st_mode) else entry
    except PermissionError as error:
        raise ConfigError(*explain_refusal(folder, error)) from error
    except OSError as error:
        raise ConfigError(
            f"cannot make the folder {folder}: {error.strerror}", "set RAVEN_AGENT_HOME to a folder you can write to"
        ) from error
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"{folder} is not a folder", "move it away, or set RAVEN_AGENT_HOME to another folder")
    if found.st_uid == 0 != os.getuid():
        raise ConfigError(*_foreign(folder, 0))
    if found.st_uid != os.getuid() or entry.st_uid not in (os.getuid(), 0):
        raise ConfigError(f"{folder} belongs to another user", "set RAVEN_AGENT_HOME to a folder of your own")
    if stat.S_IMODE(found.st_mode) & 0o022:
        raise ConfigError(
            f"others can write to {folder}, so nothing private can be kept in it",
            f"choose another folder, or: chmod go-w {folder}",
        )


def explain_refusal(path: Path, error: OSError) -> tuple[str, str]:
    """Return cause and remedy of a file of the home that this user cannot use.

    A first command under sudo leaves files that belong to root. The remedy gives them back and deletes nothing.
    """
    for place in (path, *path.parents):
        with contextlib.suppress(OSError):
            owner = place.lstat().st_uid
            if owner != os.getuid() and place != place.parent:
                return _foreign(place, owner)
            break
    return f"cannot use {path}: {(error.strerror or 'refused').lower()}", f"check the permissions of {path}"


def _foreign(place: Path, owner: int) -> tuple[str, str]:
    import pwd

    def name_of(number: int) -> str:
        try:
            return pwd.getpwuid(number).pw_name
        except KeyError:
            return str(number)

    cause = ": an earlier command was probably run with sudo" if owner == 0 else ""
    remedy = f"sudo chown -R {name_of(os.getuid())} {place}" if owner == 0 else "set RAVEN_AGENT_HOME to another folder"
    return f"{place} belongs to {name_of(owner)}, not to you{cause}", remedy


def private(path: str, flags: int) -> int:
    """Open a file with mode 0600, whatever the umask. For the ``opener`` parameter of ``open``."""
    return os.open(path, flags, 0o600)


def create_once(path: Path, data: bytes) -> None:
    """Create the file at ``path``, 0600, complete and durable. A file that exists is kept, also one made meanwhile.

    Raises:
        OSError: the file system refused.
    """
    import secrets

    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # A link never replaces a file: of two concurrent first calls one wins, and its file is complete.
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink()


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace the whole file at ``path``. After a crash it holds the old bytes or the new ones, never a part.

    Raises:
        OSError: the file system refused; the old file is unchanged.
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
