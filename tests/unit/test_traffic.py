"""The series of the charts: quarters of an hour, their sums, and the size of the folder at the end of each span."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from agent.index import Index, open_index
from agent.index.traffic import QUARTER, TrafficRow, TrafficSpan, spans_of

ONE, OTHER = 1, 2
HOUR = 3600


@pytest.fixture
def index() -> Iterator[Index]:
    with contextlib.closing(open_index(":memory:")) as made:
        yield made


def test_a_quarter_adds_up_and_keeps_its_last_size(index: Index) -> None:
    """Two writes of one quarter are one row; an unknown size keeps the known one; another source is apart."""
    index.traffic.add(ONE, 900.0, 2, 10, 0, (3, 30))
    index.traffic.add(ONE, 1799.9, 1, 0, 5, None)
    index.traffic.add(ONE, 1800.0, 1, 1, 1, (2, 20))
    index.traffic.add(OTHER, 900.0, 1, 0, 0, None)
    assert index.traffic.rows([ONE], 0.0) == [
        TrafficRow(ONE, 1, 3, 10, 5, 3, 30),
        TrafficRow(ONE, 2, 1, 1, 1, 2, 20),
    ]
    assert [row.source for row in index.traffic.rows([ONE, OTHER], 0.0)] == [ONE, OTHER, ONE]
    # A time within a quarter takes the whole of it.
    assert [row.quarter for row in index.traffic.rows([ONE], 1799.0)] == [1, 2]
    assert index.traffic.folders_before([ONE, OTHER], 1800.0) == {ONE: (3, 30)}
    assert index.traffic.folders_before([ONE], 900.0) == {}
    index.traffic.prune(1800.0)
    assert [row.quarter for row in index.traffic.rows([ONE, OTHER], 0.0)] == [2]


def _row(source: int, hours: float, size: int | None = None) -> TrafficRow:
    return TrafficRow(source, int(hours * HOUR / QUARTER), 1, 2, 3, None if size is None else 1, size)


def test_spans_are_sums_with_the_size_at_their_end() -> None:
    """Empty spans are left out; a size that is not known is that of the span before; two folders are added."""
    rows = [_row(ONE, 1.0, 10), _row(ONE, 1.75, 12), _row(OTHER, 1.75), _row(OTHER, 3.0, 100), _row(ONE, 5.0)]
    assert spans_of(rows, {}, HOUR, 0) == [
        TrafficSpan(1.0 * HOUR, 3, 6, 9, 1, 12),
        TrafficSpan(3.0 * HOUR, 1, 2, 3, 2, 112),
        TrafficSpan(5.0 * HOUR, 1, 2, 3, 2, 112),
    ]
    assert spans_of(rows[2:3], {}, HOUR, 0) == [TrafficSpan(1.0 * HOUR, 1, 2, 3, None, None)]
    assert spans_of(rows[2:3], {ONE: (4, 5)}, HOUR, 0)[0].size == 5


@pytest.mark.parametrize("offset", [0, 3600, -5 * 3600, 20700, 19800])
def test_spans_begin_at_local_hours_and_midnights(offset: int) -> None:
    """In every zone, also one that is 45 minutes off, a span begins at a whole local hour or day."""
    rows = [_row(ONE, quarter / 4) for quarter in range(400, 600)]
    for seconds in (HOUR, 24 * HOUR):
        spans = spans_of(rows, {}, seconds, offset)
        assert sum(span.changes for span in spans) == len(rows)
        assert all((span.start + offset) % seconds == 0 for span in spans)
        assert [span.start for span in spans] == sorted(span.start for span in spans)
