"""The sd_notify protocol: reports to the service manager that started this process.

Messages are datagrams of ``NAME=value`` lines to the socket that ``NOTIFY_SOCKET`` names. A manager that does not read
them never blocks the agent. Without a manager nothing is sent.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

from msgspec import Struct

SEND_SECONDS: Final = 1.0
"""Longest wait for a manager that does not read its socket."""

FEEDS_A_TERM: Final = 4
"""Watchdog messages within one watchdog period, so that one lost message does not end the agent."""


class SdNotify(Struct, frozen=True):
    """The connection to the service manager.

    Attributes:
        address: the manager's socket; None without a manager.
        watchdog_seconds: the watchdog period; None without a watchdog.
    """

    address: str | None = None
    watchdog_seconds: float | None = None

    @classmethod
    def taken_from(cls, env: MutableMapping[str, str]) -> SdNotify:
        """Return the connection that ``env`` describes, and remove its variables, so that no child process uses it."""
        address = env.pop("NOTIFY_SOCKET", "")
        term, pid = env.pop("WATCHDOG_USEC", ""), env.pop("WATCHDOG_PID", "")
        if address[:1] not in ("/", "@"):
            return cls()
        # A one-file executable's loader is the parent of the interpreter, and has the expected pid.
        ours = pid in ("", str(os.getpid()), str(os.getppid()))
        seconds = int(term) / 1e6 if ours and term.isascii() and term.isdigit() and int(term) > 0 else None
        return cls(address, seconds)

    @property
    def feed_every(self) -> float | None:
        """Seconds between two watchdog messages; None without a watchdog."""
        return None if self.watchdog_seconds is None else self.watchdog_seconds / FEEDS_A_TERM

    def ready(self, status: str) -> None:
        """Report that the start, or a reload, is complete."""
        self._send("READY=1", _status(status))

    def status(self, words: str) -> None:
        """Report the status text that is shown beside the unit's name."""
        self._send(_status(words))

    def reloading(self) -> None:
        """Report that a reload begins; ``ready`` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, words: str) -> None:
        """Report that the process is stopping."""
        self._send("STOPPING=1", _status(words))

    def alive(self) -> None:
        """Send a watchdog message."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if self.address is None:
            return
        name = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.settimeout(SEND_SECONDS)
            out.connect(name)
            out.sendall("\n".join(lines).encode("utf-8", "replace"))


def _status(words: str) -> str:
    # A line end in a folder's name would begin another variable.
    return "STATUS=" + "".join(c if c.isprintable() else " " for c in words)
