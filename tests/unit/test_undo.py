"""The pure decisions of an undo of deletes: which files come back, and the next step towards each."""

from __future__ import annotations

import itertools

import pytest

from agent.core.model import ABSENT, OUT_OF_SCOPE, UNKNOWN, Mode, file_side
from agent.core.reconcile import Step, reconcile
from agent.core.undo import UndonePath, UndoStep, next_undo_step, without_renames

A, B = file_side("a"), file_side("b")
SENDS = Mode.LOCAL_TO_CLOUD

RENAMES: dict[str, tuple[list[tuple[str, str]], dict[str, int], list[str]]] = {
    "nothing was deleted": ([], {"a": 1}, []),
    "no text arrived": ([("1", "a"), ("2", "b")], {}, ["1", "2"]),
    "FB4 a renamed file keeps its new name alone": ([("1", "a"), ("2", "b")], {"a": 1}, ["2"]),
    "one arrival is one rename": ([("1", "a"), ("2", "a"), ("3", "a")], {"a": 1}, ["2", "3"]),
    "as many arrivals as deletes": ([("1", "a"), ("2", "a")], {"a": 2}, []),
    "more arrivals than deletes": ([("1", "a"), ("2", "b")], {"a": 5}, ["2"]),
    "the arrival of another text is no rename": ([("1", "a")], {"b": 1}, ["1"]),
}

STEPS = {
    "a local delete that is due": (UndonePath("a", local=ABSENT, remote=A, step=Step.PUSH_DELETE), UndoStep.KEEP),
    "a delete of the server that is due": (UndonePath("a", local=A, step=Step.PULL_DELETE), UndoStep.KEEP),
    "a delete on its way": (UndonePath("a", remote=A, step=Step.PUSH_DELETE, busy=True), UndoStep.WAIT),
    "gone on both sides": (UndonePath("a"), UndoStep.FETCH),
    "gone on both sides of a folder that only sends": (UndonePath("a", SENDS), UndoStep.FETCH),
    "the pull is due": (UndonePath("a", remote=A, step=Step.PULL), UndoStep.WAIT),
    "the pull of a newer version is due": (UndonePath("a", remote=B, step=Step.PULL), UndoStep.WAIT),
    "the server keeps it for a folder that only sends": (UndonePath("a", SENDS, remote=A), UndoStep.FETCH),
    "the server has another version for such a folder": (UndonePath("a", SENDS, remote=B), UndoStep.GIVE_UP),
    "it is back": (UndonePath("a", local=A, remote=A), UndoStep.BACK),
    "it is back and not sent yet": (UndonePath("a", local=A, step=Step.PUSH), UndoStep.BACK),
    "another file is there": (UndonePath("a", local=B, step=Step.PUSH), UndoStep.BACK),
    "it is being installed": (UndonePath("a", busy=True), UndoStep.WAIT),
    "the path cannot be read": (UndonePath("a", local=UNKNOWN, step=Step.UNKNOWN), UndoStep.WAIT),
    "the path is not selected any more": (UndonePath("a", local=OUT_OF_SCOPE), UndoStep.GIVE_UP),
    "a conflict parks the path": (UndonePath("a", remote=B, step=Step.PARK, parked=True), UndoStep.GIVE_UP),
}


@pytest.mark.parametrize("name", RENAMES)
def test_one_arrival_of_a_text_is_one_rename(name: str) -> None:
    """FB4: an undo does not make the old names of renamed files again."""
    gone, arrivals, expected = RENAMES[name]
    assert [path for path, _ in without_renames(gone, arrivals)] == expected


@pytest.mark.parametrize("name", STEPS)
def test_the_next_step_of_a_described_case(name: str) -> None:
    """FB4: each case is one state of a path whose delete was undone."""
    path, expected = STEPS[name]
    assert next_undo_step(path) is expected


def test_no_state_ends_an_undo_without_a_file() -> None:
    """FB4: over all states of the three sides, only a file in the folder or a named obstacle ends the undo."""
    sides = (ABSENT, A, B, UNKNOWN, OUT_OF_SCOPE)
    for base, local, remote, mode in itertools.product((ABSENT, A), sides, (ABSENT, A, B), Mode):
        step = reconcile(base, local, remote, mode).step
        result = next_undo_step(UndonePath("a", mode, local, remote, step))
        assert (result is UndoStep.KEEP) == (step in (Step.PUSH_DELETE, Step.PULL_DELETE))
        if result is UndoStep.BACK:
            assert local.is_file
        if result is UndoStep.GIVE_UP:
            assert local is OUT_OF_SCOPE or (mode is not Mode.BIDIRECTIONAL and remote is B)
        if result is UndoStep.FETCH:
            assert local is ABSENT
        after = reconcile(ABSENT, local, remote, mode).step
        if result is UndoStep.KEEP:
            assert next_undo_step(UndonePath("a", mode, local, remote, after)) is not UndoStep.KEEP
