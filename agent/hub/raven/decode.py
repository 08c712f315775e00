"""Decoding of request bodies. Refuses what the real server's JSON parser refuses."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import orjson

from agent.hub.answers import HubError
from agent.hub.json_size import MOST_VALUES, has_few_values, is_deep

NOT_JSON = "Body is not valid JSON but content-type is set to 'application/json'"
EMPTY = "Body cannot be empty when content-type is set to 'application/json'"

_NESTING = (dict, list)


def decode(body: bytes, content_type: str | None, content_encoding: str | None) -> Any:
    """Return the body's value; `{}` for a request without body and content type.

    Lone surrogates written as escapes are accepted here, so that one such item is refused without its batch.

    Raises:
        HubError: 400 for an empty, compressed, malformed or too deeply nested body, or one that names `__proto__`.
            413 for more than MOST_VALUES values.
    """
    if not body:
        if content_type is not None and "json" in content_type:
            raise HubError(400, EMPTY)
        return {}
    if content_encoding not in (None, "", "identity"):
        raise HubError(400, NOT_JSON)
    if not has_few_values(body, MOST_VALUES):
        raise HubError(400, NOT_JSON) if is_deep(body) else HubError(413, "Request body holds too many values")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = _with_surrogates(body)
    if _names_proto(value):
        raise HubError(400, NOT_JSON)
    return value


def _with_surrogates(body: bytes) -> Any:
    if b"\\ud" not in body.lower():
        raise HubError(400, NOT_JSON)
    try:
        return json.loads(body.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise HubError(400, NOT_JSON) from None


def _refuse(_: str) -> NoReturn:
    raise ValueError


def _names_proto(value: Any) -> bool:
    # Check the decoded names, not the body text: the text is long, and escapes spell a name in many ways.
    pending = [value]
    while pending:
        entry = pending.pop()
        if type(entry) is dict:
            if "__proto__" in entry:
                return True
            pending.extend([inner for inner in entry.values() if type(inner) in _NESTING])
        elif type(entry) is list:
            pending.extend([inner for inner in entry if type(inner) in _NESTING])
    return False
