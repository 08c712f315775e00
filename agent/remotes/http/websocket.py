"""A WebSocket over the agent's own transport: its deadlines, proxy, certificates and token.

httpcore does the opening handshake as an HTTP request; ``wsproto`` reads and writes the frames.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpcore
import httpx
from msgspec import Struct
from wsproto.connection import Connection as FrameConnection
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import CloseConnection, Event, Ping, TextMessage
from wsproto.utilities import LocalProtocolError

from agent.remotes.http.failures import malformed
from agent.remotes.http.transport import translated

MAX_TEXT: Final = 1024 * 1024
"""Characters of the largest text that is taken."""
_MAGIC: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_READ_SIZE: Final = 64 * 1024
_NORMAL: Final = 1000


class SocketClosed(Struct, frozen=True):
    """The server closed the WebSocket.

    Attributes:
        code: the close code of RFC 6455 or of the server; 1006 if the connection just ended.
    """

    code: int


def upgrade_headers() -> dict[str, str]:
    """Return the headers of an opening handshake, with a new key."""
    key = base64.b64encode(secrets.token_bytes(16)).decode("ascii")
    return {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-key": key,
        "sec-websocket-version": "13",
    }


class WebSocket:
    """An open WebSocket. For the use of one thread.

    Args:
        response: the answer to the opening handshake.
        headers: the headers that were sent, of ``upgrade_headers``.
        write_seconds: time that one write may take.
        token_replaced: returns True if calls have another token now than the handshake had.
        ticks: monotonic seconds.

    Raises:
        RemoteCallError: GARBLED if the answer opens no WebSocket.
    """

    def __init__(
        self,
        response: httpx.Response,
        headers: Mapping[str, str],
        write_seconds: float,
        token_replaced: Callable[[], bool],
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        if response.status_code != httpx.codes.SWITCHING_PROTOCOLS or not _is_accepted(response, headers):
            raise malformed("the server opened no WebSocket")
        stream: Any = response.extensions["network_stream"]
        self._stream: httpcore.NetworkStream = stream
        self._write_seconds = write_seconds
        self._ticks = ticks
        self._frames = FrameConnection(ConnectionType.CLIENT)
        self._events: deque[Event] = deque()
        self._text = ""
        self.token_replaced = token_replaced

    def send(self, text: str) -> None:
        """Send a text. Raises an httpx error if the connection broke."""
        self._write(TextMessage(data=text))

    def close(self) -> None:
        """Say goodbye. Raises an httpx error if the connection broke."""
        if self._frames.state is ConnectionState.OPEN:
            self._write(CloseConnection(code=_NORMAL))

    def receive(self, seconds: float) -> str | SocketClosed | None:
        """Return the next text, or how the server closed the WebSocket; None if nothing came in time.

        Pings of the server are answered. Other frames are ignored.

        Raises:
            RemoteCallError: GARBLED if a text is larger than ``MAX_TEXT``.
            httpx.TransportError: the connection broke.
        """
        ends = self._ticks() + seconds
        while True:
            while self._events:
                found = self._taken(self._events.popleft())
                if found is not None:
                    return found
            left = ends - self._ticks()
            if left <= 0:
                return None
            try:
                with translated():
                    data = self._stream.read(_READ_SIZE, left)
            except httpx.ReadTimeout:
                return None
            self._frames.receive_data(data or None)
            self._events.extend(self._frames.events())

    def _taken(self, event: Event) -> str | SocketClosed | None:
        if isinstance(event, CloseConnection):
            return SocketClosed(event.code)
        if isinstance(event, Ping):
            self._write(event.response())
        if not isinstance(event, TextMessage):
            return None
        self._text += event.data
        if len(self._text) > MAX_TEXT:
            raise malformed(f"the server sent a text of more than {MAX_TEXT} characters")
        if not event.message_finished:
            return None
        text, self._text = self._text, ""
        return text

    def _write(self, event: Event) -> None:
        try:
            data = self._frames.send(event)
        except LocalProtocolError as exc:
            raise httpx.WriteError("the WebSocket is closed") from exc
        with translated():
            self._stream.write(data, self._write_seconds)


def _is_accepted(response: httpx.Response, headers: Mapping[str, str]) -> bool:
    """Return True if the server proves that it has read the key, and chose nothing that was not offered."""
    digest = hashlib.sha1((headers["sec-websocket-key"] + _MAGIC).encode("ascii"), usedforsecurity=False).digest()
    expected = base64.b64encode(digest).decode("ascii")
    answered = response.headers
    chosen = {"sec-websocket-extensions", "sec-websocket-protocol"} & answered.keys()
    return (
        answered.get("upgrade", "").lower() == "websocket"
        and answered.get("sec-websocket-accept", "") == expected
        and not chosen
    )
