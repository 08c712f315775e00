"""What a service manager is told: the sd_notify protocol, and nothing where nobody listens.

Messages are datagrams of ``NAME=value`` lines to the socket ``NOTIFY_SOCKET`` names. The same protocol is spoken by
systemd and by the stand-ins for it; a manager that does not listen must never hold the agent up.
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
"""A manager that does not read its socket is not waited for longer than this."""

FEEDS_A_TERM: Final = 4
"""How often within its term the watchdog is fed, so that one late or lost message does not end the agent."""


class SdNotify(Struct, frozen=True):
    """Tells the manager that started this process how it stands.

    Attributes:
        address: the manager's socket; None where there is no manager, and then nothing is said.
        watchdog_seconds: how long the manager waits for a sign of life; None where it keeps no watch.
    """

    address: str | None = None
    watchdog_seconds: float | None = None

    @classmethod
    def taken_from(cls, env: MutableMapping[str, str]) -> SdNotify:
        """The one ``env`` describes. Its variables are taken out: a child must not speak in our name."""
        address = env.pop("NOTIFY_SOCKET", "")
        term, pid = env.pop("WATCHDOG_USEC", ""), env.pop("WATCHDOG_PID", "")
        if address[:1] not in ("/", "@"):
            return cls()
        # The parent's number is ours where a single file's loader started the interpreter.
        ours = pid in ("", str(os.getpid()), str(os.getppid()))
        seconds = int(term) / 1e6 if ours and term.isascii() and term.isdigit() and int(term) > 0 else None
        return cls(address, seconds)

    @property
    def feed_every(self) -> float | None:
        """Seconds between two signs of life; None where nobody keeps watch."""
        return None if self.watchdog_seconds is None else self.watchdog_seconds / FEEDS_A_TERM

    def ready(self, status: str) -> None:
        """The start, or a reload, is over."""
        self._send("READY=1", _status(status))

    def status(self, words: str) -> None:
        """How it stands, in words a person reads beside the unit's name."""
        self._send(_status(words))

    def reloading(self) -> None:
        """A reload begins; ``ready`` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, words: str) -> None:
        """The end begins."""
        self._send("STOPPING=1", _status(words))

    def alive(self) -> None:
        """A sign of life for the watchdog."""
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
