"""One agent a home: a lock file that names the pid, and that a reused pid cannot hold."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import IO, Any, Final

from agent.core.errors import HomeLocked

_PATIENCE_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.05


class HomeLock:
    """The kernel holds the lock for as long as the process lives, so a stale file locks nobody out."""

    def __init__(self, path: Path, socket: Path | None = None) -> None:
        """Take the lock; a single command that holds it is given a few seconds to end.

        Raises:
            HomeLocked: another process holds it; the message names its pid.
        """
        self._file: IO[str] = path.open("a+", encoding="utf-8")
        path.chmod(0o600)
        patience = time.monotonic() + _PATIENCE_SECONDS
        while not self._taken():
            self._file.seek(0)
            holder = _holder(self._file.read())
            if holder.get("socket") is None and time.monotonic() < patience:
                time.sleep(_LOOK_SECONDS)
                continue
            self._file.close()
            who = f"the agent with pid {holder['pid']}" if "pid" in holder else "another agent"
            raise HomeLocked(f"{who} holds this home", "use it through the running agent, or stop that one first")
        self.name(socket)

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

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


def _holder(text: str) -> dict[str, Any]:
    """Who wrote this into the lock file: a daemon names its socket, a single command none."""
    try:
        found = json.loads(text)
        return {"pid": int(found["pid"]), "socket": found["socket"]}
    except (ValueError, KeyError, TypeError):
        return {}
