"""A thread that reads large files, one effect after another, and ends with the last of them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from agent.engine import effects as e


class LargeReader:
    """Reads large files beside everything else.

    Args:
        execute: carries an effect out, with the incarnation of the engine that asked for it.
        on_end: called on the thread after its last effect.
    """

    def __init__(self, execute: Callable[[int, e.ReadLargeFiles], None], on_end: Callable[[], None]) -> None:
        self._execute = execute
        self._on_end = on_end
        self._lock = threading.Lock()
        self._work: deque[tuple[int, e.ReadLargeFiles]] = deque()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def read(self, incarnation: int, effect: e.ReadLargeFiles) -> None:
        """Read these files after those that wait."""
        with self._lock:
            self._work.append((incarnation, effect))
            if self._thread is not None:
                return
            self._thread = threading.Thread(target=self._run, name="large", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Begin no further effect, and wait for the end of the one in progress."""
        self._stopped = True
        thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._work or self._stopped:
                    self._thread = None
                    break
                incarnation, effect = self._work.popleft()
            self._execute(incarnation, effect)
        self._on_end()
