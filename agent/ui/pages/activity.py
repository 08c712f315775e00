"""Activity: what happened to files, newest first."""

from __future__ import annotations

import datetime as dt
import json
from itertools import groupby
from typing import Any, Final

from msgspec import Struct
from starlette.responses import Response

from agent.ui.charts import SPANS as CHART_SPANS
from agent.ui.charts import charts, first_span
from agent.ui.live import live_status
from agent.ui.page_route import PageRoute
from agent.ui.visit import Visit
from agent.ui.words import address

ROWS: Final = 200
_MANY: Final = 20
"""Entries of one second and one kind that are shown as one row."""
SPANS: Final = {"1h": 3600, "24h": 86_400, "7d": 7 * 86_400}


class _Filters(Struct, frozen=True):
    """The entries that the address selects.

    Attributes:
        folder, kind, part: folder, kind and part of the path; empty for all.
        span: one of ``SPANS``; empty for all.
    """

    folder: str
    kind: str
    part: str
    span: str

    def address(self, path: str, **more: object) -> str:
        """Return the address of a page with these filters."""
        return address(path, folder=self.folder, kind=self.kind, q=self.part, span=self.span, **more)

    def words(self) -> list[str]:
        """Return the same as words of the command."""
        flags = (("--kind", self.kind), ("--match", self.part), ("--since", self.span))
        chosen = [word for flag, value in flags if value for word in (flag, value)]
        return [*([self.folder] if self.folder else []), *chosen]

    def entries(self, visit: Visit, before: int, limit: int) -> list[dict[str, Any]]:
        """Return the newest entries ahead of an id (0 for all), newest first."""
        seconds = SPANS.get(self.span)
        since = None if seconds is None else (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)).isoformat()
        found: list[dict[str, Any]] = visit.call(
            "activity",
            folder=self.folder or None,
            kind=self.kind or None,
            match=self.part or None,
            since=since,
            order="newest",
            after=before or None,
            limit=limit,
        )
        return found


def _filters(visit: Visit) -> _Filters:
    folder, kind, part, span = (visit.query.text(name) for name in ("folder", "kind", "q", "span"))
    return _Filters(folder, kind if kind in KINDS else "", part, span if span in SPANS else "")


def activity(visit: Visit) -> Response:
    """Show the newest entries that the filters select, and charts of the last hours or days."""
    position, state = live_status(visit)
    filters = _filters(visit)
    now = dt.datetime.now().astimezone()
    by = visit.query.text("by")
    by = by if by in CHART_SPANS else "hour"
    since = first_span(now, by).isoformat()
    counts = visit.call("traffic", folder=filters.folder or None, by=by, since=since)
    entries = filters.entries(visit, visit.query.number("before", 0), ROWS + 1)
    rows = entries[:ROWS]
    return visit.page(
        "activity.html",
        live_after=position,
        groups=groups(rows),
        charts=charts(counts, now, by),
        chart_spans={name: f"last {number} {name}s" for name, number in CHART_SPANS.items()},
        sources=state["sources"],
        kinds=KINDS,
        filters=filters,
        spans=SPANS,
        following=filters.address("/activity", before=rows[-1]["id"]) if len(entries) > ROWS else "",
        export=filters.address("/activity/export"),
    )


def groups(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the rows by second, folder and kind where these are many; else one row each."""
    found: list[list[dict[str, Any]]] = []
    for _, same in groupby(rows, lambda line: (line["at"][:19], line["root"], line["what"])):
        lines = list(same)
        found += [lines] if len(lines) >= _MANY else [[line] for line in lines]
    return found


def export(visit: Visit) -> Response:
    """Send the selected entries as JSON, one a line, as ``activity --json`` prints them."""
    lines = "".join(json.dumps(line) + "\n" for line in reversed(_filters(visit).entries(visit, 0, 100_000)))
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
