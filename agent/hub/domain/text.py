"""Checks of client input: text that a database cannot store, and paths that no machine should write."""

from __future__ import annotations

from agent.core import paths

MAX_PATH_BYTES = 2680
"""Longest path. PostgreSQL's index over paths accepts no longer entry."""


def encoded(text: str) -> bytes | None:
    """Return the text in UTF-8, or None if no database can store it (NUL or a lone surrogate)."""
    if "\0" in text:
        return None
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


def storable(text: str) -> bool:
    """Return True if `encoded` would return bytes. Cheaper, for callers that do not need them."""
    return "\0" not in text and (text.isascii() or encoded(text) is not None)


def is_text(data: bytes) -> bool:
    """Return True for UTF-8 without NUL: a text that Raven's face can carry."""
    if b"\0" in data:
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def path_fault(path: str) -> str | None:
    """Return the reason a path is refused, or None if it names one file below a root on every platform."""
    if not storable(path):
        return "relativePath holds a NUL or a lone surrogate"
    if len(path) > MAX_PATH_BYTES or (not path.isascii() and len(path.encode()) > MAX_PATH_BYTES):
        return f"relativePath is longer than {MAX_PATH_BYTES} bytes"
    reason = paths.check(path)
    return None if reason is None else f"relativePath is refused: {reason}"
