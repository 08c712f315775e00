"""The hub's OpenAPI document: requests from the validation table, answers from the table here."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import agent
from agent.core.model import Resolution
from agent.hub.domain.model import (
    EventType,
    FileState,
    HubConflictKind,
    ItemStatus,
    SourceStatus,
    VersionOrigin,
)
from agent.hub.raven.validation import FIELDS, ITEM_FIELDS, MAX_ITEMS, MODES, WRITERS, Field, FieldType, Requirement

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
TIME: Schema = {"type": "string", "format": "date-time"}
UUID: Schema = {"type": "string", "format": "uuid"}
COUNT: Schema = {"type": "integer", "minimum": 0}
HASH: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def _maybe(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _words(words: Any) -> Schema:
    return {"type": "string", "enum": [str(word) for word in words]}


def _list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _record(required: Schema, optional: Schema | None = None) -> Schema:
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
    }


_SOURCE = _record(
    {
        "id": UUID,
        "workspaceId": TEXT,
        "createdById": TEXT,
        "name": TEXT,
        "mode": _words(MODES),
        "connectorId": UUID,
        "status": _words(SourceStatus),
        "lastRemoteCursor": COUNT,
        "includePatterns": _list(TEXT),
        "excludePatterns": _list(TEXT),
        "createdAt": TIME,
        "updatedAt": TIME,
    }
)
_FILE_FIELDS: Schema = {
    "id": UUID,
    "sourceId": UUID,
    "relativePath": TEXT,
    "contentType": TEXT,
    "lastSyncedHash": HASH,
    "lastSyncedAt": TIME,
    "state": _words(FileState),
}
_VERSIONS = _list(_record({"hash": HASH, "origin": _words(VersionOrigin), "content": TEXT, "recordedAt": TIME}))
_ITEM_RESULT = _record(
    {"operationId": TEXT, "status": _words(ItemStatus)},
    {
        "hash": HASH,
        "conflictId": UUID,
        "reason": TEXT,
        "first": _words((ItemStatus.APPLIED, ItemStatus.CONFLICT, ItemStatus.REJECTED)),
    },
)
_PAYLOAD = _record(
    {},
    {
        "hash": _maybe(HASH),
        "content": TEXT,
        "contentType": TEXT,
        "operationId": TEXT,
        "actor": TEXT,
        "conflictId": UUID,
        "localHash": HASH,
        "remoteHash": _maybe(HASH),
        "reason": _words(kind for kind in HubConflictKind if kind is not HubConflictKind.STALE_BASE),
        "resolution": _words(Resolution),
    },
)
_EVENT = _record(
    {"id": UUID, "sourceId": UUID, "cursor": COUNT, "type": _words(EventType), "payload": _PAYLOAD, "createdAt": TIME},
    {"relativePath": TEXT, "latest": {"const": True}},
)
_CONFLICT_SIDES: Schema = {"baseHash": _maybe(TEXT), "localHash": HASH, "remoteHash": _maybe(HASH)}
_CONFLICT = _record(
    {"id": UUID, "sourceId": UUID, "fileId": UUID, "relativePath": TEXT}
    | _CONFLICT_SIDES
    | {"localContent": _maybe(TEXT), "remoteContent": _maybe(TEXT), "status": _words(["open"]), "createdAt": TIME}
)
_PREVIEW = _record(
    {"conflictId": UUID, "relativePath": TEXT}
    | _CONFLICT_SIDES
    | {
        "summary": _record({"localLines": COUNT, "remoteLines": COUNT, "differentLines": COUNT}),
        "changes": _list(_record({"line": COUNT, "local": _maybe(TEXT), "remote": _maybe(TEXT)})),
    }
)
_UPDATED = {
    "anyOf": [
        _record({"status": _words(["ok"]), "relativePath": TEXT, "hash": HASH}),
        _record({"status": _words(["conflict"]), "conflictId": UUID}),
    ]
}
_CONNECTOR = _record(
    {
        "id": UUID,
        "workspaceId": TEXT,
        "createdById": TEXT,
        "name": TEXT,
        "platform": TEXT,
        "status": _words(["online", "offline"]),
        "lastHeartbeatAt": TIME,
        "createdAt": TIME,
        "updatedAt": TIME,
        "capabilities": _list(TEXT),
    },
    {"version": TEXT},
)

_MACHINE = _record(
    {
        "id": TEXT,
        "name": TEXT,
        "platform": TEXT,
        "version": _maybe(TEXT),
        "lastSeenAt": TIME,
        "cursor": COUNT,
        "reachedAt": _maybe(TIME),
        "behind": COUNT,
    }
)

ANSWERS: dict[str, Schema] = {
    "connectors/register": _CONNECTOR,
    "connectors/heartbeat": _record(
        {"connectorId": UUID, "status": _words(["online"]), "lastHeartbeatAt": TIME, "capabilities": _list(TEXT)}
    ),
    "connectors/rename": _CONNECTOR,
    "sources": _SOURCE,
    "sources/list": _list(_SOURCE),
    "sources/pause": _SOURCE,
    "sources/resume": _SOURCE,
    "sources/rename": _SOURCE,
    "sources/archive": _SOURCE,
    "sources/delete": _SOURCE,
    "sources/machines": _record({"sourceId": UUID, "lastCursor": COUNT, "machines": _list(_MACHINE)}),
    "sources/leave": _record({"sourceId": UUID, "connectorId": UUID}),
    "sources/files": _list(_record(_FILE_FIELDS)),
    "sources/digest": _record({"sourceId": UUID, "digest": TEXT}),
    "sources/file": _record(_FILE_FIELDS | {"content": TEXT, "versions": _VERSIONS}),
    "sources/file/update": _UPDATED,
    "sources/push-batch": _record(
        {"sourceId": UUID, "applied": COUNT, "conflicts": COUNT, "eventCursor": COUNT, "items": _list(_ITEM_RESULT)},
        {"firstCursor": COUNT},
    ),
    "sources/deltas": _record({"sourceId": UUID, "cursor": COUNT, "nextCursor": COUNT, "events": _list(_EVENT)}),
    "sources/conflicts": _list(_CONFLICT),
    "sources/conflicts/preview": _PREVIEW,
    "sources/conflicts/resolve": _record(
        {"conflictId": UUID, "status": _words(["resolved"]), "resolution": _words(Resolution), "resolvedAt": TIME}
    ),
    "sources/history": _record({"sourceId": UUID, "relativePath": TEXT, "versions": _VERSIONS}),
}
"""Schema of `data` by endpoint."""

NOT_FOUND = frozenset(name for name, fields in FIELDS.items() if any(f.name == "sourceId" for f in fields)) | {
    "connectors/heartbeat",
    "connectors/rename",
}
"""Endpoints that name a thing which may not exist."""


def _field(field: Field) -> Schema:
    schema = _kind(field)
    return schema if field.need is Requirement.REQUIRED else _maybe(schema)


def _kind(field: Field) -> Schema:
    match field.kind:
        case FieldType.UUID:
            return UUID
        case FieldType.STRING:
            return TEXT if field.longest is None else {**TEXT, "maxLength": field.longest}
        case FieldType.BOOLEAN:
            return {"type": "boolean"}
        case FieldType.STRINGS:
            return _list(TEXT)
        case FieldType.CHOICE:
            return _words(field.choices)
        case FieldType.ITEMS:
            return {**_list(_fields(ITEM_FIELDS)), "maxItems": MAX_ITEMS}
        case FieldType.INTEGER:
            bound: Schema = {} if field.capped else {"maximum": field.most}
            return {"type": "integer", "minimum": field.least, **bound}


def _fields(fields: tuple[Field, ...]) -> Schema:
    return {
        "type": "object",
        "properties": {field.name: _field(field) for field in fields},
        "required": [field.name for field in fields if field.need is Requirement.REQUIRED],
    }


def _failure(description: str) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": {"$ref": _ERROR_REF}}}}


_ERROR_REF = "#/components/schemas/Error"
_ERROR = _record(
    {"statusCode": COUNT, "message": {"anyOf": [TEXT, _list(TEXT)]}, "timestamp": TIME, "path": TEXT},
)


def _operation(name: str) -> Schema:
    data = ANSWERS[name]
    envelope = _record({"data": data, "success": {"const": True}, "status": {"const": 200}})
    answers: Schema = {
        "200": {"description": "Done", "content": {"application/json": {"schema": envelope}}},
        "400": _failure("The request is malformed, or not allowed in the present state"),
        "401": _failure("No valid token, or a token of another workspace"),
        "413": _failure("The body exceeds this hub's limit"),
        "503": _failure("The hub is busy or its database does not answer: repeat after Retry-After seconds"),
    }
    if any(field.name == "connectorId" for field in FIELDS[name]):
        answers["403"] = _failure("The connector belongs to another user")
    if name in WRITERS:
        answers["507"] = _failure("The hub's disk is full: repeat after Retry-After seconds")
    if name in NOT_FOUND:
        answers["404"] = _failure("This workspace has nothing with that id or path")
    if name == "sources/conflicts/resolve":
        answers["409"] = _failure("The file has changed since expectedRemoteHash")
    workspace = {"name": "x-workspace-id", "in": "header", "required": True, "schema": TEXT}
    return {
        "post": {
            "operationId": name.replace("/", "_").replace("-", "_"),
            "parameters": [workspace],
            "requestBody": {"required": True, "content": {"application/json": {"schema": _fields(FIELDS[name])}}},
            "responses": answers,
        }
    }


@lru_cache(maxsize=1)
def document() -> Schema:
    """Return the OpenAPI 3.1 document of every endpoint."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Raven local sync (embedded hub)", "version": agent.__version__},
        "paths": {f"/api/local-sync/{name}": _operation(name) for name in FIELDS},
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
        "security": [{"bearer": []}],
    }
