"""Lines of ignore files as a person reads them: each with its number, and what it is."""

from __future__ import annotations

import enum

from msgspec import Struct

from agent.disk.selection.glob import InvalidPattern, translate


class IgnoreLineKind(enum.StrEnum):
    """The kind of a line. Only patterns count."""

    PATTERN = "pattern"
    COMMENT = "comment"
    """A comment or an empty line."""
    MALFORMED = "malformed"
    """No valid pattern: it is left out, as in git."""


class IgnoreLine(Struct, frozen=True):
    """One line of an ignore file; ``number`` counts from 1."""

    number: int
    text: str
    kind: IgnoreLineKind


def ignore_lines(text: str) -> list[IgnoreLine]:
    """Return the lines of an ignore file, numbered as in the origins of ``PatternList.read``."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [IgnoreLine(number, line, _kind(line)) for number, line in enumerate((one.rstrip("\r") for one in lines), 1)]


def _kind(line: str) -> IgnoreLineKind:
    try:
        return IgnoreLineKind.COMMENT if translate(line) is None else IgnoreLineKind.PATTERN
    except InvalidPattern:
        return IgnoreLineKind.MALFORMED
