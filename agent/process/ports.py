"""The processes behind ports and connections of this machine, as the kernel's tables name them."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_LISTENING: Final = "0A"
_ESTABLISHED: Final = "01"
"""States of a socket in the kernel's tables."""


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


def owner_of_connection(ours: tuple[str, int], theirs: tuple[str, int], proc: Path = _PROC) -> int | None:
    """Return the user id behind the other end of a TCP connection of this machine.

    None if the system has no such tables, or the connection is not in them.

    Args:
        ours: address and port of this process.
        theirs: address and port of the other end.
    """
    try:
        ends = [(ipaddress.ip_address(address).packed, port) for address, port in (theirs, ours)]
    except ValueError:
        return None
    # A socket of the newer family writes an older address with a prefix.
    mapped = [(b"\0" * 10 + b"\xff" * 2 + packed if len(packed) == 4 else packed, port) for packed, port in ends]
    for table, pair in (("tcp", ends), ("tcp6", mapped)):
        wanted = [_in_table(packed, port) for packed, port in pair]
        try:
            lines = (proc / "net" / table).read_text("ascii", "replace").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            row = line.split()
            if row[1:3] == wanted and row[3] == _ESTABLISHED:
                return int(row[7])
    return None


def _in_table(packed: bytes, port: int) -> str:
    # The kernel prints an address in words of four bytes, each in the order of the machine.
    words = [packed[at : at + 4] for at in range(0, len(packed), 4)]
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words) + f":{port:04X}"
