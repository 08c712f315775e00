"""The judgement of a lost position in the feed, over every case."""

from __future__ import annotations

import pytest

from agent.core.lost_cursor import RESTART_SECONDS, judge_lost_cursor
from agent.core.lost_cursor import LostCursorVerdict as Verdict

NOW = 1.8e9
JUST, LONG_AGO, LATER = NOW - 1, NOW - RESTART_SECONDS, NOW + 1

CASES = [
    ("the saved position, never restarted", "p", "p", None, Verdict.RESTART),
    ("the saved position, restarted long ago", "p", "p", LONG_AGO, Verdict.RESTART),
    ("the saved position, restarted just now", "p", "p", JUST, Verdict.WAIT),
    ("the saved position, restarted at this moment", "p", "p", NOW, Verdict.WAIT),
    ("the clock was set back since the restart", "p", "p", LATER, Verdict.RESTART),
    ("an older position", "o", "p", None, Verdict.IGNORE),
    ("an older position, restarted just now", "o", "p", JUST, Verdict.IGNORE),
    ("an older position, and the reading begins anew", "o", None, JUST, Verdict.IGNORE),
    ("the beginning, and a page came meanwhile", None, "p", JUST, Verdict.IGNORE),
    ("the beginning", None, None, None, Verdict.WAIT),
    ("the beginning, restarted just now", None, None, JUST, Verdict.WAIT),
    ("the beginning, restarted long ago", None, None, LONG_AGO, Verdict.WAIT),
]


@pytest.mark.parametrize(
    ("asked", "saved", "restarted", "verdict"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_each_loss_has_one_way_on(
    asked: str | None, saved: str | None, restarted: float | None, verdict: Verdict
) -> None:
    """A position is given up only if it is the one that was lost, and not again and again."""
    assert judge_lost_cursor(asked, saved, restarted, NOW) is verdict
