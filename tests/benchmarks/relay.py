"""A relay before a server that passes every byte on as it is, at once or as late as from far away, and counts."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import orjson

_CHUNK: Final = 256 * 1024
_PUSH: Final = "push-batch"
_HEAD_END: Final = b"\r\n\r\n"


@dataclass(slots=True)
class Asked:
    """What went through since the counting began.

    Attributes:
        endpoints: requests by the last part of their path.
        batches: how many operations each push carried, in order. A push of none only asks how far the feed has
            come: it is a request and not a batch.
        at_once: the most pushes that were on their way, or being answered, at one moment.
    """

    endpoints: Counter[str] = field(default_factory=Counter)
    batches: list[int] = field(default_factory=list)
    at_once: int = 0

    @property
    def requests(self) -> int:
        """All requests."""
        return self.endpoints.total()

    @property
    def operations(self) -> int:
        """Operations in all pushes together; one that was sent twice counts twice."""
        return sum(self.batches)


class Relay:
    """Where it listens, and what it counted.

    Attributes:
        url: to use in place of the server's.
    """

    def __init__(self, server: str, there_and_back: float = 0.0) -> None:
        self._one_way = there_and_back / 2
        parts = urlsplit(server)
        assert parts.hostname is not None
        assert parts.port is not None
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._asked = Asked()
        self._pushing: set[socket.socket] = set()
        self._open: set[socket.socket] = set()

    @classmethod
    @contextlib.contextmanager
    def before(cls, server: str, there_and_back: float = 0.0) -> Iterator[Relay]:
        """A relay that listens; its connections end with the block. Every byte takes half of ``there_and_back``
        seconds to arrive, however many are on their way.
        """
        relay = cls(server, there_and_back)
        acceptor = threading.Thread(target=relay._accept, name="relay")
        acceptor.start()
        try:
            yield relay
        finally:
            relay._close()
            acceptor.join()

    def counted(self) -> Asked:
        """What was asked since the last time this was called."""
        with self._lock:
            done, self._asked = self._asked, Asked()
        return done

    def _note(self, client: socket.socket, endpoint: str, body: bytes) -> None:
        with self._lock:
            self._asked.endpoints[endpoint] += 1
            if endpoint == _PUSH and (items := orjson.loads(body)["items"]):
                self._asked.batches.append(len(items))
                self._pushing.add(client)
                self._asked.at_once = max(self._asked.at_once, len(self._pushing))

    def _accept(self) -> None:
        workers = []
        # Shutting the listener down is how accepting ends.
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                for one in (client, server):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._open |= {client, server}
                workers.append(threading.Thread(target=self._pass_requests, args=(client, server)))
                workers.append(threading.Thread(target=self._pass_answers, args=(server, client)))
                for worker in workers[-2:]:
                    worker.start()
        for worker in workers:
            worker.join()

    def _pass_requests(self, client: socket.socket, server: socket.socket) -> None:
        kept = b""
        for chunk in self._chunks(client, server):
            kept += chunk
            while (taken := _first_request(kept)) is not None:
                endpoint, body, kept = taken
                self._note(client, endpoint, body)

    def _pass_answers(self, server: socket.socket, client: socket.socket) -> None:
        for _ in self._chunks(server, client):
            with self._lock:
                self._pushing.discard(client)
        # The answers end last: nobody uses either socket after this.
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()

    def _chunks(self, source: socket.socket, target: socket.socket) -> Iterator[bytes]:
        """Every chunk, passed on or on its way; the end of one direction is passed on too."""
        send = _Late(target, self._one_way).send if self._one_way else lambda chunk: _send(target, chunk)
        for chunk in _received(source):
            send(chunk)
            yield chunk
        send(b"")

    def _close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            left = list(self._open)
        for one in left:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def _received(source: socket.socket) -> Iterator[bytes]:
    """Every chunk until the connection ends, however it ends."""
    with contextlib.suppress(OSError):
        while chunk := source.recv(_CHUNK):
            yield chunk


def _send(target: socket.socket, chunk: bytes) -> None:
    """Pass a chunk on; an empty one is the end of this direction. Whoever does not listen any more misses it."""
    with contextlib.suppress(OSError):
        if chunk:
            target.sendall(chunk)
        else:
            target.shutdown(socket.SHUT_WR)


class _Late:
    """Passes chunks on in order, each when its way is over."""

    def __init__(self, target: socket.socket, seconds: float) -> None:
        self._target = target
        self._seconds = seconds
        self._under_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._deliver, name="late")
        self._thread.start()

    def send(self, chunk: bytes) -> None:
        """Put this on its way; an empty one ends it, and is waited for."""
        self._under_way.put((time.monotonic() + self._seconds, chunk))
        if not chunk:
            self._thread.join()

    def _deliver(self) -> None:
        chunk = b"-"
        while chunk:
            due, chunk = self._under_way.get()
            time.sleep(max(0.0, due - time.monotonic()))
            _send(self._target, chunk)


def _first_request(kept: bytes) -> tuple[str, bytes, bytes] | None:
    """(last part of the path, body, what follows) of the first request; None while it is not whole."""
    head, end, rest = kept.partition(_HEAD_END)
    if not end:
        return None
    line, *fields = head.decode("latin-1").split("\r\n")
    named = {name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in fields)}
    assert "transfer-encoding" not in named, "the relay counts bodies of a stated length only"
    length = int(named.get("content-length", "0"))
    if len(rest) < length:
        return None
    return line.split(" ")[1].rpartition("/")[2], rest[:length], rest[length:]
