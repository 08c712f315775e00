"""Looks at what clients send: hashes, text no database keeps, paths no machine should write."""

from __future__ import annotations

import hashlib

from agent.core import paths

MAX_PATH_BYTES = 2680
"""PostgreSQL's index over paths takes no longer entry."""

EMPTY_HASH = hashlib.sha256(b"").hexdigest()


def sha256_hex(data: bytes) -> str:
    """The identity of a text: lower-case sha256 of its UTF-8 bytes."""
    return hashlib.sha256(data).hexdigest()


def encoded(text: str) -> bytes | None:
    """The text in UTF-8, or None for text that cannot be kept: NUL or a lone surrogate in it."""
    if "\0" in text:
        return None
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


def storable(text: str) -> bool:
    """Whether `encoded` has an answer for the text, for who does not need it."""
    return "\0" not in text and (text.isascii() or encoded(text) is not None)


def path_fault(path: str) -> str | None:
    """Why a path is refused, or None if it names one file below a root on every platform."""
    if not storable(path):
        return "relativePath holds a NUL or a lone surrogate"
    if len(path) > MAX_PATH_BYTES or (not path.isascii() and len(path.encode()) > MAX_PATH_BYTES):
        return f"relativePath is longer than {MAX_PATH_BYTES} bytes"
    reason = paths.check(path)
    return None if reason is None else f"relativePath is refused: {reason}"
