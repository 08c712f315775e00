"""Every wait on a server ends, whatever it sends or takes, and a steady one is waited for."""

from __future__ import annotations

import contextlib
import inspect
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpcore
import httpx
import pytest

from agent.core.errors import ProblemKind, UsageError
from agent.remotes.http import client as http_module
from agent.remotes.http.address import PlainHttp
from agent.remotes.http.client import HttpClient, Timeouts
from agent.remotes.http.failures import RemoteCallError
from agent.remotes.http.transport import EXCEPTIONS
from agent.remotes.raven.profile import raven_profile
from support.eventually import patience

SHORT = Timeouts(connect=0.2, read=0.4, write=0.2)


def short(url: str) -> contextlib.closing[HttpClient]:
    """Calls that wait for tenths of a second."""
    return contextlib.closing(
        HttpClient(url, lambda: "t", raven_profile("w"), timeouts=SHORT, plain_http=PlainHttp.ALLOW)
    )


Talk = Callable[[socket.socket, threading.Event], None]


@contextlib.contextmanager
def talking(talk: Talk) -> Iterator[str]:
    """A server that does as it likes with each connection; its address."""
    ending = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    threads: list[threading.Thread] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=held, args=(connection,)))
                threads[-1].start()

    def held(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            talk(connection, ending)

    accepting = threading.Thread(target=serve)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ending.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in [accepting, *threads]:
            thread.join(patience(10))


def dripping(first: bytes, drop: bytes, pause: float) -> Talk:
    """A server that reads a request, sends a beginning, and then the same few bytes over and over."""

    def talk(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(first)
        while not ending.wait(pause):
            connection.sendall(drop)

    return talk


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("first", "drop", "pause"),
    [
        pytest.param(b"", b"H", 0.05, id="a head that never ends its first line"),
        pytest.param(OK + b"x: ", b"y", 0.05, id="a header without end"),
        pytest.param(OK, b"x: y\r\n", 0.05, id="headers without end"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.0, id="interim answers without end"),
        pytest.param(OK + b"transfer-encoding: chunked\r\n\r\n", b"0", 0.05, id="the length of a chunk without end"),
        pytest.param(OK + b"transfer-encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n", b"x: y\r\n", 0.05, id="trailers"),
        pytest.param(OK + b"content-length: 1000000\r\n\r\n[", b" ", 0.05, id="a body"),
    ],
)
def test_an_answer_that_drips_ends_the_call(first: bytes, drop: bytes, pause: float) -> None:
    """OP2: no single read ever times out, and the call ends all the same, as one that may have had an effect."""
    with talking(dripping(first, drop, pause)) as url:
        began = time.monotonic()
        with (
            short(url) as http,
            pytest.raises(RemoteCallError) as error,
        ):
            http.call("sources/list", {})
    assert error.value.problem.kind in (ProblemKind.OFFLINE, ProblemKind.GARBLED)
    assert error.value.effect.value == "possible"
    assert time.monotonic() - began < patience(5)


def test_a_server_that_takes_a_request_by_the_byte_ends_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each write gets rid of something in time, and the request as a whole does not."""
    monkeypatch.setattr(http_module, "LEAST_RATE", 1 << 30)

    def talk(connection: socket.socket, ending: threading.Event) -> None:
        while not ending.wait(0.01):
            connection.recv(4096)

    with talking(talk) as url:
        began = time.monotonic()
        with (
            short(url) as http,
            pytest.raises(RemoteCallError) as error,
        ):
            http.call("sources/push-batch", {"items": "x" * 40_000_000})
    assert error.value.problem.kind is ProblemKind.OFFLINE
    assert time.monotonic() - began < patience(8)


def test_a_slow_steady_answer_is_read_to_its_end() -> None:
    """It takes several times as long as a read may take."""
    text = b'"' + b"x" * 60_000 + b'"'

    def talk(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(OK + b"content-length: %d\r\n\r\n" % len(text))
        for start in range(0, len(text), 2000):
            connection.sendall(text[start : start + 2000])
            ending.wait(0.04)

    with talking(talk) as url, short(url) as http:
        began = time.monotonic()
        assert http.call("sources/list", {}).data == "x" * 60_000
        assert time.monotonic() - began > SHORT.read


def test_a_server_that_said_it_may_wait_is_given_that_time() -> None:
    """A long poll's wait is added to the time the head of its answer may take."""

    def talk(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65_536)
        ending.wait(1.2)
        connection.sendall(OK + b"content-length: 2\r\n\r\n[]")

    with talking(talk) as url, short(url) as http:
        assert http.call("sources/deltas", {}, wait_seconds=2.0).data == []


def test_a_connection_is_used_again_for_the_next_call() -> None:
    """A handshake for each call would cost more than the call."""
    connections: list[socket.socket] = []

    def talk(connection: socket.socket, ending: threading.Event) -> None:
        connections.append(connection)
        asked = b""
        while not ending.is_set() and (more := connection.recv(65_536)):
            # Head and body of a call may come one after the other.
            asked += more
            if asked.endswith(b"\r\n\r\n{}"):
                asked = b""
                connection.sendall(OK + b"content-length: 2\r\n\r\n[]")

    with talking(talk) as url, contextlib.closing(HttpClient(url, lambda: "t", raven_profile("w"))) as http:
        for _ in range(5):
            http.call("sources/list", {})
    assert len(connections) == 1


def test_a_closed_client_connects_no_more() -> None:
    """A thread that still has the client sends nothing, and leaves no connection open."""
    with talking(lambda connection, ending: None) as url, short(url) as http:
        http.close()
        with pytest.raises(RemoteCallError) as error:
            http.call("sources/list", {})
    assert (error.value.problem.kind, error.value.effect.value) == (ProblemKind.OFFLINE, "none")


def test_a_connection_made_during_the_close_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool of connections does not know it yet, so it would stay open."""
    connect, made = socket.create_connection, list[socket.socket]()

    def connect_late(*arguments: Any, **keywords: Any) -> socket.socket:
        made.append(connect(*arguments, **keywords))
        http.close()
        return made[0]

    monkeypatch.setattr(socket, "create_connection", connect_late)
    with talking(lambda connection, ending: None) as url, short(url) as http:
        with pytest.raises(RemoteCallError) as error:
            http.call("sources/list", {})
        assert (error.value.problem.kind, error.value.effect.value) == (ProblemKind.OFFLINE, "none")
        assert made[0].fileno() == -1


class TestProxy:
    def asked(self, monkeypatch: pytest.MonkeyPatch, url: str, **variables: str) -> list[bytes]:
        """What a proxy got to see of a call to ``url``, which nobody answers otherwise."""
        seen: list[bytes] = []

        def talk(connection: socket.socket, _: threading.Event) -> None:
            seen.append(connection.recv(65_536))
            connection.sendall(OK + b"content-length: 2\r\nconnection: close\r\n\r\n[]")

        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        with talking(talk) as proxy:
            for name, value in variables.items():
                monkeypatch.setenv(name, value.replace("PROXY", proxy))
            with short(url) as http, contextlib.suppress(RemoteCallError):
                http.call("sources/list", {})
        return seen

    def test_a_proxy_the_environment_names_is_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """For plain http with the whole address, for https with nothing but the way there: no token."""
        (plain,) = self.asked(monkeypatch, "http://raven.invalid", http_proxy="PROXY")
        assert plain.startswith(b"POST http://raven.invalid/api/local-sync/sources/list HTTP/1.1\r\n")
        (tunnel,) = self.asked(monkeypatch, "https://raven.invalid", all_proxy="PROXY")
        assert tunnel.startswith(b"CONNECT raven.invalid:443 HTTP/1.1\r\n")
        assert b"Bearer" not in tunnel

    def test_an_excepted_host_is_not_asked_of_the_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """``NO_PROXY``."""
        assert self.asked(monkeypatch, "http://raven.invalid", http_proxy="PROXY", no_proxy="raven.invalid") == []

    def test_the_machine_itself_is_never_asked_of_a_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The hub's token stays here."""
        assert self.asked(monkeypatch, "http://127.0.0.1:9", http_proxy="PROXY") == []

    @pytest.mark.parametrize("named", ["socks5://127.0.0.1:1", "http://[::1"])
    def test_a_proxy_that_cannot_be_used_is_refused_by_name(self, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
        """And not passed by."""
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.setenv("https_proxy", named)
        with pytest.raises(UsageError, match="proxy"):
            HttpClient("https://raven.invalid", lambda: "t", raven_profile("w"))


def test_every_exception_of_the_layer_below_has_its_own_in_httpx() -> None:
    """None passes through as it is."""
    below = [cls for _, cls in inspect.getmembers(httpcore, inspect.isclass) if issubclass(cls, Exception)]
    assert {cls for cls in below if cls not in EXCEPTIONS} == set()
    assert all(issubclass(cls, httpx.TransportError) for cls in EXCEPTIONS.values())
