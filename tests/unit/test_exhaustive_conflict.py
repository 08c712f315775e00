"""The life cycle of a conflict over all small states: the properties that hold for every verdict."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from agent.core.claim import Claim, ConflictEvidence, OwnPush, claim
from agent.core.conflict import BETWEEN_TREES, HEAD_IS_LOCAL, Conflict, ConflictOrigin, ConflictState
from agent.core.conflict_verdict import Action, Ended, Knowledge, UserDecision, Verdict, judge
from agent.core.model import OUT_OF_SCOPE, UNKNOWN, ConflictKind, Mode, Presence, Resolution, Side, side_of
from agent.core.reconcile import Step
from agent.core.remote_records import RemoteConflict
from agent.core.resolution import CloseOnServer, HeadMoved, Push, next_step
from agent.core.version import version_of


def side(digest: str | None) -> Side:
    """The side with this hash, or with no file."""
    return side_of(version_of(digest))


LOCALS = (*map(side, (None, "b", "l")), UNKNOWN, OUT_OF_SCOPE)
REMOTES = (*map(side, (None, "b", "l", "r")), UNKNOWN)
SITUATIONS: tuple[dict[str, Any], ...] = (
    {},
    {"busy": True},
    {"occupied": True},
    {"ended": Ended(True, version_of("r")), "refused_here": True},
    {"ended": Ended(True, None), "refused_here": True},
    {"ended": Ended(True, version_of("x"))},
    {"ended": Ended(False)},
    {"refusal": "no"},
    {"refusal": "no", "other_text": False},
    *(
        {"decision": UserDecision(g, c, "m")}
        for g, c in ((1, Resolution.KEEP_LOCAL), (1, Resolution.MANUAL_MERGE), (2, Resolution.KEEP_RAVEN))
    ),
)
"""What may be known beside the three trees."""


def conflicts(origin: ConflictOrigin) -> Iterator[Conflict]:
    """All small records of an origin: texts base, local, remote, beside, and a merge."""
    states: list[tuple[ConflictState, Resolution | None, str | None]] = [
        (ConflictState.OPEN, None, None),
        (ConflictState.CLOSED, None, None),
    ]
    states += [(ConflictState.RESOLVING, Resolution.KEEP_LOCAL, w) for w in (None, "l", "m")]
    mines = (True, False) if origin in HEAD_IS_LOCAL or origin is ConflictOrigin.FOREIGN else (True,)
    for local, remote, head in itertools.product((None, "b", "l"), (None, "r", "x"), ("b", "l", "r")):
        for (state, choice, wanted), ids, mine in itertools.product(states, ((), ("k",)), mines):
            yield Conflict(
                1, 1, "a.md", ConflictKind.EDIT_EDIT, origin, "b", local, remote, head, ids, 0.0, state, mine, choice,
                wanted,
            )  # fmt: skip


def verdicts(origin: ConflictOrigin) -> Iterator[tuple[Conflict, Knowledge, Verdict]]:
    """Every record of an origin in every situation."""
    trees = list(itertools.product(map(side, (None, "b")), LOCALS, REMOTES))
    knowledge = [
        Knowledge(base, local, remote, **situation)
        for (base, local, remote), situation in itertools.product(trees, SITUATIONS)
    ]
    for conflict in conflicts(origin):
        for known in knowledge:
            if known.ended is not None and conflict.server_ids:
                # A conflict has ended once the server holds no conflict about it.
                continue
            yield conflict, known, judge(conflict, known)


def shown_texts(conflict: Conflict, known: Knowledge) -> set[str | None]:
    """Texts the person has before them: both sides, and what the folder holds or was made on."""
    return {conflict.local_hash, conflict.remote_hash, known.local.hash, known.base.hash}


def check(conflict: Conflict, known: Knowledge, verdict: Verdict) -> None:
    """The properties of one verdict."""
    after, action = verdict.conflict, verdict.action
    case = (conflict, known, verdict)
    live = conflict.state is not ConflictState.CLOSED
    assert (after.id, after.path, after.base_hash) == (conflict.id, conflict.path, conflict.base_hash), case
    assert after.generation in (conflict.generation, conflict.generation + 1), case
    if not live or conflict.origin is ConflictOrigin.FOREIGN:
        assert action in (Action.KEEP, Action.CLOSE) and not verdict.to_trash, case
        return
    # Our own conflict stays ours while the server holds a conflict about it.
    if after.server_ids:
        assert action not in (Action.CLOSE, Action.CLOSE_AND_FOLLOW), case
        assert after.server_ids == conflict.server_ids and after.origin is conflict.origin, case
    # No shown record has a head that the person has not seen.
    if action is Action.SHOW and known.refusal is None and known.local.presence is not Presence.OUT_OF_SCOPE:
        assert after.parks and after.head_hash == known.remote.hash, case
        assert after.head_hash in shown_texts(after, known), case
    # A new decision is a person's, of this generation, on a shown record; or both texts are settled.
    if action is Action.CARRY_OUT and known.decision is not None:
        assert conflict.parks and known.decision.generation == conflict.generation, case
    elif action is Action.CARRY_OUT:
        settled = known.local.hash == known.remote.hash
        assert settled or known.step is Step.PUSH, case
        assert after.wanted_hash in (known.local.hash, known.remote.hash), case
    # Both texts settled: it does not stay open.
    beside = [conflict.remote_hash] if conflict.origin in HEAD_IS_LOCAL else []
    texts = {known.local.hash, known.remote.hash, *beside}
    unclear = known.busy or known.occupied or known.ended or known.decision or known.refusal
    readable = {known.local.presence, known.remote.presence} <= {Presence.FILE, Presence.ABSENT}
    judged = conflict.state is ConflictState.OPEN and conflict.origin is not ConflictOrigin.STALE_OWN
    if judged and len(texts) == 1 and readable and not unclear:
        assert action in (Action.CLOSE, Action.CARRY_OUT), case
    # A text that only the conflict held does not vanish.
    if action is Action.CLOSE and conflict.origin in HEAD_IS_LOCAL and conflict.remote_hash is not None:
        elsewhere = {known.remote.hash, *([known.ended.hash] if known.ended else [])}
        assert conflict.remote_hash in {*elsewhere, *verdict.to_trash} or not known.other_text, case
    # The folder follows a decision made elsewhere only with the very text that was shown there.
    if action is Action.CLOSE_AND_FOLLOW:
        assert conflict.origin in BETWEEN_TREES, case
        assert known.local.hash == conflict.local_hash and known.refused_here, case


@pytest.mark.parametrize("origin", list(ConflictOrigin))
def test_every_verdict_keeps_the_properties(origin: ConflictOrigin) -> None:
    """Nothing unseen is replaced, no text vanishes, ours stays ours, and nothing settled stays open."""
    count = 0
    for conflict, known, verdict in verdicts(origin):
        check(conflict, known, verdict)
        count += 1
    assert count > 50_000


@pytest.mark.parametrize("origin", list(ConflictOrigin))
def test_judging_again_changes_nothing(origin: ConflictOrigin) -> None:
    """A verdict carried out leads to a record that stays as it is until something moves."""
    for conflict, known, verdict in itertools.islice(verdicts(origin), 0, None, 7):
        if verdict.action not in (Action.KEEP, Action.SHOW, Action.WAIT) or known.decision or known.refusal:
            continue
        again = judge(verdict.conflict, replace(known, ended=None))
        moved = again.action not in (Action.KEEP, Action.WAIT, Action.CLOSE, Action.CARRY_OUT)
        assert not moved or verdict.action is Action.KEEP, (conflict, known, verdict, again)


def test_no_step_replaces_an_unseen_head() -> None:
    """Carrying a decision out on the server stops when the head is neither the one that was shown nor the wanted."""
    texts = (None, "l", "r", "x")
    for wanted, seen, head in itertools.product((*texts, "m"), texts, texts):
        for ours in ((), (RemoteConflict("k", "a.md", "b", "l", "r"),)):
            for history in (True, False):
                step = next_step(wanted, seen, head, ours, keeps_history=history)
                if head not in (wanted, seen):
                    assert step == HeadMoved(head)
                if isinstance(step, Push | CloseOnServer):
                    assert head in (wanted, seen)


def test_a_claim_needs_base_and_text_of_ours() -> None:
    """FC3: a conflict is taken for ours only with a push of that very text on that very base."""
    hashes = (None, "b", "l", "r")
    for local, remote, base in itertools.product(hashes, hashes, hashes):
        found = ConflictEvidence("k", local, remote, base_hash=base, base_known=True)
        for push in itertools.starmap(OwnPush, itertools.product(hashes, hashes, (True, False), (True, False))):
            for parked in (None, *itertools.islice(conflicts(ConflictOrigin.TREES), 0, None, 7)):
                for resolved in ((), tuple(itertools.islice(conflicts(ConflictOrigin.TREES), 1, 40, 3))):
                    answer = claim(found, [push], parked, resolved, "r")
                    ours = (push.hash, push.base) == (local, base)
                    if answer in (Claim.OURS, Claim.RESOLVED, Claim.STALE_OWN, Claim.OVER):
                        assert ours
                    if answer is Claim.OVER:
                        assert parked is None and local == "r"
                    if answer is Claim.OURS:
                        assert parked is not None and (parked.base_hash, parked.local_hash) == (base, local)
                    assert answer is not Claim.UNSURE
                    unsaid = replace(found, base_hash=None, base_known=False)
                    # None of these closes a conflict or joins it to one.
                    assert claim(unsaid, [push], parked, resolved, "r") in (
                        Claim.UNSURE, Claim.IN_DOUBT, Claim.FOREIGN,
                    )  # fmt: skip


def test_one_way_folders_never_follow() -> None:
    """A folder that only sends is not changed by a resolution made elsewhere."""
    for conflict, known, _ in itertools.islice(verdicts(ConflictOrigin.TREES), 0, None, 11):
        for mode in (Mode.LOCAL_TO_CLOUD, Mode.IMPORT_ONLY):
            assert judge(conflict, replace(known, mode=mode)).action is not Action.CLOSE_AND_FOLLOW


@pytest.mark.parametrize("mode", [Mode.LOCAL_TO_CLOUD, Mode.IMPORT_ONLY])
def test_one_way_folders_show_the_head_they_never_receive(mode: Mode) -> None:
    """A text beside the head waits only for a disagreement that is shown first, and a head is shown before it goes."""
    shown = 0
    for origin in sorted(HEAD_IS_LOCAL):
        for conflict, both_ways, _ in itertools.islice(verdicts(origin), 0, None, 5):
            known = replace(both_ways, mode=mode)
            verdict = judge(conflict, known)
            if verdict.action is Action.SHOW and not known.refusal and known.local.presence <= Presence.FILE:
                after = verdict.conflict
                assert after.head_hash in shown_texts(after, known), (conflict, known, verdict)
                shown += 1
            readable = {known.local.presence, known.remote.presence} <= {Presence.FILE, Presence.ABSENT}
            waits = conflict.state is ConflictState.OPEN and verdict.conflict.is_waiting
            if waits and readable and not (known.busy or known.ended or known.decision):
                assert known.occupied or known.step is Step.PARK or known.refusal, (conflict, known, verdict)
    assert shown > 100
