"""The judgement of feed events, over all small states and as a table of described cases."""

from __future__ import annotations

import itertools

import pytest

from agent.core.events import Span
from agent.core.feed import (
    EchoState,
    EventJudgement,
    EventKind,
    PastPush,
    PathKnowledge,
    PendingPush,
    judge_event,
    overwritten_late,
    still_unread,
)

OURS = PendingPush("ours", "base")
ACKED = PendingPush("ours", "base", acknowledged=True)
SUSPECTED = PendingPush("ours", "base", suspects=("s",))

CASES = [
    ("another machine's version", "x", 9, EchoState.NONE, (), False, EventKind.NEW_HEAD, None),
    ("another machine's delete", None, 9, EchoState.NONE, (), False, EventKind.NEW_HEAD, None),
    ("an event read a second time", "x", 5, EchoState.NONE, (), False, EventKind.OLDER, None),
    ("our own event", "ours", 9, EchoState.OPEN, (OURS,), False, EventKind.OWN_ECHO, None),
    ("our own event, position known", "ours", 9, EchoState.COUNTED, (ACKED,), True, EventKind.COUNTED, None),
    ("our old event, read again", "ours", 5, EchoState.OVER, (), False, EventKind.OLDER, None),
    ("the same text by another machine first", "ours", 9, EchoState.NONE, (ACKED,), True, EventKind.NO_OP_ECHO, None),
    ("the same text, unordered feed", "ours", 9, EchoState.NONE, (ACKED,), False, EventKind.BELOW_OURS, None),
    ("a version below our acknowledged one", "x", 9, EchoState.NONE, (ACKED,), False, EventKind.BELOW_OURS, ("x",)),
    ("a version while ours is on its way", "x", 9, EchoState.NONE, (OURS,), False, EventKind.NEW_HEAD, ("x",)),
    ("a second one", "x", 9, EchoState.NONE, (SUSPECTED,), False, EventKind.NEW_HEAD, ("s", "x")),
    ("our base is the head again", "base", 9, EchoState.NONE, (SUSPECTED,), False, EventKind.NEW_HEAD, ()),
    ("an ordered feed has no suspects", "x", 9, EchoState.NONE, (OURS,), True, EventKind.NEW_HEAD, None),
    ("a delete loses no text", None, 9, EchoState.NONE, (ACKED,), False, EventKind.BELOW_OURS, None),
]


@pytest.mark.parametrize(
    ("says", "digest", "position", "echo", "pending", "ordered", "kind", "suspects"), CASES, ids=[c[0] for c in CASES]
)
def test_what_an_event_means(
    says: str,
    digest: str | None,
    position: int,
    echo: EchoState,
    pending: tuple[PendingPush, ...],
    ordered: bool,
    kind: EventKind,
    suspects: tuple[str, ...] | None,
) -> None:
    """One row of the table; the path's newest event is at 5."""
    found = judge_event(digest, position, echo, PathKnowledge(5, pending, ordered))
    assert found == EventJudgement(kind, suspects), says


def _pushes() -> list[PendingPush]:
    return [
        PendingPush(digest, base, acknowledged, suspects)
        for digest, base, acknowledged, suspects in itertools.product(
            (None, "a", "b"), (None, "a", "b"), (True, False), ((), ("a",), ("a", "b"))
        )
    ]


def test_every_event_is_judged_soundly() -> None:
    """Only a foreign, newer event with nothing of ours above it becomes the head; no suspect gets lost."""
    pushes = _pushes()
    pending_sets = [(), *((p,) for p in pushes), *itertools.islice(itertools.product(pushes, pushes), 0, None, 5)]
    for digest, position, echo, pending, ordered in itertools.product(
        (None, "a", "b", "c"), (4, 5, 6), EchoState, pending_sets, (True, False)
    ):
        found = judge_event(digest, position, echo, PathKnowledge(5, pending, ordered))
        acknowledged = any(push.acknowledged for push in pending)
        own = echo in (EchoState.OPEN, EchoState.COUNTED)
        assert own == (found.kind in (EventKind.OWN_ECHO, EventKind.COUNTED))
        if found.kind is EventKind.NEW_HEAD:
            assert position > 5 and not acknowledged
        if found.kind is EventKind.OLDER:
            assert position <= 5
        if found.kind is EventKind.NO_OP_ECHO:
            assert ordered and any(push.acknowledged and push.hash == digest for push in pending)
        if found.kind is EventKind.BELOW_OURS:
            assert acknowledged
        if found.suspects is not None:
            before = pending[0].suspects
            assert echo is EchoState.NONE and found.suspects != before
            assert found.suspects == (*before, digest) or (found.suspects == () and digest == pending[0].base)
        # A foreign text under a push of ours that may have replaced it is never dropped without a note.
        foreign = echo is EchoState.NONE and digest not in (
            None,
            *(p.hash for p in pending),
            *(p.base for p in pending),
        )
        if pending and foreign and not ordered:
            assert digest in (found.suspects or pending[0].suspects)


def test_a_late_version_is_ours_to_keep() -> None:
    """A version between a push's knowledge and its own event was replaced by that push, and by no other."""
    past = (PastPush(3, 8, "base", "ours"), PastPush(8, 12, "ours", "next"))
    assert overwritten_late("x", 5, False, ("next",), past) is past[0]
    assert overwritten_late("x", 9, False, ("next",), past) is past[1]
    for digest, position, ordered, agreed in itertools.product(
        ("x", "base", "ours", "next"), range(14), (True, False), ((), ("x",), ("next",))
    ):
        found = overwritten_late(digest, position, ordered, agreed, past)
        if ordered or digest in agreed:
            assert found is None
        elif found is not None:
            assert found.after < position < found.echoed and digest not in (found.base, found.hash)


def test_no_acknowledged_position_outlives_the_feeds_end() -> None:
    """A position stays exactly while the feed may still show it; a server that lost it gives it to another event."""
    spans = [Span(first, last) for first in range(1, 5) for last in range(first, 5)]
    for acknowledged, newest in itertools.product(
        [(), *((span,) for span in spans), *((a, b) for a in spans for b in spans if a.last + 1 < b.first)], range(6)
    ):
        assert still_unread(acknowledged, newest, at_end=True) == []
        left = still_unread(acknowledged, newest, at_end=False)
        assert left == [span for span in acknowledged if any(at > newest for at in range(span.first, span.last + 1))]
