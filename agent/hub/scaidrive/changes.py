"""The feed of a share."""

from __future__ import annotations

from typing import Final

from agent.hub.scaidrive.context import DriveContext, share_of
from agent.hub.scaidrive.request import MAX_INTEGER, DriveRefusal, DriveRequest
from agent.hub.scaidrive.wire import change_view

DEFAULT_LIMIT: Final = 1000
MAX_LIMIT: Final = 5000


def changes(context: DriveContext, request: DriveRequest) -> object:
    """Return the changes behind a cursor, at most `limit`. Without a cursor: none, and the newest cursor.

    The cursor moves over events that this API does not show, so a page may be empty and more follow.

    Raises:
        DriveRefusal: 400 for a malformed cursor, and for one beyond the newest change.
    """
    limit = request.number("limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
    given = request.query.get("cursor")
    with context.store.read() as session:
        source = share_of(session, request.caller, request.parameter("share_id"))
        cursor = source.last_cursor if given is None else _position(given)
        if cursor > source.last_cursor:
            raise DriveRefusal(400, "The cursor is beyond the newest change", "SYNC_CURSOR_INVALID")
        events = session.drive_events(source.number, cursor, limit)
    reached = events[-1].cursor if events else cursor
    shown = [view for event in events if (view := change_view(source, event)) is not None]
    return {"changes": shown, "cursor": reached, "has_more": reached < source.last_cursor, "share_id": source.id}


def _position(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_INTEGER))):
        raise DriveRefusal(400, "The cursor is malformed", "SYNC_CURSOR_INVALID")
    return int(text)
