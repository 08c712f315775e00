"""Waiting for something to become true, in place of waiting for a while."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

FIRST_SECONDS = 0.01
MOST_SECONDS = 0.03
SLOWER = 1.3
"""Each pause is so much longer than the one before it: a question costs processor time on both sides."""


def eventually(predicate: Callable[[], T | None], seconds: float = 20.0, what: str = "what was waited for") -> T:
    """The predicate's first true answer; fails after ``patience(seconds)``, naming ``what`` did not happen."""
    began = time.monotonic()
    pause = FIRST_SECONDS
    while not (answer := predicate()):
        if time.monotonic() - began > patience(seconds):
            raise AssertionError(f"{what} did not happen within {seconds} s; the last answer was {answer!r}")
        time.sleep(pause)
        pause = min(pause * SLOWER, MOST_SECONDS)
    return answer


def patience(seconds: float) -> float:
    """A limit for a machine with a processor for each process that wants one: longer while there are too few."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
