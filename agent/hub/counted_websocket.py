"""uvicorn's WebSocket protocol, counted among the hub's connections."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

from agent.hub.client_timeouts import CONNECTION_KEY, TimeoutH11Protocol
from agent.hub.connection_table import ConnectionStage


class CountedWebSocket(WSProtocol):
    """A WebSocket that is in the table of connections, and whose scope names it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection."""
        super().connection_made(transport)
        TimeoutH11Protocol.table.add(self, self.client[0] if self.client else "")

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection."""
        super().connection_lost(exc)
        TimeoutH11Protocol.table.remove(self)

    def handle_connect(self, event: Any) -> None:
        """Begin the application. Its scope names this connection."""
        super().handle_connect(event)
        self.scope[CONNECTION_KEY] = self  # type: ignore[typeddict-unknown-key]

    def set_stage(self, stage: ConnectionStage) -> None:
        """Record that the client has shown a valid token."""
        TimeoutH11Protocol.table.set_stage(self, stage)

    def abort(self) -> None:
        """Close the connection at once."""
        self.transport.abort()
