"""The OpenAPI document of Pinakes' API. The schemas are those of the records in `wire`."""

from __future__ import annotations

from typing import Any, Final

import msgspec

import agent
from agent.hub.pinakes import wire
from agent.hub.pinakes.route import PinakesRoute

Schema = dict[str, Any]

BODIES: Final[dict[str, Any]] = {
    "POST auth/login": wire.LoginRequest,
    "POST sync/devices": wire.DeviceRequest,
    "PUT sync/devices/{}": wire.DeviceUpdate,
    "POST sync/ack": wire.CursorBody,
    "POST sync/report": wire.ReportRequest,
    "POST sync/conflicts/{}/resolve": wire.ResolveRequest,
    "POST sync/upload": wire.UploadRequest,
}
"""Record of the JSON body by route."""
ANSWERS: Final[dict[str, Any]] = {
    "POST auth/login": wire.LoginBody,
    "POST auth/refresh": wire.SessionBody,
    "GET auth/me": wire.UserBody,
    "POST sync/devices": wire.RegistrationBody,
    "GET sync/devices": list[wire.DeviceBody],
    "GET sync/devices/{}": wire.DeviceBody,
    "PUT sync/devices/{}": wire.DeviceBody,
    "POST sync/devices/{}/token": wire.DeviceTokenBody,
    "GET sync/changes": wire.ChangesBody,
    "POST sync/ack": wire.CursorBody,
    "POST sync/report": wire.ReportBody,
    "GET sync/conflicts": list[wire.ConflictBody],
    "POST sync/conflicts/{}/resolve": wire.ConflictBody,
    "POST sync/upload": wire.UploadBody,
    "GET sync/upload/{}": wire.UploadBody,
    "PUT sync/upload/{}/chunks/{}": wire.ChunkBody,
    "POST sync/upload/{}/complete": wire.UploadBody,
}
"""Record of the answer by route. Routes that are missing answer without a document."""
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
QUERIES: Final[dict[str, Schema]] = {
    "GET sync/changes": {wire.CURSOR: _COUNT, wire.LIMIT: {**_COUNT, "maximum": wire.MOST_CHANGES}}
}
"""Optional parameters of the query by route."""
WITH_DEVICE: Final = frozenset({"POST sync/ack", "POST sync/report", "POST sync/upload"})
"""Routes for which a device names itself by its token."""
_BYTES: Final[Schema] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_REFUSALS: Final = {
    "400": "A field is wrong, the upload is not complete, or its base is not the head any more",
    "401": "No valid token, or no valid token of a device",
    "403": "The device belongs to another user",
    "404": "There is no such thing, or the caller may not see it",
    "413": "The body is too large",
    "503": "The hub is busy or its database does not answer: repeat after Retry-After seconds",
    "507": "The hub's disk is full: repeat after Retry-After seconds",
}
_TEXT: Final[Schema] = {"type": "string"}


def key_of(route: PinakesRoute) -> str:
    """Return the name of a route in the tables of this module."""
    return f"{route.method} {route.path}"


def _named(path: str) -> tuple[str, list[str]]:
    """Return a route's path with names for its variable parts, and the names."""
    parts, names = path.split("/"), []
    for index, part in enumerate(parts):
        if part.startswith("{"):
            above = parts[index - 1]
            name = {"chunks": "index", "download": "path"}.get(above, f"{above.removesuffix('s')}_id")
            names.append(name)
            parts[index] = f"{{{name}}}"
    return "/".join(parts), names


def _operation(route: PinakesRoute, names: list[str], schemas: dict[Any, Schema]) -> Schema:
    key = key_of(route)
    parameters = [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in names]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in QUERIES.get(key, {}).items()
    ]
    if key in WITH_DEVICE:
        parameters.append({"name": wire.DEVICE_TOKEN_HEADER, "in": "header", "required": True, "schema": _TEXT})
    answer: Schema = {"description": "Done"}
    if key in ANSWERS:
        answer["content"] = {"application/json": {"schema": schemas[ANSWERS[key]]}}
    error = {"application/json": {"schema": schemas[wire.ErrorBody]}}
    answers = {status: {"description": words, "content": error} for status, words in _REFUSALS.items()}
    answers[str(route.status)] = answer
    if route.path.startswith("sync/download/"):
        answer["content"] = _BYTES
        answers["206"] = {"description": "A range", "content": _BYTES}
    shown: Schema = {"operationId": _identifier(route), "parameters": parameters, "responses": answers}
    if key in BODIES:
        shown["requestBody"] = {"required": True, "content": {"application/json": {"schema": schemas[BODIES[key]]}}}
    elif route.method == "PUT":
        shown["requestBody"] = {"required": True, "content": _BYTES}
    if not route.needs_token:
        shown["security"] = []
    return shown


def _identifier(route: PinakesRoute) -> str:
    words = route.path.replace("/", "_").replace("{}", "id").replace("{*}", "path")
    return f"{route.method}_{words}".lower()


def document(routes: tuple[PinakesRoute, ...]) -> Schema:
    """Return the OpenAPI 3.1 document of the routes."""
    kinds = [*BODIES.values(), *ANSWERS.values(), wire.ErrorBody]
    shown, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    schemas = dict(zip(kinds, shown, strict=True))
    paths: Schema = {}
    for route in routes:
        path, names = _named(route.path)
        paths.setdefault(f"/api/v1/{path}", {})[route.method.lower()] = _operation(route, names, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Pinakes sync (embedded hub)", "version": agent.__version__},
        "servers": [{"url": "/pinakes"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}],
    }
