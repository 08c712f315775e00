"""How long to wait before trying again: exponential with full jitter, never shorter than the server asked for."""

from __future__ import annotations

import random

from msgspec import Struct
from msgspec.structs import replace

from agent.core.errors import Problem, ProblemKind

_SLOW_KINDS = frozenset({ProblemKind.UPSTREAM_FAULT, ProblemKind.SIGNED_OUT, ProblemKind.BAD_REQUEST})


class Backoff(Struct, frozen=True):
    """Failures in a row on one channel, and when the next try is due (seconds since the epoch; 0: at once)."""

    failures: int = 0
    due: float = 0.0

    def after(self, problem: Problem, now: float, rng: random.Random) -> Backoff:
        """The state after one more failure.

        A refused token or a fault that retrying cannot mend is tried again once a minute: often enough to notice a
        new token, too seldom to hammer.
        """
        failures = self.failures + 1
        ceiling = min(60.0, 0.5 * 2 ** min(failures, 7))
        wait = rng.uniform(ceiling / 2, ceiling)
        if problem.kind in _SLOW_KINDS:
            wait = 60.0
        if problem.retry_after is not None:
            # Jitter on top, so that many agents told the same second do not come back in it together.
            wait = max(wait, min(problem.retry_after, 3600.0) + rng.uniform(0, 1.0))
        return replace(self, failures=failures, due=now + wait)

    def ready(self, now: float) -> bool:
        """Whether a try is due."""
        return now >= self.due


CALM = Backoff()
