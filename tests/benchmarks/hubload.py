"""Many clients of one hub at once: raw connections with requests put together beforehand, so that the hub is what is
measured and not the one who asks.
"""

from __future__ import annotations

import contextlib
import hashlib
import selectors
import socket
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from benchmarks.tree import text
from hub.fixtures import headers, upsert
from support.servers import HubServer

BATCH: Final = 100
ITEM_BYTES: Final = 4096
_CHUNK: Final = 1 << 18
_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_PATIENCE_SECONDS: Final = 60.0


def request(hub: HubServer, endpoint: str, **body: Any) -> bytes:
    """A whole request as it goes over the wire."""
    content = orjson.dumps(body)
    fields = {"host": urlsplit(hub.url).netloc, "content-length": str(len(content)), **headers(hub.token)}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST /api/local-sync/{endpoint} HTTP/1.1\r\n{head}\r\n".encode() + content


def batches(hub: HubServer, source: str, count: int, seed: int) -> list[bytes]:
    """Pushes of a hundred new files each."""
    found = []
    for batch in range(count):
        numbers = range(batch * BATCH, (batch + 1) * BATCH)
        items = [upsert(f"area-{seed}/n-{number:06}.md", text(number, ITEM_BYTES, seed)) for number in numbers]
        found.append(request(hub, "sources/push-batch", sourceId=source, items=items))
    return found


class Connection:
    """One connection; a request at a time."""

    def __init__(self, hub: HubServer) -> None:
        parts = urlsplit(hub.url)
        self.socket = socket.create_connection((parts.hostname, parts.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._kept = b""

    def ask(self, asked: bytes) -> bytes:
        """The body of the answer."""
        self.socket.sendall(asked)
        while (body := self.heard(self.socket.recv(_CHUNK))) is None:
            pass
        return body

    def heard(self, chunk: bytes) -> bytes | None:
        """The body of an answer as soon as it is whole."""
        assert chunk, "the hub hung up"
        self._kept += chunk
        head, end, rest = self._kept.partition(_HEAD_END)
        if not end:
            return None
        status, *fields = head.lower().split(b"\r\n")
        length = next(int(field[len(_LENGTH) :]) for field in fields if field.startswith(_LENGTH))
        if len(rest) < length:
            return None
        assert b" 200 " in status, (status, rest[:500])
        self._kept = b""
        return rest


@contextlib.contextmanager
def connected(hub: HubServer, count: int) -> Iterator[list[Connection]]:
    """So many connections."""
    made = [Connection(hub) for _ in range(count)]
    try:
        yield made
    finally:
        for one in made:
            one.socket.close()


def pushing(hub: HubServer, work: Sequence[Sequence[bytes]]) -> float:
    """Seconds in which as many agents as there are lists send what stands in theirs, one request after another."""
    gate = threading.Barrier(len(work) + 1)
    with connected(hub, len(work)) as agents:

        def send(agent: Connection, requests: Sequence[bytes]) -> None:
            gate.wait()
            for one in requests:
                agent.ask(one)

        threads = [threading.Thread(target=send, args=pair) for pair in zip(agents, work, strict=True)]
        for thread in threads:
            thread.start()
        gate.wait()
        began = time.perf_counter()
        for thread in threads:
            thread.join()
        return time.perf_counter() - began


def answered(agents: Sequence[Connection]) -> list[float]:
    """When each of these, all of which have asked, had its answer."""
    moments = []
    with selectors.DefaultSelector() as waiting:
        for agent in agents:
            waiting.register(agent.socket, selectors.EVENT_READ, agent)
        deadline = time.perf_counter() + _PATIENCE_SECONDS
        while waiting.get_map():
            assert time.perf_counter() < deadline, f"{len(waiting.get_map())} of {len(agents)} were not told"
            for key, _ in waiting.select(1.0):
                if key.data.heard(key.data.socket.recv(_CHUNK)) is not None:
                    moments.append(time.perf_counter())
                    waiting.unregister(key.fileobj)
    return moments


def plain_store(database: Path, count: int, seed: int) -> float:
    """Seconds in which one loop hashes, packs and durably writes as many batches into two tables, and nothing else."""
    contents = [text(number, ITEM_BYTES, seed).encode() for number in range(count * BATCH)]
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as store:
        store.execute("PRAGMA journal_mode=WAL")
        store.execute("PRAGMA synchronous=FULL")
        store.execute("CREATE TABLE texts(hash BLOB PRIMARY KEY, packed BLOB) WITHOUT ROWID")
        store.execute("CREATE TABLE events(id INTEGER PRIMARY KEY, path TEXT, hash BLOB, operation TEXT UNIQUE)")
        began = time.perf_counter()
        for batch in range(count):
            store.execute("BEGIN IMMEDIATE")
            for number in range(batch * BATCH, (batch + 1) * BATCH):
                digest = hashlib.sha256(contents[number]).digest()
                store.execute("INSERT INTO texts VALUES (?, ?)", (digest, zlib.compress(contents[number])))
                event = (f"area-{seed}/n-{number:06}.md", digest, f"op-{seed}-{number}")
                store.execute("INSERT INTO events(path, hash, operation) VALUES (?, ?, ?)", event)
            store.execute("COMMIT")
        return time.perf_counter() - began
