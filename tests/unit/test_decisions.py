"""The brake, settling, resolving, merging and waiting: each decided without I/O."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.core.backoff import CALM, Backoff
from agent.core.decided_file import DECIDED_WORDS, decided_file
from agent.core.delete_guard import DeleteGuardLimits, must_hold, plan_id
from agent.core.errors import Problem, ProblemKind
from agent.core.in_doubt import InDoubtVerdict as Verdict
from agent.core.in_doubt import judge_in_doubt
from agent.core.merge import propose
from agent.core.model import EMPTY_HASH, Resolution
from agent.core.remote_records import Operation, RemoteConflict, Verb
from agent.core.resolution import CloseOnServer, Done, HeadMoved, Push, next_step
from agent.core.version import Version, is_same_version, version_of

_LOCAL, _RAVEN, _MERGE = Resolution.KEEP_LOCAL, Resolution.KEEP_RAVEN, Resolution.MANUAL_MERGE
A, B, C, D = (letter * 64 for letter in "abcd")


@pytest.mark.parametrize(
    ("choice", "local", "remote", "merged", "here"),
    [
        (_LOCAL, A, B, None, "kept"),
        (_LOCAL, A, None, None, "kept"),
        (_LOCAL, None, B, None, "absent"),
        (_RAVEN, A, B, None, "replaced"),
        (_RAVEN, A, None, None, "removed"),
        (_RAVEN, None, B, None, "created"),
        (_MERGE, A, B, C, "merged"),
        (_MERGE, A, B, A, "kept"),
        (_MERGE, A, None, C, "merged"),
        (_MERGE, None, B, C, "created"),
    ],
)
def test_a_dry_run_tells_what_becomes_of_the_file(
    choice: Resolution, local: str | None, remote: str | None, merged: str | None, here: str
) -> None:
    """Each choice on each kind of conflict; a text that is replaced or removed is said to go to the trash."""
    assert decided_file(choice, local, remote, merged) == here
    assert ("goes to the trash" in DECIDED_WORDS[here]) is (here in ("replaced", "removed", "merged"))


@pytest.mark.parametrize(
    ("deletes", "total", "held"),
    [(9, 10, False), (10, 49, True), (10, 50, False), (11, 50, True), (999, 10_000, False), (1000, 1_000_000, True)],
)
def test_the_brake_holds_many_or_a_large_share(deletes: int, total: int, held: bool) -> None:
    """At least 10 files and more than 20 %, or 1,000 whatever the share."""
    assert must_hold(deletes, total, DeleteGuardLimits()) is held


def test_a_plan_is_named_by_exactly_its_files() -> None:
    """Another file, or another direction, is another plan; the order is not."""
    assert plan_id("deletes", ["a", "b"]) == plan_id("deletes", ["b", "a"])
    assert len({plan_id("x", ["a"]), plan_id("x", ["a", "b"]), plan_id("y", ["a"]), plan_id("x", ["ab"])}) == 4


def _operation(verb: Verb = Verb.UPSERT, digest: str | None = B, base: str | None = A) -> Operation:
    return Operation("op", "n.md", verb, digest, 1, base)


def _conflict(local: str | None, remote: str | None = C, path: str = "n.md") -> RemoteConflict:
    return RemoteConflict("k", path, A, local, remote)


SETTLING = [
    ("the head is ours", _operation(), B, [B, A], [], Verdict.APPLIED),
    ("the head is still the base", _operation(), A, [A], [], Verdict.NOT_APPLIED),
    ("ours lies under a newer version", _operation(), C, [C, B, A], [], Verdict.SUPERSEDED),
    ("ours was there before the base only", _operation(), C, [C, A, B], [], Verdict.NOT_APPLIED),
    ("the base is gone from the history", _operation(), C, [C, B], [], Verdict.NOT_APPLIED),
    ("a create that was built upon", _operation(base=None), C, [C, B], [], Verdict.SUPERSEDED),
    ("a conflict holds our text", _operation(), C, [C, A], [_conflict(B)], Verdict.CONFLICT),
    ("a conflict of another path", _operation(), C, [C, A], [_conflict(B, path="o.md")], Verdict.NOT_APPLIED),
    ("a conflict of an older text of ours", _operation(), A, [A], [_conflict(D)], Verdict.NOT_APPLIED),
    ("the file of a delete is gone", _operation(Verb.DELETE, None), None, [], [], Verdict.APPLIED),
    ("the file of a delete is still the base", _operation(Verb.DELETE, None), A, [A], [], Verdict.NOT_APPLIED),
    ("a delete was refused", _operation(Verb.DELETE, None), C, [C, A], [_conflict(None)], Verdict.CONFLICT),
    ("a create nobody took", _operation(base=None), None, [], [], Verdict.NOT_APPLIED),
]
OVER = [
    ("a refused text is the head by now", _operation(), B, [_conflict(B)], ["k"]),
    ("a refused delete whose file is away by now", _operation(Verb.DELETE, None), None, [_conflict(None)], ["k"]),
    ("another text was refused", _operation(), B, [_conflict(D)], []),
    ("it was refused at another path", _operation(), B, [_conflict(B, path="o.md")], []),
    ("it was refused on another base", _operation(base=D), B, [_conflict(B)], []),
    (
        "a text of unknown hash was refused, and no delete",
        _operation(Verb.DELETE, None),
        None,
        [replace(_conflict(None), local_rev="v2")],
        [],
    ),
    ("nothing was refused", _operation(), B, [], []),
]


@pytest.mark.parametrize(
    ("op", "head", "versions", "conflicts", "verdict"), [c[1:] for c in SETTLING], ids=[c[0] for c in SETTLING]
)
def test_settling(
    op: Operation, head: str | None, versions: list[str], conflicts: list[RemoteConflict], verdict: Verdict
) -> None:
    """An operation without an answer is judged by the evidence, and by parking where there is none."""
    found, conflict = judge_in_doubt(op, version_of(head), [Version(each) for each in versions], conflicts)
    assert found is verdict
    assert (conflict is not None) == (verdict is Verdict.CONFLICT)


@pytest.mark.parametrize(("op", "head", "conflicts", "closed"), [c[1:] for c in OVER], ids=[c[0] for c in OVER])
def test_a_refusal_that_is_over_is_named(
    op: Operation, head: str | None, conflicts: list[RemoteConflict], closed: list[str]
) -> None:
    """The server holds what was refused: the operation counts as applied, and its conflict is still to be closed."""
    verdict, found = judge_in_doubt(op, version_of(head), [], conflicts)
    assert verdict is Verdict.APPLIED
    assert [each.id for each in (found,) if each is not None] == closed


def _history(*versions: tuple[str, str]) -> list[Version]:
    return [Version(digest, rev=rev) for digest, rev in versions]


VISITS = [
    ("ours lies under a return to the base", _history((A, "v3"), (B, "v2"), (A, "v1")), "v1", Verdict.SUPERSEDED),
    ("ours is from before the newer visit", _history((C, "v4"), (A, "v3"), (B, "v2"), (A, "v1")), "v3",
     Verdict.NOT_APPLIED),
    ("ours lies between two visits", _history((C, "v4"), (A, "v3"), (B, "v2"), (A, "v1")), "v1", Verdict.SUPERSEDED),
    ("the base's visit is gone", _history((C, "v4"), (A, "v3"), (B, "v2")), "v1", Verdict.NOT_APPLIED),
    ("the base's visit is not known", _history((C, "v4"), (A, "v3"), (B, "v2"), (A, "v1")), None,
     Verdict.NOT_APPLIED),
]  # fmt: skip


@pytest.mark.parametrize(("versions", "rev", "verdict"), [c[1:] for c in VISITS], ids=[c[0] for c in VISITS])
def test_settling_by_revisions(versions: list[Version], rev: str | None, verdict: Verdict) -> None:
    """Two visits of the same text are told apart by their revisions, where both sides know them."""
    operation = replace(_operation(), base_rev=rev)
    assert judge_in_doubt(operation, versions[0], versions, [])[0] is verdict


FILES = [
    ("a new file may have moved here with our bytes", None, None, None, "f1", Verdict.NOT_APPLIED),
    ("a new file, the path is the only identity", None, None, None, None, Verdict.SUPERSEDED),
    ("the file that we changed", A, None, "f1", "f1", Verdict.SUPERSEDED),
    ("another file with the texts of ours", A, None, "f2", "f1", Verdict.NOT_APPLIED),
    ("another file with the texts of ours, and a revision", A, "v1", "f2", "f1", Verdict.NOT_APPLIED),
    ("the file is not known, its base's revision is", A, "v1", None, "f1", Verdict.SUPERSEDED),
    ("neither the file nor its base's revision is known", A, None, None, "f1", Verdict.NOT_APPLIED),
    ("neither is known, the path is the only identity", A, None, None, None, Verdict.SUPERSEDED),
]


@pytest.mark.parametrize(("base", "rev", "ours", "shown", "verdict"), [c[1:] for c in FILES], ids=[c[0] for c in FILES])
def test_settling_by_the_history_of_our_own_file(
    base: str | None, rev: str | None, ours: str | None, shown: str | None, verdict: Verdict
) -> None:
    """A file that moved to the path brings a history that says nothing about an operation on another file."""
    operation = replace(_operation(base=base), base_rev=rev, remote_id=ours)
    history = _history((C, "v3"), (B, "v2"), (A, "v1")) if base else _history((C, "v3"), (B, "v2"))
    assert judge_in_doubt(operation, replace(history[0], remote_id=shown), history, [])[0] is verdict


def test_a_conflict_on_another_visit_of_the_base_is_not_ours() -> None:
    """Another machine was refused the same text on a base with the same text and another revision."""
    operation = replace(_operation(), base_rev="v3")
    listed = [replace(_conflict(B), base_rev=rev) for rev in ("v1", "v3", None)]
    verdicts = [judge_in_doubt(operation, Version(C, rev="v4"), [], [found])[0] for found in listed]
    assert verdicts == [Verdict.NOT_APPLIED, Verdict.CONFLICT, Verdict.CONFLICT]


def test_a_conflict_on_a_forgotten_base_is_known_by_its_revision() -> None:
    """The server was restored: it knows the revision that our operation named, and no content of it."""
    operation = replace(_operation(), base_rev="v3")
    listed = [replace(_conflict(B), base_hash=None, base_rev=rev) for rev in ("v1", "v3", None)]
    verdicts = [judge_in_doubt(operation, Version(C, rev="v4"), [], [found])[0] for found in listed]
    assert verdicts == [Verdict.NOT_APPLIED, Verdict.CONFLICT, Verdict.NOT_APPLIED]


SAME = [
    (None, None, True),
    (None, Version(A), False),
    (Version(A), Version(B), False),
    (Version(A), Version(A, 3), True),
    (Version(A, rev="v1"), Version(A), True),
    (Version(A, rev="v1"), Version(A, rev="v1"), True),
    (Version(A, rev="v1"), Version(A, rev="v2"), False),
    (Version(A, rev="v1", remote_id="f1"), Version(A, rev="v1", remote_id="f2"), False),
    (Version(A, rev="v1", remote_id="f1"), Version(A, rev="v1"), True),
]


@pytest.mark.parametrize(("one", "other", "same"), SAME)
def test_versions_are_the_same_unless_something_known_differs(
    one: Version | None, other: Version | None, same: bool
) -> None:
    """A revision or an id that one side does not know distinguishes nothing."""
    assert is_same_version(one, other) is is_same_version(other, one) is same


def test_an_operation_counts_as_applied_only_on_evidence() -> None:
    """Over every small state: applied needs the head, superseded a version after the base."""
    for head, size, base in itertools.product((None, A, B, C), range(4), (None, A)):
        for versions in itertools.permutations((A, B, C), size):
            shown = [Version(each) for each in versions]
            verdict, _ = judge_in_doubt(_operation(base=base), version_of(head), shown, [])
            if verdict is Verdict.APPLIED:
                assert head == B
            if verdict is Verdict.SUPERSEDED:
                assert B in versions and head not in (B, base)


RESOLVING = [
    ("the head moved", B, C, D, [], True, HeadMoved(D)),
    ("nothing is left", B, C, B, [], True, Done()),
    ("no conflict there: a push on the head", B, C, C, [], False, Push(B, C)),
    ("no conflict there: a delete on the head", None, C, C, [], False, Push(None, C)),
    ("the snapshot is the wanted text", B, C, C, [_conflict(B)], True, CloseOnServer(_conflict(B), _LOCAL, None)),
    ("the head is the wanted text", C, C, C, [_conflict(B)], False, CloseOnServer(_conflict(B), _RAVEN, None)),
    ("a third text", D, C, C, [_conflict(B)], False, CloseOnServer(_conflict(B), _MERGE, D)),
    (
        "an old snapshot is closed with the wanted text",
        D, C, D, [_conflict(B, A)], False, CloseOnServer(_conflict(B, A), _MERGE, D),
    ),
    ("a delete where a delete wipes", None, C, C, [_conflict(None)], False, Push(None, C)),
    ("a delete where history stays", None, C, C, [_conflict(None)], True, Push(None, C)),
    ("gone, the conflict is left", None, C, None, [_conflict(B)], True, CloseOnServer(_conflict(B), _RAVEN, None)),
    (
        "an empty text goes round manual_merge",
        EMPTY_HASH, C, C, [_conflict(B, D)], False, CloseOnServer(_conflict(B, D), _MERGE, C),
    ),
    (
        "the hub takes an empty merge",
        EMPTY_HASH, C, C, [_conflict(B, D)], True, CloseOnServer(_conflict(B, D), _MERGE, EMPTY_HASH),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "seen", "head", "ours", "keeps", "step"), [c[1:] for c in RESOLVING], ids=[c[0] for c in RESOLVING]
)
def test_resolving_takes_one_safe_step(
    wanted: str | None, seen: str | None, head: str | None, ours: list[RemoteConflict], keeps: bool, step: object
) -> None:
    """Each step of a resolution follows from what the server shows at that moment."""
    assert next_step(wanted, seen, head, ours, keeps_history=keeps) == step


def test_a_resolution_never_acts_on_a_head_nobody_saw() -> None:
    """Over every small state, a head that is neither the seen one nor the wanted one is refused."""
    for wanted, seen, head, keeps in itertools.product((None, A, B), (None, A, C), (None, A, B, C, D), (True, False)):
        for ours in ([], [_conflict(A)], [_conflict(None)]):
            step = next_step(wanted, seen, head, ours, keeps_history=keeps)
            assert isinstance(step, HeadMoved) == (head not in (wanted, seen))


lines = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"d"]), max_size=6).map(b"".join)


@given(lines, lines)
def test_a_merge_with_one_side_unchanged_is_the_other_side(base: bytes, other: bytes) -> None:
    """Where only one side changed, the proposal is that side, and clean."""
    left, right = propose(base, base, other), propose(base, other, base)
    assert left is not None and right is not None
    assert left.clean and right.clean and left.text == right.text == other


@given(lines, lines, lines)
def test_a_conflicting_merge_holds_every_line_of_both_sides(base: bytes, local: bytes, remote: bytes) -> None:
    """Nothing falls out of a proposal with markers: both sides' own lines are in it."""
    found = propose(base, local, remote)
    assert found is not None
    if not found.clean:
        for line in (*local.splitlines(), *remote.splitlines()):
            assert line in found.text or line in base


def test_without_a_base_no_merge_is_proposed() -> None:
    """FC2: a merge on another text than the recorded base would drop one side's changes without a mark."""
    assert propose(None, b"one\n", b"two\n") is None
    assert propose(b"x", None, b"y") is None


def test_waiting_grows_and_is_spread() -> None:
    """Each failure in a row waits longer on the whole, up to a minute, and no two agents wait the same."""
    problem = Problem(ProblemKind.OFFLINE, "gone")
    rng = random.Random(1)
    waits = []
    state: Backoff = CALM
    for _ in range(12):
        state = state.after(problem, 1000.0, rng)
        waits.append(state.due - 1000.0)
    assert waits[0] <= 1.0 and max(waits) <= 60.0 and waits[-1] >= 30.0
    assert len(set(waits)) == len(waits)


def test_the_server_s_own_delay_is_never_undercut() -> None:
    """Retry-After is the least wait, with a little spread on top; a refused token waits a minute."""
    rng = random.Random(2)
    busy = CALM.after(Problem(ProblemKind.BUSY, "busy", retry_after=17.0), 0.0, rng)
    assert 17.0 <= busy.due <= 18.0 and not busy.ready(16.9) and busy.ready(18.0)
    out = CALM.after(Problem(ProblemKind.SIGNED_OUT, "no"), 0.0, rng)
    assert out.due == 60.0
