"""The trash of all folders, of unlinked ones too."""

from __future__ import annotations

import datetime as dt
from typing import Final

from starlette.responses import Response

from agent.core.humanize import parse_time
from agent.ui.folders import whole_path
from agent.ui.page_route import PageRoute
from agent.ui.pages.history import copy_path
from agent.ui.session import Notice
from agent.ui.visit import Visit
from agent.ui.words import address

ROWS: Final = 100


def trash(visit: Visit) -> Response:
    """List what was replaced or removed here, newest first."""
    folder = visit.query.text("folder")
    after = visit.query.text("after")
    rows = visit.call("trash", folder=folder or None, order="newest", limit=ROWS + 1, after=after or None)
    days = next((int(one["value"]) for one in visit.call("settings")["settings"] if one["name"] == "trash_days"), 30)
    shown = [{**row, "left": days_left(row["moved_at"], days)} for row in rows[:ROWS]]
    following = address("/trash", folder=folder, after=shown[-1]["id"]) if len(rows) > ROWS else ""
    return visit.page(
        "trash.html",
        rows=shown,
        after=after,
        folder=folder,
        following=following,
        copy_path=lambda row: copy_path(f"{row['root']}/{row['path']}", {"recorded_at": row["moved_at"]}),
    )


def days_left(moved_at: str, days: int, now: dt.datetime | None = None) -> int:
    """Return the days until an entry is deleted for good; 0 for one that is due."""
    then = parse_time(moved_at)
    if then is None:
        return days
    return max(0, (then + dt.timedelta(days=days) - (now or dt.datetime.now(dt.UTC))).days)


def restore(visit: Visit) -> Response:
    """Bring one entry back, in its place or as a copy."""
    form = visit.form
    root, path, raw, target = form.text("root"), form.text("path"), form.text("raw"), form.text("to")
    params = whole_path(root, path, raw)
    done = visit.call("restore", **params, trash_id=form.text("trash_id"), to=target or None)
    if not target and done["replaced"]:
        fields = {"root": root, "path": path, "raw": raw, "trash_id": done["replaced"]}
        return visit.go("/trash", Notice(f"Restored {path}. What was there is in the trash.", "good", "/trash", fields))
    return visit.go("/trash", f"Restored: {done['path']}")


def prune(visit: Visit) -> Response:
    """Delete the entries that are past their time."""
    done = visit.call("trash_prune")
    return visit.go("/trash", f"{done['removed']} entries were past their time and are deleted.")


ROUTES: Final = (
    PageRoute("/trash", trash),
    PageRoute("/trash", restore, "POST"),
    PageRoute("/trash/prune", prune, "POST"),
)
