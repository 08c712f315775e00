"""TLS below the HTTP protocol, so that a connection is counted and limited before its handshake."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any, ClassVar, Final

from agent.hub.client_timeouts import TimeoutH11Protocol

HANDSHAKE_SECONDS: Final = 5.0
"""Seconds a TLS handshake may take."""


def server_context(certificate: Path, key: Path | None = None) -> ssl.SSLContext:
    """Return the server's TLS settings for a certificate and its key, which may be in the same file.

    Raises:
        OSError: a file cannot be read, or the two do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


class TlsGate(asyncio.Protocol):
    """A new connection until the end of its TLS handshake. Then `TimeoutH11Protocol` takes its place.

    asyncio's own TLS server calls the HTTP protocol only after the handshake, and waits 60 s for it. Connections in
    between would be in no limit.

    Attributes:
        context: the server's TLS settings.
        plain_port: a port of this machine alone whose connections are not encrypted; None for none.
    """

    context: ClassVar[ssl.SSLContext]
    plain_port: ClassVar[int | None] = None

    def __init__(self, **arguments: Any) -> None:
        self._arguments = arguments
        self._loop = asyncio.get_running_loop()
        self._early = b""
        self._is_lost = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection, and begin the handshake."""
        name = transport.get_extra_info("sockname")
        if self.plain_port is not None and name and name[1] == self.plain_port:
            self._hand_over(transport)
            return
        transport.pause_reading()
        self._transport = transport
        peer = transport.get_extra_info("peername")
        TimeoutH11Protocol.table.add(self, str(peer[0]) if peer else "")
        if not transport.is_closing():
            # The loop refers to a task only weakly.
            self._handshake = self._loop.create_task(self._perform_handshake(transport))

    def data_received(self, data: bytes) -> None:
        """Keep what arrives with the end of the handshake."""
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection."""
        self._is_lost = True
        TimeoutH11Protocol.table.remove(self)

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()

    async def _perform_handshake(self, transport: asyncio.Transport) -> None:
        secured: asyncio.Transport | None = None
        try:
            secured = await self._loop.start_tls(
                transport, self, self.context, server_side=True, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        except OSError:
            # A client that speaks no TLS, is too slow, or has gone.
            transport.abort()
        finally:
            TimeoutH11Protocol.table.remove(self)
        if secured is not None and not self._is_lost:
            self._hand_over(secured)

    def _hand_over(self, secured: asyncio.Transport) -> None:
        http = TimeoutH11Protocol(**self._arguments)
        secured.set_protocol(http)
        http.connection_made(secured)
        if self._early and not secured.is_closing():
            http.data_received(self._early)
