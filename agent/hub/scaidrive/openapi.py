"""The OpenAPI document of the drive face: each route of `face.ROUTES` with its fields and its answer."""

from __future__ import annotations

from typing import Any, Final

import agent
from agent.hub.scaidrive.applying import ConflictRule
from agent.hub.scaidrive.devices import PLATFORMS
from agent.hub.scaidrive.route import DriveRoute
from agent.hub.scaidrive.shares import SHARE_TYPES

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
HASH: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
PATH: Final[Schema] = {"type": "string", "pattern": "^/"}


def _maybe(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _words(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


def _list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _record(required: Schema, optional: Schema | None = None) -> Schema:
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
    }


_KIND: Final = _words("file", "folder")
_CHANGE_TYPE: Final = _words("created", "updated", "deleted", "moved", "renamed")
_METADATA: Final = _record({}, {"size": COUNT, "mime_type": TEXT, "checksum_sha256": HASH, "version": COUNT})
_CHANGE: Final = _record(
    {
        "id": TEXT,
        "tenant_id": TEXT,
        "share_id": TEXT,
        "resource_type": _KIND,
        "resource_id": TEXT,
        "change_type": _CHANGE_TYPE,
        "changed_by": TEXT,
        "changed_at": TIME,
        "old_path": _maybe(PATH),
        "new_path": _maybe(PATH),
        "version_id": _maybe(TEXT),
        "metadata": _METADATA,
    }
)
_CONFLICT: Final = _record(
    {
        "id": TEXT,
        "device_id": TEXT,
        "share_id": TEXT,
        "resource_type": _KIND,
        "resource_id": TEXT,
        "change_type": _CHANGE_TYPE,
        "path": PATH,
        "new_path": _maybe(PATH),
        "base_version_id": _maybe(TEXT),
        "client_version_id": _maybe(TEXT),
        "server_version_id": _maybe(TEXT),
        "resolution": _maybe(_words(*ConflictRule)),
        "created_at": TIME,
        "resolved_at": _maybe(TIME),
        "metadata": {"type": "object"},
    }
)
_DEVICE: Final = _record(
    {
        "id": TEXT,
        "device_id": TEXT,
        "device_name": TEXT,
        "platform": _words(*PLATFORMS),
        "client_version": _maybe(TEXT),
        "is_active": FLAG,
        "last_seen_at": TIME,
        "created_at": TIME,
    }
)
_PREFERENCE: Final = _record(
    {
        "share_id": TEXT,
        "sync_enabled": FLAG,
        "selected_folders": _maybe(_list(TEXT)),
        "excluded_folders": _maybe(_list(TEXT)),
    }
)
_SHARE: Final = _record(
    {
        "id": TEXT,
        "tenant_id": TEXT,
        "name": TEXT,
        "type": TEXT,
        "share_type": TEXT,
        "description": _maybe(TEXT),
        "role": TEXT,
        "owner_id": TEXT,
        "is_public": FLAG,
        "is_deleted": FLAG,
        "quota_bytes": _maybe(COUNT),
        "used_bytes": COUNT,
        "settings": {"type": "object"},
        "created_at": TIME,
        "modified_at": TIME,
    }
)
_SHARES: Final = _record({"shares": _list(_SHARE), "total": COUNT})
_FILE: Final = _record(
    {
        "id": TEXT,
        "tenant_id": TEXT,
        "share_id": TEXT,
        "folder_id": _maybe(TEXT),
        "name": TEXT,
        "path": PATH,
        "mime_type": TEXT,
        "size": COUNT,
        "checksum_sha256": HASH,
        "version": COUNT,
        "owner_id": TEXT,
        "created_by": TEXT,
        "created_at": TIME,
        "modified_by": TEXT,
        "modified_at": TIME,
        "is_deleted": FLAG,
    }
)
_FOLDER: Final = _record(
    {
        "id": TEXT,
        "tenant_id": TEXT,
        "share_id": TEXT,
        "parent_id": _maybe(TEXT),
        "name": TEXT,
        "path": PATH,
        "owner_id": TEXT,
        "created_by": TEXT,
        "created_at": TIME,
        "modified_at": TIME,
        "is_deleted": FLAG,
    }
)
_VERSION: Final = _record(
    {
        "id": TEXT,
        "version_number": COUNT,
        "size": COUNT,
        "checksum_sha256": HASH,
        "created_by": TEXT,
        "created_at": TIME,
    }
)
_ITEM: Final = _record(
    {"id": TEXT, "name": TEXT, "type": _KIND, "modified_at": TIME, "is_deleted": FLAG},
    {"size": COUNT, "mime_type": TEXT},
)
_BATCH_LIMITS: Final = _record({"files": COUNT, "bytes": COUNT})
_CREATED: Final = _record(
    {"status": COUNT}, {"file_id": TEXT, "version_id": TEXT, "path": PATH, "checksum_sha256": HASH, "detail": TEXT}
)
_READ: Final = _record({"file_id": TEXT, "version": _maybe(_VERSION), "content": _maybe(TEXT)})
_DONE: Final = _record({"file_id": TEXT, "version_id": TEXT, "checksum_sha256": HASH})

ANSWERS: Final[dict[str, Schema]] = {
    "GET users/me": _record(
        {
            "id": TEXT,
            "tenant_id": TEXT,
            "groups": _list(TEXT),
            "scopes": _list(TEXT),
            "max_file_size_bytes": COUNT,
        },
        {"batch": _BATCH_LIMITS},
    ),
    "GET users/me/shares": _SHARES,
    "GET shares": _SHARES,
    "POST shares": _SHARE,
    "GET shares/{}": _SHARE,
    "POST sync/devices": _DEVICE,
    "GET sync/devices": _list(_DEVICE),
    "PATCH sync/devices/{}": _DEVICE,
    "GET sync/devices/{}/preferences": _record({"preferences": _list(_PREFERENCE)}),
    "PUT sync/devices/{}/preferences": _record({"preferences": _list(_PREFERENCE)}),
    "PUT sync/devices/{}/preferences/{}": _PREFERENCE,
    "GET sync/status": _record(
        {"cursor_position": COUNT, "last_sync_at": _maybe(TIME), "pending_changes": COUNT, "has_conflicts": FLAG}
    ),
    "GET sync/changes": _record({"changes": _list(_CHANGE), "cursor": COUNT, "has_more": FLAG, "share_id": TEXT}),
    "POST sync/cursor": _record({"cursor_position": COUNT, "last_sync_at": TIME}),
    "POST sync/apply": _record(
        {
            "applied": _list(_record({"resource_id": TEXT, "version_id": _maybe(TEXT), "change_id": TEXT})),
            "conflicts": _list(_CONFLICT),
            "cursor": COUNT,
        }
    ),
    "GET sync/conflicts": _list(_CONFLICT),
    "POST sync/conflicts/{}/resolve": _CONFLICT,
    "POST files": _FILE,
    "POST files/batch": _record({"files": _list(_CREATED)}),
    "POST files/contents": _record({"files": _list(_READ)}),
    "GET files/{}": _FILE,
    "PATCH files/{}": _FILE,
    "POST files/{}/move": _FILE,
    "GET files/{}/versions": _record({"versions": _list(_VERSION), "total": COUNT}),
    "POST folders": _FOLDER,
    "GET folders/{}": _FOLDER,
    "PATCH folders/{}": _FOLDER,
    "POST folders/{}/move": _FOLDER,
    "GET folders/{}/children": _record({"items": _list(_ITEM), "path": PATH, "total": COUNT}),
    "POST uploads": _record({"session_id": TEXT, "chunk_size": COUNT, "total_chunks": COUNT}),
    "GET uploads/{}": _record(
        {
            "session_id": TEXT,
            "status": _words("active", "completed"),
            "chunk_size": COUNT,
            "received_chunks": _list(COUNT),
            "total_chunks": COUNT,
            "file_id": _maybe(TEXT),
            "version_id": _maybe(TEXT),
        }
    ),
    "POST uploads/{}/complete": _DONE,
}
"""Schema of the answer by route. Routes that are missing answer without a document."""

_PREFERENCE_FIELDS: Final[Schema] = {
    "sync_enabled": _maybe(FLAG),
    "selected_folders": _maybe(_list(TEXT)),
    "excluded_folders": _maybe(_list(TEXT)),
}
_MOVE: Final = _record({}, {"target_folder_id": _maybe(TEXT), "target_share_id": _maybe(TEXT)})
_DEVICE_CHANGE: Final = _record(
    {"resource_type": _KIND, "change_type": _CHANGE_TYPE},
    {
        "resource_id": _maybe(TEXT),
        "version_id": _maybe(TEXT),
        "base_version_id": _maybe(TEXT),
        "new_path": _maybe(TEXT),
        "old_path": _maybe(TEXT),
        "metadata": _maybe({"type": "object"}),
    },
)
BODIES: Final[dict[str, Schema]] = {
    "POST shares": _record({"name": TEXT, "share_type": _words(*SHARE_TYPES), "owner_id": TEXT}),
    "POST sync/devices": _record(
        {"device_id": TEXT, "device_name": TEXT, "platform": _words(*PLATFORMS)}, {"client_version": _maybe(TEXT)}
    ),
    "PATCH sync/devices/{}": _record({}, {"device_name": _maybe(TEXT), "is_active": _maybe(FLAG)}),
    "PUT sync/devices/{}/preferences": _record({"preferences": _list(_record({"share_id": TEXT}, _PREFERENCE_FIELDS))}),
    "PUT sync/devices/{}/preferences/{}": _record({}, _PREFERENCE_FIELDS),
    "POST sync/apply": _record(
        {"device_id": TEXT, "share_id": TEXT, "changes": _list(_DEVICE_CHANGE)},
        {"conflict_resolution": _maybe(_words(*ConflictRule))},
    ),
    "POST files/batch": _record(
        {"share_id": TEXT, "files": _list(_record({"path": TEXT, "content": TEXT}, {"checksum_sha256": _maybe(TEXT)}))}
    ),
    "POST files/contents": _record(
        {
            "share_id": TEXT,
            "files": _list(_record({"file_id": TEXT}, {"version": _maybe(COUNT), "known_sha256": _maybe(TEXT)})),
        }
    ),
    "PATCH files/{}": _record({"name": TEXT}),
    "POST files/{}/move": _MOVE,
    "POST folders": _record({"share_id": TEXT, "name": TEXT}, {"parent_id": _maybe(TEXT)}),
    "PATCH folders/{}": _record({"name": TEXT}),
    "POST folders/{}/move": _MOVE,
    "POST uploads": _record(
        {"share_id": TEXT, "file_name": TEXT, "file_size": COUNT},
        {
            "folder_id": _maybe(TEXT),
            "chunk_size": _maybe(COUNT),
            "mime_type": _maybe(TEXT),
            "checksum_sha256": _maybe(TEXT),
            "replace_file_id": _maybe(TEXT),
        },
    ),
}
"""Schema of the JSON body by route."""
_FORM: Final = _record(
    {"share_id": TEXT, "file": {"type": "string", "format": "binary"}},
    {"folder_id": TEXT, "name": TEXT, "mime_type": TEXT},
)
_PAGE: Final[Schema] = {"limit": COUNT, "offset": COUNT}
_WHERE: Final[Schema] = {"share_id": TEXT, "device_id": TEXT}
QUERIES: Final[dict[str, tuple[Schema, frozenset[str]]]] = {
    "GET users/me/shares": (_PAGE, frozenset()),
    "GET shares": (_PAGE, frozenset()),
    "GET sync/status": (_WHERE, frozenset(_WHERE)),
    "GET sync/changes": ({"share_id": TEXT, "cursor": TEXT, "limit": COUNT}, frozenset({"share_id"})),
    "POST sync/cursor": (_WHERE | {"position": COUNT}, frozenset(_WHERE) | {"position"}),
    "GET sync/conflicts": (_WHERE | {"include_resolved": FLAG}, frozenset()),
    "POST sync/conflicts/{}/resolve": ({"resolution": _words(*ConflictRule)}, frozenset({"resolution"})),
    "GET sync/download/{}": ({"version": COUNT, "range_start": COUNT, "range_end": COUNT}, frozenset()),
    "GET files/{}/content": ({"version": COUNT, "range_start": COUNT, "range_end": COUNT}, frozenset()),
    "GET folders/{}/children": ({"share_id": TEXT, "include_deleted": FLAG}, frozenset({"share_id"})),
    "DELETE files/{}": ({"permanent": FLAG}, frozenset()),
    "DELETE folders/{}": ({"permanent": FLAG}, frozenset()),
}
"""Parameters of the query by route, and those that are required."""
_BYTES: Final[Schema] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_FAULTS: Final[Schema] = _list(_record({"loc": _list(TEXT), "msg": TEXT, "type": TEXT}))
ERROR: Final = _record(
    {"detail": {"anyOf": [TEXT, _FAULTS]}}, {"error": {"type": "object", "required": ["code", "message"]}}
)
_REFUSALS: Final = {
    "400": "The cursor is not valid, or the upload is not complete",
    "401": "No valid token",
    "404": "There is no such thing, or the caller may not see it",
    "409": "A name is taken, or a conflict is resolved already",
    "410": "It was deleted, or the upload ended",
    "413": "The body or the file is too large",
    "422": "A field is wrong",
    "429": "The limit of the minute is used up: repeat after Retry-After seconds",
    "503": "The hub is busy or its database does not answer: repeat after Retry-After seconds",
    "507": "The hub's disk is full: repeat after Retry-After seconds",
}


def _named(path: str) -> tuple[str, list[str]]:
    """Return a route's path with names for its variable parts, and the names."""
    names: list[str] = []
    parts = path.split("/")
    for index, part in enumerate(parts):
        if part == "{}":
            above = parts[index - 1].removesuffix("s")
            names.append({"preference": "share_id", "chunk": "index", "download": "file_id"}.get(above, f"{above}_id"))
            parts[index] = f"{{{names[-1]}}}"
    return "/".join(parts), names


def _operation(route: DriveRoute, names: list[str]) -> Schema:
    query, required = QUERIES.get(route.name, ({}, frozenset()))
    parameters = [{"name": name, "in": "path", "required": True, "schema": TEXT} for name in names]
    parameters += [
        {"name": name, "in": "query", "required": name in required, "schema": schema} for name, schema in query.items()
    ]
    answer: Schema = {"description": "Done"}
    if route.name in ANSWERS:
        answer["content"] = {"application/json": {"schema": ANSWERS[route.name]}}
    elif route.status == 200:
        answer["content"] = _BYTES
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    answers = {status: {"description": words, "content": error} for status, words in _REFUSALS.items()}
    answers[str(route.status)] = answer
    if route.status == 200 and route.name not in ANSWERS:
        answers["206"] = {"description": "A range", "content": _BYTES}
        answers["416"] = {"description": "The range is outside the content", "content": error}
    shown: Schema = {
        "operationId": route.name.replace(" ", "_").replace("/", "_").replace("{}", "id").lower(),
        "parameters": parameters,
        "responses": answers,
    }
    if route.name in BODIES:
        shown["requestBody"] = {"required": True, "content": {"application/json": {"schema": BODIES[route.name]}}}
    elif route.name == "POST files":
        shown["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}
    elif route.method == "PUT":
        shown["requestBody"] = {"required": True, "content": _BYTES}
    return shown


def document(routes: tuple[DriveRoute, ...]) -> Schema:
    """Return the OpenAPI 3.1 document of the routes."""
    paths: Schema = {}
    for route in routes:
        path, names = _named(route.path)
        paths.setdefault(f"/api/v1/{path}", {})[route.method.lower()] = _operation(route, names)
    return {
        "openapi": "3.1.0",
        "info": {"title": "ScaiDrive sync (embedded hub)", "version": agent.__version__},
        "paths": paths,
        "components": {
            "schemas": {"Error": ERROR},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
        "security": [{"bearer": []}],
    }
