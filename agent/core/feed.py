"""Judgement of feed events: own echo, echo of a no-op, suspect, below our own, older, late, new head.

Pure. ``judge_event`` says what an event means for one path; the engine carries it out. Our own changes come back in the
feed. They are recognised by operation id and position, never by time.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence

from msgspec import Struct

from agent.core.events import Span


class EchoState(enum.Enum):
    """State of the operation of ours that an event names."""

    NONE = "none"
    """The event names no operation of ours."""
    OPEN = "open"
    """Stored, sent or acknowledged: this event proves that it was applied, and its place in the order."""
    COUNTED = "counted"
    """Acknowledged with exactly this position: the answer said the same already."""
    OVER = "over"
    """Its outcome is known already, or the event names another path."""


class PendingPush(Struct, frozen=True, gc=False):
    """An open operation of ours on the path of an event.

    Attributes:
        hash: sha256 it pushes; None for a delete.
        base: the base it names.
        acknowledged: the server has said that it was applied; its own event has not come yet.
        suspects: foreign versions that the feed showed before its own event.
    """

    hash: str | None
    base: str | None
    acknowledged: bool = False
    suspects: tuple[str, ...] = ()


class PastPush(Struct, frozen=True, gc=False):
    """An operation of ours whose own event has come.

    Attributes:
        after: newest position known of the path when it was stored.
        echoed: position of its own event.
        base: the base it named.
        hash: sha256 it pushed; None for a delete.
    """

    after: int
    echoed: int
    base: str | None
    hash: str | None


class PathKnowledge(Struct, frozen=True, gc=False):
    """The knowledge about the path before the event.

    Attributes:
        position: position of the newest event applied to the remote side.
        pending: our open operations on the path, oldest first.
        ordered: True if the feed shows events strictly in order, and never one late (the hub).
    """

    position: int
    pending: tuple[PendingPush, ...] = ()
    ordered: bool = False


class EventKind(enum.Enum):
    """Meaning of an event for its path."""

    COUNTED = "counted"
    """Our own event; its answer said the same, so only the operation moves on."""
    OWN_ECHO = "own_echo"
    """Our own event, and the proof that the operation was applied."""
    NO_OP_ECHO = "no_op_echo"
    """Another writer wrote the same text first, so our acknowledged operation changed nothing and has no event."""
    BELOW_OURS = "below_ours"
    """A foreign version that our acknowledged operation has replaced already."""
    OLDER = "older"
    """A foreign version behind the newest event of the path: it became visible late, or is read a second time."""
    NEW_HEAD = "new_head"
    """The path's newest version."""


class EventJudgement(Struct, frozen=True, gc=False):
    """Result of ``judge_event``.

    Attributes:
        kind: see ``EventKind``.
        suspects: the suspects of the oldest pending operation from now on; None if they do not change.
    """

    kind: EventKind
    suspects: tuple[str, ...] | None = None


def judge_event(digest: str | None, position: int, echo: EchoState, known: PathKnowledge) -> EventJudgement:
    """Say what an event means for its path. Total and pure.

    Args:
        digest: sha256 the path holds by this event; None is "no file".
        position: the event's position.
        echo: state of the operation of ours that the event names.
        known: what was known of the path before.
    """
    if echo is EchoState.COUNTED:
        # The row has this version since the answer. Nothing but the operation changes.
        return EventJudgement(EventKind.COUNTED)
    if echo is EchoState.OPEN:
        # Our own operation: it was applied, here in the order. Suspects before this place were overwritten unseen.
        return EventJudgement(EventKind.OWN_ECHO)
    suspects = None
    if known.pending:
        if known.ordered and any(push.acknowledged and push.hash == digest for push in known.pending):
            # Another writer wrote the very bytes of our acknowledged operation first: there will be no event of ours.
            return EventJudgement(EventKind.NO_OP_ECHO)
        if echo is EchoState.NONE:
            suspects = _suspects(digest, known.pending[0], ordered=known.ordered)
        if any(push.acknowledged for push in known.pending):
            # Ours was applied and its event is still to come, so all that comes before it is below it.
            return EventJudgement(EventKind.BELOW_OURS, suspects)
    if position <= known.position:
        # The remote side is newer than this event. On an unordered feed it may have become visible late.
        return EventJudgement(EventKind.OLDER, suspects)
    # Nothing of ours lies above this event, and nothing newer is known.
    return EventJudgement(EventKind.NEW_HEAD, suspects)


def _suspects(digest: str | None, oldest: PendingPush, *, ordered: bool) -> tuple[str, ...] | None:
    """Return the suspects of our oldest pending operation after a foreign event; None if they do not change.

    A suspect is a version that our operation may have replaced before any machine saw it.
    """
    if digest == oldest.base:
        # Our base is the head again at this place: an earlier version was replaced by another writer, not by us.
        return () if oldest.suspects else None
    if digest is None or digest == oldest.hash or digest in oldest.suspects or ordered:
        # No text can be lost: there is none, it is ours, it is noted already, or the server refuses stale pushes.
        return None
    return (*oldest.suspects, digest)


def overwritten_late(
    digest: str, position: int, ordered: bool, agreed: Sequence[str | None], past: Iterable[PastPush]
) -> PastPush | None:
    """Return the push of ours that replaced a late version unseen, or None.

    The version took its position before our push and became visible after it. If our push came over it, the text may
    exist nowhere else.

    Args:
        digest: sha256 of the late version, whose event was judged OLDER.
        position: its position.
        ordered: True if the feed never shows an event late.
        agreed: hashes of the path's base and remote side.
        past: our operations on the path whose own event has come.
    """
    if ordered or digest in agreed:
        # It cannot be late, or both sides hold it.
        return None
    for push in past:
        # Between what we knew when we stored the push and the push's own place: our push came over it.
        if push.after < position < push.echoed and digest not in (push.base, push.hash):
            return push
    return None


def still_unread(acknowledged: Iterable[Span], newest: int, *, at_end: bool) -> list[Span]:
    """Return the spans of our acknowledged positions that the feed is still to show or to pass over. Total and pure.

    Args:
        acknowledged: the spans known so far.
        newest: newest position that was read or passed over.
        at_end: a poll that began after every one of these acknowledgements has read the feed to its end.
    """
    if at_end:
        # A feed that ended before an acknowledged position does not hold it: the server was restored. It will give the
        # number to another event, which must be read.
        return []
    return [span for span in acknowledged if span.last > newest]
