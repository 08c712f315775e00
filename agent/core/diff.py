"""Line differences with bounded work.

``difflib`` needs quadratic to cubic time on texts with many equal lines. Here the work is counted: unique common lines
split the texts (patience), the gaps are compared with Myers' greedy algorithm, and a gap that exceeds the budget
becomes one replaced block. Such a difference is correct, only coarser; ``LineDiff.cut`` reports it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

DIFF_WORK: Final = 200_000
"""Steps of Myers' algorithm for one pair of texts; about 0.1 s."""
MAX_LINES: Final = 100_000
"""Differing texts with more lines than this, common ends apart, are shown as one replaced block."""

_Run = tuple[int, int, int]
"""Equal lines: index in the first text, index in the second, length."""


class DiffBlock(NamedTuple):
    """A region of both texts; indices are 0-based and half open.

    Attributes:
        equal: True if the lines of both sides are the same.
        start_a, end_a: lines of the first text.
        start_b, end_b: lines of the second text.
    """

    equal: bool
    start_a: int
    end_a: int
    start_b: int
    end_b: int


class LineDiff(Struct, frozen=True):
    """The difference of two texts.

    Attributes:
        blocks: regions in order that cover both texts; equal and unequal ones alternate.
        cut: True if the work bound was reached, so that some region is coarser than it could be.
    """

    blocks: list[DiffBlock]
    cut: bool


def diff_lines(a: Sequence[Hashable], b: Sequence[Hashable], work: int = DIFF_WORK) -> LineDiff:
    """Compare two texts line by line in at most ``work`` steps beyond linear time."""
    comparison = _Comparison(a, b, work)
    blocks = list(_blocks(sorted(comparison.runs()), len(a), len(b)))
    return LineDiff(blocks, comparison.cut)


class LineMatcher:
    """``difflib.SequenceMatcher`` as far as ``merge3`` uses it, with bounded work."""

    def __init__(
        self, isjunk: object, a: Sequence[Hashable] = (), b: Sequence[Hashable] = (), autojunk: bool = True
    ) -> None:
        self._diff = diff_lines(a, b)
        self.cut = self._diff.cut
        self._end = (len(a), len(b), 0)

    def get_matching_blocks(self) -> list[tuple[int, int, int]]:
        """Return equal regions as (index in a, index in b, length), closed by an empty one at the end."""
        found = [(block.start_a, block.start_b, block.end_a - block.start_a) for block in self._diff.blocks if block[0]]
        return [*found, self._end]


def unified(a: Sequence[str], b: Sequence[str], names: tuple[str, str], context: int = 3) -> tuple[list[str], bool]:
    """Return the lines of a unified diff, and True if the work bound cut it."""
    found = diff_lines(a, b)
    lines: list[str] = []
    for hunk in _hunks(found.blocks, context):
        if not lines:
            lines += [f"--- {names[0]}", f"+++ {names[1]}"]
        spans = _span(hunk[0].start_a, hunk[-1].end_a), _span(hunk[0].start_b, hunk[-1].end_b)
        lines.append(f"@@ -{spans[0]} +{spans[1]} @@")
        for equal, start_a, end_a, start_b, end_b in hunk:
            if equal:
                lines += [f" {line}" for line in a[start_a:end_a]]
            else:
                lines += [f"-{line}" for line in a[start_a:end_a]]
                lines += [f"+{line}" for line in b[start_b:end_b]]
    return lines, found.cut


def _span(start: int, end: int) -> str:
    """A range of a unified diff; an empty one names the line before it."""
    length = end - start
    return f"{start + 1}" if length == 1 else f"{start + 1 if length else start},{length}"


def _hunks(blocks: list[DiffBlock], context: int) -> Iterator[list[DiffBlock]]:
    """Group blocks; an equal region longer than twice the context separates two hunks."""
    hunk: list[DiffBlock] = []
    for block in blocks:
        equal, start_a, end_a, start_b, end_b = block
        length = end_a - start_a
        if not equal:
            hunk.append(block)
        elif not hunk:
            lead = min(context, length)
            hunk = [DiffBlock(True, end_a - lead, end_a, end_b - lead, end_b)]
        elif length <= 2 * context:
            hunk.append(block)
        else:
            hunk.append(DiffBlock(True, start_a, start_a + context, start_b, start_b + context))
            yield hunk
            hunk = [DiffBlock(True, end_a - context, end_a, end_b - context, end_b)]
    if any(not block.equal for block in hunk):
        last = hunk[-1]
        if last.equal and last.end_a - last.start_a > context:
            hunk[-1] = DiffBlock(True, last.start_a, last.start_a + context, last.start_b, last.start_b + context)
        yield hunk


def _blocks(runs: Sequence[_Run], end_a: int, end_b: int) -> Iterator[DiffBlock]:
    """Turn runs of equal lines, in order, into alternating regions; runs that touch become one."""
    at_a = at_b = start_a = start_b = 0
    for index_a, index_b, length in [*runs, (end_a, end_b, 0)]:
        if (index_a, index_b) != (at_a, at_b):
            if at_a > start_a:
                yield DiffBlock(True, start_a, at_a, start_b, at_b)
            yield DiffBlock(False, at_a, index_a, at_b, index_b)
            start_a, start_b = index_a, index_b
        at_a, at_b = index_a + length, index_b + length
    if at_a > start_a:
        yield DiffBlock(True, start_a, at_a, start_b, at_b)


class _Comparison:
    """One comparison with its remaining work."""

    def __init__(self, a: Sequence[Hashable], b: Sequence[Hashable], work: int) -> None:
        self._a = a
        self._b = b
        self._work = work
        self.cut = False

    def runs(self) -> Iterator[_Run]:
        """Yield runs of equal lines, without crossings; not in order."""
        head, tail = _common_ends(self._a, self._b)
        end_a, end_b = len(self._a) - tail, len(self._b) - tail
        yield from ((0, 0, head), (end_a, end_b, tail))
        if max(end_a, end_b) - head > MAX_LINES:
            self.cut = True
            return
        # A line that only one side has can match nothing: without it Myers' algorithm has far fewer edits to try.
        both = set(self._a[head:end_a]) & set(self._b[head:end_b])
        left = [i for i in range(head, end_a) if self._a[i] in both]
        right = [i for i in range(head, end_b) if self._b[i] in both]
        at_left = at_right = 0
        for end_left, end_right in [*self._unique_pairs(left, right), (len(left), len(right))]:
            for x, y in self._gap(left[at_left:end_left], right[at_right:end_right]):
                yield x, y, 1
            if end_left < len(left):
                yield left[end_left], right[end_right], 1
            at_left, at_right = end_left + 1, end_right + 1

    def _unique_pairs(self, left: list[int], right: list[int]) -> list[tuple[int, int]]:
        """Positions of lines that occur once on each side, as the longest run in the order of both."""
        times_a = Counter(self._a[i] for i in left)
        times_b = Counter(self._b[i] for i in right)
        place = {self._b[i]: n for n, i in enumerate(right) if times_b[self._b[i]] == 1}
        found = [(n, place[self._a[i]]) for n, i in enumerate(left) if times_a[self._a[i]] == 1 and self._a[i] in place]
        # Patience sorting: each pile keeps its smallest end, and each pair the end of the pile before it.
        ends: list[int] = []
        tops: list[int] = []
        before: list[int] = []
        for index, (_, target) in enumerate(found):
            pile = bisect_left(ends, target)
            before.append(tops[pile - 1] if pile else -1)
            ends[pile : pile + 1] = [target]
            tops[pile : pile + 1] = [index]
        chosen: list[tuple[int, int]] = []
        index = tops[-1] if tops else -1
        while index >= 0:
            chosen.append(found[index])
            index = before[index]
        return chosen[::-1]

    def _gap(self, left: list[int], right: list[int]) -> Iterator[tuple[int, int]]:
        """Match what lies between two anchors."""
        a = [self._a[i] for i in left]
        b = [self._b[i] for i in right]
        head, tail = _common_ends(a, b)
        end_a, end_b = len(a) - tail, len(b) - tail
        yield from ((left[i], right[i]) for i in range(head))
        yield from ((left[end_a + i], right[end_b + i]) for i in range(tail))
        for x, y in self._myers(a[head:end_a], b[head:end_b]):
            yield left[head + x], right[head + y]

    def _myers(self, a: list[Hashable], b: list[Hashable]) -> Iterator[tuple[int, int]]:
        """Myers' greedy algorithm; matches nothing once the work is used up."""
        if not a or not b:
            return
        # furthest[diagonal + edits]: the furthest index in `a` on each diagonal (index in a - index in b).
        trace: list[list[int]] = []
        last: list[int] = []
        for edits in range(len(a) + len(b) + 1):
            furthest = [-1] * (2 * edits + 1)
            for diagonal in range(-edits, edits + 1, 2):
                start = x = _after_edit(last, edits, diagonal)[0]
                y = x - diagonal
                while x < len(a) and y < len(b) and a[x] == b[y]:
                    x, y = x + 1, y + 1
                furthest[diagonal + edits] = x
                self._work -= 1 + x - start
                if x >= len(a) and y >= len(b):
                    yield from _walk_back(trace, len(a), len(b))
                    return
            trace.append(furthest)
            last = furthest
            if self._work <= 0:
                self.cut = True
                return


def _after_edit(last: list[int], edits: int, diagonal: int) -> tuple[int, int]:
    """Return the index in `a` behind the edit number ``edits``, and the diagonal the path had before it."""
    if not edits:
        return 0, 0
    below = diagonal + edits  # last[below - 2] is the diagonal below, last[below] the one above
    if diagonal == -edits or (diagonal != edits and last[below - 2] < last[below]):
        return last[below], diagonal + 1
    return last[below - 2] + 1, diagonal - 1


def _walk_back(trace: list[list[int]], x: int, y: int) -> Iterator[tuple[int, int]]:
    """Yield the matched pairs of the shortest edit path, from its end."""
    for edits in range(len(trace), -1, -1):
        start, before = _after_edit(trace[edits - 1] if edits else [], edits, x - y)
        # An edit comes first, then the run of equal lines that follows it.
        while x > start:
            x, y = x - 1, y - 1
            yield x, y
        if edits:
            x = trace[edits - 1][before + edits - 1]
            y = x - before


def _common_ends(a: Sequence[Hashable], b: Sequence[Hashable]) -> tuple[int, int]:
    """Numbers of equal lines at the beginning and, behind those, at the end."""
    shorter = min(len(a), len(b))
    head = next((i for i in range(shorter) if a[i] != b[i]), shorter)
    tail = next((i for i in range(shorter - head) if a[-1 - i] != b[-1 - i]), shorter - head)
    return head, tail
