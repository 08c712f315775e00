"""Charts as inline SVG: bars over time, and the size of folders. The same numbers are in a table beside each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

WIDTH: Final = 960
HEIGHT: Final = 120
"""Size of every drawing. It is stretched to the width of the page, so it holds no text."""
_GAP: Final = 2
_LEAST: Final = 3.0
"""Height of a bar for a value that would be too small to be seen."""
HOURS: Final = 48
DAYS: Final = 30
SPANS: Final[Mapping[str, int]] = {"hour": HOURS, "day": DAYS}
"""Number of spans of a chart by the length of a span."""


class ChartSpan(Struct, frozen=True):
    """One span of time.

    Attributes:
        at: its begin, with the local offset.
        changes: entries of the activity log about files.
        sent, received: bytes.
        files, size: files in the folders at its end, and their bytes; None where they are not known.
    """

    at: dt.datetime
    changes: int = 0
    sent: int = 0
    received: int = 0
    files: int | None = None
    size: int | None = None


class Rect(Struct, frozen=True):
    """One bar in the drawing, in its units; ``span`` is the number of its span."""

    span: int
    x: float
    y: float
    width: float
    height: float


def first_span(now: dt.datetime, by: str) -> dt.datetime:
    """Return the begin of the oldest span of a chart that ends now.

    Args:
        now: the present local time.
        by: hour or day.
    """
    last = now.replace(minute=0, second=0, microsecond=0)
    step = dt.timedelta(hours=1)
    if by == "day":
        last, step = last.replace(hour=0), dt.timedelta(days=1)
    return last - step * (SPANS[by] - 1)


def spans(rows: Sequence[Mapping[str, Any]], now: dt.datetime, by: str) -> list[ChartSpan]:
    """Return the spans of a chart that ends now, also those without any change, oldest first.

    Args:
        rows: answer of ``traffic``, oldest first.
        now: the present local time.
        by: hour or day.
    """
    step = dt.timedelta(hours=1) if by == "hour" else dt.timedelta(days=1)
    first = first_span(now, by)
    found = {dt.datetime.fromisoformat(row["at"]).timestamp(): row for row in rows}
    made: list[ChartSpan] = []
    files = size = None
    for number in range(SPANS[by]):
        at = first + step * number
        row = found.get(at.timestamp())
        if row is None:
            # Without a change the folders stay as large as they were.
            made.append(ChartSpan(at, files=files, size=size))
            continue
        files, size = (row["files"], row["bytes"]) if row["bytes"] is not None else (files, size)
        made.append(ChartSpan(at, row["changes"], row["sent"], row["received"], files, size))
    return made


def bars(
    values: Sequence[int], most: int, top: float = 4.0, bottom: float = HEIGHT, *, hang: bool = False
) -> list[Rect]:
    """Return one bar for each value that is not 0.

    Args:
        values: one a span.
        most: value of the highest bar, at least 1.
        top, bottom: the part of the drawing that the bars fill.
        hang: True for bars that hang from the top.
    """
    width = WIDTH / len(values)
    found = []
    for number, value in enumerate(values):
        if value:
            # One change among thousands is still seen.
            height = max(_LEAST, (bottom - top) * value / max(most, 1))
            y = top if hang else bottom - height
            found.append(Rect(number, round(number * width, 1), round(y, 1), round(width - _GAP, 1), round(height, 1)))
    return found


def steps(values: Sequence[int | None]) -> str:
    """Return the outline of an area with one step for each value, as points of a polygon; empty if none is known.

    The area begins with the first known value. Its base is 0, so that its height is the size itself.
    """
    known = [(number, value) for number, value in enumerate(values) if value is not None]
    if not known:
        return ""
    width = WIDTH / len(values)
    most = max(1, *(value for _, value in known), 1)
    points = [(known[0][0] * width, float(HEIGHT))]
    for number, value in known:
        y = HEIGHT - (HEIGHT - 4) * value / most
        points += [(number * width, y), ((number + 1) * width, y)]
    points.append((float(WIDTH), float(HEIGHT)))
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


class Charts(Struct, frozen=True):
    """The drawings of one page.

    Attributes:
        by: hour or day.
        spans: the numbers, oldest first.
        changes, sent, received: bars; those of the received bytes hang below those of the sent ones.
        size: outline of the size of the folders; empty if it is not known.
        most_changes, most_bytes, most_size: values of the highest points.
    """

    by: str
    spans: Sequence[ChartSpan]
    changes: Sequence[Rect]
    sent: Sequence[Rect]
    received: Sequence[Rect]
    size: str
    most_changes: int
    most_bytes: int
    most_size: int


def charts(rows: Sequence[Mapping[str, Any]], now: dt.datetime, by: str) -> Charts:
    """Return the drawings for the answer of ``traffic``; see ``spans`` for the parameters."""
    found = spans(rows, now, by)
    most_changes = max(span.changes for span in found)
    most_bytes = max(max(span.sent, span.received) for span in found)
    middle = HEIGHT / 2
    return Charts(
        by=by,
        spans=found,
        changes=bars([span.changes for span in found], most_changes),
        sent=bars([span.sent for span in found], most_bytes, bottom=middle - 1),
        received=bars([span.received for span in found], most_bytes, top=middle + 1, bottom=HEIGHT - 4, hang=True),
        size=steps([span.size for span in found]),
        most_changes=most_changes,
        most_bytes=most_bytes,
        most_size=max((span.size for span in found if span.size is not None), default=0),
    )
