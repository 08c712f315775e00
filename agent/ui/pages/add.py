"""Add a folder: choose, look at the plan, then link."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from agent.core.errors import AgentError, UsageError
from agent.ui.page_route import PageRoute
from agent.ui.session import Notice
from agent.ui.visit import Visit
from agent.ui.words import command

LOCAL: Final = ("local", "local-files")
MODES: Final = ("bidirectional", "local_to_cloud", "import_only")
FIELDS: Final = ("folder", "server", "source", "name", "mode", "include", "exclude", "create", "private")


def add(visit: Visit) -> Response:
    """Show the form; an address can fill it, as the list of sources does. With ``browse``, also list folders."""
    form = {name: visit.query.text(name) for name in FIELDS}
    values = _values(visit, form)
    if "browse" in visit.query:
        values |= _listed(visit, form["folder"])
    return visit.page("add.html", **values)


def folders(visit: Visit) -> Response:
    """Return the folders whose paths begin as typed, for the script of the page."""
    return JSONResponse({"folders": _listed(visit, visit.query.text("typed"))["folders"]["folders"]})


def _listed(visit: Visit, typed: str) -> dict[str, Any]:
    """Return the folders whose paths begin as typed, and the one above them. Raises AgentError."""
    found = visit.call("complete_folder", typed=typed)
    above = found["above"].rstrip("/").rpartition("/")
    return {"folders": found, "up": f"{above[0]}/" if above[1] else ""}


def _values(visit: Visit, form: dict[str, str]) -> dict[str, Any]:
    names = [server["name"] for server in visit.call("status")["servers"]]
    return {
        "form": form,
        "servers": [*(name for name in names if name not in LOCAL), *LOCAL],
        "modes": MODES,
        "plan": None,
        "problem": "",
        "hint": "",
        "line": "",
        "folders": None,
        "up": "",
    }


def link(visit: Visit) -> Response:
    """Show what a link would do to each file, or make it."""
    form = {name: visit.form.text(name).strip() for name in FIELDS}
    values = _values(visit, form)
    try:
        if "browse" in visit.form:
            return visit.page("add.html", **{**values, **_listed(visit, form["folder"])})
        asked = _asked(visit, form)
        if form["server"] in LOCAL:
            visit.call("ensure_local_hub")
        if "save" not in visit.form:
            plan = visit.call("link", **asked, dry_run=True)
            return visit.page("add.html", **{**values, "plan": plan, "line": _line(asked)})
        done = visit.call("link", **asked)
    except AgentError as error:
        # What was typed stays in the form.
        return visit.page("add.html", 409, **{**values, "problem": error.message, "hint": error.hint or ""})
    return visit.go("/", Notice(f"Linked {done['root']} with {done['server']}.", "good"))


def _asked(visit: Visit, form: dict[str, str]) -> dict[str, Any]:
    """Return the parameters of the link. Raises UsageError if no folder is named."""
    if not form["folder"]:
        raise UsageError("no folder is named")
    folder = Path(form["folder"])
    try:
        folder = folder.expanduser()
    except RuntimeError as error:
        raise UsageError(f"{form['folder']} begins with a user who is not known here") from error
    if not folder.is_absolute():
        raise UsageError(f"{form['folder']} is not a whole path", "begin it with / or ~/")
    include = visit.form.lines("include")
    return {
        "folder": str(folder),
        "server": form["server"] or None,
        "source": form["source"] or None,
        "name": form["name"] or None,
        "mode": form["mode"] if form["mode"] in MODES else None,
        "include": include or (["**"] if form["server"] == "local-files" else []),
        "exclude": visit.form.lines("exclude"),
        "create": bool(form["create"]),
        "accept_private": bool(form["private"]),
    }


def _line(asked: dict[str, Any]) -> str:
    words: list[str] = ["link", asked["folder"]]
    for name in ("server", "source", "name", "mode"):
        if asked[name]:
            words += [f"--{name}", asked[name]]
    for name in ("include", "exclude"):
        words += [word for one in asked[name] for word in (f"--{name}", one)]
    return command(*words, *(["--create"] if asked["create"] else []))


ROUTES: Final = (PageRoute("/add", add), PageRoute("/add/folders", folders), PageRoute("/add", link, "POST"))
