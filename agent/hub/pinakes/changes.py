"""The feed of the account, and the positions that devices acknowledge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from agent.hub.answers import HubError, event_id, timestamp
from agent.hub.domain.drive_model import DeviceCursor
from agent.hub.domain.model import Event, EventType, Source
from agent.hub.domain.ports import Growth
from agent.hub.pinakes.context import PinakesContext, PinakesRequest, account_of, account_source, device_of
from agent.hub.pinakes.wire import (
    CREATED,
    CURSOR,
    DELETED,
    LIMIT,
    MODIFIED,
    MOST_CHANGES,
    MOVED,
    ChangeBody,
    ChangesBody,
    ChangeType,
    CursorBody,
)

DEFAULT_LIMIT: Final = 100
_LONGEST_NUMBER: Final = 15


def changes(context: PinakesContext, request: PinakesRequest) -> ChangesBody:
    """Return the changes behind a cursor, 0 for the first ones.

    The cursor moves over events that this API does not show, so a page may be empty and more follow.

    Raises:
        HubError: 400 for a malformed cursor or limit, and for a cursor beyond the newest change.
    """
    cursor, limit = _number(request, CURSOR, 0), _number(request, LIMIT, DEFAULT_LIMIT)
    if not 1 <= limit <= MOST_CHANGES:
        raise HubError(400, f"The limit must be from 1 to {MOST_CHANGES}")
    account_of(context, request.caller)
    with context.store.read() as session:
        source = account_source(context, session, request.caller)
        if cursor > (0 if source is None else source.last_cursor):
            raise HubError(400, "The cursor is beyond the newest change")
        if source is None:
            return ChangesBody([], 0, False)
        events = session.drive_events(source.number, cursor, limit)
        reached = events[-1].cursor if events else cursor
        shown = [event for event in events if _is_shown(event)]
        wanted = [event.hash for event in shown if event.hash is not None]
        hashes = context.hashes.stored(session, source.workspace_number, wanted)
    return ChangesBody([_document(source, event, hashes) for event in shown], reached, reached < source.last_cursor)


def _is_shown(event: Event) -> bool:
    detail = event.detail or {}
    if event.identity is None or detail.get("half"):
        return False
    # An event that added no version changed no file: a resolution of Raven's repeats the head.
    is_content = event.type is EventType.UPSERT and (event.version > 0 or "from" in detail)
    return is_content or event.type is EventType.DELETE


def _document(source: Source, event: Event, hashes: Mapping[str, str]) -> ChangeBody:
    detail = event.detail or {}
    old = detail.get("from") if event.type is EventType.UPSERT else None
    device = detail.get("device")
    return ChangeBody(
        id=event_id(source, event),
        sequence=event.cursor,
        change_type=_change_type(event, old),
        path=str(event.path),
        old_path=None if old is None else str(old),
        content_hash=None if event.hash is None else hashes[event.hash],
        file_size=None if event.hash is None else event.size,
        changed_by_device=None if device is None else str(device),
        timestamp=timestamp(event.created_at),
    )


def _change_type(event: Event, old: object) -> ChangeType:
    if event.type is EventType.DELETE:
        return DELETED
    if old is not None:
        return MOVED
    return CREATED if event.version == 1 else MODIFIED


def acknowledge(context: PinakesContext, request: PinakesRequest) -> CursorBody:
    """Record the position of a device. It never moves back, and no answer depends on it.

    Raises:
        HubError: 400 for a position beyond the newest change, 401 without a device.
    """
    wanted, now = request.decoded(CursorBody).cursor, context.clock()
    account_of(context, request.caller)
    with context.store.write(Growth.SMALL) as session:
        device, source = device_of(session, request), account_source(context, session, request.caller)
        if wanted > (0 if source is None else source.last_cursor):
            raise HubError(400, "The cursor is beyond the newest change")
        session.save_device(replace(device, last_seen_at=now))
        if source is None:
            return CursorBody(0)
        known = session.device_cursor(device.number, source.number)
        position = max(wanted, 0 if known is None else known.position)
        session.save_device_cursor(device.number, source.number, DeviceCursor(position, now))
    return CursorBody(position)


def _number(request: PinakesRequest, name: str, default: int) -> int:
    value = request.query.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) <= _LONGEST_NUMBER):
        raise HubError(400, f"The {name} must be a whole number")
    return int(value)
