"""The next step of carrying a resolution out on the server, derived again each time from what the server shows.

Resolving is a loop: fetch the head and the open conflicts, take the one step this module names, fetch again, until
nothing is left. Each step may be repeated safely, so a crash or a lost answer only means to fetch again.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from agent.core.model import EMPTY_HASH, Resolution
from agent.core.remote_records import RemoteConflict


class CloseOnServer(Struct, frozen=True):
    """Close a conflict on the server so that the head becomes the wanted text.

    Attributes:
        conflict: the conflict.
        choice: the verb for the server.
        text_hash: sha256 of the text to send with ``manual_merge``; None if the verb needs no text.
    """

    conflict: RemoteConflict
    choice: Resolution
    text_hash: str | None


class Push(Struct, frozen=True):
    """Push the wanted text on the head that was shown. ``hash`` None is a delete, ``base`` None is "no file"."""

    hash: str | None
    base: str | None


class HeadMoved(Struct, frozen=True):
    """The head is not the one the person saw: the resolution is refused and the conflict is shown again."""

    head: str | None


class Done(Struct, frozen=True):
    """The server holds the wanted text and no conflict of ours is open."""


NextStep = CloseOnServer | Push | HeadMoved | Done


def next_step(
    wanted: str | None,
    seen_head: str | None,
    head: str | None,
    ours: Sequence[RemoteConflict],
    *,
    keeps_history: bool,
    keeps_head: Resolution = Resolution.KEEP_RAVEN,
    blind: bool = False,
) -> NextStep:
    """Return the next step.

    Args:
        wanted: sha256 the path shall hold; None to delete it.
        seen_head: the head the person decided on.
        head: the head now.
        ours: the open conflicts that this resolution closes, the one with the wanted text first.
        keeps_history: True if conflicts and history survive a delete (the hub); False if a fresh delete wipes them.
        keeps_head: the verb that leaves the head alone. It is KEEP_LOCAL for a refused server edit, whose two sides
            the server has the other way round.
        blind: closing leaves the head as it is, whatever the verb (``Capabilities.blind_resolve``).
    """
    if head not in (wanted, seen_head):
        # Another version became the head since the person decided. Replacing it would replace a text they never saw.
        return HeadMoved(head)
    if not ours:
        # No conflict is left to close, so an ordinary push on the head that was shown does the rest.
        return Done() if head == wanted else Push(wanted, head)
    if blind:
        # The head still is the one that was shown, so the wanted text follows as a push on it.
        return CloseOnServer(ours[0], keeps_head, None)
    if wanted is None:
        # The hub deletes by a verb. On a server that wipes, keep_local would leave an empty file: only a fresh delete
        # works there, and it closes the conflicts as well.
        return Push(None, head) if head is not None or not keeps_history else CloseOnServer(ours[0], keeps_head, None)
    first = ours[0]
    # A snapshot that is exactly the wanted text needs no text sent along.
    if first.remote_hash == wanted:
        return CloseOnServer(first, Resolution.KEEP_RAVEN, None)
    if first.local_hash == wanted:
        return CloseOnServer(first, Resolution.KEEP_LOCAL, None)
    if wanted == EMPTY_HASH and not keeps_history:
        # manual_merge refuses "" there: close on another text, and the empty text follows as a push.
        if head != EMPTY_HASH:
            return CloseOnServer(first, Resolution.MANUAL_MERGE, head)
        return CloseOnServer(first, Resolution.KEEP_LOCAL if first.remote_hash is None else Resolution.KEEP_RAVEN, None)
    # The snapshot is old. With manual_merge the head becomes the wanted text whatever the snapshot was.
    return CloseOnServer(first, Resolution.MANUAL_MERGE, wanted)
