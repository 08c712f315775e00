"""A web server that costs nothing while nobody asks: the hub and the daemon's socket are served by it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from types import FrameType

import uvicorn


class IdleServer(uvicorn.Server):
    """uvicorn without its ten looks a second: it sleeps until a request or the end comes.

    The date header, which those looks renew, has to be left out in its configuration.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def end(self) -> None:
        """Stop serving; from the event loop, another thread or a signal handler."""
        self.should_exit = True
        if self._loop is not None:
            # A loop that is closed has ended already.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._ending.set)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """As in uvicorn."""
        super().handle_exit(sig, frame)
        self.end()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As in uvicorn."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    async def main_loop(self) -> None:
        """As in uvicorn."""
        await self.on_tick(0)
        # Whoever set the flag before the loop was known did not set the event.
        if not self.should_exit:
            await self._ending.wait()
