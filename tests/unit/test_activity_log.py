"""The log of a source's activity beside the answer of a single command."""

from __future__ import annotations

import logging

import pytest

from agent.core.errors import Problem, ProblemKind
from agent.runtime.activity_log import ActivityLogger, not_reported


def test_what_the_answer_says_is_left_out_beside_it(caplog: pytest.LogCaptureFixture) -> None:
    """Conflicts, stops and problems with the server stand in the answer; a refused trash does not."""
    caplog.set_level(logging.INFO)
    kinds = ("conflict", "halted", "deletes_held", "trash_refused", "overwritten_unseen")
    problem = Problem(ProblemKind.SIGNED_OUT, "home refused the token")
    ActivityLogger("notes").log([("a.md", kind, None, None) for kind in kinds], problem)
    assert [record.getMessage() for record in caplog.records if not_reported(record)] == [
        "trash refused",
        "overwritten unseen",
    ]
    assert len(caplog.records) == len(kinds) + 1
