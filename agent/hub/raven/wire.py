"""Wire format of the hub's records: envelope, errors, times, field names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from agent.hub.answers import JSON_TYPE, HubError, Response, event_id, printable, timestamp
from agent.hub.domain.model import DEFAULT_CONTENT_TYPE, Connector, Event, EventType, Head, OpenConflict, Source

OFFLINE_AFTER_MS = 120_000
CAPABILITIES = (
    "wait_ms",
    "item_results",
    "ordered_feed",
    "expected_hash",
    "latest_only",
    "connector_id",
    "state_digest",
    "poll_heartbeat",
    "machines",
    "rename_connector",
)


@dataclass(frozen=True, slots=True)
class Stream:
    """Data of an answer that is produced piece by piece, each a part of one JSON document.

    Attributes:
        pieces: can be iterated once.
        head, tail: JSON before and behind the pieces; by default those of an array.
    """

    pieces: Iterable[bytes]
    head: bytes = b"["
    tail: bytes = b"]"


def success(data: object) -> Response:
    """Return a 200 response with the envelope around `data`."""
    if isinstance(data, Stream):
        return Response(200, _streamed(data))
    return Response(200, orjson.dumps({"data": data, "success": True, "status": 200}))


def _streamed(stream: Stream) -> Iterable[bytes]:
    yield b'{"data":' + stream.head
    yield from stream.pieces
    yield stream.tail + b',"success":true,"status":200}'


def failure(error: HubError, path: str, now: int) -> Response:
    """Return the error response, which has no envelope. A body that is too large also ends the connection."""
    body = {
        "statusCode": error.status,
        "message": error.message,
        "timestamp": timestamp(now),
        "path": printable(path),
    }
    headers = {"content-type": JSON_TYPE}
    if error.close:
        headers["connection"] = "close"
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    return Response(error.status, orjson.dumps(body), headers)


def file_id(source: Source, number: int) -> str:
    """Return the wire id of a path in a source: a stable UUID that is computed, not stored.

    Unique within a source below 2^44 paths: it replaces only the last 48 bits of the source's id.
    """
    tail = int(source.id[24:], 16) ^ (1 << 44) ^ number
    return f"{source.id[:24]}{tail:012x}"


def connector_status(connector: Connector, now: int) -> str:
    """Return `online`, or `offline` after two minutes without a heartbeat."""
    return "offline" if now - connector.heartbeat_at > OFFLINE_AFTER_MS else "online"


def connector_view(connector: Connector, now: int) -> dict[str, object]:
    """Return a connector in the form of the `register` answer."""
    view: dict[str, object] = {
        "id": connector.id,
        "workspaceId": connector.workspace,
        "createdById": connector.created_by,
        "name": connector.name,
        "platform": connector.platform,
    }
    if connector.version is not None:
        view["version"] = connector.version
    return view | {
        "status": connector_status(connector, now),
        "lastHeartbeatAt": timestamp(connector.heartbeat_at),
        "createdAt": timestamp(connector.created_at),
        "updatedAt": timestamp(connector.updated_at),
        "capabilities": CAPABILITIES,
    }


def source_view(source: Source) -> dict[str, object]:
    """Return a source in wire form. `lastRemoteCursor` is its newest cursor: reading the feed writes nothing."""
    return {
        "id": source.id,
        "workspaceId": source.workspace,
        "createdById": source.created_by,
        "name": source.name,
        "mode": source.mode,
        "connectorId": source.connector,
        "status": source.status,
        "lastRemoteCursor": source.last_cursor,
        "includePatterns": source.includes,
        "excludePatterns": source.excludes,
        "createdAt": timestamp(source.created_at),
        "updatedAt": timestamp(source.updated_at),
    }


def file_view(source: Source, head: Head) -> dict[str, object]:
    """Return a file in wire form, without its text."""
    return {
        "id": file_id(source, head.number),
        "sourceId": source.id,
        "relativePath": head.path,
        "contentType": head.content_type,
        "lastSyncedHash": head.hash,
        "lastSyncedAt": timestamp(head.synced_at),
        "state": head.state,
    }


def conflict_view(source: Source, conflict: OpenConflict, local: str | None, remote: str | None) -> dict[str, object]:
    """Return an open conflict in wire form, with the text of both sides."""
    return {
        "id": conflict.id,
        "sourceId": source.id,
        "fileId": file_id(source, conflict.file),
        "relativePath": conflict.path,
        "baseHash": conflict.base,
        "localHash": conflict.local_hash,
        "remoteHash": conflict.remote_hash,
        "localContent": local,
        "remoteContent": remote,
        "status": "open",
        "createdAt": timestamp(conflict.created_at),
    }


def event_view(source: Source, event: Event, content: str | None) -> dict[str, object]:
    """Return an event in wire form. Pass `content` None for a superseded event or one without text."""
    kind = event.type
    payload: dict[str, object] = {"contentType": DEFAULT_CONTENT_TYPE} if kind is EventType.UPSERT else {}
    if event.extra:
        payload.update(event.extra)
    if kind is EventType.UPSERT or kind is EventType.RESOLVED:
        payload["hash"] = event.hash
    if content is not None:
        payload["content"] = content
    if event.operation is not None:
        payload["operationId"] = event.operation
    view: dict[str, object] = {
        "id": event_id(source, event),
        "sourceId": source.id,
        "cursor": event.cursor,
        "type": kind,
        "payload": payload,
        "createdAt": timestamp(event.created_at),
    }
    if event.path is not None:
        view["relativePath"] = event.path
    return view


def latest_view(source: Source, event: Event, content: str | None) -> dict[str, object]:
    """Return an event in wire form, with `latest` if its file still holds this text."""
    view = event_view(source, event, content)
    if event.type is EventType.UPSERT and event.is_head:
        view["latest"] = True
    return view
