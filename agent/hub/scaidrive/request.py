"""A request of the drive face, its fields, and its refusals."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from agent.hub.answers import HubError
from agent.hub.domain.model import Caller
from agent.hub.domain.text import storable
from agent.hub.json_size import MOST_DRIVE_VALUES, has_few_values

MAX_NAME: Final = 255
MAX_INTEGER: Final = 2**53 - 1

Fields = Mapping[str, Any]


class DriveRefusal(HubError):
    """An answer with a status other than a success.

    Attributes:
        code: a word of the documentation for the refusal, None where it has none.
        fault: for 422, the field's place and the reason.
    """

    def __init__(
        self, status: int, message: str, code: str | None = None, fault: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(status, message)
        self.code = code
        self.fault = fault


def not_found(thing: str) -> DriveRefusal:
    """Return the refusal of a thing that is not there or that the caller may not see."""
    return DriveRefusal(404, f"{thing} not found", "NOT_FOUND")


def wrong_field(place: str, name: str, reason: str, kind: str = "value_error") -> DriveRefusal:
    """Return the refusal of a field. `place` is body, query, path or header."""
    return DriveRefusal(422, f"{name}: {reason}", None, {"loc": [place, name], "msg": reason, "type": kind})


@dataclass(frozen=True, slots=True)
class DriveRequest:
    """One request.

    Attributes:
        ids: the variable parts of its path, in order.
        query: the last value of each name.
        headers: by lower-case name.
    """

    caller: Caller
    ids: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def fields(self) -> Fields:
        """Return the body, a JSON object.

        Raises:
            DriveRefusal: 413 for more than MOST_DRIVE_VALUES values, 422 if it is no object.
        """
        if not has_few_values(self.body, MOST_DRIVE_VALUES):
            raise DriveRefusal(413, "The request holds too many values", "PAYLOAD_TOO_LARGE")
        try:
            found = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            raise wrong_field("body", "body", "JSON decode error", "json_invalid") from None
        if not isinstance(found, dict):
            raise wrong_field("body", "body", "Input should be an object", "dict_type")
        return found

    def parameter(self, name: str) -> str:
        """Return a required parameter of the query."""
        if name not in self.query:
            raise wrong_field("query", name, "Field required", "missing")
        return _plain("query", name, self.query[name])

    def number(self, name: str, default: int | None, least: int, most: int) -> int:
        """Return a whole number of the query."""
        if default is not None and name not in self.query:
            return default
        value = self.parameter(name)
        if not (value.isascii() and value.isdigit()) or not least <= int(value[:20]) <= most:
            raise wrong_field("query", name, f"Input should be a whole number from {least} to {most}", "int_parsing")
        return int(value)

    def flag(self, name: str) -> bool:
        """Return an optional boolean of the query, by default False."""
        value = self.query.get(name, "false").lower()
        if value not in ("true", "false", "1", "0"):
            raise wrong_field("query", name, "Input should be a valid boolean", "bool_parsing")
        return value in ("true", "1")


def _plain(place: str, name: str, value: str, longest: int | None = None) -> str:
    if not storable(value):
        raise wrong_field(place, name, "must not contain NUL or lone surrogates")
    if longest is not None and len(value) > longest:
        raise wrong_field(place, name, f"String should have at most {longest} characters", "string_too_long")
    return value


def text(fields: Fields, name: str, longest: int | None = MAX_NAME) -> str:
    """Return a required text that is not empty."""
    value = maybe_text(fields, name, longest)
    if not value:
        raise wrong_field("body", name, "Field required", "missing")
    return value


def maybe_text(fields: Fields, name: str, longest: int | None = MAX_NAME) -> str | None:
    """Return an optional text."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise wrong_field("body", name, "Input should be a valid string", "string_type")
    return _plain("body", name, value, longest)


def maybe_integer(fields: Fields, name: str, least: int = 0) -> int | None:
    """Return an optional whole number."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_INTEGER:
        raise wrong_field("body", name, f"Input should be a whole number of at least {least}", "int_parsing")
    return value


def maybe_flag(fields: Fields, name: str) -> bool | None:
    """Return an optional boolean."""
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise wrong_field("body", name, "Input should be a valid boolean", "bool_type")
    return value


def maybe_texts(fields: Fields, name: str) -> tuple[str, ...] | None:
    """Return an optional list of texts."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise wrong_field("body", name, "Input should be a list of strings", "list_type")
    return tuple(_plain("body", name, entry) for entry in value)


def choice(place: str, name: str, value: str, words: Collection[str]) -> str:
    """Return a value that is one of the words."""
    if value not in words:
        raise wrong_field(place, name, f"Input should be one of {', '.join(words)}", "enum")
    return value
