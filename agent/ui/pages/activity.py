"""Activity: what happened to files, newest first."""

from __future__ import annotations

import datetime as dt
import json
from itertools import groupby
from typing import Any, Final

from starlette.responses import Response

from agent.ui.charts import HEIGHT, WIDTH, histogram
from agent.ui.folders import all_sources
from agent.ui.live import live_position
from agent.ui.page_route import PageRoute
from agent.ui.visit import Visit
from agent.ui.words import address

ROWS: Final = 200
HOURS: Final = 48
"""Hours of the chart."""
_MANY: Final = 20
"""Entries of one second and one kind that are shown as one row."""
SPANS: Final = {"1h": 3600, "24h": 86_400, "7d": 7 * 86_400}


def activity(visit: Visit) -> Response:
    """Show the newest entries that the filters select, and a chart of the last day."""
    position = live_position(visit)
    folder, kind, part = (visit.query.text(name) for name in ("folder", "kind", "q"))
    span = visit.query.text("span")
    before = visit.query.number("before", 0)
    now = dt.datetime.now().astimezone()
    since = (now - dt.timedelta(hours=HOURS)).isoformat()
    counts = visit.call("activity_counts", folder=folder or None, by="hour", since=since)
    entries = _selected(visit, before, 5000)
    rows = entries[:ROWS]
    following = ""
    if len(entries) > ROWS:
        following = address("/activity", folder=folder, kind=kind, q=part, span=span, before=rows[-1]["id"])
    return visit.page(
        "activity.html",
        live_after=position,
        groups=groups(rows),
        bars=histogram(counts, now, "hour", HOURS),
        size=(WIDTH, HEIGHT),
        sources=all_sources(visit),
        kinds=KINDS,
        folder=folder,
        kind=kind,
        part=part,
        span=span,
        spans=SPANS,
        following=following,
        export=address("/activity/export", folder=folder, kind=kind, q=part, span=span),
    )


def _selected(visit: Visit, before: int, limit: int) -> list[dict[str, Any]]:
    """Return the newest entries that the filters of the address select, newest first."""
    folder, kind, part = (visit.query.text(name) for name in ("folder", "kind", "q"))
    seconds = SPANS.get(visit.query.text("span"))
    since = None if seconds is None else (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)).isoformat()
    found = visit.call("activity", folder=folder or None, since=since, limit=limit)
    return [
        line
        for line in reversed(found)
        if (not before or line["id"] < before)
        and (not kind or line["what"] == kind)
        and (not part or part.lower() in (line["path"] or "").lower())
    ]


def groups(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the rows by second, folder and kind where these are many; else one row each."""
    found: list[list[dict[str, Any]]] = []
    for _, same in groupby(rows, lambda line: (line["at"][:19], line["root"], line["what"])):
        lines = list(same)
        found += [lines] if len(lines) >= _MANY else [[line] for line in lines]
    return found


def export(visit: Visit) -> Response:
    """Send the selected entries as JSON, one a line, as ``activity --json`` prints them."""
    lines = "".join(json.dumps(line) + "\n" for line in reversed(_selected(visit, 0, 100_000)))
    headers = {"content-disposition": 'attachment; filename="activity.jsonl"'}
    return Response(lines, media_type="application/x-ndjson", headers=headers)


KINDS: Final = (
    "pushed",
    "pulled",
    "deleted_remote",
    "deleted_local",
    "restored",
    "conflict",
    "conflict_closed",
    "refused",
    "halted",
    "deletes_held",
    "paused",
    "resumed",
)

ROUTES: Final = (PageRoute("/activity", activity), PageRoute("/activity/export", export))
