"""The three-column view: mine, base and server line by line, with the changed words of each line."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Final

from msgspec import Struct

from agent.core.diff import diff_lines

_CONTEXT: Final = 3
"""Equal lines shown around each change."""
_MOST_ROWS: Final = 2000
_WORD_WORK: Final = 5_000
_LONGEST_LINE: Final = 2_000
"""Characters; the words of a longer line are not compared."""
_WORDS: Final = re.compile(r"\w+|\s+|.", re.DOTALL)


class WordSpan(Struct, frozen=True):
    """A piece of a line.

    Attributes:
        changed: True if the base does not have it at this place.
    """

    text: str
    changed: bool = False


class Cell(Struct, frozen=True):
    """One line of one text; ``number`` counts from 1."""

    number: int
    spans: tuple[WordSpan, ...]


class ColumnRow(Struct, frozen=True):
    """Lines side by side; None where a text has no such line.

    Attributes:
        kind: same, mine, server or both: the sides that differ from the base; gap for lines left out.
        skipped: number of lines that a gap leaves out.
    """

    kind: str
    mine: Cell | None = None
    base: Cell | None = None
    server: Cell | None = None
    skipped: int = 0


class _Aligned(Struct):
    """One side laid beside the base.

    Attributes:
        beside: line of the side beside a line of the base.
        extra: further lines of the side, by the line of the base they precede.
        changed: lines of the base that the side changed or removed.
    """

    beside: dict[int, int]
    extra: defaultdict[int, list[int]]
    changed: set[int]


def three_columns(base: str | None, mine: str, server: str) -> tuple[list[ColumnRow], bool]:
    """Lay three texts side by side; without a base, two of them.

    Returns:
        The rows, and True if there are more than are shown.
    """
    rows = list(_all_rows(base, mine, server))
    shown = list(_with_gaps(rows))
    return shown[:_MOST_ROWS], len(shown) > _MOST_ROWS


def _all_rows(base: str | None, mine: str, server: str) -> Iterator[ColumnRow]:
    ours, theirs = mine.splitlines(), server.splitlines()
    if base is None:
        yield from _two_columns(ours, theirs)
        return
    middle = base.splitlines()
    left, right = _aligned(middle, ours), _aligned(middle, theirs)
    for at in range(len(middle) + 1):
        # Here both sides may have lines that the base has not: they share rows, but are not the same lines.
        for a, b in zip_longest(left.extra.get(at, ()), right.extra.get(at, ())):
            kind = "mine" if b is None else "server" if a is None else "both"
            yield ColumnRow(kind, _cell(a, ours, ""), None, _cell(b, theirs, ""))
        if at == len(middle):
            return
        is_changed = (at in left.changed, at in right.changed)
        kind = {(False, False): "same", (True, False): "mine", (False, True): "server", (True, True): "both"}[
            is_changed
        ]
        line = middle[at]
        yield ColumnRow(
            kind,
            _cell(left.beside.get(at), ours, line),
            Cell(at + 1, (WordSpan(line),)),
            _cell(right.beside.get(at), theirs, line),
        )


def _two_columns(ours: Sequence[str], theirs: Sequence[str]) -> Iterator[ColumnRow]:
    for equal, start_a, end_a, start_b, end_b in diff_lines(ours, theirs).blocks:
        for a, b in zip_longest(range(start_a, end_a), range(start_b, end_b)):
            kind = "same" if equal else "mine" if b is None else "server" if a is None else "both"
            left, right = ("" if a is None else ours[a]), ("" if b is None else theirs[b])
            yield ColumnRow(kind, _cell(a, ours, right), None, _cell(b, theirs, left))


def _aligned(base: Sequence[str], side: Sequence[str]) -> _Aligned:
    found = _Aligned({}, defaultdict(list), set())
    for equal, start_a, end_a, start_b, end_b in diff_lines(base, side).blocks:
        paired = min(end_a - start_a, end_b - start_b)
        for offset in range(paired):
            found.beside[start_a + offset] = start_b + offset
        if not equal:
            found.changed |= set(range(start_a, end_a))
            if end_b - start_b > paired:
                found.extra[end_a] += range(start_b + paired, end_b)
    return found


def _cell(number: int | None, lines: Sequence[str], base: str) -> Cell | None:
    return None if number is None else Cell(number + 1, changed_words(base, lines[number]))


def changed_words(base: str, line: str) -> tuple[WordSpan, ...]:
    """Return a line in pieces, those marked that the other line does not have at their place."""
    if base == line:
        return (WordSpan(line),)
    if not base or max(len(base), len(line)) > _LONGEST_LINE:
        return (WordSpan(line, True),)
    before, after = _WORDS.findall(base), _WORDS.findall(line)
    return tuple(
        WordSpan("".join(after[start:end]), not equal)
        for equal, _, _, start, end in diff_lines(before, after, _WORD_WORK).blocks
        if end > start
    )


def _with_gaps(rows: Sequence[ColumnRow]) -> Iterator[ColumnRow]:
    near = bytearray(len(rows))
    for number, row in enumerate(rows):
        if row.kind != "same":
            first, last = max(0, number - _CONTEXT), min(len(rows), number + _CONTEXT + 1)
            near[first:last] = b"\1" * (last - first)
    skipped = 0
    for number, row in enumerate(rows):
        if near[number]:
            if skipped:
                yield ColumnRow("gap", skipped=skipped)
                skipped = 0
            yield row
        else:
            skipped += 1
    if skipped:
        yield ColumnRow("gap", skipped=skipped)
