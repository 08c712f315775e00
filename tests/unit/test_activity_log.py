"""The log of a source's activity beside the answer of a single command."""

from __future__ import annotations

import logging

import pytest

from agent.cli.logsetup import log_beside_an_answer
from agent.core.errors import Problem, ProblemKind
from agent.runtime.activity_log import ActivityLogger, not_reported


def test_what_the_answer_says_is_left_out_beside_it(caplog: pytest.LogCaptureFixture) -> None:
    """Conflicts, stops and problems with the server stand in the answer; a refused trash does not."""
    caplog.set_level(logging.INFO)
    kinds = ("conflict", "halted", "deletes_held", "refused", "trash_refused", "overwritten_unseen")
    problem = Problem(ProblemKind.SIGNED_OUT, "home refused the token")
    ActivityLogger("notes").log([("a.md", kind, None, None) for kind in kinds], problem)
    assert [record.getMessage() for record in caplog.records if not_reported(record)] == [
        "trash refused",
        "overwritten unseen",
    ]
    assert len(caplog.records) == len(kinds) + 1


def test_a_warning_beside_an_answer_names_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, a person sees what happened and not to what."""
    handler = logging.StreamHandler()
    monkeypatch.setattr(logging, "lastResort", handler)
    log_beside_an_answer(not_reported)
    fields = {"path": "a b.md", "source": "notes"}
    record = logging.makeLogRecord({"msg": "overwritten unseen", "levelno": logging.WARNING, **fields})
    assert handler.format(record) == 'overwritten unseen source=notes path="a b.md"'
    assert handler.filter(record) and not handler.filter(logging.makeLogRecord({"reported": "yes"}))
