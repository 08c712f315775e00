"""The control socket answers programs of its owner and no web page, however that page was led to it (SC8)."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import Daemon, Home


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Daemon]]:
    """A daemon with one file linked to its own hub."""
    home = Home(tmp_path_factory.mktemp("control"))
    home.write("a.md", "mine\n")
    home.link()
    with home.daemon() as running:
        yield home, running


def asked(home: Home, path: str, headers: dict[str, str], method: str = "POST") -> tuple[int, bytes]:
    """Status and body of one request over the socket, with exactly these headers and an empty object."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(home.path / "agent.sock"))
        lines = [f"{method} {path} HTTP/1.1", "content-length: 2", "connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        connection.sendall("\r\n".join([*lines, "", "{}"]).encode())
        answer = http.client.HTTPResponse(connection, method=method)
        answer.begin()
        return answer.status, answer.read()


HERE = {"host": "localhost", "content-type": "application/json"}
OWN = [
    {},
    {"host": "agent"},
    {"host": "127.0.0.1:8675"},
    {"host": "[::1]:8675"},
    {"host": "localhost:8675", "origin": "http://localhost:8675"},
    {"host": "LOCALHOST", "origin": "http://localhost", "sec-fetch-site": "same-origin"},
]
FOREIGN = [
    {"host": "evil.example"},
    {"host": "evil.example:8675"},
    {"host": "localhost.evil.example"},
    {"host": "127.0.0.1.evil.example"},
    {"host": "evil.example@localhost"},
    {"host": "localhost:8675:80"},
    {"host": "192.0.2.1"},
    {"host": ""},
    {"origin": "http://evil.example"},
    {"origin": "http://localhost.evil.example"},
    {"origin": "http://localhost:9999"},
    {"origin": "http://localhost/"},
    {"origin": "http://evil.example@localhost"},
    {"origin": "file://localhost"},
    {"origin": "null"},
    {"origin": "http://[::1"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
]


def test_sc8_a_foreign_host_or_origin_is_refused_on_every_path(daemon: tuple[Home, Daemon]) -> None:
    """Before anything is looked at or done, for methods that exist and those that do not; nothing of ours is shown."""
    home, running = daemon
    for sent in FOREIGN:
        for method, path in (("POST", "/v1/status"), ("POST", "/v1/pause"), ("GET", "/metrics"), ("GET", "/nothing")):
            status, body = asked(home, path, HERE | sent, method)
            assert status == 403, (sent, path, status, body)
            assert json.loads(body)["error"]["code"] == "foreign"
            assert str(home.folder).encode() not in body
    assert running.call("status")["sources"][0]["paused_until"] is None


def test_sc8_two_hosts_are_no_host(daemon: tuple[Home, Daemon]) -> None:
    """Whoever reads the one and whoever reads the other would not agree."""
    home, _ = daemon
    status, _ = asked(home, "/v1/status", HERE | {"Host": "evil.example"})
    assert status in (400, 403)


def test_the_owners_programs_and_the_agents_page_are_answered(daemon: tuple[Home, Daemon]) -> None:
    """The refusals above are not for want of an answer."""
    home, _ = daemon
    for sent in OWN:
        status, body = asked(home, "/v1/status", HERE | sent)
        assert status == 200, (sent, body)
        assert json.loads(body)["result"]["sources"][0]["root"] == str(home.folder)


@pytest.mark.parametrize(
    "raw",
    [
        b"\0" * 5000,
        b"POST /v1/status HTTP/1.1\r\nhost: localhost\r\ncontent-length: 400000\r\n\r\n" + b"[" * 400_000,
        b"POST /v1/status HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n[]",
        b"POST /v1/status HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\nnull",
        b"POST /v1/../v1/%00 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}",
    ],
)
def test_nonsense_on_the_socket_disturbs_nobody(daemon: tuple[Home, Daemon], raw: bytes) -> None:
    """It is refused, and the next request is answered."""
    home, running = daemon
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(home.path / "agent.sock"))
        connection.sendall(raw)
        assert connection.recv(65_536).split(b" ")[1][:1] == b"4"
    assert running.call("status")["sources"][0]["root"] == str(home.folder)


def test_sc8_the_socket_and_every_folder_above_it_are_its_owners(daemon: tuple[Home, Daemon]) -> None:
    """As far as the agent made them."""
    home, _ = daemon
    found: Path = home.path / "agent.sock"
    assert found.stat().st_mode & 0o777 == 0o600
    assert found.parent.stat().st_mode & 0o777 == 0o700
