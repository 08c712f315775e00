"""When each kind of call to the server may be made again: one failing kind neither stops nor is excused by another."""

from __future__ import annotations

import random

from msgspec import Struct

from agent.core.backoff import CALM, Backoff
from agent.core.errors import Problem, ProblemKind
from agent.engine.messages import Call

_OF_THE_LINE = frozenset({ProblemKind.OFFLINE, ProblemKind.SIGNED_OUT})
"""Problems of the connection or the account, which the kinds of calls share."""

_FORGOTTEN_AFTER = 120.0
"""Seconds after its next try was due that a failure nobody repeated says nothing any more."""


class _FailingCall(Struct, frozen=True):
    problem: Problem
    backoff: Backoff


class RetryState:
    """Failures in a row and the next try, for each kind of call."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failing: dict[Call, _FailingCall] = {}
        self._not_before = 0.0

    def ready(self, call: Call, now: float) -> bool:
        """Whether this kind of call may be made now."""
        failing = self._failing.get(call)
        return now >= self._not_before and (failing is None or failing.backoff.ready(now))

    def is_well(self, call: Call) -> bool:
        """Whether the last call of this kind did not fail."""
        return call not in self._failing

    def failed(self, call: Call, problem: Problem, now: float) -> None:
        """It failed: it waits. What the server asked everybody to wait, everything waits."""
        before = self._failing.get(call)
        backoff = (before.backoff if before else CALM).after(problem, now, self._rng)
        self._failing[call] = _FailingCall(problem, backoff)
        if problem.retry_after is not None:
            self._not_before = max(self._not_before, backoff.due)

    def answered(self, call: Call) -> None:
        """It worked. Where it had not before, for want of a connection or an account, the others need not wait either;
        a call that works all along excuses none that does not.
        """
        before = self._failing.pop(call, None)
        if before is None or before.problem.kind not in _OF_THE_LINE:
            return
        for other in [c for c, failing in self._failing.items() if failing.problem.kind in _OF_THE_LINE]:
            del self._failing[other]

    def reset(self) -> None:
        """Try everything again at once: a person asked, or the clock can no longer be compared."""
        self._failing.clear()
        self._not_before = 0.0

    def connection_restored(self, now: float) -> None:
        """What failed for want of a connection may be tried now, and is trouble until it is answered; what a server
        asked to wait for, still waits.
        """
        for call, failing in self._failing.items():
            if failing.problem.kind is ProblemKind.OFFLINE:
                self._failing[call] = _FailingCall(failing.problem, Backoff(due=now))

    def due(self, now: float) -> float | None:
        """When the next try of anything that waits is due."""
        moments = [failing.backoff.due for failing in self._failing.values()]
        later = [moment for moment in (*moments, self._not_before) if moment > now]
        return min(later, default=None)

    def trouble(self, now: float) -> Problem | None:
        """The gravest thing that is wrong, if anything is. From any thread."""
        current = [f.problem for f in list(self._failing.values()) if now <= f.backoff.due + _FORGOTTEN_AFTER]
        return min(current, key=lambda problem: problem.kind is not ProblemKind.SIGNED_OUT, default=None)

    @property
    def failures(self) -> int:
        """The longest run of failures in a row."""
        return max((failing.backoff.failures for failing in self._failing.values()), default=0)
