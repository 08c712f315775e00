"""Connections that are cut, over real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from agent.core.errors import ProblemKind, RemoteError
from agent.remotes.http.client import HttpClient
from agent.remotes.http.connections import Connections
from agent.remotes.raven.profile import raven_profile
from strict_raven import WORKSPACE, StrictRaven, token
from strict_raven.faults import Faulty, delay
from strict_raven.serve import serving
from support.eventually import eventually, patience


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Lets answers that are kept back go."""
    made = threading.Event()
    yield made
    made.set()


@pytest.fixture
def faulty(released: threading.Event) -> Faulty:
    """A strict server whose answers can be kept back until they are released."""

    def kept_back(seconds: float) -> None:
        released.wait(seconds)

    return Faulty(StrictRaven().handle, wait=kept_back)


@pytest.fixture
def http(faulty: Faulty, released: threading.Event) -> Iterator[HttpClient]:
    """Calls over TCP."""
    with serving(faulty.handle) as url:
        made = HttpClient(url, token, raven_profile(WORKSPACE))
        yield made
        made.close()
        released.set()


def failing(http: HttpClient, faulty: Faulty, body: bytes) -> RemoteError:
    """What becomes of a call that waits for its answer when the connections are cut."""
    failures: list[RemoteError] = []

    def call() -> None:
        try:
            http.send("sources/list", body)
        except RemoteError as failure:
            failures.append(failure)

    faulty.inject(delay(60.0))
    caller = threading.Thread(target=call)
    caller.start()
    eventually(lambda: faulty.struck, 10, "the server has the request")
    http.abort_connections()
    caller.join(patience(5))
    assert not caller.is_alive()
    return failures[0]


def test_a_call_under_way_fails_at_once_and_the_next_one_works(http: HttpClient, faulty: Faulty) -> None:
    """It is no longer waited for, nobody takes it for refused, and a new connection is made for the next."""
    assert failing(http, faulty, b"{}").problem.kind is ProblemKind.OFFLINE
    assert http.call("sources/list", {}).data == []


def test_a_large_request_that_is_cut_off_was_not_too_large(http: HttpClient, faulty: Faulty) -> None:
    """A server that hangs up on a body over 1 MiB refuses its size; hanging up here says nothing about it."""
    body = b'{"x": "' + b"x" * (1 << 20) + b'"}'
    assert failing(http, faulty, body).problem.kind is ProblemKind.OFFLINE


def test_a_kept_connection_is_not_used_again_once_cut(http: HttpClient) -> None:
    """It carries nothing any more, and the next call does not fail over it."""
    assert http.call("sources/list", {}).data == []
    http.abort_connections()
    assert http.call("sources/list", {}).data == []


def test_the_kernel_probes_a_connection_on_which_nothing_moves() -> None:
    """Keep-alive is on, with a first probe after seconds and not after the two hours that are usual."""
    connections = Connections()
    near, far = socket.create_server(("127.0.0.1", 0)), None
    try:
        far = socket.create_connection(near.getsockname())

        class Stream:
            def get_extra_info(self, _name: str) -> socket.socket | None:
                return far

        connections.trace("connection.connect_tcp.complete", {"return_value": Stream()})
        assert far.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
        option = getattr(socket, "TCP_KEEPIDLE", None) or getattr(socket, "TCP_KEEPALIVE")  # noqa: B009 - macOS alone has it
        assert far.getsockopt(socket.IPPROTO_TCP, option) <= 15
    finally:
        near.close()
        if far is not None:
            far.close()
