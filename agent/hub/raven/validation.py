"""One table of fields an endpoint. It checks requests, and the OpenAPI document is generated from it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from agent.core.model import Mode, Resolution
from agent.hub.answers import HubError
from agent.hub.domain.text import storable

MAX_ITEMS = 100
MAX_CURSOR = 2**31 - 1
MAX_WAIT_MS = 30_000

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


MODES = (Mode.IMPORT_ONLY, Mode.LOCAL_TO_CLOUD, Mode.BIDIRECTIONAL)
"""Modes in the order in which a refusal names them, which is part of the wire."""


class FieldType(Enum):
    """Type of a field."""

    STRING = auto()
    UUID = auto()
    INTEGER = auto()
    BOOLEAN = auto()
    STRINGS = auto()
    CHOICE = auto()
    ITEMS = auto()


class Requirement(Enum):
    """Presence of a field. An optional one may be left out or null."""

    REQUIRED = auto()
    OPTIONAL = auto()


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a request.

    Attributes:
        least, most: bounds of an integer, both included.
        longest: characters of a string.
        choices: the values of a choice.
        capped: an integer above `most` counts as `most` instead of being refused.
    """

    name: str
    kind: FieldType
    need: Requirement = Requirement.REQUIRED
    least: int = 0
    most: int = MAX_CURSOR
    longest: int | None = None
    choices: tuple[str, ...] = ()
    capped: bool = False


_SOURCE = Field("sourceId", FieldType.UUID)
_PATH = Field("relativePath", FieldType.STRING)
_CONFLICT = Field("conflictId", FieldType.UUID)
_BASE = Field("baseHash", FieldType.STRING, Requirement.OPTIONAL, longest=64)
_ALL_VERSIONS = Field("allVersions", FieldType.BOOLEAN, Requirement.OPTIONAL)

ITEM_FIELDS: tuple[Field, ...] = (
    Field("operationId", FieldType.STRING),
    Field("relativePath", FieldType.STRING),
    Field("content", FieldType.STRING),
    Field("contentType", FieldType.STRING, Requirement.OPTIONAL),
    Field("contentHash", FieldType.STRING, Requirement.OPTIONAL),
    Field("baseHash", FieldType.STRING, Requirement.OPTIONAL),
    Field("isDelete", FieldType.BOOLEAN, Requirement.OPTIONAL),
)

_JSON_TYPES = {FieldType.STRING: (str,), FieldType.BOOLEAN: (bool,)}
_NONE = (type(None),)
_ITEM_KINDS = tuple(
    (field.name, _JSON_TYPES[field.kind] + (_NONE if field.need is Requirement.OPTIONAL else ()))
    for field in ITEM_FIELDS
)
"""Types allowed for each field of an item. An item that matches needs no further check of its fields."""

FIELDS: dict[str, tuple[Field, ...]] = {
    "connectors/register": (
        Field("name", FieldType.STRING, longest=255),
        Field("platform", FieldType.STRING, longest=64),
        Field("version", FieldType.STRING, Requirement.OPTIONAL, longest=64),
    ),
    "connectors/heartbeat": (Field("connectorId", FieldType.UUID),),
    "connectors/rename": (Field("connectorId", FieldType.UUID), Field("name", FieldType.STRING, longest=255)),
    "sources": (
        Field("name", FieldType.STRING, longest=255),
        Field("mode", FieldType.CHOICE, choices=MODES),
        Field("connectorId", FieldType.UUID),
        Field("includePatterns", FieldType.STRINGS, Requirement.OPTIONAL),
        Field("excludePatterns", FieldType.STRINGS, Requirement.OPTIONAL),
    ),
    "sources/list": (Field("limit", FieldType.INTEGER, Requirement.OPTIONAL, least=1, most=10_000),),
    "sources/pause": (_SOURCE,),
    "sources/resume": (_SOURCE,),
    "sources/rename": (_SOURCE, Field("name", FieldType.STRING, longest=255)),
    "sources/archive": (_SOURCE, Field("archived", FieldType.BOOLEAN, Requirement.OPTIONAL)),
    "sources/delete": (_SOURCE,),
    "sources/machines": (_SOURCE,),
    "sources/leave": (_SOURCE, Field("connectorId", FieldType.UUID)),
    "sources/files": (
        _SOURCE,
        Field("limit", FieldType.INTEGER, Requirement.OPTIONAL, least=1, most=10_000),
        Field("after", FieldType.STRING, Requirement.OPTIONAL),
    ),
    "sources/digest": (_SOURCE,),
    "sources/file": (_SOURCE, _PATH, _ALL_VERSIONS),
    "sources/file/update": (_SOURCE, _PATH, Field("content", FieldType.STRING), _BASE),
    "sources/push-batch": (
        _SOURCE,
        Field("items", FieldType.ITEMS),
        Field("connectorId", FieldType.UUID, Requirement.OPTIONAL),
    ),
    "sources/deltas": (
        _SOURCE,
        Field("cursor", FieldType.INTEGER, Requirement.OPTIONAL),
        Field("limit", FieldType.INTEGER, Requirement.OPTIONAL, least=1, most=500),
        Field("waitMs", FieldType.INTEGER, Requirement.OPTIONAL, most=MAX_WAIT_MS, capped=True),
        Field("latestOnly", FieldType.BOOLEAN, Requirement.OPTIONAL),
        Field("connectorId", FieldType.UUID, Requirement.OPTIONAL),
    ),
    "sources/conflicts": (_SOURCE,),
    "sources/conflicts/preview": (
        _SOURCE,
        _CONFLICT,
        Field("contextLines", FieldType.INTEGER, Requirement.OPTIONAL, most=50),
    ),
    "sources/conflicts/resolve": (
        _SOURCE,
        _CONFLICT,
        Field("resolution", FieldType.CHOICE, choices=tuple(Resolution)),
        Field("resolvedContent", FieldType.STRING, Requirement.OPTIONAL),
        Field("expectedRemoteHash", FieldType.STRING, Requirement.OPTIONAL, longest=64),
    ),
    "sources/history": (_SOURCE, _PATH, _ALL_VERSIONS),
}
"""Fields by endpoint, the part of the path behind `/api/local-sync/`."""


WRITERS = frozenset(
    {
        "connectors/register",
        "connectors/rename",
        "sources",
        "sources/pause",
        "sources/resume",
        "sources/rename",
        "sources/archive",
        "sources/delete",
        "sources/leave",
        "sources/file/update",
        "sources/push-batch",
        "sources/conflicts/resolve",
    }
)
"""Endpoints that take the database's write lock."""
LARGE_ANSWERS = frozenset(
    {
        "sources/files",
        "sources/file",
        "sources/deltas",
        "sources/conflicts",
        "sources/conflicts/preview",
        "sources/history",
    }
)
"""Endpoints that return texts or file listings. Only their answers can fill the memory while clients read slowly."""


def validated(endpoint: str, body: object) -> dict[str, Any]:
    """Return the endpoint's fields from a decoded body, without unknown, absent and null ones.

    Raises:
        HubError: 400 with one sentence for each wrong field, in the table's order.
    """
    fields = FIELDS[endpoint]
    given: Mapping[str, Any] = body if isinstance(body, dict) else {}
    faults = [
        fault
        for field in fields
        if (value := given.get(field.name)) is not None or field.need is not Requirement.OPTIONAL
        for fault in _faults(field, value)
    ]
    if not faults and given is not body:
        faults = ["body must be an object"]
    if faults:
        raise HubError(400, faults)
    return {f.name: _clean(f, given[f.name]) for f in fields if given.get(f.name) is not None}


def _faults(field: Field, value: Any) -> Iterator[str]:
    if field.kind is FieldType.ITEMS:
        yield from _item_faults(field, value)
        return
    fault = _fault(field, value)
    if fault is not None:
        yield f"{field.name} {fault}"
    elif isinstance(value, str) and not storable(value):
        yield f"{field.name} must not contain NUL or lone surrogates"


def _fault(field: Field, value: Any) -> str | None:
    match field.kind:
        case FieldType.UUID:
            good = isinstance(value, str) and _UUID.fullmatch(value) is not None
            return None if good else "must be a UUID"
        case FieldType.STRING:
            if not isinstance(value, str):
                return "must be a string"
            if field.longest is not None and len(value) > field.longest:
                return f"must be shorter than or equal to {field.longest} characters"
            return None
        case FieldType.BOOLEAN:
            return None if isinstance(value, bool) else "must be a boolean value"
        case FieldType.CHOICE:
            good = isinstance(value, str) and value in field.choices
            return None if good else f"must be one of the following values: {', '.join(field.choices)}"
        case FieldType.STRINGS:
            return _strings_fault(value)
        case _:
            return _integer_fault(field, value)


def _strings_fault(value: Any) -> str | None:
    if not isinstance(value, list):
        return "must be an array"
    if not all(isinstance(entry, str) for entry in value):
        return "must hold strings only"
    return None if all(map(storable, value)) else "must not contain NUL or lone surrogates"


def _integer_fault(field: Field, value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < field.least:
        return f"must not be less than {field.least}"
    if value > field.most and not field.capped:
        return f"must not be greater than {field.most}"
    # An int may be too large to be made a float.
    return None if isinstance(value, int) or value.is_integer() else "must be an integer number"


def _item_faults(field: Field, value: Any) -> Iterator[str]:
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        yield f"{field.name} must contain no more than {MAX_ITEMS} elements"
        return
    if not all(isinstance(item, dict) for item in value):
        yield f"{field.name}.each value in nested property {field.name} must be either object or array"
        return
    for index, item in enumerate(value):
        if all(type(item.get(name)) in kinds for name, kinds in _ITEM_KINDS):
            continue
        for inner in ITEM_FIELDS:
            entry = item.get(inner.name)
            if entry is None and inner.need is Requirement.OPTIONAL:
                continue
            fault = _fault(inner, entry)
            if fault is not None:
                yield f"{field.name}.{index}.{inner.name} {fault}"


def _clean(field: Field, value: Any) -> Any:
    if field.kind is FieldType.UUID:
        return value.lower()
    if field.kind is FieldType.INTEGER:
        return min(int(value), field.most)
    return value
