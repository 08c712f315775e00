"""The connections to one server: those that died unseen are found out soon, and all can be cut at once.

A machine that slept, or moved to another network, holds connections that look alive and are not: nothing tells it that
the other end has gone. The kernel is asked to find out by itself, and who knows of such a moment cuts them.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import weakref
from typing import Any, Final

_IDLE_SECONDS: Final = 10
_BETWEEN_SECONDS: Final = 5
_PROBES: Final = 3
"""A connection on which nothing moves is probed after ten seconds, and dead after three probes without an answer."""

_OPTIONS: Final = tuple(
    (getattr(socket, name), value)
    for name, value in (
        ("TCP_KEEPIDLE", _IDLE_SECONDS),
        ("TCP_KEEPINTVL", _BETWEEN_SECONDS),
        ("TCP_KEEPCNT", _PROBES),
        # What Linux calls TCP_KEEPIDLE has this name on macOS.
        *((("TCP_KEEPALIVE", _IDLE_SECONDS),) if sys.platform == "darwin" else ()),
        ("TCP_USER_TIMEOUT", (_IDLE_SECONDS + _PROBES * _BETWEEN_SECONDS) * 1000),
    )
    if hasattr(socket, name)
)
_MADE: Final = frozenset({"connection.connect_tcp.complete", "connection.start_tls.complete"})


class Connections:
    """Remembers the open ones; safe to use from several threads."""

    def __init__(self) -> None:
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._cuts = 0

    @property
    def cuts(self) -> int:
        """How often they were cut: a call that fails after this has grown was cut off here, not by the server."""
        return self._cuts

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """The ``trace`` extension of a request: told whatever its connection does."""
        if event not in _MADE:
            return
        made = info["return_value"].get_extra_info("socket")
        if not isinstance(made, socket.socket):
            return
        with contextlib.suppress(OSError):
            # Not every system knows every option, and none is worth a failed call.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _OPTIONS:
                made.setsockopt(socket.IPPROTO_TCP, option, value)
        with self._lock:
            self._open.add(made)

    def abort_connections(self) -> None:
        """End every connection: calls under way fail at once, the next ones connect anew."""
        with self._lock:
            self._cuts += 1
            found = list(self._open)
            self._open.clear()
        for each in found:
            with contextlib.suppress(OSError):
                # The plain socket's: an encrypted one's own would take the session away from whoever reads it now.
                socket.socket.shutdown(each, socket.SHUT_RDWR)
