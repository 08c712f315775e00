"""The process that listens on a port of this machine, so that a message can name it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_LISTENING: Final = "0A"
"""State of a listening socket in the kernel's tables."""


def listener_on(port: int, proc: Path = _PROC) -> tuple[str, int] | None:
    """Return name and pid of a process that listens on a TCP port.

    None if there is none, it belongs to another user, or the system has no such tables.
    """
    sockets = {f"socket:[{inode}]" for table in ("tcp", "tcp6") for inode in _inodes(proc / "net" / table, port)}
    for process in proc.glob("[0-9]*") if sockets else ():
        try:
            if any(str(link.readlink()) in sockets for link in (process / "fd").iterdir()):
                return (process / "comm").read_text("utf-8", "replace").strip(), int(process.name)
        except OSError:
            # The process has ended, or does not allow this user to read its files.
            continue
    return None


def _inodes(table: Path, port: int) -> list[str]:
    try:
        rows = [line.split() for line in table.read_text("ascii", "replace").splitlines()[1:]]
    except OSError:
        return []
    return [row[9] for row in rows if row[3] == _LISTENING and row[1].endswith(f":{port:04X}")]
