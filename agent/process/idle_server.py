"""A web server without work while it is idle. It serves the hub and the control socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from types import FrameType

import uvicorn


class IdleServer(uvicorn.Server):
    """uvicorn without its ten wake-ups a second: it sleeps until a request or the end.

    Those wake-ups renew the date header, so its configuration must switch that header off.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def end(self) -> None:
        """Stop serving. Call it from the event loop, another thread or a signal handler."""
        self.should_exit = True
        if self._loop is not None:
            # A closed loop has ended already.
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
        # end() may have set the flag before the loop was known, and then it did not set the event.
        if not self.should_exit:
            await self._ending.wait()
