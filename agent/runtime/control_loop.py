"""The control thread: one inbox, one owner of the index's write connection, and the timers.

Everything that decides runs here; nothing that blocks on a disk or a network does, so it answers promptly.
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
    """Runs what is posted to it, in order, on its own thread.

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
        """How many pieces of work were begun: the same number again means that nothing has happened."""
        self._followers: tuple[threading.Event, ...] = ()
        self._following = threading.Lock()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what is in the inbox, then end; who follows is woken a last time."""
        self._inbox.put(None)
        self._thread.join()
        self._tell_followers()

    def follow(self) -> threading.Event:
        """An event of the caller's own that is set with every piece of work, so that who looks at how things stand
        need not look while nothing happens. Whoever waits for the next one clears it before looking. From any thread.
        """
        turned = threading.Event()
        with self._following:
            # Replaced as a whole: the control thread goes through the tuple without the lock.
            self._followers = (*self._followers, turned)
        return turned

    def _tell_followers(self) -> None:
        for turned in self._followers:
            turned.set()

    def post(self, work: Callable[[], None]) -> None:
        """Have this done soon. Never blocks; any thread may call it."""
        self._inbox.put(work)

    def call(self, work: Callable[[], T]) -> T:
        """Have this done and wait for its answer. Not from the control thread itself."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        self.post(run)
        return future.result()

    def set_timer(self, key: object, moment: float, work: Callable[[], None]) -> None:
        """Have this done at a moment; one timer a key, the newest counts. On the control thread only."""
        self._timers[key] = (moment, work)

    def drop_timer(self, key: object) -> None:
        """Forget a timer."""
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
                # The clock was set back: who waits for a moment decides afresh how long.
                self._timers = {key: (now, due) for key, (_, due) in self._timers.items()}
            for key, (_, due) in [item for item in self._timers.items() if item[1][0] <= now]:
                del self._timers[key]
                self._do(due)

    def _wait(self) -> float:
        # At least once a minute: a sleeping laptop's clock jumps, and timers are compared with the wall clock.
        now = self._clock()
        return max(0.0, min([60.0, *(moment - now for moment, _ in self._timers.values())]))

    def _do(self, work: Callable[[], None]) -> None:
        self.turns += 1
        try:
            work()
        except Exception:
            # One source's failure must not take the others down; it is told in the log and by the source's state.
            log.exception("work on the control thread failed")
        finally:
            self._tell_followers()
