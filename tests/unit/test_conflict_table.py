"""The life cycle of a conflict as a table: each row is a situation in words, and what happens next."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from msgspec.structs import replace

from agent.core.claim import Claim, ConflictEvidence, OwnPush, claim, to_close
from agent.core.conflict import Conflict, ConflictOrigin, ConflictState
from agent.core.conflict_verdict import EXCLUDED, LOOK_AGAIN, Action, Ended, Knowledge, UserDecision, judge
from agent.core.model import ABSENT, OUT_OF_SCOPE, UNKNOWN, ConflictKind, Mode, Resolution, Side, side_of
from agent.core.remote_records import RemoteConflict
from agent.core.version import Version, version_of

BASE, MINE, HEAD, NEWER, PAGE = "base", "mine", "head", "newer", "page"


def between(**changes: object) -> Conflict:
    """The folder holds MINE, the server HEAD, both made on BASE; the server knows it as k1."""
    conflict = Conflict(
        1, 1, "a.md", ConflictKind.EDIT_EDIT, ConflictOrigin.TREES, BASE, MINE, HEAD, HEAD, ("k1",), 0.0,
        ConflictState.OPEN, True,
    )  # fmt: skip
    return replace(conflict, **changes)


def beside(**changes: object) -> Conflict:
    """The server refused the page edit PAGE, made on BASE, beside the head HEAD."""
    conflict = Conflict(
        2, 1, "a.md", ConflictKind.EDIT_EDIT, ConflictOrigin.SERVER_EDIT, BASE, HEAD, PAGE, HEAD, ("k2",), 0.0,
        ConflictState.OPEN, True,
    )  # fmt: skip
    return replace(conflict, **changes)


def replaced(**changes: object) -> Conflict:
    """Our push HEAD replaced PAGE unseen. No server conflict holds PAGE."""
    return replace(beside(origin=ConflictOrigin.LOST_UPDATE, server_ids=()), **changes)


def resolving(conflict: Conflict, choice: Resolution, wanted: str | None) -> Conflict:
    """The conflict with a decision that is being carried out."""
    return replace(conflict, state=ConflictState.RESOLVING, choice=choice, wanted_hash=wanted)


def known(base: str | None, local: str | Side | None, remote: str | Side | None, **more: object) -> Knowledge:
    """What is known of the path now."""
    sides = [side if isinstance(side, Side) else side_of(version_of(side)) for side in (base, local, remote)]
    return Knowledge(*sides, **more)  # type: ignore[arg-type]


class Case(NamedTuple):
    """A row of the table; None means "not checked"."""

    says: str
    conflict: Conflict
    known: Knowledge
    action: Action
    sides: tuple[str | None, str | None, str | None] | None = None
    to_trash: tuple[str, ...] = ()
    wanted: str | None = None
    note: str | None = None


CASES = [
    Case("nothing moved", between(), known(BASE, MINE, HEAD), Action.KEEP),
    Case("the person edits on", between(), known(BASE, NEWER, HEAD), Action.SHOW, (NEWER, HEAD, HEAD)),
    Case("the head moves", between(), known(BASE, MINE, NEWER), Action.SHOW, (MINE, NEWER, NEWER)),
    Case("the person deletes", between(), known(BASE, ABSENT, HEAD), Action.SHOW, (None, HEAD, HEAD)),
    Case("the server's file is deleted", between(), known(BASE, MINE, ABSENT), Action.SHOW, (MINE, None, None)),
    Case("both became equal", between(), known(BASE, HEAD, HEAD), Action.CARRY_OUT, (HEAD, HEAD, HEAD), wanted=HEAD),
    Case("both equal, server knows nothing", between(server_ids=()), known(BASE, HEAD, HEAD), Action.CLOSE),
    Case("the edit was taken back", between(server_ids=()), known(BASE, BASE, HEAD), Action.CLOSE),
    Case("the head went back to the base", between(server_ids=()), known(BASE, MINE, BASE), Action.CLOSE),
    Case(
        "refused against what both agree on", between(), known(HEAD, MINE, HEAD), Action.CARRY_OUT,
        (MINE, HEAD, HEAD), wanted=MINE,
    ),
    Case("a push is in doubt", between(), known(BASE, NEWER, HEAD, busy=True), Action.KEEP),
    Case("the folder cannot be read", between(), known(BASE, UNKNOWN, NEWER), Action.KEEP),
    Case("a conflict resolved long ago", between(state=ConflictState.CLOSED), known(BASE, MINE, NEWER), Action.KEEP),
    # Decisions
    Case(
        "keep_local", between(), known(BASE, MINE, HEAD, decision=UserDecision(1, Resolution.KEEP_LOCAL)),
        Action.CARRY_OUT, to_trash=(HEAD,), wanted=MINE,
    ),
    Case(
        "keep_raven", between(), known(BASE, MINE, HEAD, decision=UserDecision(1, Resolution.KEEP_RAVEN)),
        Action.CARRY_OUT, wanted=HEAD,
    ),
    Case(
        "manual_merge", between(), known(BASE, MINE, HEAD, decision=UserDecision(1, Resolution.MANUAL_MERGE, NEWER)),
        Action.CARRY_OUT, to_trash=(HEAD,), wanted=NEWER,
    ),
    Case(
        "a decision on an older generation", between(generation=2),
        known(BASE, MINE, HEAD, decision=UserDecision(1, Resolution.KEEP_LOCAL)), Action.KEEP,
    ),
    Case(
        "FC1: a decision on a conflict that is not shown yet", beside(mine=False),
        known(BASE, BASE, HEAD, decision=UserDecision(1, Resolution.KEEP_LOCAL)), Action.KEEP,
    ),
    Case(
        "the decision reached the server", resolving(between(), Resolution.KEEP_LOCAL, MINE), known(BASE, MINE, MINE),
        Action.KEEP,
    ),
    Case(
        "a third version came during the decision", resolving(between(), Resolution.KEEP_LOCAL, MINE),
        known(BASE, MINE, NEWER), Action.SHOW, (MINE, NEWER, NEWER), note=LOOK_AGAIN,
    ),
    Case(
        "the server refuses the decision", resolving(between(), Resolution.KEEP_LOCAL, MINE),
        known(BASE, MINE, HEAD, refusal="too large"), Action.SHOW, (MINE, HEAD, HEAD), note="too large",
    ),
    Case(
        "the decision is refused while the file cannot be read", resolving(between(), Resolution.KEEP_RAVEN, HEAD),
        known(BASE, UNKNOWN, NEWER, refusal="look again"), Action.SHOW, (MINE, NEWER, NEWER), note="look again",
    ),
    Case(
        "the same beside the head", resolving(beside(), Resolution.KEEP_RAVEN, PAGE),
        known(BASE, UNKNOWN, NEWER, refusal="look again"), Action.SHOW, (NEWER, PAGE, NEWER), note="look again",
    ),
    Case(
        "the decision is refused while neither side is known", resolving(between(), Resolution.KEEP_RAVEN, HEAD),
        known(BASE, UNKNOWN, UNKNOWN, refusal="look again"), Action.SHOW, (MINE, HEAD, HEAD), note="look again",
    ),
    # Ended elsewhere
    Case(
        "resolved elsewhere with our text in view", between(server_ids=()),
        known(BASE, MINE, HEAD, ended=Ended(True, Version(NEWER)), refused_here=True), Action.CLOSE_AND_FOLLOW,
    ),
    Case(
        "resolved elsewhere, and edited here since", between(server_ids=()),
        known(BASE, NEWER, HEAD, ended=Ended(True, Version(HEAD))), Action.SHOW, (NEWER, HEAD, HEAD),
    ),
    Case(
        "resolved elsewhere for a folder that only sends", between(server_ids=()),
        known(BASE, MINE, HEAD, ended=Ended(True, Version(HEAD)), refused_here=True, mode=Mode.LOCAL_TO_CLOUD),
        Action.KEEP,
    ),
    Case(
        "FC5: a delete wiped it, the file here is edited", between(server_ids=()),
        known(BASE, MINE, ABSENT, ended=Ended(False)), Action.SHOW, (MINE, None, None),
    ),
    Case(
        "FC5: a delete wiped a refused page edit", beside(server_ids=()),
        known(HEAD, HEAD, ABSENT, ended=Ended(False)), Action.CLOSE, to_trash=(PAGE,),
    ),
    Case(
        "the page edit won elsewhere", beside(server_ids=()), known(HEAD, HEAD, PAGE, ended=Ended(True, Version(PAGE))),
        Action.CLOSE,
    ),
    Case(
        "the page edit lost elsewhere", beside(server_ids=()),
        known(HEAD, HEAD, HEAD, ended=Ended(True, Version(HEAD))), Action.CLOSE, to_trash=(PAGE,),
    ),
    # A text beside the head
    Case("the folder holds the head", beside(mine=False), known(HEAD, HEAD, HEAD), Action.SHOW, (HEAD, PAGE, HEAD)),
    Case("FC1: the head must come down first", beside(), known(BASE, BASE, HEAD), Action.WAIT),
    Case("FC1: it still waits for the head", beside(mine=False), known(BASE, BASE, HEAD), Action.KEEP),
    Case("FC1: the head moves while it is shown", beside(), known(HEAD, HEAD, NEWER), Action.WAIT),
    Case(
        "FC1: the newer head is in the folder now", beside(mine=False), known(NEWER, NEWER, NEWER), Action.SHOW,
        (NEWER, PAGE, NEWER),
    ),
    Case("FC1: an edit here against an unseen head", beside(), known(BASE, MINE, HEAD), Action.WAIT),
    Case("another conflict parks the path", beside(mine=False), known(HEAD, HEAD, HEAD, occupied=True), Action.KEEP),
    Case("an edit here on the head", beside(), known(HEAD, MINE, HEAD), Action.SHOW, (MINE, PAGE, HEAD)),
    Case("the head was deleted", beside(), known(HEAD, HEAD, ABSENT), Action.WAIT),
    Case(
        "the delete was carried out here", beside(mine=False), known(None, ABSENT, ABSENT), Action.SHOW,
        (None, PAGE, None),
    ),
    Case(
        "one-way: the head never comes down", beside(mine=False), known(BASE, BASE, HEAD, mode=Mode.LOCAL_TO_CLOUD),
        Action.SHOW, (HEAD, PAGE, HEAD),
    ),
    Case(
        "one-way: shown already", beside(), known(BASE, BASE, HEAD, mode=Mode.IMPORT_ONLY), Action.KEEP,
        (HEAD, PAGE, HEAD),
    ),
    Case(
        "one-way: the head moves", beside(), known(BASE, BASE, NEWER, mode=Mode.LOCAL_TO_CLOUD), Action.SHOW,
        (NEWER, PAGE, NEWER),
    ),
    Case(
        "one-way: an edit here against the head", beside(), known(BASE, MINE, HEAD, mode=Mode.LOCAL_TO_CLOUD),
        Action.WAIT,
    ),
    Case(
        "one-way: the decision is carried out", resolving(beside(), Resolution.KEEP_RAVEN, PAGE),
        known(BASE, BASE, PAGE, mode=Mode.LOCAL_TO_CLOUD), Action.KEEP,
    ),
    Case("the head became the page edit", beside(), known(PAGE, PAGE, PAGE), Action.CARRY_OUT, wanted=PAGE),
    Case("a lost update, head moved", replaced(), known(HEAD, HEAD, NEWER), Action.WAIT),
    Case("a lost update became the head", replaced(), known(PAGE, PAGE, PAGE), Action.CLOSE),
    # Excluded by the rules
    Case(
        "FC4: excluded, open on the server", between(), known(None, OUT_OF_SCOPE, HEAD), Action.KEEP,
        (MINE, HEAD, HEAD), note=EXCLUDED,
    ),
    Case(
        "FC4: excluded, the server knows nothing", between(server_ids=()), known(None, OUT_OF_SCOPE, HEAD),
        Action.CLOSE,
    ),
    Case(
        "FC4: excluded, and the head moves", between(note=EXCLUDED), known(None, OUT_OF_SCOPE, NEWER), Action.SHOW,
        (MINE, NEWER, NEWER), note=EXCLUDED,
    ),
    Case("FC4: selected again", between(note=EXCLUDED), known(None, MINE, HEAD), Action.KEEP, (MINE, HEAD, HEAD)),
    Case(
        "excluded with a version replaced unseen", replaced(), known(None, OUT_OF_SCOPE, HEAD), Action.CLOSE,
        to_trash=(PAGE,),
    ),
    Case(
        "FC4: decided while excluded", resolving(between(), Resolution.KEEP_RAVEN, HEAD),
        known(None, OUT_OF_SCOPE, HEAD), Action.KEEP,
    ),
    Case(
        "FC4: decided while excluded, and the head moves", resolving(between(), Resolution.KEEP_RAVEN, HEAD),
        known(None, OUT_OF_SCOPE, NEWER), Action.SHOW, (MINE, NEWER, NEWER), note=EXCLUDED,
    ),
    # Not ours
    Case(
        "another machine's moves", between(origin=ConflictOrigin.FOREIGN, mine=False), known(BASE, MINE, NEWER),
        Action.KEEP,
    ),
    Case(
        "another machine's ends", between(origin=ConflictOrigin.FOREIGN, mine=False, server_ids=()),
        known(BASE, MINE, NEWER, ended=Ended(True, Version(NEWER))), Action.CLOSE,
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_what_happens_next(case: Case) -> None:
    """One row of the table."""
    verdict = judge(case.conflict, case.known)
    after = verdict.conflict
    assert verdict.action is case.action
    assert verdict.to_trash == case.to_trash
    if case.sides is not None:
        assert (after.local_hash, after.remote_hash, after.head_hash) == case.sides
    if verdict.action is Action.CARRY_OUT:
        assert after.state is ConflictState.RESOLVING and after.wanted_hash == case.wanted
    if verdict.action is Action.SHOW:
        assert after.state is ConflictState.OPEN and after.choice is None and after.parks
        assert after.generation >= case.conflict.generation
    if case.note is not None:
        assert after.note == case.note


PUSH = OwnPush(MINE, BASE)
LISTED = ConflictEvidence("k9", MINE, HEAD, base_hash=BASE, base_known=True)
AT_HEAD = ConflictEvidence("k9", HEAD, MINE, base_hash=BASE, base_known=True)
FORGOTTEN = ConflictEvidence("k9", MINE, HEAD, base_rev="v1", base_known=True)
RESOLVED = resolving(between(server_ids=()), Resolution.KEEP_RAVEN, HEAD)

CLAIMS = [
    ("a page edit", replace(LISTED, by_server_edit=True), (), None, (), Claim.SERVER_EDIT),
    ("no push of ours", LISTED, (), None, (), Claim.FOREIGN),
    ("FC3: our text on another base", LISTED, (OwnPush(MINE, NEWER),), between(), (), Claim.FOREIGN),
    ("another text", LISTED, (OwnPush(NEWER, BASE),), between(), (), Claim.FOREIGN),
    ("our push has no answer", LISTED, (OwnPush(MINE, BASE, in_doubt=True),), None, (), Claim.IN_DOUBT),
    ("FC3: the same text parked by two machines", LISTED, (PUSH,), between(), (), Claim.OURS),
    ("FC3: the feed does not say the base", replace(LISTED, base_known=False), (PUSH,), between(), (), Claim.UNSURE),
    ("FC3: a late equal of what we resolved", LISTED, (PUSH,), None, (RESOLVED,), Claim.RESOLVED),
    ("an equal, the head moved on", LISTED, (PUSH,), None, (replace(RESOLVED, wanted_hash=NEWER),), Claim.FOREIGN),
    ("given up, and arrived after all", LISTED, (OwnPush(MINE, BASE, abandoned=True),), None, (), Claim.STALE_OWN),
    ("given up, and the feed does not say the base", replace(LISTED, base_known=False),
     (OwnPush(MINE, BASE, abandoned=True),), None, (), Claim.UNSURE),
    ("the server forgot our base's content, and names its revision", FORGOTTEN,
     (OwnPush(MINE, BASE, abandoned=True, base_rev="v1"),), None, (), Claim.STALE_OWN),
    ("the server forgot the content of another base", FORGOTTEN,
     (OwnPush(MINE, BASE, abandoned=True, base_rev="v2"),), None, (), Claim.FOREIGN),
    ("our push had no base, and the server forgot that of another one", FORGOTTEN,
     (OwnPush(MINE, None, abandoned=True),), None, (), Claim.FOREIGN),
    ("our push was applied; theirs was refused", LISTED, (PUSH,), None, (), Claim.FOREIGN),
    ("our push was applied, and its copy was refused", AT_HEAD, (OwnPush(HEAD, BASE),), None, (), Claim.OVER),
    ("the feed does not say its base", replace(AT_HEAD, base_known=False), (OwnPush(HEAD, BASE),), None, (),
     Claim.FOREIGN),
    ("the copy of a push on another base", AT_HEAD, (OwnPush(HEAD, NEWER),), None, (), Claim.FOREIGN),
    ("no push of ours, its text is the head", AT_HEAD, (), None, (), Claim.FOREIGN),
    ("the path is parked", AT_HEAD, (OwnPush(HEAD, BASE),), between(), (), Claim.FOREIGN),
    ("our delete, and a text of unknown hash", replace(AT_HEAD, local_hash=None, local_rev="v3"),
     (OwnPush(None, BASE),), None, (), Claim.FOREIGN),
    ("we show a newer text than theirs", LISTED, (PUSH,), between(local_hash=NEWER), (), Claim.FOREIGN),
]  # fmt: skip


@pytest.mark.parametrize(("says", "found", "own", "parked", "resolved", "expected"), CLAIMS, ids=[c[0] for c in CLAIMS])
def test_whose_conflict_it_is(
    says: str,
    found: ConflictEvidence,
    own: tuple[OwnPush, ...],
    parked: Conflict | None,
    resolved: tuple[Conflict, ...],
    expected: Claim,
) -> None:
    """One row of the table of claims."""
    assert claim(found, own, parked, resolved, HEAD) is expected, says


@pytest.mark.parametrize(("rev", "head", "expected"), [
    (None, None, Claim.OVER), (None, HEAD, Claim.FOREIGN), ("v3", None, Claim.FOREIGN),
])  # fmt: skip
def test_a_refused_delete_is_over_where_no_file_is(rev: str | None, head: str | None, expected: Claim) -> None:
    """A refused text of unknown hash has a revision, and is no delete."""
    found = ConflictEvidence("k9", None, MINE, base_hash=BASE, base_known=True, local_rev=rev)
    assert claim(found, (OwnPush(None, BASE),), None, (), head) is expected


def test_a_resolution_closes_its_equals_only() -> None:
    """FC3: our conflict and its equal from another machine are closed; other texts, bases and paths are not."""
    conflict = resolving(between(), Resolution.KEEP_LOCAL, MINE)
    listed = [
        RemoteConflict("k1", "a.md", BASE, MINE, HEAD),
        RemoteConflict("equal", "a.md", BASE, MINE, HEAD),
        RemoteConflict("other base", "a.md", NEWER, MINE, HEAD),
        RemoteConflict("other text", "a.md", BASE, NEWER, HEAD),
        RemoteConflict("other path", "b.md", BASE, MINE, HEAD),
        RemoteConflict("page edit", "a.md", BASE, HEAD, PAGE),
    ]
    own = (PUSH, OwnPush(HEAD, BASE))
    assert {found.id for found in to_close(conflict, listed, own, ("equal",))} == {"k1", "equal"}


def test_a_decision_ends_with_the_head_that_it_was_made_on() -> None:
    """Law 4: also where the rules exclude the file, nothing is carried out on a head that no person has seen."""
    verdict = judge(resolving(between(), Resolution.MANUAL_MERGE, MINE), known(None, OUT_OF_SCOPE, NEWER))
    assert (verdict.conflict.state, verdict.conflict.choice) == (ConflictState.OPEN, None)
    assert verdict.conflict.wanted_hash is None
