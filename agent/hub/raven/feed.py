"""The ordered feed of a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.hub.domain.model import Caller, Event, EventType
from agent.hub.raven.context import HubContext, source_of
from agent.hub.raven.wire import event_view, latest_view

DEFAULT_LIMIT = 100
PAGE_BYTES = 4 * 1024 * 1024
"""A page ends before its texts exceed this, but holds at least one event."""

_WITH_TEXT = (EventType.UPSERT, EventType.RESOLVED)
_REPLACING = (EventType.UPSERT, EventType.DELETE)


def deltas(services: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """The events behind `cursor`. With `latestOnly`, one whose file changes again within the page has no content, and
    one whose file has not changed since it says so.
    """
    cursor = body.get("cursor") or 0
    latest_only = body.get("latestOnly")
    with services.store.read() as session:
        source = source_of(session, caller, body["sourceId"])
        found = session.events(source.number, cursor, body.get("limit") or DEFAULT_LIMIT)
        page, silent = _page(found, PAGE_BYTES) if latest_only else (_whole(found, PAGE_BYTES), set())
        wanted = {e.hash for e in page if e.hash is not None and e.cursor not in silent}
        texts = session.contents(wanted)
    view = latest_view if latest_only else event_view
    return {
        "sourceId": source.id,
        "cursor": cursor,
        "nextCursor": page[-1].cursor if page else cursor,
        "events": [
            view(source, e, texts[e.hash] if e.hash in texts and e.cursor not in silent else None) for e in page
        ],
    }


def _whole(events: Sequence[Event], budget: int) -> Sequence[Event]:
    total = 0
    for index, event in enumerate(events):
        total += event.size
        if index and total > budget:
            return events[:index]
    return events


def _page(events: Sequence[Event], budget: int) -> tuple[Sequence[Event], set[int]]:
    """The events that fit, and the cursors of those superseded within them."""
    total = 0
    speaking: dict[int, list[Event]] = {}
    silent: set[int] = set()
    for index, event in enumerate(events):
        file = event.file if event.file is not None else -1
        heard = speaking.get(file, ()) if event.type in _REPLACING else ()
        freed = sum([e.size for e in heard]) if heard else 0
        if index and total - freed + event.size > budget:
            return events[:index], silent
        total += event.size - freed
        if heard:
            silent.update([e.cursor for e in heard])
            speaking[file] = []
        if event.type in _WITH_TEXT:
            speaking.setdefault(file, []).append(event)
    return events, silent
