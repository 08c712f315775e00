"""Include patterns that fit a path which no pattern selects."""

from __future__ import annotations

import re

from agent.disk.selection.patterns import check_pattern

_MARKS = re.compile(r"([*?\[\\])")


def file_pattern(path: str) -> str | None:
    """Return a pattern for files like the one at ``path``: of its ending, else of its path alone. None if none fits."""
    name = path.rpartition("/")[2]
    stem, _, ending = name.rpartition(".")
    return _allowed(f"**/*.{ending}" if stem.strip(".") and ending.isalnum() else f"/{_escaped(path)}")


def folder_pattern(path: str) -> str | None:
    """Return a pattern for every file in the folder at ``path``. None if none fits."""
    return _allowed(f"/{_escaped(path)}/**")


def _allowed(pattern: str) -> str | None:
    """Return a pattern that a person can type; None for one that is not UTF-8 or has control characters."""
    typable = not any("\udc80" <= character <= "\udcff" for character in pattern)
    return pattern if typable and check_pattern(pattern) is None else None


def _escaped(path: str) -> str:
    escaped = _MARKS.sub(r"\\\1", path)
    # Without the backslash, gitignore rules drop a space at the end.
    return f"{escaped[:-1]}\\ " if escaped.endswith(" ") else escaped
