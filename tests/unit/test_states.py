"""The one word for a source, and the reasons that count as failures: enumerated."""

from __future__ import annotations

import itertools

from agent.cli.exit_codes import PRECEDENCE, STATES, ExitCode
from agent.core.states import Reason, SourceState, first_state

IN_ORDER = ("signed_out", "halted", "error", "offline", "paused", "conflict", "syncing", "up_to_date")
"""The order that the contract promises to scripts."""


def test_the_state_is_the_first_that_holds_of_every_set() -> None:
    """All 128 combinations of the seven conditions; none of them is "up to date"."""
    conditions = IN_ORDER[:-1]
    for chosen in itertools.product((False, True), repeat=len(conditions)):
        holds = {SourceState(name): held for name, held in zip(conditions, chosen, strict=True)}
        expected = next((name for name, held in zip(conditions, chosen, strict=True) if held), "up_to_date")
        assert first_state(holds) == expected
    assert first_state({}) is SourceState.UP_TO_DATE


def test_every_state_has_an_exit_code() -> None:
    """A state that is not in the table would count as a failure; the codes are those of the contract."""
    assert set(STATES) == set(SourceState)
    quiet = {state for state in SourceState if STATES[state] is ExitCode.DONE}
    assert quiet == {SourceState.PAUSED, SourceState.SYNCING, SourceState.UP_TO_DATE}
    assert set(PRECEDENCE) == {*STATES.values(), ExitCode.AGENT} - {ExitCode.DONE}


def test_only_files_left_out_by_policy_are_no_failure() -> None:
    assert {reason.value for reason in Reason if reason.is_policy} == {"binary", "not_utf8", "special_file", "link"}
