"""A limit on the requests of each token, in this process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from msgspec import Struct

MOST_TOKENS: Final = 10_000
"""Tokens that are remembered. The one that was used least recently is forgotten first."""


class _Allowance(Struct):
    """Requests that a token may make at once, as of a time in seconds."""

    left: float
    at: float


class TokenRates:
    """Requests a minute for each token. A token that was silent for a minute may make a minute's requests at once.

    Lives on one event loop.

    Args:
        each_minute: requests, None for no limit.
        clock: seconds that only grow.
    """

    def __init__(self, each_minute: int | None, clock: Callable[[], float]) -> None:
        self._limit = each_minute
        self._clock = clock
        self._tokens: OrderedDict[str, _Allowance] = OrderedDict()

    def take(self, token: str) -> float:
        """Count one request. Return 0.0 if it is allowed, else the seconds until the next one is; it is not counted."""
        if self._limit is None:
            return 0.0
        now = self._clock()
        allowance = self._tokens.setdefault(token, _Allowance(float(self._limit), now))
        self._tokens.move_to_end(token)
        if len(self._tokens) > MOST_TOKENS:
            self._tokens.popitem(last=False)
        each_second = self._limit / 60
        allowance.left = min(allowance.left + (now - allowance.at) * each_second, float(self._limit))
        allowance.at = now
        if allowance.left < 1:
            return (1 - allowance.left) / each_second
        allowance.left -= 1
        return 0.0
