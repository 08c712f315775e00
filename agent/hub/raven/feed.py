"""The ordered feed of a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.hub.domain.model import Caller, Event, EventType
from agent.hub.raven.context import HubContext, is_known_connector, record_heartbeat, source_of
from agent.hub.raven.wire import event_view, latest_view

DEFAULT_LIMIT = 100
PAGE_BYTES = 4 * 1024 * 1024
"""Largest total of text bytes in a page. A page holds at least one event, whatever its size."""

_WITH_TEXT = (EventType.UPSERT, EventType.RESOLVED)
_REPLACING = (EventType.UPSERT, EventType.DELETE)


def deltas(context: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """Return the events behind `cursor`, up to `limit` events and PAGE_BYTES of text.

    With `latestOnly`, an event whose file changes again within the page has no content. An event whose text is still
    the file's text is marked `latest`. A `connectorId` counts as a heartbeat of that connector, and as its report
    that it has read everything up to `cursor`.

    Raises:
        HubError: 404 for an unknown source, 403 for another user's connector.
    """
    cursor = body.get("cursor") or 0
    connector = body.get("connectorId")
    is_known = connector is not None and is_known_connector(context, caller, connector)
    latest_only = body.get("latestOnly")
    with context.store.read() as session:
        source = source_of(session, caller, body["sourceId"])
        events = session.events(source.number, cursor, body.get("limit") or DEFAULT_LIMIT)
        page, superseded = _latest_page(events, PAGE_BYTES) if latest_only else (_full_page(events, PAGE_BYTES), set())
        hashes = {e.hash for e in page if e.hash is not None and e.cursor not in superseded}
        texts = session.contents(source.workspace_number, hashes)
    if connector is not None and is_known:
        record_heartbeat(context, connector, source, cursor)
    view = latest_view if latest_only else event_view
    return {
        "sourceId": source.id,
        "cursor": cursor,
        "nextCursor": page[-1].cursor if page else cursor,
        "events": [
            view(source, e, texts[e.hash] if e.hash in texts and e.cursor not in superseded else None) for e in page
        ],
    }


def _full_page(events: Sequence[Event], budget: int) -> Sequence[Event]:
    total = 0
    for index, event in enumerate(events):
        total += event.size
        if index and total > budget:
            return events[:index]
    return events


def _latest_page(events: Sequence[Event], budget: int) -> tuple[Sequence[Event], set[int]]:
    """Return the events that fit, and the cursors of those superseded within the page."""
    total = 0
    with_text: dict[int, list[Event]] = {}
    superseded: set[int] = set()
    for index, event in enumerate(events):
        file = event.file if event.file is not None else -1
        replaced = with_text.get(file, ()) if event.type in _REPLACING else ()
        freed = sum([e.size for e in replaced]) if replaced else 0
        if index and total - freed + event.size > budget:
            return events[:index], superseded
        total += event.size - freed
        if replaced:
            superseded.update([e.cursor for e in replaced])
            with_text[file] = []
        if event.type in _WITH_TEXT:
            with_text.setdefault(file, []).append(event)
    return events, superseded
