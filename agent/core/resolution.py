"""The next step of carrying a resolution to the server, derived afresh from what the server shows each time.

Resolving is a loop: ask for the head and the open conflicts, take the one step named here, ask again, until nothing
is left. Every step is safe to repeat, so a crash or a lost answer at any point only means asking again.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from agent.core.model import EMPTY_HASH, RemoteConflict, Resolution


class CloseOnServer(Struct, frozen=True):
    """Close this conflict on the server so that the head becomes the wanted text.

    ``text_hash`` names the content to send along with ``manual_merge``; None where the verb needs none.
    """

    conflict: RemoteConflict
    choice: Resolution
    text_hash: str | None


class Push(Struct, frozen=True):
    """Push the wanted text (None: a delete) on top of the head that was shown."""

    hash: str | None
    base: str | None


class HeadMoved(Struct, frozen=True):
    """The head is no longer the one the person saw: the resolution is refused and the conflict shown anew."""

    head: str | None


class Done(Struct, frozen=True):
    """The server holds what was wanted and no conflict of ours is left."""


NextStep = CloseOnServer | Push | HeadMoved | Done


def next_step(
    wanted: str | None,
    seen_head: str | None,
    head: str | None,
    ours: Sequence[RemoteConflict],
    *,
    keeps_history: bool,
    keeps_head: Resolution = Resolution.KEEP_RAVEN,
) -> NextStep:
    """Decide the next step.

    Args:
        wanted: sha256 the path shall hold; None to delete it.
        seen_head: the head the person decided on.
        head: the head now.
        ours: the open conflicts of this path that are ours to close, the wanted one first.
        keeps_history: whether conflicts and history survive a delete (the hub), or one fresh delete wipes them.
        keeps_head: the verb that leaves the head alone there; the other one for a refused edit made on the server,
            whose two sides are swapped.
    """
    if head not in (wanted, seen_head):
        return HeadMoved(head)
    if not ours:
        return Done() if head == wanted else Push(wanted, head)
    if wanted is None:
        # On a server that wipes, a fresh delete is the one way to a deleted file: keep_local would leave an empty one.
        return Push(None, head) if head is not None or not keeps_history else CloseOnServer(ours[0], keeps_head, None)
    first = ours[0]
    if first.remote_hash == wanted:
        return CloseOnServer(first, Resolution.KEEP_RAVEN, None)
    if first.local_hash == wanted:
        return CloseOnServer(first, Resolution.KEEP_LOCAL, None)
    if wanted == EMPTY_HASH and not keeps_history:
        # manual_merge refuses "" there: close on any other text at hand, and the empty text follows as a push.
        if head != EMPTY_HASH:
            return CloseOnServer(first, Resolution.MANUAL_MERGE, head)
        return CloseOnServer(first, Resolution.KEEP_LOCAL if first.remote_hash is None else Resolution.KEEP_RAVEN, None)
    return CloseOnServer(first, Resolution.MANUAL_MERGE, wanted)
