"""Judgement of a server that cannot continue from our position in its feed.

The feed is then read from its beginning, while every base stays. So an edit of either side remains an edit, and no file
counts as deleted because the new reading lacks it: the verification compares two listings first.
"""

from __future__ import annotations

import enum
from typing import Final

RESTART_SECONDS: Final = 600.0
"""Shortest time between two restarts of one feed. A reading from the beginning may cost a call for each file."""


class LostCursorVerdict(enum.Enum):
    """The way on after a call that failed as CURSOR_LOST."""

    IGNORE = "ignore"
    """The call was made with an older position than the saved one, so it says nothing about that."""
    RESTART = "restart"
    """The saved position is given up, and the feed is read from its beginning."""
    WAIT = "wait"
    """The call is repeated later, like any other that failed."""


def judge_lost_cursor(asked: str | None, saved: str | None, restarted: float | None, now: float) -> LostCursorVerdict:
    """Return the way on after CURSOR_LOST. Total and pure.

    Args:
        asked: the position with which the call was made; None is the beginning.
        saved: the saved position.
        restarted: time of the last restart; None if there was none.
        now: seconds since the epoch, as ``restarted``.
    """
    if asked != saved:
        return LostCursorVerdict.IGNORE
    if saved is None:
        # There is no position that could be given up: the server contradicts itself.
        return LostCursorVerdict.WAIT
    if restarted is not None and restarted <= now < restarted + RESTART_SECONDS:
        # A server that loses each position would otherwise be read from its beginning without end.
        return LostCursorVerdict.WAIT
    return LostCursorVerdict.RESTART
