"""The wire format: the answer, the errors, times, hashes and JSON as the real server writes and reads them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NoReturn

import orjson

BODY_LIMIT = 1_048_576
"""The largest request body accepted, in bytes as sent; one more is answered 413."""

_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Response:
    """One whole answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Handler = Callable[[str, str, Mapping[str, str], bytes], Response]
"""(method, path, headers, body) -> answer; header names are lower case."""


class HttpError(Exception):
    """An answer other than 200. `message` is a list for validation errors, else a text."""

    def __init__(self, status: int, message: str | list[str]) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


def data_response(data: Any) -> Response:
    """A 200 in the server's envelope."""
    return _json_response(200, {"data": data, "success": True, "status": 200}, {})


def error_response(error: HttpError, path: str, now: float) -> Response:
    """An error, which has no envelope; 413 also ends the connection."""
    document = {"statusCode": error.status, "message": error.message, "timestamp": iso(now), "path": path}
    return _json_response(error.status, document, {"connection": "close"} if error.status == 413 else {})


def _json_response(status: int, document: Any, headers: Mapping[str, str]) -> Response:
    try:
        body = orjson.dumps(document)
    except TypeError:
        # orjson refuses lone surrogates and numbers of more than 64 bits.
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
    return Response(status, {"content-type": "application/json; charset=utf-8", **headers}, body)


def parse(body: bytes) -> Any:
    """The JSON value of a request body, numbers as JavaScript has them.

    Raises:
        ValueError: not JSON, or an object with a `__proto__` key.
    """
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    return _DECODER.decode(text)


def _guarded(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if "__proto__" in found:
        raise ValueError("__proto__")
    return found


def _reject(constant: str) -> NoReturn:
    raise ValueError(constant)


def _number(literal: str) -> int | float:
    value = float(literal)
    return int(value) if value.is_integer() else value


_DECODER = json.JSONDecoder(object_pairs_hook=_guarded, parse_constant=_reject, parse_float=_number)


@lru_cache(maxsize=4096)
def iso(seconds: float) -> str:
    """A Unix time as RFC 3339 with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def well_formed(text: str) -> str:
    """The text as UTF-8 can hold it: lone surrogates become U+FFFD."""
    return _LONE_SURROGATE.sub("\ufffd", text)


def sha256(text: str) -> str:
    """Lower-case sha256 of the text's UTF-8 bytes."""
    return hashlib.sha256(well_formed(text).encode()).hexdigest()
