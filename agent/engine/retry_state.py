"""Time of the next try of each kind of call to the server. A failing kind does not stop the others."""

from __future__ import annotations

import random

from msgspec import Struct

from agent.core.backoff import CALM, Backoff
from agent.core.errors import Problem, ProblemKind
from agent.engine.messages import Call

_OF_THE_CONNECTION = frozenset({ProblemKind.OFFLINE, ProblemKind.SIGNED_OUT})
"""Problems of the connection or the account, which all kinds of calls share."""

_FORGOTTEN_AFTER = 120.0
"""Seconds after its due retry from which on a failure that was not repeated is no problem any more."""


class _FailingCall(Struct, frozen=True):
    problem: Problem
    backoff: Backoff
    number: int
    """Rises with every failure; the newest one is shown."""


class RetryState:
    """Failures in a row and the next try of each kind of call."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failing: dict[Call, _FailingCall] = {}
        self._not_before = 0.0
        self._number = 0

    def ready(self, call: Call, now: float) -> bool:
        """True if this kind of call may be made now."""
        failing = self._failing.get(call)
        return now >= self._not_before and (failing is None or failing.backoff.ready(now))

    def is_well(self, call: Call) -> bool:
        """True if the last call of this kind did not fail."""
        return call not in self._failing

    def failed(self, call: Call, problem: Problem, now: float) -> None:
        """Record a failure. A pause that the server asked for holds for every kind of call.

        A failure that is an answer proves that the connection works, so older failures of the connection are over.
        """
        before = self._failing.get(call)
        backoff = (before.backoff if before else CALM).after(problem, now, self._rng)
        self._number += 1
        if problem.kind is not ProblemKind.OFFLINE:
            self._clear(ProblemKind.OFFLINE)
        self._failing[call] = _FailingCall(problem, backoff, self._number)
        if problem.retry_after is not None:
            self._not_before = max(self._not_before, backoff.due)

    def answered(self, call: Call) -> None:
        """Record a success.

        If this kind had been failing because of the connection or the account, clear the backoff of every kind that
        failed for such a cause. A kind that never failed says nothing about the others.
        """
        before = self._failing.pop(call, None)
        if before is None or before.problem.kind not in _OF_THE_CONNECTION:
            return
        self._clear(*_OF_THE_CONNECTION)

    def _clear(self, *kinds: ProblemKind) -> None:
        for call in [call for call, failing in self._failing.items() if failing.problem.kind in kinds]:
            del self._failing[call]

    def reset(self) -> None:
        """Allow every call at once: a person asked, or the clock was set back."""
        self._failing.clear()
        self._not_before = 0.0

    def connection_restored(self, now: float) -> None:
        """Retry calls that failed because of the connection. They remain problems until they are answered.

        A pause that the server asked for still holds.
        """
        for call, failing in self._failing.items():
            if failing.problem.kind is ProblemKind.OFFLINE:
                self._failing[call] = _FailingCall(failing.problem, Backoff(due=now), failing.number)

    def due(self, now: float) -> float | None:
        """Return the time of the next retry of any kind; None if nothing waits."""
        moments = [failing.backoff.due for failing in self._failing.values()]
        later = [moment for moment in (*moments, self._not_before) if moment > now]
        return min(later, default=None)

    def trouble(self, now: float) -> Problem | None:
        """Return the problem to show: a refused token before all others, else the newest failure. Thread-safe."""
        current = [f for f in list(self._failing.values()) if now <= f.backoff.due + _FORGOTTEN_AFTER]
        shown = max(current, key=lambda f: (f.problem.kind is ProblemKind.SIGNED_OUT, f.number), default=None)
        return None if shown is None else shown.problem

    @property
    def failures(self) -> int:
        """Number of failures in a row of the kind that failed most often."""
        return max((failing.backoff.failures for failing in self._failing.values()), default=0)
