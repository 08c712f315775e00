"""Connectors, sources and the feed."""

from __future__ import annotations

from bisect import bisect_right
from itertools import islice
from typing import Any

from strict_raven.columns import document, integer, uuid_key, varchar
from strict_raven.context import Caller, Context
from strict_raven.races import count_read, readable
from strict_raven.state import JSON, Connector, Source
from strict_raven.wire import HttpError, iso


def register(context: Context, caller: Caller, body: JSON) -> Any:
    """A new connector, every time."""
    name, platform, version = varchar(body["name"], 255), varchar(body["platform"], 64), body["version"]
    kept = None if version is None else varchar(version, 64)
    now = context.clock()
    connector = Connector(context.new_id(), caller.workspace, caller.user, name, platform, kept, now, now)
    context.state.connectors[connector.id] = connector
    return connector.shown()


def heartbeat(context: Context, caller: Caller, body: JSON) -> Any:
    """Note that a connector is alive."""
    connector = _connector(context, caller, body["connectorId"])
    if connector is None:
        raise HttpError(404, "Connector not found")
    connector.heartbeat_at = context.clock()
    return {"connectorId": connector.id, "status": "online", "lastHeartbeatAt": iso(connector.heartbeat_at)}


def create(context: Context, caller: Caller, body: JSON) -> Any:
    """A new source; its patterns are stored and never looked at."""
    connector = _connector(context, caller, body["connectorId"])
    if connector is None:
        raise HttpError(400, "Invalid connectorId for this workspace")
    include, exclude, now = body["includePatterns"] or [], body["excludePatterns"] or [], context.clock()
    document([include, exclude])
    name = varchar(body["name"], 255)
    new_id = context.new_id()
    source = Source(new_id, caller.workspace, caller.user, name, body["mode"], connector.id, include, exclude, now, now)
    context.state.sources[new_id] = source
    return source.shown()


def list_sources(context: Context, caller: Caller, body: JSON) -> Any:
    """All sources of the workspace, newest first, unpaged."""
    newest_first = reversed(context.state.sources.values())
    return [source.shown() for source in newest_first if source.workspace == caller.workspace]


def pause(context: Context, caller: Caller, body: JSON) -> Any:
    """Stop taking pushes; also tells a source that is paused already."""
    return _switch(context, caller, body, "paused")


def resume(context: Context, caller: Caller, body: JSON) -> Any:
    """Take pushes again; also tells a source that takes them already."""
    return _switch(context, caller, body, "active")


def _switch(context: Context, caller: Caller, body: JSON, status: str) -> Any:
    source = context.source(caller, body["sourceId"])
    source.status, source.updated_at = status, context.clock()
    context.append(source, "source.paused" if status == "paused" else "source.resumed", None, {})
    return source.shown()


def deltas(context: Context, caller: Caller, body: JSON) -> Any:
    """One page of the feed. Each reader overwrites the source's `lastRemoteCursor`."""
    source = context.source(caller, body["sourceId"])
    limit = integer(body["limit"] if body["limit"] is not None else 100, "bigint")
    cursor = integer(body["cursor"] or 0, "integer")
    now = context.clock()
    start = bisect_right(source.events, cursor, key=lambda event: event.cursor)
    later = (event for event in source.events[start:] if readable(source, event, now))
    page = list(islice(later, limit))
    reached = page[-1].cursor if page else cursor
    count_read(source, reached)
    for event in page:
        file = source.files.get(event.path) if event.path is not None else None
        if file is not None and file.operation == event.payload.get("operationId"):
            context.dice.seen(file)
    source.last_remote_cursor, source.updated_at = reached, now
    return {
        "sourceId": source.id,
        "cursor": cursor,
        "nextCursor": reached,
        "events": [event.shown() for event in page],
    }


def _connector(context: Context, caller: Caller, connector_id: str) -> Connector | None:
    connector = context.state.connectors.get(uuid_key(connector_id))
    return connector if connector is not None and connector.workspace == caller.workspace else None
