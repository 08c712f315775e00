"""Waiting for something to become true, in place of waiting for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

EVERY_SECONDS = 0.02


def eventually(predicate: Callable[[], T | None], seconds: float = 20.0, what: str = "what was waited for") -> T:
    """The predicate's first true answer; fails after ``seconds``, naming ``what`` did not happen."""
    deadline = time.monotonic() + seconds
    while not (answer := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {seconds} s; the last answer was {answer!r}")
        time.sleep(EVERY_SECONDS)
    return answer
