"""Rules of one folder: its patterns, a tester, and a preview before anything is saved."""

from __future__ import annotations

import posixpath
from typing import Any, Final

from starlette.responses import Response

from agent.core.errors import AgentError
from agent.core.humanize import count_of
from agent.ui.folders import source_of
from agent.ui.page_route import PageRoute
from agent.ui.session import Notice
from agent.ui.visit import Visit
from agent.ui.words import command, path_segment

NAMED: Final = 200
_USUAL: Final = ("**/*.md", "**/*.markdown", "**/*.txt")


def rules(visit: Visit) -> Response:
    """Show the patterns of a folder, and what a tested path or pattern meets."""
    source = source_of(visit)
    return visit.page("rules.html", **_values(visit, source))


def _values(visit: Visit, source: dict[str, Any]) -> dict[str, Any]:
    tested = visit.query.text("test").strip()
    return {
        "source": source,
        "at": f"/rules/{path_segment(source['id'])}",
        "patterns": visit.call("rules", folder=source["root"], under=_folder_of(tested) or None),
        "usual": _USUAL,
        "tested": tested,
        "verdict": _verdict(visit, source, tested) if tested else None,
        "hits": visit.call("files", folder=source["root"], match=tested, limit=20) if tested else [],
        "form": {"include": "", "exclude": "", "replace": False, "remove": []},
        "preview": None,
        "line": "",
    }


def _folder_of(tested: str) -> str:
    """Return the folder of a tested path; empty for a pattern."""
    return "" if _is_pattern(tested) else posixpath.dirname(tested.strip("/"))


def _is_pattern(tested: str) -> bool:
    return any(sign in tested for sign in "*?[")


def _verdict(visit: Visit, source: dict[str, Any], tested: str) -> dict[str, Any] | None:
    """Return the verdict on a tested path; None for a pattern, which is no path."""
    if _is_pattern(tested):
        return None
    try:
        found: dict[str, Any] = visit.call("explain", path=f"{source['root']}/{tested.strip('/')}")
    except AgentError as error:
        return {"synced": False, "rule": None, "origin": None, "reason": error.message, "kind": "file"}
    return found


def change(visit: Visit) -> Response:
    """Show which files a change starts and stops, or save it."""
    source = source_of(visit)
    form = visit.form
    only = form.text("how") == "replace"
    include, exclude, remove = form.lines("include"), form.lines("exclude"), form.all("remove")
    asked = {
        "folder": source["root"],
        "include": [] if only else include,
        "only": include if only else [],
        "exclude": exclude,
        "remove": remove,
    }
    flags = [("--only" if only else "--include", include), ("--exclude", exclude), ("--remove", remove)]
    line = command("rules", source["root"], *(word for flag, found in flags for one in found for word in (flag, one)))
    if "save" not in form:
        preview = visit.call("rules", **asked, dry_run=True, named=NAMED)
        values = _values(visit, source)
        values["form"] = {
            "include": "\n".join(include), "exclude": "\n".join(exclude), "replace": only, "remove": remove
        }  # fmt: skip
        return visit.page("rules.html", **{**values, "preview": preview, "line": line})
    done = visit.call("rules", **asked)
    words = f"Saved: {count_of(done['starts'], 'file')} started, {done['stops']} stopped. No file was deleted."
    return visit.go(f"/rules/{path_segment(source['id'])}", Notice(words, "care" if done["warning"] else "good"))


ROUTES: Final = (PageRoute("/rules/{source}", rules), PageRoute("/rules/{source}", change, "POST"))
