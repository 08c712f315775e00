"""The control thread: one inbox, the only user of the index's write connection, and the timers.

All decisions run here. Nothing here blocks on a disk or a network, so the thread answers promptly.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")
log = logging.getLogger(__name__)


class ControlLoop:
    """Runs posted functions in order, on one thread.

    Args:
        clock: seconds since the epoch, for timers.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._timers: dict[object, tuple[float, Callable[[], None]]] = {}
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        self._last_turn = 0.0
        self.turns = 0
        """Number of functions run so far. An unchanged number means that nothing has happened."""
        self._followers: tuple[threading.Event, ...] = ()
        self._following = threading.Lock()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Run what is in the inbox, then stop the thread and set all followers' events a last time."""
        self._inbox.put(None)
        self._thread.join()
        self._notify_followers()

    def follow(self) -> threading.Event:
        """Return a new event that is set after every function that runs. From any thread.

        An observer waits on it instead of reading the state at intervals. It clears the event before it reads.
        """
        turned = threading.Event()
        with self._following:
            # The tuple is replaced as a whole, as the control thread iterates over it without the lock.
            self._followers = (*self._followers, turned)
        return turned

    def _notify_followers(self) -> None:
        for turned in self._followers:
            turned.set()

    def post(self, work: Callable[[], None]) -> None:
        """Run a function soon. Never blocks. From any thread."""
        self._inbox.put(work)

    def call(self, work: Callable[[], T]) -> T:
        """Run a function and return its result, or raise its exception. Not from the control thread itself."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        self.post(run)
        return future.result()

    def set_timer(self, key: object, moment: float, work: Callable[[], None]) -> None:
        """Run a function at a moment. Each key has one timer; a new one replaces it. On the control thread only."""
        self._timers[key] = (moment, work)

    def drop_timer(self, key: object) -> None:
        """Remove a timer. On the control thread only."""
        self._timers.pop(key, None)

    def _run(self) -> None:
        while True:
            self._last_turn = self._clock()
            try:
                work = self._inbox.get(timeout=self._wait())
                if work is None:
                    return
            except queue.Empty:
                work = None
            if work is not None:
                self._do(work)
            now = self._clock()
            if now < self._last_turn - 1.0:
                # The clock was set back: every timer fires now, and its owner computes a new moment.
                self._timers = {key: (now, due) for key, (_, due) in self._timers.items()}
            for key, (_, due) in [item for item in self._timers.items() if item[1][0] <= now]:
                del self._timers[key]
                self._do(due)

    def _wait(self) -> float:
        # At most a minute: timers follow the wall clock, which jumps when a laptop wakes.
        now = self._clock()
        return max(0.0, min([60.0, *(moment - now for moment, _ in self._timers.values())]))

    def _do(self, work: Callable[[], None]) -> None:
        self.turns += 1
        try:
            work()
        except Exception:
            # A failure of one source must not stop the others. The log and the source's state report it.
            log.exception("work on the control thread failed")
        finally:
            self._notify_followers()
