"""The pure judgement of deletes: described cases, and properties over all small states."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from agent.core.delete_guard import (
    ArrivedFile,
    DeleteEvidence,
    DeleteGuardLimits,
    DeleteVerdict,
    DueDelete,
    MissingFile,
    UnansweredVerdict,
    find_renames,
    is_rename,
    judge,
    judge_unanswered,
)
from agent.core.model import EMPTY_HASH

GO, WAIT, HOLD = DeleteVerdict.GO, DeleteVerdict.WAIT, DeleteVerdict.HOLD
LIMITS = DeleteGuardLimits(least=2, share=0.2, most=1000)


def due(*texts: str, renamed: int = 0, approved: int = 0) -> tuple[DueDelete, ...]:
    """Deletes of files with these texts; the first ``renamed`` are renames, the next ``approved`` are approved."""
    return tuple(
        DueDelete(f"{i}.md", text, renamed=i < renamed, approved=renamed <= i < renamed + approved)
        for i, text in enumerate(texts)
    )


CASES = {
    "nothing is due": (DeleteEvidence(()), []),
    "one delete of many files": (DeleteEvidence(due("a"), files=100), [GO]),
    "two of ten are not more than a fifth": (DeleteEvidence(due("a", "b"), files=10), [GO, GO]),
    "three of ten are": (DeleteEvidence(due("a", "b", "c"), files=10), [HOLD] * 3),
    "one delete is fewer than the least": (DeleteEvidence(due("a"), files=1), [GO]),
    "FB4 more deletes may follow": (DeleteEvidence(due("a", "b", "c"), files=10, quiet=False), [WAIT] * 3),
    "FB4 an approved delete waits with the others": (
        DeleteEvidence(due("a", approved=1), files=10, quiet=False), [WAIT]
    ),
    "deletes of the last while count": (DeleteEvidence(due("a"), {"x": 1, "y": 1}, files=10), [HOLD]),
    "FB1 a hold stays when the plan has shrunk": (DeleteEvidence(due("a"), files=1000, hold=True), [HOLD]),
    "FB1 a rename goes by a running hold": (
        DeleteEvidence(due("a", "b", renamed=1), files=1000, hold=True), [GO, HOLD]
    ),
    "FB1 an approved delete goes by a running hold": (
        DeleteEvidence(due("a", "b", approved=1), files=1000, hold=True), [GO, HOLD]
    ),
    "FB3 one arrival excuses one delete": (DeleteEvidence(due("a", "b", "c"), {}, {"a": 1}, 11), [GO, GO, GO]),
    "FB3 one arrival excuses no more of equal texts": (
        DeleteEvidence(due("e", "e", "e", "e"), {}, {"e": 1}, 10), [HOLD] * 4
    ),
    "FB3 as many arrivals as deletes excuse all": (DeleteEvidence(due("e", "e", "e"), {}, {"e": 3}, 4), [GO] * 3),
    "FB3 an arrival is spent by a carried-out delete": (
        DeleteEvidence(due("e", "e"), {"e": 1}, {"e": 1}, 4), [HOLD, HOLD]
    ),
    "FB3 arrivals of another text excuse nothing": (
        DeleteEvidence(due("a", "b", "c"), {}, {"x": 9}, 10), [HOLD] * 3
    ),
    "FB5 renames are no deletes, whatever their text": (
        DeleteEvidence(due("e", "e", "e", "e", renamed=4), files=4), [GO] * 4
    ),
    "an emptied side is held from the first file": (DeleteEvidence(due("a"), files=100, emptied=True), [HOLD]),
    "what is approved is not held": (DeleteEvidence(due("a", "b", "c", approved=3), files=3), [GO] * 3),
    "what is approved does not count": (DeleteEvidence(due("a", "b", "c", approved=2), files=3), [GO] * 3),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_judgement_of_a_described_case(name: str) -> None:
    """Each case is one sentence of what the guard promises."""
    evidence, expected = CASES[name]
    assert list(judge(evidence, LIMITS).values()) == expected


def test_many_deletes_are_held_whatever_their_share() -> None:
    """A thousand of a million files are too many."""
    deletes = tuple(DueDelete(f"{i}.md", str(i)) for i in range(1000))
    assert set(judge(DeleteEvidence(deletes, files=1_000_000), LIMITS).values()) == {HOLD}
    assert set(judge(DeleteEvidence(deletes[:999], files=1_000_000), LIMITS).values()) == {GO}


def _small_states() -> Iterator[DeleteEvidence]:
    """Up to three due deletes of two texts, each plain, renamed or approved, with all small surroundings."""
    kinds = [
        (text, renamed, approved)
        for text in "ab"
        for renamed, approved in ((False, False), (True, False), (False, True))
    ]
    surroundings = list(
        itertools.product((0, 1, 2), (0, 1, 3), (0, 4, 20), (False, True), (False, True), (False, True))
    )
    for count in range(4):
        for chosen in itertools.combinations_with_replacement(kinds, count):
            deletes = tuple(DueDelete(f"{i}.md", *kind) for i, kind in enumerate(chosen))
            for carried_out, arrivals, files, hold, emptied, quiet in surroundings:
                yield DeleteEvidence(deletes, {"a": carried_out}, {"a": arrivals}, files, hold, emptied, quiet)


def test_every_small_state_keeps_the_promises_of_the_guard() -> None:
    """FB1 to FB5 as properties, over all small states."""
    states = 0
    for state in _small_states():
        states += 1
        verdicts = judge(state, LIMITS)
        assert verdicts.keys() == {delete.path for delete in state.due}
        if not state.quiet:
            assert set(verdicts.values()) <= {WAIT}
            continue
        for delete in state.due:
            assert verdicts[delete.path] is not WAIT
            if delete.renamed or delete.approved:
                assert verdicts[delete.path] is GO
        plain = [delete for delete in state.due if not delete.renamed and not delete.approved]
        going = [delete for delete in plain if verdicts[delete.path] is GO and delete.hash == "a"]
        if state.hold or state.emptied:
            # While a hold runs, the deletes that go, with those carried out, never outnumber the arrivals.
            assert not going or len(going) + state.carried_out["a"] <= state.arrivals["a"]
            assert all(verdicts[delete.path] is HOLD for delete in plain if delete.hash == "b")
        more = judge(replace(state, arrivals={"a": state.arrivals["a"] + 1}), LIMITS)
        assert all(more[path] is GO for path, verdict in verdicts.items() if verdict is GO)
        rest = replace(state, due=state.due[1:], hold=HOLD in verdicts.values() or state.hold)
        for path, verdict in judge(rest, LIMITS).items():
            if verdicts[path] is HOLD and verdict is GO:
                # Only a file of equal text that was put back can leave fewer deletes than arrivals.
                assert state.due[0].hash == next(d.hash for d in state.due if d.path == path) == "a"
                assert state.arrivals["a"] > 0
    assert states > 15_000


UNANSWERED = {
    (False, False, False): UnansweredVerdict.SEND,
    (True, False, False): UnansweredVerdict.SEND,
    (False, False, True): UnansweredVerdict.WAIT,
    (True, False, True): UnansweredVerdict.WAIT,
    (False, True, False): UnansweredVerdict.GIVE_UP,
    (True, True, False): UnansweredVerdict.ASK,
    (False, True, True): UnansweredVerdict.GIVE_UP,
    (True, True, True): UnansweredVerdict.ASK,
}


@pytest.mark.parametrize("state", UNANSWERED)
def test_no_held_delete_is_sent_again(state: tuple[bool, bool, bool]) -> None:
    """FB1: whatever was tried before; one that may have been applied is not given up unasked."""
    in_doubt, held, pending = state
    assert judge_unanswered(in_doubt=in_doubt, held=held, pending=pending) is UNANSWERED[state]


OLD = MissingFile("old.md", "a", 7, 100)
RENAMES = {
    "born before the last change": (OLD, ArrivedFile("new.md", "b", 7, 99), True),
    "born with the last change, the same text": (OLD, ArrivedFile("new.md", "a", 7, 100), True),
    "born with the last change, another text": (OLD, ArrivedFile("new.md", "b", 7, 100), False),
    "born empty, and filled": (MissingFile("old.md", EMPTY_HASH, 7, 100), ArrivedFile("new.md", "b", 7, 100), True),
    "born empty, and reused": (MissingFile("old.md", EMPTY_HASH, 7, 100), ArrivedFile("new.md", "b", 7, 101), False),
    "born later: a reused inode": (OLD, ArrivedFile("new.md", "b", 7, 101), False),
    "born later with the same text: counted as an arrival": (OLD, ArrivedFile("new.md", "a", 7, 101), False),
    "another inode": (OLD, ArrivedFile("new.md", "a", 8, 99), False),
    "no birth time, another text": (OLD, ArrivedFile("new.md", "b", 7), False),
    "no birth time, the same text": (OLD, ArrivedFile("new.md", "a", 7), True),
    "no identity": (MissingFile("old.md", "a"), ArrivedFile("new.md", "a"), False),
    "an id of the server": (MissingFile("old.md", "a", "id"), ArrivedFile("new.md", "b", "id"), True),
}


@pytest.mark.parametrize("name", RENAMES)
def test_an_inode_is_the_old_file_only_if_it_is_as_old(name: str) -> None:
    """FB5: the described cases of a rename."""
    old, new, expected = RENAMES[name]
    assert is_rename(old, new) is expected


def test_one_new_name_excuses_one_of_several_hard_links() -> None:
    """FB5: two missing names of one inode and one new name; a name that is no rename does not use it up."""
    names = [
        MissingFile("young.md", "a", 7, 50),
        MissingFile("one.md", "a", 7, 100),
        MissingFile("two.md", "a", 7, 100),
    ]
    assert find_renames(names, [ArrivedFile("new.md", "b", 7, 99)]) == {"one.md": ArrivedFile("new.md", "b", 7, 99)}
