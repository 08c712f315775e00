"""How long a connection waits for its client: to send the rest of a request, or to take an answer."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE_SECONDS: Final = 20.0
"""Seconds a request may take from its first byte, and a connection may stay without one; more for a large request."""
LEAST_RATE: Final = 4096
"""Bytes a second a request must come with and an answer be taken with on average, beyond the patience."""

_AT_ONCE: Final = struct.pack("ii", 1, 0)
_OPEN: Final = frozenset({h11.IDLE, h11.SEND_BODY})
"""The client's side of the conversation is not finished."""


class TimeoutH11Protocol(H11Protocol):
    """uvicorn's HTTP with an end to every wait on the client, which it waits for without one.

    Between two requests uvicorn's own keep-alive counts; a long poll waits on the hub and not on its client.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._rest: asyncio.TimerHandle | None = None
        self._began = 0.0
        self._received = 0
        self._taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._await_rest()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        super().connection_lost(exc)
        self._have_rest()
        self._have_taken()

    def data_received(self, data: bytes) -> None:
        """Take bytes in, and wait for the rest where they do not end a request."""
        self._received += len(data)
        super().data_received(data)
        if self.transport.is_closing() or self.conn.their_state not in _OPEN:
            self._have_rest()
        elif self._rest is None:
            self._received = len(data)
            self._await_rest()

    def pause_writing(self) -> None:
        """The client takes its answer more slowly than it comes."""
        super().pause_writing()
        self._await_taking()

    def resume_writing(self) -> None:
        """The client has taken what there was."""
        super().resume_writing()
        self._have_taken()

    def _await_rest(self) -> None:
        self._began = self.loop.time()
        self._rest = self.loop.call_later(PATIENCE_SECONDS, self._look_at_rest)

    def _look_at_rest(self) -> None:
        left = self._began + PATIENCE_SECONDS + self._received / LEAST_RATE - self.loop.time()
        if left > 0:
            self._rest = self.loop.call_later(left, self._look_at_rest)
        else:
            self._rest = None
            self._give_up()

    def _have_rest(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def _await_taking(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._taking = self.loop.call_later(PATIENCE_SECONDS, self._look_at_taking, waiting)

    def _look_at_taking(self, before: int) -> None:
        if before - self.transport.get_write_buffer_size() < PATIENCE_SECONDS * LEAST_RATE:
            self._taking = None
            self._give_up()
        else:
            self._await_taking()

    def _have_taken(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def _give_up(self) -> None:
        held: socket.socket | None = self.transport.get_extra_info("socket")
        if held is not None:
            # Otherwise the kernel would go on offering what it holds to somebody who does not take it.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.transport.abort()
