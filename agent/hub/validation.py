"""One table of fields for each endpoint: it checks requests, and the OpenAPI document is drawn from it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from agent.hub.model import Mode, Resolution
from agent.hub.text import storable
from agent.hub.wire import HubError

MAX_ITEMS = 100
MAX_CURSOR = 2**31 - 1
MAX_WAIT_MS = 30_000

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


class Kind(Enum):
    """What a field holds."""

    STRING = auto()
    UUID = auto()
    INTEGER = auto()
    BOOLEAN = auto()
    STRINGS = auto()
    CHOICE = auto()
    ITEMS = auto()


class Need(Enum):
    """Whether a field may be left out; an optional one may also be null."""

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
    kind: Kind
    need: Need = Need.REQUIRED
    least: int = 0
    most: int = MAX_CURSOR
    longest: int | None = None
    choices: tuple[str, ...] = ()
    capped: bool = False


_SOURCE = Field("sourceId", Kind.UUID)
_PATH = Field("relativePath", Kind.STRING)
_CONFLICT = Field("conflictId", Kind.UUID)
_BASE = Field("baseHash", Kind.STRING, Need.OPTIONAL, longest=64)
_ALL_VERSIONS = Field("allVersions", Kind.BOOLEAN, Need.OPTIONAL)

ITEM_FIELDS: tuple[Field, ...] = (
    Field("operationId", Kind.STRING),
    Field("relativePath", Kind.STRING),
    Field("content", Kind.STRING),
    Field("contentType", Kind.STRING, Need.OPTIONAL),
    Field("contentHash", Kind.STRING, Need.OPTIONAL),
    Field("baseHash", Kind.STRING, Need.OPTIONAL),
    Field("isDelete", Kind.BOOLEAN, Need.OPTIONAL),
)

_JSON_TYPES = {Kind.STRING: (str,), Kind.BOOLEAN: (bool,)}
_NONE = (type(None),)
_ITEM_KINDS = tuple(
    (field.name, _JSON_TYPES[field.kind] + (_NONE if field.need is Need.OPTIONAL else ())) for field in ITEM_FIELDS
)
"""What each field of an item may be; an item that keeps to this needs no further look at its fields."""

FIELDS: dict[str, tuple[Field, ...]] = {
    "connectors/register": (
        Field("name", Kind.STRING, longest=255),
        Field("platform", Kind.STRING, longest=64),
        Field("version", Kind.STRING, Need.OPTIONAL, longest=64),
    ),
    "connectors/heartbeat": (Field("connectorId", Kind.UUID),),
    "sources": (
        Field("name", Kind.STRING, longest=255),
        Field("mode", Kind.CHOICE, choices=tuple(Mode)),
        Field("connectorId", Kind.UUID),
        Field("includePatterns", Kind.STRINGS, Need.OPTIONAL),
        Field("excludePatterns", Kind.STRINGS, Need.OPTIONAL),
    ),
    "sources/list": (),
    "sources/pause": (_SOURCE,),
    "sources/resume": (_SOURCE,),
    "sources/files": (
        _SOURCE,
        Field("limit", Kind.INTEGER, Need.OPTIONAL, least=1, most=10_000),
        Field("after", Kind.STRING, Need.OPTIONAL),
    ),
    "sources/file": (_SOURCE, _PATH, _ALL_VERSIONS),
    "sources/file/update": (_SOURCE, _PATH, Field("content", Kind.STRING), _BASE),
    "sources/push-batch": (
        _SOURCE,
        Field("items", Kind.ITEMS),
        Field("connectorId", Kind.UUID, Need.OPTIONAL),
    ),
    "sources/deltas": (
        _SOURCE,
        Field("cursor", Kind.INTEGER, Need.OPTIONAL),
        Field("limit", Kind.INTEGER, Need.OPTIONAL, least=1, most=500),
        Field("waitMs", Kind.INTEGER, Need.OPTIONAL, most=MAX_WAIT_MS, capped=True),
        Field("latestOnly", Kind.BOOLEAN, Need.OPTIONAL),
    ),
    "sources/conflicts": (_SOURCE,),
    "sources/conflicts/preview": (
        _SOURCE,
        _CONFLICT,
        Field("contextLines", Kind.INTEGER, Need.OPTIONAL, most=50),
    ),
    "sources/conflicts/resolve": (
        _SOURCE,
        _CONFLICT,
        Field("resolution", Kind.CHOICE, choices=tuple(Resolution)),
        Field("resolvedContent", Kind.STRING, Need.OPTIONAL),
        Field("expectedRemoteHash", Kind.STRING, Need.OPTIONAL, longest=64),
    ),
    "sources/history": (_SOURCE, _PATH, _ALL_VERSIONS),
}
"""By endpoint, the part of the path behind `/api/local-sync/`."""


def validated(endpoint: str, body: object) -> dict[str, Any]:
    """The endpoint's fields out of a decoded body; unknown ones are dropped, absent and null ones left out.

    Raises:
        HubError: 400 with one sentence for each field that is wrong, in the table's order.
    """
    fields = FIELDS[endpoint]
    given: Mapping[str, Any] = body if isinstance(body, dict) else {}
    faults = [fault for field in fields for fault in _faults(field, given.get(field.name))]
    if not faults and given is not body:
        faults = ["body must be an object"]
    if faults:
        raise HubError(400, faults)
    return {f.name: _clean(f, given[f.name]) for f in fields if given.get(f.name) is not None}


def _faults(field: Field, value: Any) -> Iterator[str]:
    if value is None and field.need is Need.OPTIONAL:
        return
    if field.kind is Kind.ITEMS:
        yield from _item_faults(field, value)
        return
    fault = _fault(field, value)
    if fault is not None:
        yield f"{field.name} {fault}"
    elif isinstance(value, str) and not storable(value):
        yield f"{field.name} must not contain NUL or lone surrogates"


def _fault(field: Field, value: Any) -> str | None:
    match field.kind:
        case Kind.UUID:
            good = isinstance(value, str) and _UUID.fullmatch(value) is not None
            return None if good else "must be a UUID"
        case Kind.STRING:
            if not isinstance(value, str):
                return "must be a string"
            if field.longest is not None and len(value) > field.longest:
                return f"must be shorter than or equal to {field.longest} characters"
            return None
        case Kind.BOOLEAN:
            return None if isinstance(value, bool) else "must be a boolean value"
        case Kind.CHOICE:
            good = isinstance(value, str) and value in field.choices
            return None if good else f"must be one of the following values: {', '.join(field.choices)}"
        case Kind.STRINGS:
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
            if entry is None and inner.need is Need.OPTIONAL:
                continue
            fault = _fault(inner, entry)
            if fault is not None:
                yield f"{field.name}.{index}.{inner.name} {fault}"


def _clean(field: Field, value: Any) -> Any:
    if field.kind is Kind.UUID:
        return value.lower()
    if field.kind is Kind.INTEGER:
        return min(int(value), field.most)
    return value
