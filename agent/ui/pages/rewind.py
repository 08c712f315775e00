"""Rewind: a whole folder as it was at a time, and the way back from that."""

from __future__ import annotations

import datetime as dt
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import Response

from agent.core.errors import AgentError, UsageError
from agent.core.humanize import count_of
from agent.ui.charts import SPANS, charts, first_span
from agent.ui.page_route import PageRoute
from agent.ui.session import Notice
from agent.ui.visit import Visit

_MOST_ROWS: Final = 500
_NO_ROWS: Final[Mapping[str, Sequence[Any]]] = {"restore": [], "remove": [], "unknown": []}


def choose(visit: Visit) -> Response:
    """Show the folders that can be rewound."""
    status = visit.call("status")
    if len(status["sources"]) == 1:
        return visit.go(f"/rewind/{status['sources'][0]['id']}")
    return visit.page("rewind_choose.html", sources=status["sources"])


def rewind(visit: Visit) -> Response:
    """Show when files changed; with a time, exactly the files that going back to it would change."""
    source = _source(visit)
    root = source["root"]
    by = visit.query.text("by", "hour")
    if by not in SPANS:
        by = "hour"
    now = dt.datetime.now().astimezone()
    counts = visit.call("traffic", folder=root, by=by, since=first_span(now, by).isoformat())
    at = _time(visit.query.text("at"))
    below = _below(visit.query.text("below"))
    plan, problem = None, ""
    if at is not None:
        try:
            plan = visit.call("rewind", folder=_joined(root, below), at=at.isoformat(), dry_run=True)
        except AgentError as error:
            problem = error.message
    return visit.page(
        "rewind.html",
        source=source,
        charts=charts(counts, now, by),
        by=by,
        below=below,
        whole=_joined(root, below),
        at=at,
        at_field=(at or now).strftime("%Y-%m-%dT%H:%M"),
        latest=now.strftime("%Y-%m-%dT%H:%M"),
        plan=plan,
        groups=_groups(plan["files"]) if plan else _NO_ROWS,
        most=_MOST_ROWS,
        problem=problem,
    )


def _source(visit: Visit) -> Mapping[str, Any]:
    wanted = visit.route["source"]
    for source in visit.call("status")["sources"]:
        if source["id"] == wanted:
            return dict(source)
    raise UsageError("no linked folder has this address", "raven-agent status lists them")


def _below(text: str) -> str:
    """Return a path below the root of the folder. Raises UsageError for one that leads out of it."""
    found = posixpath.normpath(text.strip().strip("/")) if text.strip(" /") else ""
    if found.startswith(".."):
        raise UsageError(f"{text!r} leads out of the folder", "give a path below it")
    return "" if found == "." else found


def _joined(root: str, below: str) -> str:
    return f"{root}/{below}" if below else root


def _time(text: str) -> dt.datetime | None:
    """Return a typed time; local unless it says otherwise. Raises UsageError."""
    if not text:
        return None
    try:
        return dt.datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise UsageError(f"{text!r} is not a time", "for example 2026-03-01T12:00") from None


def _groups(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Sequence[Any]]:
    return {step: [row for row in rows if row["step"] == step] for step in _NO_ROWS}


def apply(visit: Visit) -> Response:
    """Change exactly the files that were shown."""
    source = _source(visit)
    at = _time(visit.form.text("at"))
    if at is None:
        raise UsageError("the form names no time", "load the page again")
    folder = _joined(source["root"], _below(visit.form.text("below")))
    document = visit.call("rewind", folder=folder, at=at.isoformat(), plan=visit.form.text("plan"))
    undo = f"/rewind/{source['id']}/undo"
    return visit.go(f"/rewind/{source['id']}", Notice(_result(document, "The folder is back"), undo=undo))


def look(visit: Visit) -> Response:
    """Lead to the files that going back to a time would change; nothing is changed yet."""
    at = _time(visit.form.text("at"))
    if at is None:
        raise UsageError("the form names no time", "load the page again")
    return visit.go(f"/rewind/{_source(visit)['id']}?{urlencode({'at': at.isoformat()})}")


def undo(visit: Visit) -> Response:
    """Bring back what the last rewind changed."""
    source = _source(visit)
    document = visit.call("rewind", folder=source["root"], undo=True)
    return visit.go(f"/rewind/{source['id']}", _result(document, "Undone"))


def _result(document: Mapping[str, Any], words: str) -> str:
    done = [row for row in document["files"] if row["step"] != "unknown"]
    left = [row for row in document["files"] if row["step"] == "unknown"]
    text = f"{words}: {count_of(len(done), 'file')} changed."
    if left:
        text += (
            f" {count_of(len(left), 'file')} left as they are; the first is {left[0]['path']}: {left[0]['message']}."
        )
    return text


ROUTES: Final = (
    PageRoute("/rewind", choose),
    PageRoute("/rewind/{source}", rewind),
    PageRoute("/rewind/{source}", apply, "POST"),
    PageRoute("/rewind/{source}/look", look, "POST"),
    PageRoute("/rewind/{source}/undo", undo, "POST"),
)
