"""A relay before a server that counts the bytes it carries, at the speed of large files."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

from support.eventually import patience

_PIECE = 1 << 20


class CountingRelay:
    """Passes every byte on.

    Attributes:
        url: to use in place of the server's.
        up: bytes carried to the server so far, of every connection.
        down: bytes carried from it.
    """

    def __init__(self, server: str) -> None:
        parts = urlsplit(server)
        assert parts.hostname and parts.port
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.up = 0
        self.down = 0

    @classmethod
    @contextlib.contextmanager
    def before(cls, server: str) -> Iterator[CountingRelay]:
        """A relay that listens; its connections end with the block."""
        relay = cls(server)
        acceptor = threading.Thread(target=relay._accept, name="relay", daemon=True)
        acceptor.start()
        try:
            yield relay
        finally:
            for end in (relay._listener, *relay._open):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
            acceptor.join(patience(5))

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._server)
                self._open |= {near, far}
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(*ends, far), daemon=True).start()

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
