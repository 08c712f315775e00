"""Opened files and long contents over a real socket."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading

import pytest

from agent.core.errors import ContentChanged, ProblemKind
from agent.remotes.http.client import HttpClient
from agent.remotes.http.download import download
from agent.remotes.http.failures import RemoteCallError
from agent.remotes.http.profile import ApiProfile
from agent.remotes.http.request import BYTES, ApiRequest, FilePart
from remotes.suite.transfers import OpenedFile
from remotes.test_transport import talking

MIB = 1 << 20
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


def body_of(connection: socket.socket) -> bytes:
    """The body of the next request, as far as it comes."""
    received = b""
    while b"\r\n\r\n" not in received and (more := connection.recv(65_536)):
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    if not head:
        return b""
    (length,) = (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length and (more := connection.recv(65_536)):
        body += more
    return body


def test_an_opened_file_arrives_whole_or_not_at_all() -> None:
    """The server sees a request that was cut short, which no server takes; the next call connects again."""
    bodies: list[bytes] = []

    def talk(connection: socket.socket, ending: threading.Event) -> None:
        while body := body_of(connection):
            bodies.append(body)
            connection.sendall(NO_CONTENT)

    content = bytes(range(256)) * (2 * MIB // 256)
    request = ApiRequest(
        "PUT", "chunk", body=FilePart(OpenedFile(content), 0, len(content)), content_type=BYTES, may_be_empty=True
    )
    request_of_changed = ApiRequest("PUT", "chunk", body=FilePart(OpenedFile(content, changes_at=MIB), 0, len(content)))
    with talking(talk) as url, contextlib.closing(HttpClient(url, lambda: "t", ApiProfile("v1/"))) as http:
        for _ in range(2):
            with pytest.raises(ContentChanged):
                http.request(request_of_changed)
            http.request(request)
    whole = [body for body in bodies if len(body) == len(content)]
    assert {hashlib.sha256(body).digest() for body in whole} == {hashlib.sha256(content).digest()}
    assert len(whole) == 2


@pytest.mark.parametrize("length", [3 * MIB, 2 * MIB])
def test_a_long_content_comes_in_pieces_and_a_cut_one_is_noticed(length: int) -> None:
    """The connection ends after 2 MiB: a longer announced content is GARBLED after its last piece."""
    content = bytes(range(256)) * (2 * MIB // 256)

    def talk(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65_536)
        place = f"content-range: bytes 5-{length + 4}/{length + 5}"
        head = f"HTTP/1.1 206 Partial Content\r\ncontent-length: {length}\r\n{place}"
        connection.sendall(head.encode() + b"\r\n\r\n" + content)

    pieces: list[tuple[int, int]] = []
    with talking(talk) as url, contextlib.closing(HttpClient(url, lambda: "t", ApiProfile("v1/"))) as http:
        expected = contextlib.nullcontext() if length == len(content) else pytest.raises(RemoteCallError)
        with expected as error:
            download(
                http, ApiRequest("GET", "content"), length + 5, 5, lambda at, piece: pieces.append((at, len(piece)))
            )
    if error is not None:
        assert error.value.problem.kind is ProblemKind.GARBLED
    assert pieces[0][0] == 5
    assert sum(size for _, size in pieces) == len(content)
    assert len(pieces) > 1
