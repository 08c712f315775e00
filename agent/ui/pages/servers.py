"""Servers: accounts as they are now, their sources, and signing in."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from starlette.responses import Response

from agent.core.errors import AgentError
from agent.core.humanize import machine_names, parse_time
from agent.ui.page_route import PageRoute
from agent.ui.session import Notice
from agent.ui.visit import Visit

DIALECTS: Final = ("auto", "raven", "scaidrive", "pinakes")


def servers(visit: Visit) -> Response:
    """Ask each server now, and list its sources."""
    found = visit.call("servers")
    return visit.page(
        "servers.html",
        servers=[{**one, "days": days_until(one["token_expires_at"])} for one in found],
        sources={one["name"]: _sources(visit, one) for one in found},
        machines=_machines(visit, found),
        dialects=DIALECTS,
        hub_listen=next((one["value"] for one in _settings(visit) if one["name"] == "hub_listen"), ""),
    )


def _settings(visit: Visit) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = visit.call("settings")["settings"]
    return found


def _sources(visit: Visit, server: dict[str, Any]) -> list[dict[str, Any]]:
    if server["state"] != "ok":
        return []
    try:
        found: list[dict[str, Any]] = visit.call("sources", server=server["name"])
    except AgentError:
        # The account's own row has its state; its sources are not known now.
        return []
    return found


def _machines(visit: Visit, servers: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the machines of each linked source, by the account."""
    if all(one["state"] != "ok" for one in servers):
        return {}
    found: dict[str, list[dict[str, Any]]] = {}
    for source in visit.call("status", machines=True).get("machines") or ():
        names = machine_names((one["id"], one["name"]) for one in source["machines"])
        shown = [{**one, "shown_name": name} for one, name in zip(source["machines"], names, strict=True)]
        found.setdefault(source["server"], []).append({**source, "machines": shown})
    return found


def days_until(stamp: str | None, now: dt.datetime | None = None) -> int | None:
    """Return the whole days until a time; None for none."""
    then = parse_time(stamp)
    return None if then is None else (then - (now or dt.datetime.now(dt.UTC))).days


def sign_in(visit: Visit) -> Response:
    """Check an account and store it. The token is in no page, no address and no log."""
    form = visit.form
    done = visit.call(
        "login",
        url=form.text("url").strip(),
        token=form.text("token").strip(),
        workspace=form.text("workspace").strip() or None,
        name=form.text("name").strip() or None,
        dialect=form.text("dialect") if form.text("dialect") in DIALECTS else "auto",
    )
    return visit.go("/servers", f"Signed in to {done['name']}.")


def sign_out(visit: Visit) -> Response:
    """Forget an account and its token; its folders stay linked."""
    done = visit.call("logout", name=visit.form.text("name"))
    words = f"Signed out of {done['name']}."
    if done["linked"]:
        words += f" {len(done['linked'])} folders stay linked and wait for the next sign-in."
    return visit.go("/servers", Notice(words, "care"))


ROUTES: Final = (
    PageRoute("/servers", servers),
    PageRoute("/servers/login", sign_in, "POST"),
    PageRoute("/servers/logout", sign_out, "POST"),
)
