"""The lock of a home: one agent at a time. Its file names the pid and the socket of the holder."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from pathlib import Path
from typing import IO, Final

from agent.core.errors import HomeLocked
from agent.settings.errors import ConfigError
from agent.settings.owner_only_files import explain_refusal

_HELD: Final = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})
"""Errors of flock that mean "another process holds the lock". Any other one means that locks do not work there."""


class HomeLock:
    """A lock that the kernel releases when the process ends, so that a file left behind blocks no later agent."""

    def __init__(self, path: Path, socket: Path | None = None) -> None:
        """Take the lock.

        Raises:
            HomeLocked: another process holds it; the message names its pid.
            ConfigError: the file cannot be opened, or its file system offers no locks.
        """
        try:
            self._file: IO[str] = path.open("a+", encoding="utf-8")
            os.fchmod(self._file.fileno(), 0o600)
        except PermissionError as error:
            raise ConfigError(*explain_refusal(path, error)) from error
        except OSError as error:
            raise ConfigError(
                f"cannot write {path}: {(error.strerror or 'refused').lower()}",
                f"check the disk of {path.parent}, or set RAVEN_AGENT_HOME to a folder on another one",
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _HELD:
                self._file.close()
                raise ConfigError(
                    f"the file system of {path.parent} has no working file locks "
                    f"({(error.strerror or 'refused').lower()}), so two agents could use one home at a time",
                    "set RAVEN_AGENT_HOME to a folder on a local disk; linked folders may stay where they are",
                ) from error
            self._file.seek(0)
            holder = _pid(self._file.read())
            self._file.close()
            who = f"the agent with pid {holder}" if holder else "another agent"
            raise HomeLocked(
                f"{who} holds this home", "use it through the running agent, or end that one first: raven-agent stop"
            ) from error
        self.name(socket)

    def name(self, socket: Path | None) -> None:
        """Write the pid of this process, and the socket it listens on, into the file."""
        self._file.seek(0)
        self._file.truncate()
        json.dump({"pid": os.getpid(), "socket": str(socket) if socket else None}, self._file)
        self._file.flush()

    def release(self) -> None:
        """Release the lock. The file stays: removing it could remove a newer holder's file."""
        self._file.seek(0)
        self._file.truncate()
        self._file.flush()
        self._file.close()


def _pid(text: str) -> int | None:
    try:
        return int(json.loads(text)["pid"])
    except (ValueError, KeyError, TypeError):
        return None
