"""A relay before a server that counts the bytes it carries, at the speed of large files."""

from __future__ import annotations

import contextlib
import socket

from support.relay import Relay

_PIECE = 1 << 20


class CountingRelay(Relay):
    """Passes every byte on, and counts them. It keeps nothing of a request, so none of its connections goes dead.

    Attributes:
        up: bytes carried to the server so far, of every connection.
        down: bytes carried from it.
    """

    def __init__(self, server: str) -> None:
        super().__init__(server)
        self.up = 0
        self.down = 0

    def _pass_on(self, source: socket.socket, target: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE):
                with self._lock:
                    if source is server:
                        self.down += len(data)
                    else:
                        self.up += len(data)
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
