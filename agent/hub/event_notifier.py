"""Waiting for a source's next event without missing one and without a thread for each waiter."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class EventNotifier:
    """Wakes those who wait for a source. A waiter listens first and looks then, so no event falls between.

    Lives on one event loop; only `ring` may be called from other threads.
    """

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def notify(self, source: str) -> None:
        """An event of the source is durable. From any thread; cheap when nobody waits."""
        if self._loop is not None and source in self._waiting:
            self._loop.call_soon_threadsafe(self._wake, source)

    def close(self) -> None:
        """Let every waiter go and make later ones wait no more: the server is about to stop."""
        self._closed = True
        for source in list(self._waiting):
            self._wake(source)

    @property
    def closed(self) -> bool:
        """Whether waiting is over for good."""
        return self._closed

    @contextmanager
    def subscribe(self, source: str) -> Iterator[asyncio.Event]:
        """An event that is set by each ring from now on; whoever waits clears it before looking again."""
        self._loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        if self._closed:
            woken.set()
        self._waiting[source].add(woken)
        try:
            yield woken
        finally:
            self._waiting[source].discard(woken)
            if not self._waiting[source]:
                del self._waiting[source]

    def _wake(self, source: str) -> None:
        for woken in self._waiting.get(source, ()):
            woken.set()


async def woken_within(woken: asyncio.Event, seconds: float) -> bool:
    """Whether the event was set before the time was up; it is clear again afterwards."""
    try:
        async with asyncio.timeout(max(seconds, 0)):
            await woken.wait()
    except TimeoutError:
        return False
    woken.clear()
    return True
