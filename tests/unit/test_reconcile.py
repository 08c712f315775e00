"""The decision of one path, over every small state and as a table of described cases."""

from __future__ import annotations

import itertools

import pytest

from agent.core.model import ABSENT, OUT_OF_SCOPE, UNKNOWN, ConflictKind, Mode, Reason, Side, file_side
from agent.core.reconcile import Decision, Step, reconcile

A, B, C = (file_side(letter * 64) for letter in "abc")
BIG = file_side("b" * 64, 5_000_000, Reason.TOO_LARGE)
BOTH, UP, IMPORT = Mode.BIDIRECTIONAL, Mode.LOCAL_TO_CLOUD, Mode.IMPORT_ONLY

CASES: list[tuple[str, Side, Side, Side, Mode, Decision]] = [
    ("nothing anywhere", ABSENT, ABSENT, ABSENT, BOTH, Decision(Step.NOTHING, ABSENT)),
    ("in step", A, A, A, BOTH, Decision(Step.NOTHING, A)),
    ("a new local file is pushed", ABSENT, A, ABSENT, BOTH, Decision(Step.PUSH, ABSENT)),
    ("a local edit is pushed on the base", A, B, A, BOTH, Decision(Step.PUSH, A)),
    ("a local delete is pushed on the base", A, ABSENT, A, BOTH, Decision(Step.PUSH_DELETE, A)),
    ("a new remote file is pulled", ABSENT, ABSENT, A, BOTH, Decision(Step.PULL, ABSENT)),
    ("a remote edit is pulled", A, A, B, BOTH, Decision(Step.PULL, A)),
    ("a remote delete is pulled", A, A, ABSENT, BOTH, Decision(Step.PULL_DELETE, A)),
    ("the same new file on both sides is adopted", ABSENT, A, A, BOTH, Decision(Step.NOTHING, A)),
    ("the same edit on both sides is adopted", A, B, B, BOTH, Decision(Step.NOTHING, B)),
    ("both deleted drops the base", A, ABSENT, ABSENT, BOTH, Decision(Step.NOTHING, ABSENT)),
    ("edits on both sides park", A, B, C, BOTH, Decision(Step.PARK, A, ConflictKind.EDIT_EDIT)),
    ("edit against delete parks", A, B, ABSENT, BOTH, Decision(Step.PARK, A, ConflictKind.EDIT_DELETE)),
    ("delete against edit parks", A, ABSENT, B, BOTH, Decision(Step.PARK, A, ConflictKind.DELETE_EDIT)),
    ("two new files park without a base", ABSENT, A, B, BOTH, Decision(Step.PARK, ABSENT, ConflictKind.NO_BASE)),
    ("a local side that could not be read", A, UNKNOWN, B, BOTH, Decision(Step.UNKNOWN, A)),
    ("a remote side nobody told of", A, B, UNKNOWN, BOTH, Decision(Step.UNKNOWN, A)),
    ("what left the selection loses its base", A, OUT_OF_SCOPE, A, BOTH, Decision(Step.NOTHING, ABSENT)),
    ("what left the selection is not deleted", A, OUT_OF_SCOPE, ABSENT, BOTH, Decision(Step.NOTHING, ABSENT)),
    ("an edit that cannot be sent is skipped", A, BIG, A, BOTH, Decision(Step.SKIP, A)),
    ("an edit that cannot be sent still conflicts", A, BIG, C, BOTH, Decision(Step.PARK, A, ConflictKind.EDIT_EDIT)),
    ("local_to_cloud pushes edits", A, B, A, UP, Decision(Step.PUSH, A)),
    ("local_to_cloud pushes deletes", A, ABSENT, A, UP, Decision(Step.PUSH_DELETE, A)),
    ("local_to_cloud pulls nothing", A, A, B, UP, Decision(Step.NOTHING, A)),
    ("local_to_cloud removes nothing", A, A, ABSENT, UP, Decision(Step.NOTHING, A)),
    ("local_to_cloud parks over a remote edit", A, B, C, UP, Decision(Step.PARK, A, ConflictKind.EDIT_EDIT)),
    ("import_only pushes edits", A, B, A, IMPORT, Decision(Step.PUSH, A)),
    ("import_only detaches on a delete", A, ABSENT, A, IMPORT, Decision(Step.NOTHING, ABSENT)),
    ("import_only detaches even from a remote edit", A, ABSENT, B, IMPORT, Decision(Step.NOTHING, ABSENT)),
    ("import_only leaves a detached file there", ABSENT, ABSENT, A, IMPORT, Decision(Step.NOTHING, ABSENT)),
]

SIDES = [ABSENT, A, B, C, UNKNOWN, OUT_OF_SCOPE, BIG]
EVERYTHING = [
    (base, local, remote, mode)
    for base in (ABSENT, A)
    for local, remote, mode in itertools.product(SIDES, (ABSENT, A, B, C, UNKNOWN), Mode)
]


@pytest.mark.parametrize(
    ("base", "local", "remote", "mode", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_case(base: Side, local: Side, remote: Side, mode: Mode, expected: Decision) -> None:
    """Each described case is decided as described."""
    assert reconcile(base, local, remote, mode) == expected


def test_every_state_has_a_decision_that_is_stable() -> None:
    """The decision is total, and deciding again on the base it leaves changes nothing."""
    for base, local, remote, mode in EVERYTHING:
        once = reconcile(base, local, remote, mode)
        twice = reconcile(once.base, local, remote, mode)
        assert (twice.step, twice.base) == (once.step, once.base), (base, local, remote, mode)


def test_only_a_side_equal_to_the_base_is_removed() -> None:
    """A delete travels only against a file that is exactly what both sides last agreed on."""
    for base, local, remote, mode in EVERYTHING:
        step = reconcile(base, local, remote, mode).step
        if step is Step.PUSH_DELETE:
            assert remote.same_content(base) and base.is_file
        if step is Step.PULL_DELETE:
            assert local.same_content(base) and base.is_file


def test_nothing_is_overwritten_unless_it_is_the_base() -> None:
    """A push stands on a remote side that is the base, a pull on a local side that is the base."""
    for base, local, remote, mode in EVERYTHING:
        step = reconcile(base, local, remote, mode).step
        if step is Step.PUSH:
            assert remote.same_content(base) and local.reason is None
        if step is Step.PULL:
            assert local.same_content(base)


def test_nothing_comes_down_in_the_modes_that_only_send() -> None:
    """Only bidirectional sources ever write to the folder by themselves."""
    for base, local, remote, mode in EVERYTHING:
        if mode is not Mode.BIDIRECTIONAL:
            assert reconcile(base, local, remote, mode).step not in (Step.PULL, Step.PULL_DELETE)


def test_what_could_not_be_looked_at_moves_nothing() -> None:
    """An unknown side leads to no push, no pull, no conflict and no change of the base."""
    for base, local, remote, mode in EVERYTHING:
        if UNKNOWN in (local, remote) and local is not OUT_OF_SCOPE:
            assert reconcile(base, local, remote, mode) == Decision(Step.UNKNOWN, base)


def test_the_base_only_moves_to_what_both_sides_hold() -> None:
    """A decision keeps the base, drops it, or moves it to a file that stands on both sides."""
    for base, local, remote, mode in EVERYTHING:
        after = reconcile(base, local, remote, mode).base
        assert after in (base, ABSENT) or (after.same_content(local) and after.same_content(remote))


def test_a_disagreement_is_parked_or_nothing_is_done() -> None:
    """Where local, remote and base all differ, no mode sends or installs anything."""
    for base, local, remote, mode in EVERYTHING:
        if local.presence > 1 or UNKNOWN in (local, remote):
            continue
        if not (local.same_content(remote) or remote.same_content(base) or local.same_content(base)):
            decision = reconcile(base, local, remote, mode)
            detached = mode is Mode.IMPORT_ONLY and not local.is_file
            assert decision.step is (Step.NOTHING if detached else Step.PARK)
            assert detached or decision.kind is not None
