"""A relay before a server, whose connections can go dead without anybody being told."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Self
from urllib.parse import urlsplit

from support.eventually import patience


class Relay:
    """Passes bytes on until they are swallowed.

    Attributes:
        url: to use in place of the server's.
        swallowed: how many connections went dead within a request, as ``swallow_after`` asked for.
    """

    def __init__(self, server: str) -> None:
        parts = urlsplit(server)
        assert parts.hostname and parts.port
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._dead: set[socket.socket] = set()
        self._asked: dict[socket.socket, bytes] = {}
        self._doomed: tuple[bytes, int] | None = None
        self.swallowed = 0

    @classmethod
    @contextlib.contextmanager
    def before(cls, server: str) -> Iterator[Self]:
        """A relay that listens; its connections end with the block."""
        relay = cls(server)
        acceptor = threading.Thread(target=relay._accept, name="relay", daemon=True)
        acceptor.start()
        try:
            yield relay
        finally:
            relay._close()
            acceptor.join(patience(5))

    def swallow(self) -> int:
        """From now on every connection there is stays open and carries nothing, as after a change of network; new ones
        work. How many there were.
        """
        with self._lock:
            self._dead = set(self._open)
            return len(self._dead) // 2

    def swallow_after(self, words: bytes, size: int) -> None:
        """From now on a connection goes dead once a request with these words in it has carried so many bytes."""
        self._doomed = (words, size)

    def pass_all(self) -> None:
        """Let new connections work again."""
        self._doomed = None

    def awaits(self, words: bytes) -> bool:
        """Whether a request with these words in it has had no answer yet."""
        return any(words in asked for asked in list(self._asked.values()))

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._server)
                with self._lock:
                    self._open |= {near, far}
                threading.Thread(target=self._pass_on, args=(near, far, far), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(far, near, far), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if source in self._dead:
                    continue
                self._asked[server] = b"" if source is server else self._asked.get(server, b"") + data
                if self._goes_dead(self._asked[server]):
                    self._dead |= {source, target}
                    self.swallowed += 1
                    continue
                target.sendall(data)
        if source not in self._dead:
            for end in (source, target):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _goes_dead(self, asked: bytes) -> bool:
        return self._doomed is not None and len(asked) >= self._doomed[1] and self._doomed[0] in asked

    def _close(self) -> None:
        # Closing alone does not wake a thread that waits in accept.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
