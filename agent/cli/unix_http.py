"""One question to the running agent over its socket, in as little HTTP as its server needs.

The standard library's client imports what reads e-mail and what encrypts: more than all the rest of ``status``. The
question is HTTP/1.0, so that the answer comes as it is, in no chunks, and ends with the connection.
"""

from __future__ import annotations

import socket
from typing import BinaryIO, Final

OK: Final = 200

_LONGEST_LINE: Final = 65_536
_MOST_FIELDS: Final = 100


class UnixHttpResponse:
    """An answer whose head was read.

    Attributes:
        status: of HTTP.
        length: bytes of the body, if the head says so.
    """

    def __init__(self, status: int, length: int | None, body: BinaryIO) -> None:
        self.status = status
        self.length = length
        self._body = body

    def read(self) -> bytes:
        """The whole body.

        Raises:
            OSError: the connection was lost, or ended before the body did.
        """
        body = self._body.read()
        if self.length is not None and len(body) < self.length:
            raise ConnectionResetError("the answer was cut short")
        return body

    def line(self) -> bytes:
        """The next line of the body, b"" behind the last one. Raises OSError."""
        return self._body.readline()

    def close(self) -> None:
        """Read no more."""
        self._body.close()


def post(connection: socket.socket, path: str, document: bytes, seconds: float | None) -> UnixHttpResponse:
    """Post a JSON document and read the head of the answer, each part of which may take so many ``seconds``.

    Raises:
        OSError: the connection was lost.
        ValueError: the answer is not HTTP.
    """
    head = f"POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(document)}\r\n\r\n".encode() + document)
    connection.settimeout(seconds)
    body = connection.makefile("rb")
    try:
        return _headed(body)
    except BaseException:
        body.close()
        raise


def _headed(body: BinaryIO) -> UnixHttpResponse:
    first = _line(body).split(None, 2)
    if len(first) < 2 or not first[0].startswith(b"HTTP/1."):
        raise ValueError("no status line")
    length = None
    for _ in range(_MOST_FIELDS):
        field = _line(body)
        if not field:
            return UnixHttpResponse(int(first[1]), length, body)
        name, _, value = field.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    raise ValueError("a head without an end")


def _line(body: BinaryIO) -> bytes:
    line = body.readline(_LONGEST_LINE)
    if not line:
        raise ConnectionResetError("no answer came")
    if not line.endswith(b"\n"):
        raise ValueError("a line without an end")
    return line.strip()
