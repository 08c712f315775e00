"""History of one file: its versions, their texts and differences, and bringing one back."""

from __future__ import annotations

import base64
import datetime as dt
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any, Final

from starlette.responses import Response

from agent.core.errors import AgentError, UsageError
from agent.core.humanize import parse_time, short_hash
from agent.ui.diff_view import split_rows, unified_rows
from agent.ui.folders import address_of, file_path, parents, shell_path, source_of
from agent.ui.page_route import PageRoute
from agent.ui.session import Notice
from agent.ui.visit import Visit
from agent.ui.words import address

LINES: Final = 5000
"""Lines of a text on one page."""
VERSIONS: Final = 500


def history(visit: Visit) -> Response:
    """Show the versions of a file, and one of them as text or as a difference."""
    source = source_of(visit)
    params, path = file_path(visit, source)
    raw = visit.query.text("raw")
    listed = visit.call("history", **params, limit=VERSIONS)
    versions = listed["versions"]
    chosen = _chosen(versions, visit.query.text("v"))
    view = visit.query.text("view") if visit.query.text("view") in ("text", "unified", "split") else "unified"
    against = visit.query.text("against") or "previous"
    shown: dict[str, Any] = {"rows": [], "message": "", "more": 0, "title": ""}
    if chosen is not None:
        shown = _shown(visit, params, versions, chosen, view, against)
    return visit.page(
        "history.html",
        source=source,
        path=path,
        crumbs=parents(path),
        days=_days(versions),
        versions=versions,
        error=listed["error"],
        chosen=chosen,
        view=view,
        against=against,
        shown=shown,
        wrap=visit.query.text("wrap") != "off",
        raw=raw,
        whole=shell_path(source["root"], path, raw),
        at=address_of("history", source["id"], path),
        address_of=address_of,
        start=visit.query.number("from", 1),
        copy_path=copy_path(f"{source['root']}/{path}", chosen) if chosen else "",
    )


def _chosen(versions: list[dict[str, Any]], wanted: str) -> dict[str, Any] | None:
    found = [one for one in versions if wanted and (one["id"] == wanted or one["hash"].startswith(wanted))]
    return next(iter(found or versions), None)


def _days(versions: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the versions by local day, each with the change of its size against the one before it."""
    for one, older in zip(versions, [*versions, None][1:], strict=True):
        one["change"] = one["size"] - older["size"] if older else None

    def day(version: dict[str, Any]) -> str:
        then = parse_time(version["recorded_at"])
        return "unknown day" if then is None else then.astimezone().strftime("%A, %d %B %Y")

    return [(name, list(group)) for name, group in groupby(versions, day)]


def _shown(
    visit: Visit,
    params: dict[str, str],
    versions: list[dict[str, Any]],
    chosen: dict[str, Any],
    view: str,
    against: str,
) -> dict[str, Any]:
    """Return the rows of the right side; a text that is kept nowhere is a message and no error of the page."""
    try:
        other = _other(versions, chosen, against)
        if view == "text" or other is None:
            return _text(visit, params, chosen)
        wanted = [chosen["hash"]] if other == "now" else [other, chosen["hash"]]
        found = visit.call("compare", **params, versions=wanted)
    except AgentError as error:
        return {"rows": [], "message": error.message, "more": 0, "title": ""}
    title = f"from {found['old']['name']} to {found['new']['name']}"
    if found["diff"] is None:
        return {
            "rows": [],
            "message": "One side is no text, or is too large to be compared.",
            "more": 0,
            "title": title,
        }
    rows = unified_rows(found["diff"])
    rows = split_rows(rows) if view == "split" else rows
    message = "" if rows else "No difference."
    if found["cut"]:
        message = "A region is larger than it could be: the comparison reached its limit of work."
    return {"rows": rows[:LINES], "message": message, "more": max(0, len(rows) - LINES), "title": title}


def _other(versions: list[dict[str, Any]], chosen: dict[str, Any], against: str) -> str | None:
    """Return the hash to compare with; ``now`` for the file itself; None if there is no earlier version."""
    if against not in ("", "previous"):
        return against
    older = versions[versions.index(chosen) + 1 :]
    return next((one["hash"] for one in older if one["hash"] != chosen["hash"]), None)


def _text(visit: Visit, params: dict[str, str], chosen: dict[str, Any]) -> dict[str, Any]:
    content = _content(visit, params, chosen["hash"])
    title = f"version {short_hash(chosen['hash'])}"
    if b"\0" in content:
        return {"rows": [], "message": "This version is no text.", "more": 0, "title": title}
    lines = content.decode("utf-8", "replace").splitlines()
    start = max(1, visit.query.number("from", 1))
    rows = list(enumerate(lines[start - 1 : start - 1 + LINES], start))
    message = "" if lines else "This version is empty."
    return {"rows": rows, "message": message, "more": max(0, len(lines) - start + 1 - LINES), "title": title}


def _content(visit: Visit, params: dict[str, str], version: str) -> bytes:
    return base64.b64decode(visit.call("show", **params, version=version)["content_base64"])


def copy_path(path: str, version: dict[str, Any] | None) -> str:
    """Return the path for a restored copy: ``notes (2026-03-01 1405).md`` beside ``notes.md``."""
    whole = PurePosixPath(path)
    then = parse_time(version["recorded_at"] if version else None) or dt.datetime.now(dt.UTC)
    return str(whole.with_name(f"{whole.stem} ({then.astimezone():%Y-%m-%d %H%M}){whole.suffix}"))


def restore(visit: Visit) -> Response:
    """Bring a version back, in its place or as a copy. What was there goes to the trash."""
    source = source_of(visit)
    params, path = file_path(visit, source)
    back = address(address_of("history", source["id"], path), raw=visit.form.text("raw"))
    target = visit.form.text("to")
    if target and not target.startswith(f"{source['root']}/"):
        raise UsageError("the copy would be outside this folder", "raven-agent restore PATH --version HASH --to FILE")
    trash_id = visit.form.text("trash_id")
    done = visit.call(
        "restore", **params, version=visit.form.text("version") or None, trash_id=trash_id or None, to=target or None
    )
    if target:
        return visit.go(back, f"Restored as a copy: {done['path']}")
    if done["replaced"]:
        fields = {"trash_id": done["replaced"], "raw": visit.form.text("raw")}
        undo = address_of("restore", source["id"], path)
        return visit.go(back, Notice("Restored. The text that was there is in the trash.", "good", undo, fields))
    return visit.go(back, "Restored.")


def download(visit: Visit) -> Response:
    """Send the bytes of one version as a file; no browser shows them as a page."""
    source = source_of(visit)
    params, _path = file_path(visit, source)
    content = _content(visit, params, visit.query.text("v"))
    headers = {"content-disposition": 'attachment; filename="version"'}
    return Response(content, media_type="application/octet-stream", headers=headers)


ROUTES: Final = (
    PageRoute("/history/{source}/{path:path}", history),
    PageRoute("/restore/{source}/{path:path}", restore, "POST"),
    PageRoute("/download/{source}/{path:path}", download),
)
