"""uvicorn's HTTP/1.1 protocol plus read and write timeouts, which uvicorn does not have.

performance island: timers are per connection and restarted only when they expire, so that a request costs no timer.
Measured by "agents pushing 100-item batches" in tests/benchmarks/test_hub.py. Plain alternative: one
`asyncio.timeout` around each read and write.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, ClassVar, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from agent.hub.connection_table import ConnectionLimits, ConnectionStage, ConnectionTable

STALL_SECONDS: Final = 20.0
"""Seconds a request may take from its first byte, and a new connection may stay without one. More for a large one."""
MIN_BYTES_PER_SECOND: Final = 4096
"""Average rate at which a client must send a request and read an answer, after the first STALL_SECONDS."""
CONNECTION_KEY: Final = "hub.connection"
"""Key of the protocol object in the ASGI scope."""

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_RECEIVING: Final = frozenset({h11.IDLE, h11.SEND_BODY})
"""States in which the client has not finished its request."""


class TimeoutH11Protocol(H11Protocol):
    """HTTP/1.1 with a deadline for every wait on the client, and a limit on open connections.

    Between two requests uvicorn's own keep-alive timeout applies. A long poll waits on the hub, so it has no deadline.
    """

    table: ClassVar[ConnectionTable] = ConnectionTable(ConnectionLimits(1024, None))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._request_timer: asyncio.TimerHandle | None = None
        self._request_began = 0.0
        self._received = 0
        self._write_timer: asyncio.TimerHandle | None = None
        self._is_upgraded = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer of the first request."""
        super().connection_made(transport)
        self._start_request_timer()
        self.table.add(self, self.client[0] if self.client else "")

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        super().connection_lost(exc)
        self.table.remove(self)
        self._stop_request_timer()
        self._stop_write_timer()

    def data_received(self, data: bytes) -> None:
        """Process received bytes. Start the request timer if they do not complete a request."""
        self._received += len(data)
        super().data_received(data)
        if self._is_upgraded:
            return
        if self.transport.is_closing() or self.conn.their_state not in _RECEIVING:
            self._stop_request_timer()
        elif self._request_timer is None:
            self._received = len(data)
            self._start_request_timer()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Give the connection to the WebSocket protocol, which has its own pings. No timer of a request may go on."""
        self._stop_request_timer()
        self._stop_write_timer()
        self.table.remove(self)
        self._is_upgraded = True
        super().handle_websocket_upgrade(event)

    def handle_events(self) -> None:
        """Process parsed requests. Each one's scope names this connection."""
        super().handle_events()
        if self.scope is not None:
            self.scope[CONNECTION_KEY] = self  # type: ignore[typeddict-unknown-key]

    def set_stage(self, stage: ConnectionStage) -> None:
        """Record that a request with a valid token begins or ends on this connection."""
        self.table.set_stage(self, stage)

    def pause_writing(self) -> None:
        """Start the write timer: the client reads more slowly than the hub writes."""
        super().pause_writing()
        self._start_write_timer()

    def resume_writing(self) -> None:
        """Stop the write timer: the client has read the buffered bytes."""
        super().resume_writing()
        self._stop_write_timer()

    def abort(self) -> None:
        """Close the connection at once, without sending what is buffered."""
        own: socket.socket | None = self.transport.get_extra_info("socket")
        if own is not None:
            # Without this, the kernel would keep the unread bytes and retry for minutes.
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()

    def _start_request_timer(self) -> None:
        self._request_began = self.loop.time()
        self._request_timer = self.loop.call_later(STALL_SECONDS, self._check_request)

    def _check_request(self) -> None:
        left = self._request_began + STALL_SECONDS + self._received / MIN_BYTES_PER_SECOND - self.loop.time()
        if left > 0:
            self._request_timer = self.loop.call_later(left, self._check_request)
        else:
            self._request_timer = None
            self.abort()

    def _stop_request_timer(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def _start_write_timer(self) -> None:
        buffered = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(STALL_SECONDS, self._check_write, buffered)

    def _check_write(self, before: int) -> None:
        if before - self.transport.get_write_buffer_size() < STALL_SECONDS * MIN_BYTES_PER_SECOND:
            self._write_timer = None
            self.abort()
        else:
            self._start_write_timer()

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
