"""One agent a home: a lock file that names the pid, and that a reused pid cannot hold."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import IO

from agent.core.errors import HomeLocked


class HomeLock:
    """The kernel holds the lock for as long as the process lives, so a stale file locks nobody out."""

    def __init__(self, path: Path, socket: Path | None = None) -> None:
        """Take the lock.

        Raises:
            HomeLocked: another process holds it; the message names its pid.
        """
        self._file: IO[str] = path.open("a+", encoding="utf-8")
        path.chmod(0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            holder = _pid(self._file.read())
            self._file.close()
            who = f"the agent with pid {holder}" if holder else "another agent"
            raise HomeLocked(
                f"{who} holds this home", "use it through the running agent, or stop that one first"
            ) from error
        self.name(socket)

    def name(self, socket: Path | None) -> None:
        """Write down who holds the lock and where it listens."""
        self._file.seek(0)
        self._file.truncate()
        json.dump({"pid": os.getpid(), "socket": str(socket) if socket else None}, self._file)
        self._file.flush()

    def release(self) -> None:
        """Let another agent have the home. The file stays: removing it could take a newer holder's away."""
        self._file.seek(0)
        self._file.truncate()
        self._file.flush()
        self._file.close()


def _pid(text: str) -> int | None:
    try:
        return int(json.loads(text)["pid"])
    except (ValueError, KeyError, TypeError):
        return None
