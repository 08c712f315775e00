"""Delay before a retry: exponential with jitter, and never shorter than the server asked for."""

from __future__ import annotations

import random

from msgspec import Struct
from msgspec.structs import replace

from agent.core.errors import Problem, ProblemKind

_SLOW_KINDS = frozenset(
    {
        ProblemKind.UPSTREAM_FAULT,
        ProblemKind.SIGNED_OUT,
        ProblemKind.BAD_REQUEST,
        ProblemKind.FORBIDDEN,
        ProblemKind.NO_SPACE,
    }
)


class Backoff(Struct, frozen=True):
    """Number of failures in a row, and the time of the next try (seconds since the epoch; 0: at once)."""

    failures: int = 0
    due: float = 0.0

    def after(self, problem: Problem, now: float, rng: random.Random) -> Backoff:
        """Return the state after one more failure.

        The delay grows from 0.5 s to 60 s. A refused token, and a fault that a retry cannot mend, waits a whole minute:
        often enough to notice a new token or new space, and no load on the server.
        """
        failures = self.failures + 1
        ceiling = min(60.0, 0.5 * 2 ** min(failures, 7))
        wait = rng.uniform(ceiling / 2, ceiling)
        if problem.kind in _SLOW_KINDS:
            wait = 60.0
        if problem.retry_after is not None:
            # Jitter on top: many agents may have got the same second to come back in.
            wait = max(wait, min(problem.retry_after, 3600.0) + rng.uniform(0, 1.0))
        return replace(self, failures=failures, due=now + wait)

    def ready(self, now: float) -> bool:
        """True if a try is due."""
        return now >= self.due


CALM = Backoff()

_RESEND_FIRST, _RESEND_MOST = 1.0, 300.0


def resend_delay(misses: int) -> float:
    """Return the delay in seconds before a file is sent again after misses.

    A miss is an upload whose bytes were not those of the scan, or whose answer proved nothing although no call failed.
    One is ordinary: the file was saved between its scan and its upload. Each further one, without a change that a scan
    could find, doubles the delay. So the agent neither reads nor sends one file in a loop.

    Args:
        misses: number of misses in a row, at least 1.
    """
    if misses < 2:
        return 0.0
    return min(_RESEND_FIRST * 2.0 ** min(misses - 2, 32), _RESEND_MOST)
