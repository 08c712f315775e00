"""The exit-code table."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from agent.cli.exit_codes import (
    STATES,
    ExitCode,
    for_chosen,
    for_error,
    for_resolutions,
    for_retry,
    for_status,
    for_sync,
    worst,
)
from agent.core.errors import ProblemKind
from agent.core.model import Reason, SourceState
from cli.documents import passed, resolved, source, status


def test_the_numbers_are_those_of_the_contract() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0,
        "FAILED": 1,
        "USAGE": 2,
        "CONFLICTS": 3,
        "SIGNED_OUT": 4,
        "OFFLINE": 5,
        "HALTED": 6,
        "AGENT": 7,
        "INTERRUPTED": 130,
    }


def test_of_several_codes_the_first_of_6_4_5_7_1_3_wins() -> None:
    order = [6, 4, 5, 7, 1, 3, 0]
    for one, other in itertools.combinations(order, 2):
        assert worst([ExitCode(other), ExitCode(one)]) == one
    assert worst([]) is ExitCode.DONE


def test_every_state_has_a_code() -> None:
    assert set(STATES) == set(SourceState)


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [("usage", 2), ("config", 2), ("signed_out", 4), ("offline", 5), ("root", 6), ("locked", 7), ("not_running", 7)],
)
def test_an_error_has_the_code_of_its_kind(code: str, exit_code: int) -> None:
    assert for_error(code) == exit_code


def test_any_other_error_is_a_failure() -> None:
    assert for_error("something new") is ExitCode.FAILED
    assert {for_error(kind) for kind in ProblemKind} == {ExitCode.FAILED, ExitCode.OFFLINE, ExitCode.SIGNED_OUT}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 0),
        ({"state": "paused"}, 1),
        ({"state": "paused", "dry_run": True}, 0),
        ({"state": "conflict", "conflicts": 2}, 3),
        ({"state": "signed_out"}, 4),
        ({"state": "offline", "conflicts": 1}, 5),
        ({"state": "halted"}, 6),
        ({"held_deletes": {"plan": "p", "count": 20}}, 6),
        ({"errors": [{"path": "a", "code": "disk", "message": "full"}], "conflicts": 1}, 1),
        ({"errors": [{"path": None, "code": "signed_out", "message": "401"}]}, 4),
    ],
)
def test_a_pass_exits_with_the_worst_of_what_it_met(changes: dict[str, Any], code: int) -> None:
    assert for_sync(passed(**changes)) == code


@pytest.mark.parametrize("reason", list(Reason))
def test_only_policy_skips_leave_the_code_alone(reason: Reason) -> None:
    document = passed(skipped=[{"path": "a", "reason": reason.value}])
    assert for_sync(document) == (ExitCode.DONE if reason.is_policy else ExitCode.FAILED)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 0),
        ({"skipped": 3}, 0),
        ({"skipped": 3, "failed": 1}, 1),
        ({"state": "error", "error": {"code": "disk", "message": "full"}}, 1),
        ({"state": "conflict", "conflicts": 1}, 3),
        ({"held_deletes": {"plan": "p", "count": 20}}, 6),
    ],
)
def test_a_checked_status_exits_as_the_pass_would(changes: dict[str, Any], code: int) -> None:
    assert for_status(status(source(**changes))) == code


@pytest.mark.parametrize("waiting", ["pending_push", "pending_pull"])
def test_changes_that_wait_for_an_agent_are_not_in_sync(waiting: str) -> None:
    """7: none runs where one is needed. A running agent is at work on them, and a pause is the person's own wish."""
    waits, alone = source(state="syncing", **{waiting: 1}), {"running": False, "pid": None, "since": None}
    assert for_status(status(waits)) is ExitCode.DONE
    assert for_status({**status(waits), "daemon": alone}) is ExitCode.AGENT
    assert for_status({**status(source()), "daemon": alone}) is ExitCode.DONE
    conflict = source(state="conflict", conflicts=1, **{waiting: 1})
    assert for_status({**status(conflict), "daemon": alone}) is ExitCode.CONFLICTS
    paused = source(state="paused", **{waiting: 1})
    assert for_status({**status(paused, source()), "daemon": alone}) is ExitCode.DONE


def test_the_worst_source_counts() -> None:
    assert for_status(status(source(), source(state="offline"), source(state="conflict"))) is ExitCode.OFFLINE


@pytest.mark.parametrize(("state", "code"), [("resolved", 0), ("resolving", 0), ("queued", 5), ("refused", 1)])
def test_a_resolution_that_is_queued_or_refused_says_so(state: str, code: int) -> None:
    assert for_resolutions(resolved(state)) == code


def test_a_pass_that_left_changes_undone_is_no_success() -> None:
    """FD6: 0 means that nothing is left to do."""
    assert for_sync(passed(state="syncing", pending=1)) is ExitCode.FAILED
    assert for_sync(passed(state="up_to_date", pending=0)) is ExitCode.DONE


def test_a_pass_without_a_folder_is_no_success() -> None:
    """None is linked, or all are paused; beside others a pause is the person's own wish, also of what it left."""
    paused, others = passed(state="paused", pending=1), passed()
    assert for_sync(paused) is ExitCode.FAILED
    assert for_sync({"sources": []}) is ExitCode.FAILED
    assert for_sync({"sources": [*paused["sources"], *others["sources"]]}) is ExitCode.DONE
    assert for_status(status()) is ExitCode.FAILED
    assert for_status(status(source(state="paused"))) is ExitCode.FAILED
    assert for_status(status(source(state="paused"), source())) is ExitCode.DONE
    assert for_retry({"changed": False, "errors": []}) is ExitCode.FAILED
    assert [for_chosen({"roots": roots}) for roots in ([], ["/notes"])] == [ExitCode.FAILED, ExitCode.DONE]
