"""Patterns that a person or an administrator writes: refused where they could only be a mistake."""

from __future__ import annotations

from typing import Final

MAX_LENGTH: Final = 1000
"""Characters of one pattern at most."""


def pattern_problem(pattern: str) -> str | None:
    """Return the reason a gitignore pattern cannot be used as an include or exclude pattern; None if it can.

    A file of patterns may hold comments, empty lines and negations. A single pattern that is one of these selects
    nothing, so every file would stop being synced.
    """
    text = pattern.strip()
    if not text or not text.strip("/"):
        return "is empty"
    if text.startswith("#"):
        return "is a comment"
    if text.startswith("!"):
        return "is negated; use an exclude pattern instead"
    if len(text) > MAX_LENGTH:
        return f"is longer than {MAX_LENGTH} characters"
    if "\0" in text or "\n" in text:
        return "holds a line end or a NUL character"
    if text.endswith("\\") and not text.endswith("\\\\"):
        return "ends with a lone backslash"
    return "has a [ without a ]" if _has_open_class(text) else None


def _has_open_class(text: str) -> bool:
    position = 0
    while position < len(text):
        if text[position] == "\\":
            position += 2
            continue
        if text[position] == "[":
            # A ] right after the [ or the negation is a member of the class.
            start = position + 1
            if text[start : start + 1] in ("!", "^"):
                start += 1
            end = text.find("]", start + 1)
            if end < 0:
                return True
            position = end
        position += 1
    return False
