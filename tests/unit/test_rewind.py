"""The earlier state of one file, decided from what is known of it."""

from __future__ import annotations

import itertools

import pytest

from agent.core.rewind import (
    KnownChange,
    KnownVersion,
    RewindDecision,
    RewindStep,
    TrashedVersion,
    decide_rewind,
)

AT = 10.0
KEEP, REMOVE, UNKNOWN = (RewindDecision(step) for step in (RewindStep.KEEP, RewindStep.REMOVE, RewindStep.UNKNOWN))


def back(digest: str) -> RewindDecision:
    return RewindDecision(RewindStep.RESTORE, digest)


CASES = {
    "edited later: the version of that time": (
        "new",
        [("old", 5), ("new", 15)],
        [(5, False), (15, False)],
        [],
        back("old"),
    ),
    "the newest of several earlier versions": ("c", [("a", 1), ("b", 9), ("c", 12)], [(12, False)], [], back("b")),
    "unchanged since": ("old", [("old", 5)], [(5, False)], [], KEEP),
    "edited and edited back": ("old", [("old", 5), ("new", 12), ("old", 14)], [(12, False), (14, False)], [], KEEP),
    "made later": ("new", [("new", 15)], [(15, False)], [], REMOVE),
    "made later and deleted again": (None, [("new", 15)], [(15, False), (17, True)], [], KEEP),
    "deleted later": (None, [("old", 5)], [(5, False), (15, True)], [], back("old")),
    "deleted before, made again later": (
        "new",
        [("old", 5), ("new", 15)],
        [(5, False), (8, True), (15, False)],
        [],
        REMOVE,
    ),
    "deleted before by this machine, written again by another": ("x", [("old", 5), ("x", 9)], [(8, True)], [], KEEP),
    "no history on the server: the text that the first later change replaced": (
        "new",
        [],
        [(5, False), (15, False)],
        [("old", 15)],
        back("old"),
    ),
    "no history: a text that was made and replaced later proves nothing": (
        "c",
        [],
        [(12, False), (15, False)],
        [("b", 15)],
        REMOVE,
    ),
    "it was there, and its text is known nowhere": ("new", [("new", 15)], [(5, False), (15, False)], [], UNKNOWN),
    "deleted later, and its text is known nowhere": (None, [], [(15, True)], [], UNKNOWN),
    "nothing is known": ("x", [], [], [], UNKNOWN),
}


@pytest.mark.parametrize("name", CASES)
def test_the_earlier_state_of_a_file(name: str) -> None:
    present, versions, changes, trashed, expected = CASES[name]
    assert decide(present, versions, changes, trashed) == expected


def decide(
    present: str | None,
    versions: list[tuple[str, int]],
    changes: list[tuple[int, bool]],
    trashed: list[tuple[str, int]],
) -> RewindDecision:
    return decide_rewind(
        AT,
        present,
        [KnownVersion(digest, at) for digest, at in versions],
        [KnownChange(at, deleted) for at, deleted in changes],
        [TrashedVersion(digest, at) for digest, at in trashed],
    )


def test_a_file_is_removed_only_where_nothing_shows_it_was_there() -> None:
    """Over all small states: no file of that time is removed, and only known texts come back."""
    changes = [
        [],
        [(5, False)],
        [(5, True)],
        [(15, False)],
        [(15, True)],
        [(5, False), (15, False)],
        [(5, True), (15, False)],
    ]
    versions = [[], [("a", 4)], [("b", 14)], [("a", 4), ("b", 14)], [("a", 7)]]
    trashed = [[], [("t", 6)], [("t", 15)], [("t", 16)]]
    for present, known, seen, gone in itertools.product((None, "a", "b"), versions, changes, trashed):
        decision = decide(present, known, seen, gone)
        earlier = [digest for digest, at in known if at <= AT]
        deleted_last = bool(seen) and seen[0] == (5, True)
        if decision.step is RewindStep.REMOVE:
            assert present is not None
            assert not earlier or deleted_last
            assert (5, False) not in seen
        elif decision.step is RewindStep.RESTORE:
            assert decision.hash != present
            assert decision.hash in {*earlier, *(digest for digest, at in gone if at > AT)}
        elif decision.step is RewindStep.KEEP and present is None:
            assert not earlier or deleted_last
