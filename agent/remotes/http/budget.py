"""The calls that a server still allows, as its answers state them. Calls beyond them are not sent.

The server counts each call with a cost and names the rest in ``X-RateLimit-Limit``, ``X-RateLimit-Remaining`` and
``X-RateLimit-Reset`` (Unix seconds). Several machines of one user may share the rest, so each answer replaces what was
known. Answers of parallel calls overtake each other: that of an older call can only lower the rest. Calls on their way
count as made.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final

from agent.core.errors import Problem, ProblemKind
from agent.remotes.http.failures import MAX_RETRY_AFTER, RemoteCallError, SideEffect, http_date, retry_after
from agent.remotes.http.request import Priority

PERIOD: Final = 60.0
"""Seconds after which all calls are allowed again, where the server does not say."""
RESERVE: Final = 0.1
"""Share of the limit that only metadata and the user's own commits may use."""


class CallBudget:
    """The allowed calls of one account. Safe to use from several threads.

    Args:
        server: the server's name and address, for messages.
        clock: seconds since the epoch, used where an answer has no date.
        ticks: monotonic seconds.
    """

    def __init__(self, server: str, clock: Callable[[], float], ticks: Callable[[], float]) -> None:
        self._server = server
        self._clock = clock
        self._ticks = ticks
        self._lock = threading.Lock()
        self._limit: int | None = None
        self._left: int | None = None
        """Cost that is left of the current period; None if it is not known."""
        self._ends = 0.0
        """Monotonic time at which the period ends."""
        self._sending = 0
        """Cost of the calls without an answer."""
        self._taken = 0
        self._newest = 0
        """Number of the newest call, and of the newest one whose answer stated the rest."""

    @property
    def limit(self) -> int | None:
        """Cost of the calls that the server allows in one period; None if it is not known."""
        return self._limit

    def take(self, cost: int, priority: Priority) -> CountedCall:
        """Count a call that is about to be sent.

        Raises:
            RemoteCallError: BUSY with the seconds to wait; nothing was sent.
        """
        with self._lock:
            now = self._ticks()
            if now >= self._ends:
                self._left = self._limit
            if self._left is not None:
                kept = int((self._limit or 0) * RESERVE) if priority is Priority.BULK else 0
                if self._left - cost < kept and now < self._ends:
                    raise self._spent(self._ends - now)
                self._left -= cost
            self._sending += cost
            self._taken += 1
            return CountedCall(self, self._taken, cost)

    def _spent(self, wait: float) -> RemoteCallError:
        allowed = "no more calls now" if self._limit is None else f"{self._limit} calls in a period"
        sentence = f"{self._server} allows {allowed}; the next ones wait {wait:.0f} s"
        return RemoteCallError(Problem(ProblemKind.BUSY, sentence, wait), SideEffect.NONE)

    def learn(self, number: int, cost: int, status: int, headers: Mapping[str, str]) -> None:
        """Take the numbers of the answer to a call."""
        with self._lock:
            now = self._ticks()
            self._sending -= cost
            self._limit = _number(headers, "x-ratelimit-limit") or self._limit
            left = _number(headers, "x-ratelimit-remaining")
            if left is not None:
                self._take_rest(number, max(left - self._sending, 0), now + self._period(headers))
            wait = retry_after(headers, self._clock()) if status in (429, 503) else None
            if wait is not None:
                self._left, self._ends = 0, max(self._ends, now + wait)

    def _take_rest(self, number: int, left: int, ends: float) -> None:
        if number > self._newest or self._left is None:
            self._newest, self._left, self._ends = number, left, ends
        else:
            self._left, self._ends = min(self._left, left), max(self._ends, ends)

    def _period(self, headers: Mapping[str, str]) -> float:
        reset = _number(headers, "x-ratelimit-reset")
        if reset is None:
            return PERIOD
        # The server's own date is compared, as our clock may be years off.
        sent_at = http_date(headers.get("date", ""))
        return min(max(reset - (self._clock() if sent_at is None else sent_at), 0.0), MAX_RETRY_AFTER)

    def forget(self, cost: int) -> None:
        """Take back a call of this cost that got no answer. The server may have counted it all the same."""
        with self._lock:
            self._sending -= cost


class CountedCall:
    """One call that was counted. Ends with ``end``, whether an answer came or not."""

    def __init__(self, budget: CallBudget, number: int, cost: int) -> None:
        self._budget = budget
        self._number = number
        self._cost = cost
        self._open = True

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """Take the numbers of the answer."""
        self._open = False
        self._budget.learn(self._number, self._cost, status, headers)

    def end(self) -> None:
        """End the call."""
        if self._open:
            self._open = False
            self._budget.forget(self._cost)


def _number(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name, "").strip()
    return int(value[:15]) if value.isascii() and value.isdigit() else None
