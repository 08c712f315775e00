"""A hub process limits each wait on a client: half-open connections and slow readers end, others are served."""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import psutil
import pytest
from websockets.sync.client import connect

from hub.fixtures import Running, headers, sha, token, upsert
from support.eventually import eventually, patience

PATIENCE = 1.0
IMPATIENT = (
    "import sys\n"
    "from agent.hub import client_timeouts\n"
    f"client_timeouts.STALL_SECONDS = {PATIENCE}\n"
    "from agent.hub.__main__ import main\n"
    "sys.exit(main(sys.argv[1:]))\n"
)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Running]:
    """A hub with timeouts of one second."""
    command = [sys.executable, "-P", "-c", IMPATIENT, "--data", str(tmp_path / "hub"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        running = Running(process, orjson.loads(process.stdout.readline())["url"], tmp_path / "hub")
        try:
            yield running
        finally:
            for client in running.clients:
                client.http.close()
            process.terminate()


@contextlib.contextmanager
def connected(hub: Running, room: int | None = None) -> Iterator[socket.socket]:
    """A bare connection, with so many bytes of room for what it does not read."""
    parts = urlsplit(hub.url)
    with socket.socket() as made:
        if room is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        made.settimeout(20)
        made.connect((parts.hostname, parts.port))
        yield made


def request(hub: Running, endpoint: str, **body: object) -> bytes:
    """A whole request as bytes."""
    encoded = orjson.dumps(body)
    bearer = token(secret=(hub.data / "secret").read_bytes())
    lines = [f"POST /api/local-sync/{endpoint} HTTP/1.1", "host: hub", f"content-length: {len(encoded)}"]
    lines += [f"{name}: {value}" for name, value in headers(bearer).items()]
    return "\r\n".join([*lines, "", ""]).encode() + encoded


def answered(connection: socket.socket) -> bool:
    """Return True if a complete and successful answer comes."""
    answer = http.client.HTTPResponse(connection, method="POST")
    answer.begin()
    return answer.status == 200 and orjson.loads(answer.read())["success"]


def ended(connection: socket.socket) -> bool:
    """Return True if the hub closes a connection without an answer."""
    try:
        return connection.recv(65_536) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("sent", [0, 1, 60, -1], ids=["nothing", "a byte", "half a head", "a body but its last byte"])
def test_a_request_that_is_never_finished_ends_its_connection(hub: Running, sent: int) -> None:
    """And not before its time."""
    with connected(hub) as half:
        began = time.monotonic()
        half.sendall(request(hub, "sources/list")[:sent])
        assert ended(half)
        assert PATIENCE * 0.9 < time.monotonic() - began < patience(8)


@pytest.mark.parametrize("first", [b"", b"POST / HTTP/1.1\r\ncontent-length: 1000\r\n\r\n"], ids=["head", "body"])
def test_a_byte_now_and_then_buys_no_time(hub: Running, first: bytes) -> None:
    """The whole request has to come at a pace."""
    with connected(hub) as slow:
        slow.sendall(first)
        slow.settimeout(0.1)
        began = time.monotonic()
        while time.monotonic() - began < 10:
            try:
                slow.sendall(b"x")
                if slow.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert time.monotonic() - began < patience(8)


def test_connections_that_were_given_up_leave_nothing_behind(hub: Running) -> None:
    """Three hundred at once, and no file stays open for them."""
    process = psutil.Process(hub.process.pid)
    before = process.num_fds()
    with contextlib.ExitStack() as held:
        for number in range(300):
            half = held.enter_context(connected(hub))
            half.sendall(b"POST /api/local-sync"[: number % 20])
        assert eventually(lambda: process.num_fds() > before + 250)
        assert eventually(lambda: process.num_fds() <= before + 3, 15)
    assert hub.client().ok("sources/list") == []


def _is_past(moment: float) -> bool:
    return time.monotonic() >= moment


def test_a_request_that_comes_slowly_and_steadily_is_answered(hub: Running) -> None:
    """It takes longer than the patience, at more than its least pace."""
    source = hub.client().source()
    whole = request(hub, "sources/push-batch", sourceId=source, items=[upsert("a.md", "x" * 40_000)])
    with connected(hub) as steady:
        began = time.monotonic()
        for start in range(0, len(whole), 1024):
            steady.sendall(whole[start : start + 1024])
            due = began + 2 * PATIENCE * start / len(whole)
            eventually(partial(_is_past, due), 5)
        assert time.monotonic() - began > 1.5 * PATIENCE
        assert answered(steady)


def test_a_long_poll_and_an_idle_connection_outlast_the_patience(hub: Running) -> None:
    """The one waits for the hub, the other for its next request, and both are answered."""
    source = hub.client().source()
    with connected(hub) as poll:
        for _ in range(2):
            began = time.monotonic()
            poll.sendall(request(hub, "sources/deltas", sourceId=source, waitMs=2500))
            assert answered(poll)
            assert time.monotonic() - began > 2
        assert not select.select([poll], [], [], 2 * PATIENCE)[0]
        poll.sendall(request(hub, "sources/list"))
        assert answered(poll)


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="the kernel is asked for the connection's state")
def test_a_client_that_does_not_take_its_answer_is_given_up(hub: Running) -> None:
    """A large answer stays in nobody's memory for ever; another client is served meanwhile."""
    client = hub.client()
    source = client.source()
    text = ""
    for letter in "abcdefghijkl":
        before, text = text, letter * 900_000
        client.push(source, upsert("a.md", text, sha(before) if before else None))
    with connected(hub, room=4096) as deaf:
        deaf.sendall(request(hub, "sources/history", sourceId=source, relativePath="a.md", allVersions=True))
        assert client.text(source, "a.md") is not None
        assert eventually(lambda: not established(deaf), 15)


def established(connection: socket.socket) -> bool:
    """Return True if the kernel has the connection as established. Bytes from before its end may be unread."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\x01"


def test_a_websocket_outlives_the_timer_of_a_request(hub: Running) -> None:
    """It idles for two and a half timeouts and answers then; its connection is counted, and no longer once closed."""
    client = hub.client()
    device = {"device_id": "dev", "device_name": "d", "platform": "cli", "client_version": "1"}
    client.http.post("/api/v1/sync/devices", json=device).raise_for_status()
    bearer = token(secret=(hub.data / "secret").read_bytes())

    def open_connections() -> float:
        lines = client.http.get("/metrics").text.splitlines()
        return float(next(line for line in lines if line.startswith("raven_hub_open_connections ")).split()[1])

    before = open_connections()
    url = f"{hub.url.replace('http', 'ws')}/api/v1/sync/ws/dev?token={bearer}"
    with connect(url, proxy=None) as sockets:
        assert open_connections() == before + 1
        time.sleep(2.5 * PATIENCE)
        sockets.send('{"type":"ping"}')
        assert orjson.loads(sockets.recv(timeout=patience(10)))["type"] == "pong"
    eventually(lambda: open_connections() == before, what="the end of the count of a closed connection")
