"""Bar charts as inline SVG, and the numbers behind them for the table beside each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

WIDTH: Final = 960
HEIGHT: Final = 120
_GAP: Final = 2
_BASELINE: Final = HEIGHT - 16


class Bar(Struct, frozen=True):
    """One span of time of a histogram.

    Attributes:
        at: its begin, with the local offset.
        end: its end.
        entries: number of changes.
        x, y, width, height: the bar in the drawing, in pixels.
        label: words below the bar; empty for most.
    """

    at: dt.datetime
    end: dt.datetime
    entries: int
    x: float
    y: float
    width: float
    height: float
    label: str


def histogram(counts: Sequence[Mapping[str, Any]], now: dt.datetime, by: str, spans: int) -> list[Bar]:
    """Return the bars of the last ``spans`` hours or days, empty ones too, oldest first.

    Args:
        counts: rows of ``activity_counts``.
        now: the present local time.
        by: hour or day.
    """
    step = dt.timedelta(hours=1) if by == "hour" else dt.timedelta(days=1)
    last = now.replace(minute=0, second=0, microsecond=0)
    if by == "day":
        last = last.replace(hour=0)
    entries = {dt.datetime.fromisoformat(row["at"]).timestamp(): row["entries"] for row in counts}
    most = max(entries.values(), default=1)
    width = WIDTH / spans
    bars = []
    for number in range(spans):
        at = last - step * (spans - 1 - number)
        found = entries.get(at.timestamp(), 0)
        # A bar of a single change among thousands is still seen.
        height = max(3.0, (_BASELINE - 4) * found / most) if found else 0.0
        label = ""
        if by == "hour" and at.hour % 6 == 0:
            label = at.strftime("%H:%M") if at.hour else at.strftime("%a %d")
        elif by == "day" and at.day % 5 == 1:
            label = at.strftime("%d %b")
        bars.append(
            Bar(at, at + step, found, round(number * width, 1), round(_BASELINE - height, 1),
                round(max(1.0, width - _GAP), 1), round(height, 1), label)
        )  # fmt: skip
    return bars
