"""The moment at which a changed file is scanned, for histories of reports."""

from __future__ import annotations

import pytest

from agent.core.quiet import PendingChange, report

QUIET, MOST = 0.1, 5.0
WRITTEN, FINISHED, AGAIN = (False, False), (True, False), (True, True)
"""(finished, repeated): still written; finished; finished a second time within the quiet time"""

Report = tuple[float, tuple[bool, bool]]


@pytest.mark.parametrize(
    ("reports", "due"),
    [
        pytest.param([(0.0, WRITTEN)], 0.1, id="not closed: quiet"),
        pytest.param([(0.0, WRITTEN), (0.05, WRITTEN)], 0.15, id="still written: quiet since the last report"),
        pytest.param([(0.0, FINISHED)], 0.02, id="renamed into place: soon"),
        pytest.param([(0.0, WRITTEN), (0.001, FINISHED)], 0.021, id="written and closed: soon"),
        pytest.param([(0.0, FINISHED), (0.01, WRITTEN)], 0.11, id="opened again: quiet"),
        pytest.param([(0.0, FINISHED), (0.01, WRITTEN), (0.012, AGAIN)], 0.112, id="written twice: quiet"),
        pytest.param([(0.0, AGAIN)], 0.1, id="appended line by line, scanned in between: quiet"),
        pytest.param([(0.0, AGAIN), (0.05, WRITTEN), (0.09, FINISHED)], 0.19, id="a burst stays one until its scan"),
        pytest.param([(n * 0.09, WRITTEN) for n in range(60)], 5.0, id="never quiet: at most 5 s"),
        pytest.param([(n * 0.09, AGAIN) for n in range(60)], 5.0, id="closed again and again: at most 5 s"),
    ],
)
def test_a_scan_waits_for_the_end_of_the_writing(reports: list[Report], due: float) -> None:
    change: PendingChange | None = None
    for moment, (finished, repeated) in reports:
        change = report(change, moment, finished=finished, repeated=repeated)
    assert change is not None
    assert change.due(QUIET, MOST) == pytest.approx(due)
