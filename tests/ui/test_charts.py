"""Numbers of the charts, without a browser: spans without a gap, bars inside their drawing, sizes that go on."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import pytest

from agent.ui.charts import HEIGHT, SPANS, WIDTH, bars, charts, first_span, spans, steps

ZONE = dt.timezone(dt.timedelta(hours=5, minutes=45))
NOW = dt.datetime(2026, 3, 1, 14, 37, 12, tzinfo=ZONE)


def _row(at: dt.datetime, size: int | None = None, sent: int = 0, received: int = 0) -> dict[str, Any]:
    stamp = at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    files = None if size is None else size // 10
    return {"at": stamp, "changes": 1, "sent": sent, "received": received, "files": files, "bytes": size}


@pytest.mark.parametrize("by", SPANS)
def test_spans_follow_each_other_up_to_now(by: str) -> None:
    """There is one span for each hour or day, the last one holds the present, and rows are found in any zone."""
    first = first_span(NOW, by)
    made = spans([_row(first), _row(NOW.replace(minute=0, second=0, hour=14 if by == "hour" else 0))], NOW, by)
    assert len(made) == SPANS[by] and made[0].at == first
    step = dt.timedelta(hours=1) if by == "hour" else dt.timedelta(days=1)
    assert all(later.at - sooner.at == step for sooner, later in itertools.pairwise(made))
    assert made[-1].at <= NOW < made[-1].at + step
    assert [span.changes for span in made] == [1, *[0] * (SPANS[by] - 2), 1]


def test_a_size_holds_until_the_next_one() -> None:
    """Before the first known size none is shown; a span without a size keeps that of the span before."""
    first = first_span(NOW, "hour")
    hour = dt.timedelta(hours=1)
    made = spans([_row(first), _row(first + 2 * hour, 40), _row(first + 4 * hour)], NOW, "hour")
    assert [span.size for span in made[:6]] == [None, None, 40, 40, 40, 40]
    assert made[-1].files == 4


def test_bars_stay_in_their_part_and_keep_their_order() -> None:
    """Every value that is not 0 has a bar of at least 3 units; a larger value never has a shorter bar."""
    values = [0, 1, 7, 1_000_000, 999, 0]
    for hang in (False, True):
        found = bars(values, max(values), 4.0, 60.0, hang=hang)
        assert [bar.span for bar in found] == [1, 2, 3, 4]
        assert all(bar.y >= 4.0 and bar.y + bar.height <= 60.0 and bar.x + bar.width <= WIDTH for bar in found)
        assert all((bar.y == 4.0) if hang else (bar.y + bar.height == 60.0) for bar in found)
        heights = {values[bar.span]: bar.height for bar in found}
        assert [heights[value] for value in sorted(heights)] == sorted(heights.values())
        assert min(heights.values()) >= 3.0
    assert bars([0, 0], 0) == []


def test_the_area_has_a_step_for_each_known_size() -> None:
    """The outline begins and ends on the ground line, and begins with the first size that is known."""
    assert steps([None, None]) == ""
    assert {point.split(",")[1] for point in steps([0, 0]).split(" ")} == {f"{HEIGHT:.1f}"}
    points = [tuple(map(float, point.split(","))) for point in steps([None, 50, 100, 100]).split(" ")]
    assert points[0] == (240.0, HEIGHT) and points[-1] == (WIDTH, HEIGHT)
    assert points[1:-1] == [(240.0, 62.0), (480.0, 62.0), (480.0, 4.0), (720.0, 4.0), (720.0, 4.0), (960.0, 4.0)]


def test_sent_and_received_have_one_scale() -> None:
    """Both are drawn against the larger of the two, on either side of the middle."""
    first = first_span(NOW, "hour")
    drawn = charts([_row(first, 5, sent=100, received=50)], NOW, "hour")
    assert (drawn.most_bytes, drawn.most_changes, drawn.most_size) == (100, 1, 5)
    (sent,), (received,) = drawn.sent, drawn.received
    assert sent.y + sent.height < HEIGHT / 2 < received.y
    assert received.height == pytest.approx(sent.height / 2, abs=0.1)
    empty = charts([], NOW, "day")
    assert (list(empty.changes), empty.size, empty.most_size) == ([], "", 0)
