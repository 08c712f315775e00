"""Checks of single fields in answers. Each has the wanted type, or the answer is GARBLED."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from agent.remotes.http.failures import malformed

_MAX_INTEGER: Final = 2**53
"""The first whole number that not every JSON reader can represent."""


def row(value: Any, what: str) -> Mapping[str, Any]:
    """Return ``value`` as a JSON object. Raises GARBLED."""
    if not isinstance(value, dict):
        raise malformed(f"the server's answer holds no {what}")
    return value


def rows(value: Any, what: str) -> list[Mapping[str, Any]]:
    """Return ``value`` as an array of JSON objects. Raises GARBLED."""
    if not isinstance(value, list):
        raise malformed(f"the server's answer holds no list of {what}s")
    return [row(item, what) for item in value]


def text(source: Mapping[str, Any], key: str) -> str:
    """Return a required string. Raises GARBLED."""
    value = source.get(key)
    if not isinstance(value, str):
        raise malformed(f"the server's answer lacks {key}")
    return value


def maybe_text(source: Mapping[str, Any], key: str) -> str | None:
    """Return an optional string. Raises GARBLED for any other type."""
    value = source.get(key)
    if value is not None and not isinstance(value, str):
        raise malformed(f"the server's answer holds a {key} that is not text")
    return value


def number(source: Mapping[str, Any], key: str) -> int:
    """Return a required whole number from 0 to 2**53 - 1. Raises GARBLED."""
    value = source.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MAX_INTEGER:
        raise malformed(f"the server's answer lacks {key}")
    return value


def texts(source: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return an array of strings; empty if it is missing or null. Raises GARBLED."""
    value = source.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise malformed(f"the server's answer holds a {key} that is not a list of texts")
    return tuple(value)


def sha256(content: bytes) -> str:
    """Return the sha256 in lower-case hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
