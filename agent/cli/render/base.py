"""Parts that several views use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from agent.cli.humanize import (
    short_home,
    size_words,
)
from agent.cli.output import Grid, Style, TextLine, View

Document = Mapping[str, Any]


TONES: Final = {
    "up_to_date": Style.GOOD,
    "syncing": Style.PLAIN,
    "paused": Style.ASIDE,
    "conflict": Style.CARE,
    "offline": Style.CARE,
    "error": Style.BAD,
    "halted": Style.BAD,
    "signed_out": Style.BAD,
}


def nothing(words: str) -> View:
    """Return the view of an empty list."""
    return [TextLine(words, Style.ASIDE)]


def grid(headings: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> View:
    """Return rows under headings, None as ``-``; ``empty`` when there are none."""
    cells = tuple(tuple("-" if cell is None else str(cell) for cell in row) for row in rows)
    return [Grid(tuple(headings), cells)] if cells else nothing(empty)


def changed(document: Any) -> View:
    """Show any document as its fields, one a line."""
    if not isinstance(document, Mapping):
        return [TextLine(str(document))]
    lines = [TextLine(f"{name}: {flat(value)}") for name, value in document.items() if value not in (None, [], {})]
    return lines or [TextLine("done")]


def flat(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {flat(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(flat(inner) for inner in value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def size(count: object) -> str:
    return size_words(count) if isinstance(count, int) else "-"


def root_or_dash(root: object) -> str:
    return "-" if root is None else short_home(root)
