"""FU3 to FU5: limits on connections, tokens, bodies and answers. Others are served meanwhile, in bounded memory."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import orjson
import psutil
import pytest

from agent.hub.auth import MAX_TOKEN_BYTES, JwtTokens, mint
from agent.hub.connection_table import ConnectionLimits, ConnectionStage, ConnectionTable
from agent.hub.domain.ids import system_clock
from hub.fixtures import SECRET, headers, sha, upsert
from security.hostile_server import raw_post
from support.eventually import patience
from support.servers import HubServer

MIB = 1 << 20
MEMORY_BYTES = 250 * MIB
PATIENCE_SECONDS = 1.0


def process_of(hub: HubServer) -> psutil.Process:
    """The hub's process: the child that listens on its port."""
    port = urlsplit(hub.url).port
    for child in psutil.Process(os.getpid()).children():
        if any(c.laddr.port == port for c in child.net_connections("tcp") if c.status == psutil.CONN_LISTEN):
            return child
    raise AssertionError(hub.url)


def connected(hub: HubServer) -> socket.socket:
    """A new connection to the hub."""
    parts = urlsplit(hub.url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), 20)


def seconds_of_a_request(hub: HubServer) -> float:
    """Time until a client with a valid token and a connection of its own is answered; the best of three."""
    times = []
    for _ in range(3):
        began = time.monotonic()
        sent = headers(hub.token, hub.workspace)
        answer = httpx.post(f"{hub.url}/api/local-sync/sources/list", headers=sent, content=b"{}", timeout=20)
        assert answer.status_code == 200
        times.append(time.monotonic() - began)
    return min(times)


@contextlib.contextmanager
def open_connections(hub: HubServer, count: int, sent: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections, each with the same unfinished bytes."""
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(count):
            made.append(stack.enter_context(connected(hub)))
            with contextlib.suppress(OSError):
                made[-1].sendall(sent)
        yield made


def test_fu3_idle_connections_keep_nobody_out(hub: HubServer) -> None:
    """FU3: of 1,500 connections without a request at most 1,024 stay, and a valid client is answered within 1 s."""
    process = process_of(hub)
    before = process.num_fds()
    with open_connections(hub, 1500):
        assert seconds_of_a_request(hub) < patience(PATIENCE_SECONDS)
        assert process.num_fds() - before <= 1024 + 16
        assert process.memory_info().rss <= MEMORY_BYTES


@pytest.mark.parametrize("bearer", ["", "valid"])
def test_fu3_half_sent_bodies_occupy_no_memory(hub: HubServer, bearer: str) -> None:
    """FU3: 500 requests of 1 MB of which the last bytes never come, with and without a token."""
    process = process_of(hub)
    seconds_of_a_request(hub)
    sent = headers(hub.token, hub.workspace) if bearer else {}
    head = raw_post("sources/push-batch", sent | {"content-length": str(MIB - 10)}, b"")
    peak = process.memory_info().rss
    with open_connections(hub, 500, head) as connections:
        for round_ in range(8):
            for connection in connections:
                connection.setblocking(False)
                with contextlib.suppress(OSError):
                    connection.send(b"x" * (128 << 10))
            assert seconds_of_a_request(hub) < patience(PATIENCE_SECONDS), round_
            peak = max(peak, process.memory_info().rss)
    assert peak <= MEMORY_BYTES


def test_fu3_wrong_tokens_are_not_kept(hub: HubServer) -> None:
    """FU3: 1,100 wrong tokens, of 15 kB and of 60 kB, are all refused and leave no memory behind."""
    process = process_of(hub)
    seconds_of_a_request(hub)
    before = process.memory_info().rss
    with httpx.Client(base_url=hub.url, timeout=20) as client:
        for number in range(1100):
            bearer = f"{number}." + "x" * (15_000 if number % 2 else 60_000)
            answer = client.post("/api/local-sync/sources/list", headers=headers(bearer), content=b"{}")
            assert answer.status_code == 401
    assert seconds_of_a_request(hub) < patience(PATIENCE_SECONDS)
    assert process.memory_info().rss - before < 20 * MIB


def test_fu3_only_valid_tokens_are_cached() -> None:
    """FU3: refused tokens are verified anew each time; one over 16 kB is refused although its signature is right."""
    tokens = JwtTokens(SECRET)
    now = system_clock()
    for number in range(2000):
        assert tokens.caller(f"{number}.b.c", now) is None
    assert not tokens._verified
    long = mint(SECRET, workspace="w", user="u" * MAX_TOKEN_BYTES, now=now)
    assert tokens.caller(long, now) is None
    assert tokens.caller(mint(SECRET, workspace="w", user="u", now=now), now) is not None
    assert len(tokens._verified) == 1


class FakeConnection:
    """A connection that records that it was closed."""

    closed = False

    def abort(self) -> None:
        self.closed = True


def test_fu3_the_oldest_unauthenticated_one_is_closed() -> None:
    """FU3: only of the same address, and never one that has shown a valid token."""
    table = ConnectionTable(ConnectionLimits(total=100, unauthenticated=2))
    known, first, second, other, third = (FakeConnection() for _ in range(5))
    table.add(known, "a")
    table.set_stage(known, ConnectionStage.IDLE)
    for connection, address in ((first, "a"), (second, "a"), (other, "b"), (third, "a")):
        table.add(connection, address)
    assert [c.closed for c in (known, first, second, other, third)] == [False, True, False, False, False]


def test_fu3_a_full_table_prefers_busy_connections() -> None:
    """FU3: unauthenticated ones go first, then idle ones; when all are busy, the new one is closed."""
    table = ConnectionTable(ConnectionLimits(total=2, unauthenticated=None))
    busy, idle, new, newer, newest = (FakeConnection() for _ in range(5))
    for connection, stage in ((busy, ConnectionStage.BUSY), (idle, ConnectionStage.IDLE)):
        table.add(connection, "a")
        table.set_stage(connection, stage)
    table.add(new, "a")
    assert (busy.closed, idle.closed, new.closed) == (False, True, False)
    table.add(newer, "a")
    assert (busy.closed, new.closed, newer.closed) == (False, True, False)
    table.set_stage(newer, ConnectionStage.BUSY)
    table.add(newest, "a")
    assert (busy.closed, newer.closed, newest.closed) == (False, False, True)
    assert len(table) == 2


def test_fu4_large_answers_take_bounded_memory(hub: HubServer) -> None:
    """FU4: 150 compressible texts of 1 MB; four lists of conflicts and four whole histories at once, all complete.

    A valid client is answered within 1 s meanwhile.
    """
    process = process_of(hub)
    source = hub.new_source()
    base = None
    for number in range(75):
        text = f"{number} " + "a" * 1_000_000
        hub.client.push(source, upsert("history.md", text, base or "0" * 64))
        base = sha(text)
        hub.client.push(source, upsert("history.md", f"{number} " + "b" * 1_000_000, "1" * 64))
    bodies = {
        "sources/conflicts": {"sourceId": source},
        "sources/history": {"sourceId": source, "relativePath": "history.md", "allVersions": True},
        "sources/file": {"sourceId": source, "relativePath": "history.md", "allVersions": True},
    }
    peak = process.memory_info().rss
    for endpoint, body in bodies.items():
        sizes: list[int] = []

        def read(endpoint: str = endpoint, body: object = body, sizes: list[int] = sizes) -> None:
            sent = headers(hub.token, hub.workspace)
            url = f"{hub.url}/api/local-sync/{endpoint}"
            with httpx.stream("POST", url, headers=sent, content=orjson.dumps(body), timeout=60) as answer:
                assert answer.status_code == 200
                sizes.append(sum(len(part) for part in answer.iter_raw()))

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            peak = max(peak, process.memory_info().rss)
            assert seconds_of_a_request(hub) < patience(PATIENCE_SECONDS), endpoint
        for thread in threads:
            thread.join()
        expected = 2 * 75 if endpoint == "sources/conflicts" else 75
        assert len(sizes) == 4 and min(sizes) > expected * 1_000_000, (endpoint, sizes)
    assert peak <= MEMORY_BYTES


def test_fu4_unread_answers_take_bounded_memory(hub: HubServer) -> None:
    """FU4: 100 clients ask for 4 MB each and read nothing; memory stays bounded and small requests are answered."""
    process = process_of(hub)
    source = hub.new_source()
    for number in range(4):
        hub.put(source, f"{number}.md", f"{number}" + "a" * 1_000_000)
    body = orjson.dumps({"sourceId": source, "cursor": 0})
    request = raw_post("sources/deltas", headers(hub.token, hub.workspace), body)
    with open_connections(hub, 100, request):
        peak = 0
        for _ in range(20):
            peak = max(peak, process.memory_info().rss)
            threading.Event().wait(0.1)
    assert peak <= MEMORY_BYTES


@pytest.mark.parametrize("length", ["0", "2", "100"])
def test_fu5_two_lengths_are_refused(hub: HubServer, length: str) -> None:
    """FU5: Content-Length beside Transfer-Encoding is 400, the connection is closed, and no second request is read."""
    extra = {"content-length": length, "transfer-encoding": "chunked"}
    lines = [b"POST /api/local-sync/sources/list HTTP/1.1", b"host: hub"]
    sent = headers(hub.token, hub.workspace) | extra
    lines += [f"{name}: {value}".encode() for name, value in sent.items()]
    smuggled = raw_post("sources/list", headers(hub.token, hub.workspace), b"{}")
    with connected(hub) as connection:
        connection.sendall(b"\r\n".join([*lines, b"", b""]) + b"2\r\n{}\r\n0\r\n\r\n" + smuggled)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65_536):
                received += part
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in received.lower()
