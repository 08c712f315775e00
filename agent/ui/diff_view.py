"""Rows of a difference for a page, made from the lines of a unified diff. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

_HUNK: Final = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")


class DiffRow(Struct):
    """One line of a difference.

    Attributes:
        kind: hunk, same, removed, added, or changed for a removed line beside an added one.
        old, new: line numbers; None where that side has no such line.
        text: the line; of a hunk its heading. The removed line of a changed row.
        other: the added line of a changed row.
    """

    kind: str
    old: int | None
    new: int | None
    text: str
    other: str = ""


def unified_rows(lines: Sequence[str]) -> list[DiffRow]:
    """Return one row for each line of a unified diff. Its two headings are left out."""
    rows: list[DiffRow] = []
    old = new = 0
    for line in lines[2:]:
        hunk = _HUNK.match(line)
        if hunk:
            old, new = int(hunk[1]), int(hunk[2])
            rows.append(DiffRow("hunk", None, None, line))
        elif line.startswith("-"):
            rows.append(DiffRow("removed", old, None, line[1:]))
            old += 1
        elif line.startswith("+"):
            rows.append(DiffRow("added", None, new, line[1:]))
            new += 1
        elif line.startswith(" ") or not line:
            rows.append(DiffRow("same", old, new, line[1:]))
            old, new = old + 1, new + 1
    return rows


def split_rows(rows: Sequence[DiffRow]) -> list[DiffRow]:
    """Return the rows of two columns: the removed lines of a block beside the added ones that follow them."""
    found: list[DiffRow] = []
    at = 0
    while at < len(rows):
        if rows[at].kind != "removed":
            found.append(rows[at])
            at += 1
            continue
        middle = _end_of(rows, at, "removed")
        end = _end_of(rows, middle, "added")
        gone, came = rows[at:middle], rows[middle:end]
        pairs = min(len(gone), len(came))
        found += [
            DiffRow("changed", old.old, new.new, old.text, new.text)
            for old, new in zip(gone[:pairs], came[:pairs], strict=True)
        ]
        found += [*gone[pairs:], *came[pairs:]]
        at = end
    return found


def _end_of(rows: Sequence[DiffRow], at: int, kind: str) -> int:
    while at < len(rows) and rows[at].kind == kind:
        at += 1
    return at
