"""A limit on tasks at once that takes the waiting clients in turn."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Hashable


class FairLimit:
    """A limit on the tasks at work. Lives on one event loop.

    A client with many waiting tasks delays another client by one task, not by all of them.

    Args:
        total: tasks at work at once.
    """

    def __init__(self, total: int) -> None:
        self._free = total
        self._total = total
        # Clients in the order of their turn. None of them has an empty queue.
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}

    @property
    def is_idle(self) -> bool:
        """True if no task is at work or waits."""
        return self._free == self._total and not self._waiting

    @contextlib.asynccontextmanager
    async def turn(self, client: Hashable) -> AsyncIterator[None]:
        """Wait for the client's turn, and be at work inside the block."""
        await self._begin(client)
        try:
            yield
        finally:
            self._end()

    async def _begin(self, client: Hashable) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._forget(client, turn)
            else:
                # The turn came in the moment of the cancellation: it goes to the next one.
                self._end()
            raise

    def _end(self) -> None:
        while self._waiting:
            client = next(iter(self._waiting))
            queue = self._waiting.pop(client)
            turn = queue.popleft()
            if queue:
                self._waiting[client] = queue
            # A cancelled task may not have run yet.
            if not turn.cancelled():
                turn.set_result(None)
                return
        self._free += 1

    def _forget(self, client: Hashable, turn: asyncio.Future[None]) -> None:
        queue = self._waiting.get(client)
        if queue is not None and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._waiting[client]
