"""The question to a running agent: what is taken for an answer, and what is not."""

from __future__ import annotations

import socket

import pytest

from agent.cli.unix_http import OK, UnixHttpResponse, post

SECONDS = 5.0


def asked(answer: bytes) -> tuple[UnixHttpResponse, bytes]:
    """What comes of this answer, and the question it was given to."""
    near, far = socket.socketpair()
    with near, far:
        far.sendall(answer)
        far.shutdown(socket.SHUT_WR)
        got = post(near, "/v1/status", b"{}", SECONDS)
        return got, far.recv(1 << 16)


def test_the_request_is_a_post_answered_until_disconnect() -> None:
    """HTTP/1.0, so that nothing comes in chunks; the host is one the agent takes for itself."""
    _, question = asked(b"HTTP/1.1 200 OK\r\n\r\n")
    head, _, body = question.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/status HTTP/1.0\r\nHost: localhost\r\n")
    assert b"Content-Length: 2" in head
    assert body == b"{}"


def test_a_body_is_read_whole_or_line_by_line() -> None:
    """With its length or without; the status is told as a number."""
    answer, _ = asked(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\na\nb\n")
    assert (answer.status, answer.read()) == (OK, b"a\nb\n")
    answer, _ = asked(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\na\nb\n")
    assert (answer.status, answer.line(), answer.line(), answer.line()) == (400, b"a\n", b"b\n", b"")


def test_a_body_that_is_cut_short_is_a_lost_connection() -> None:
    """An answer is never taken for whole that is shorter than it said."""
    answer, _ = asked(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc")
    with pytest.raises(ConnectionError):
        answer.read()


@pytest.mark.parametrize("cut", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n"])
def test_a_head_that_is_cut_short_is_a_lost_connection(cut: bytes) -> None:
    """As when the agent ends while it is asked."""
    with pytest.raises(ConnectionError):
        asked(cut)


@pytest.mark.parametrize(
    "noise",
    [b"SSH-2.0-OpenSSH_9.2\r\n", b"\r\n\r\n", b"HTTP/1.1 fine\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200],
)
def test_what_is_no_http_is_no_answer(noise: bytes) -> None:
    """Whoever listens there speaks something else."""
    with pytest.raises(ValueError, match=r"."):
        asked(noise)
