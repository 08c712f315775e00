"""Futures that are done once a condition of an engine holds."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future


class Conditions:
    """Waits of other threads for a state of the engine. Methods run on the control thread."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[], bool], Future[None]]] = []

    def __bool__(self) -> bool:
        """Return True if somebody waits."""
        return bool(self._waiting)

    def add(self, condition: Callable[[], bool], future: Future[None]) -> None:
        """Wait for a condition, which must be cheap."""
        self._waiting.append((condition, future))

    def evaluate(self, *, ended: bool) -> None:
        """Complete the futures whose condition holds; all of them if the engine has ended."""
        for waiting in list(self._waiting):
            condition, future = waiting
            if future.cancelled() or ended or condition():
                self._waiting.remove(waiting)
                # False for a future that was cancelled.
                if future.set_running_or_notify_cancel():
                    future.set_result(None)
