"""Rules for the body of each endpoint, with the messages of the real server's validator.

One message a property, in the order the properties are declared; properties that are not declared are dropped.
The lists in "one of the following values" really are empty on the real server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any

from strict_raven.wire import HttpError

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)

Rule = Callable[[str, Any], list[str]]
"""(property name as shown, value) -> messages."""


class Presence(Enum):
    """Permission to leave a property out or null."""

    REQUIRED = "required"
    OPTIONAL = "optional"


@dataclass(frozen=True, slots=True)
class Property:
    """One declared property of a body."""

    name: str
    rule: Rule
    presence: Presence = Presence.REQUIRED


Schema = tuple[Property, ...]


def clean(body: Any, schema: Schema) -> dict[str, Any]:
    """The declared properties of the body, null where an optional one is missing.

    Raises:
        HttpError: 400 with a list of messages.
    """
    found = body if isinstance(body, dict) else {}
    messages = _messages(found, schema, "")
    if messages:
        raise HttpError(400, messages)
    return {declared.name: found.get(declared.name) for declared in schema}


def _messages(found: Mapping[str, Any], schema: Schema, prefix: str) -> list[str]:
    messages: list[str] = []
    for declared in schema:
        value = found.get(declared.name)
        if value is None and declared.presence is Presence.OPTIONAL:
            continue
        messages += declared.rule(prefix + declared.name, value)
    return messages


def _string(name: str, value: Any) -> list[str]:
    return [] if isinstance(value, str) else [f"{name} must be a string"]


def _uuid(name: str, value: Any) -> list[str]:
    return [] if isinstance(value, str) and _UUID.fullmatch(value) else [f"{name} must be a UUID"]


def _boolean(name: str, value: Any) -> list[str]:
    return [] if isinstance(value, bool) else [f"{name} must be a boolean value"]


def _strings(name: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        return [f"{name} must be an array"]
    return [] if all(isinstance(item, str) for item in value) else [f"each value in {name} must be a string"]


def _one_of(*allowed: str) -> Rule:
    def check(name: str, value: Any) -> list[str]:
        return [] if value in allowed else [f"{name} must be one of the following values: "]

    return check


def _between(least: int, most: float) -> Rule:
    def check(name: str, value: Any) -> list[str]:
        if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
            return [f"{name} must not be less than {least}"]
        return [f"{name} must not be greater than {most}"] if value > most else []

    return check


def _items(name: str, value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > 100:
        return [f"{name} must contain no more than 100 elements"]
    if not all(isinstance(item, dict | list) for item in value):
        return [f"{name}.each value in nested property {name} must be either object or array"]
    return [
        message
        for index, item in enumerate(value)
        for message in _messages(item if isinstance(item, dict) else {}, ITEM, f"{name}.{index}.")
    ]


ITEM: Schema = (
    Property("operationId", _string),
    Property("relativePath", _string),
    Property("content", _string),
    Property("contentType", _string, Presence.OPTIONAL),
    Property("contentHash", _string, Presence.OPTIONAL),
    Property("baseHash", _string, Presence.OPTIONAL),
    Property("isDelete", _boolean, Presence.OPTIONAL),
)

_SOURCE = Property("sourceId", _uuid)
_CONFLICT = Property("conflictId", _uuid)
_PATH = Property("relativePath", _string)

SCHEMAS: Mapping[str, Schema] = MappingProxyType(
    {
        "connectors/register": (
            Property("name", _string),
            Property("platform", _string),
            Property("version", _string, Presence.OPTIONAL),
        ),
        "connectors/heartbeat": (Property("connectorId", _uuid),),
        "sources": (
            Property("name", _string),
            Property("mode", _one_of("import_only", "local_to_cloud", "bidirectional")),
            Property("connectorId", _uuid),
            Property("includePatterns", _strings, Presence.OPTIONAL),
            Property("excludePatterns", _strings, Presence.OPTIONAL),
        ),
        "sources/list": (),
        "sources/pause": (_SOURCE,),
        "sources/resume": (_SOURCE,),
        "sources/files": (_SOURCE,),
        "sources/file": (_SOURCE, _PATH),
        "sources/history": (_SOURCE, _PATH),
        "sources/file/update": (
            _SOURCE,
            _PATH,
            Property("content", _string),
            Property("baseHash", _string, Presence.OPTIONAL),
        ),
        "sources/push-batch": (_SOURCE, Property("items", _items)),
        "sources/deltas": (
            _SOURCE,
            Property("cursor", _between(0, float("inf")), Presence.OPTIONAL),
            Property("limit", _between(1, 500), Presence.OPTIONAL),
        ),
        "sources/conflicts": (_SOURCE,),
        "sources/conflicts/preview": (
            _SOURCE,
            _CONFLICT,
            Property("contextLines", _between(0, 50), Presence.OPTIONAL),
        ),
        "sources/conflicts/resolve": (
            _SOURCE,
            _CONFLICT,
            Property("resolution", _one_of("keep_local", "keep_raven", "manual_merge")),
            Property("resolvedContent", _string, Presence.OPTIONAL),
        ),
    }
)
"""Endpoint below `/api/local-sync/` -> what its body must be."""
