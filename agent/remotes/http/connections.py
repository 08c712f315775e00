"""The open connections to one server: dead ones are detected soon, and all can be closed at once.

A machine that slept, or moved to another network, holds connections that look alive and are dead. TCP keepalive lets
the kernel detect this, and the agent closes all connections when it notices a sleep.
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
"""An idle connection is probed after ten seconds; three probes without an answer end it."""

_OPTIONS: Final = tuple(
    (getattr(socket, name), value)
    for name, value in (
        ("TCP_KEEPIDLE", _IDLE_SECONDS),
        ("TCP_KEEPINTVL", _BETWEEN_SECONDS),
        ("TCP_KEEPCNT", _PROBES),
        # The macOS name of TCP_KEEPIDLE.
        *((("TCP_KEEPALIVE", _IDLE_SECONDS),) if sys.platform == "darwin" else ()),
        ("TCP_USER_TIMEOUT", (_IDLE_SECONDS + _PROBES * _BETWEEN_SECONDS) * 1000),
    )
    if hasattr(socket, name)
)
_CONNECTED: Final = frozenset(
    {"connection.connect_tcp.complete", "connection.start_tls.complete", "proxy.start_tls.complete"}
)


class Connections:
    """The sockets of one client. Safe to use from several threads."""

    def __init__(self) -> None:
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._aborts = 0

    @property
    def aborts(self) -> int:
        """Number of aborts so far. A call that fails after it has grown was ended here, not by the server."""
        return self._aborts

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Record the socket of a new connection; used as the ``trace`` extension of a request."""
        if event not in _CONNECTED:
            return
        made = info["return_value"].get_extra_info("socket")
        if not isinstance(made, socket.socket):
            return
        with contextlib.suppress(OSError):
            # Not every system has every option, and a missing one must not fail the call.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _OPTIONS:
                made.setsockopt(socket.IPPROTO_TCP, option, value)
        with self._lock:
            self._open.add(made)

    def abort_connections(self) -> None:
        """Close every connection: calls in progress fail at once, later ones connect again."""
        with self._lock:
            self._aborts += 1
            found = list(self._open)
            self._open.clear()
        for each in found:
            with contextlib.suppress(OSError):
                # Call the base class: ``SSLSocket.shutdown`` would destroy the TLS session under the reading thread.
                socket.socket.shutdown(each, socket.SHUT_RDWR)
