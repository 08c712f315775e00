"""Rate limits: tokens a minute for each user, in the words of the wire."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Final

import orjson

from agent.hub.answers import JSON_TYPE, Response

DEFAULT_LIMIT: Final = 1000
"""Tokens a minute for one user."""
WINDOW_SECONDS: Final = 60
_MOST_USERS: Final = 10_000


class RateLimits:
    """Tokens that each user has taken in the present minute, in this process. Safe to use from several threads.

    Args:
        limit: tokens a minute.
        clock: milliseconds since the epoch.
    """

    def __init__(self, clock: Callable[[], int], limit: int = DEFAULT_LIMIT) -> None:
        self._clock = clock
        self._limit = limit
        self._lock = threading.Lock()
        self._minute = 0
        self._taken: dict[str, int] = {}

    def take(self, user: str, cost: int, *, enforced: bool) -> tuple[bool, dict[str, str]]:
        """Take tokens. Return True if they were there or the limit is not enforced, and the headers of the answer."""
        seconds = self._clock() / 1000
        minute = int(seconds // WINDOW_SECONDS)
        with self._lock:
            if minute != self._minute or len(self._taken) > _MOST_USERS:
                self._minute, self._taken = minute, {}
            taken = self._taken.get(user, 0)
            is_free = not enforced or taken + cost <= self._limit
            if is_free:
                taken = self._taken[user] = taken + cost
        reset = (minute + 1) * WINDOW_SECONDS
        headers = {
            "x-ratelimit-limit": str(self._limit),
            "x-ratelimit-remaining": str(max(self._limit - taken, 0) if enforced else self._limit),
            "x-ratelimit-reset": str(reset),
        }
        if not is_free:
            headers["retry-after"] = str(max(math.ceil(reset - seconds), 1))
        return is_free, headers

    def refusal(self, headers: dict[str, str]) -> Response:
        """Return the answer to a request for which no tokens were left."""
        details = {"dimension": "user", "limit": self._limit, "window_seconds": WINDOW_SECONDS}
        error = {
            "code": "RATE_LIMITED",
            "message": "Too many requests",
            "retry_after": int(headers["retry-after"]),
            "details": details,
        }
        return Response(429, orjson.dumps({"status": "error", "error": error}), {"content-type": JSON_TYPE})
