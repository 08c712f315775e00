"""Waiting for a source's next event, without missing one and without a thread or a read for each waiter."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from agent.hub.answers import Response

Read = Callable[[], Coroutine[Any, Any, Response]]
"""Reader of what a request asks for."""


class EventNotifier:
    """Wakes the requests that wait for a source. A waiter subscribes first and reads then, so it misses no event.

    Lives on one event loop. Only `notify` may be called from other threads.
    """

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._reads: dict[tuple[str, Hashable], asyncio.Task[Response]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def notify(self, source: str) -> None:
        """Wake the waiters of a source: one of its events is durable. Callable from any thread."""
        if self._loop is not None and source in self._waiting:
            self._loop.call_soon_threadsafe(self._wake, source)

    def close(self) -> None:
        """Wake every waiter, now and in future: the server is about to stop."""
        self._closed = True
        for source in list(self._waiting):
            self._wake(source)

    @property
    def closed(self) -> bool:
        """True once `close` was called."""
        return self._closed

    @property
    def waiting(self) -> int:
        """Number of requests that wait now."""
        return sum(len(waiters) for waiters in self._waiting.values())

    def waited_for(self) -> list[str]:
        """Return the ids of the sources that a request waits for now. Callable from any thread."""
        return list(self._waiting.copy())

    @contextmanager
    def subscribe(self, source: str) -> Iterator[asyncio.Event]:
        """Yield an event that each `notify` sets from now on. The waiter clears it before it reads again."""
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

    async def read_once(self, source: str, request: Hashable, read: Read) -> Response:
        """Read for a waiter that was woken. Waiters with an equal request share a read that began after all were woken.

        So a thousand agents of one source cost one read a commit. A request that was not woken must read by itself: a
        commit at another hub may be durable and not announced here yet.
        """
        key = (source, request)
        running = self._reads.get(key)
        if running is None:
            running = asyncio.get_running_loop().create_task(read())
            self._reads[key] = running
            running.add_done_callback(lambda ended: self._forget(key, ended))
        # One waiter may be cancelled: the others go on waiting for the read.
        return await asyncio.shield(running)

    def _forget(self, key: tuple[str, Hashable], ended: asyncio.Task[Response]) -> None:
        if self._reads.get(key) is ended:
            del self._reads[key]

    def _wake(self, source: str) -> None:
        # A read under way may have missed the event, so those who are woken now begin another one.
        for key in [key for key in self._reads if key[0] == source]:
            del self._reads[key]
        for woken in self._waiting.get(source, ()):
            woken.set()


async def woken_within(woken: asyncio.Event, seconds: float) -> bool:
    """Wait for the event. Return True and clear it if it is set in time."""
    try:
        async with asyncio.timeout(max(seconds, 0)):
            await woken.wait()
    except TimeoutError:
        return False
    woken.clear()
    return True
