"""Health: every check with its remedy, the end of the log, and the settings."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from agent.ui.page_route import PageRoute
from agent.ui.session import Notice
from agent.ui.visit import Visit

LEVELS: Final = ("debug", "info", "warning", "error")
_LINES: Final = 200
_ORDER: Final = {"failed": 0, "not_checked": 1, "ok": 2}


def health(visit: Visit) -> Response:
    """Show the checks, failed ones first, and the end of the log."""
    found = visit.call("doctor")
    checks = sorted(found["checks"], key=lambda one: _ORDER.get(one["state"], 1))
    level = visit.query.text("level") if visit.query.text("level") in LEVELS else ""
    log = visit.call("log_tail", lines=_LINES, level=level or None)
    return visit.page(
        "health.html",
        ok=found["ok"],
        version=found["version"],
        checks=checks,
        failed=sum(1 for one in checks if one["state"] == "failed"),
        level=level,
        levels=LEVELS,
        log=log,
    )


def settings(visit: Visit) -> Response:
    """Show every setting with its value, its default and the file that decides."""
    return visit.page("settings.html", rows=visit.call("settings")["settings"])


def change(visit: Visit) -> Response:
    """Write one setting, or remove it so that its default holds."""
    name, value = visit.form.text("name"), visit.form.text("value").strip()
    unset = "unset" in visit.form
    before = next((one for one in _rows(visit) if one["name"] == name), None)
    done = visit.call("change_setting", name=name, value=None if unset else value)
    words = f"{name} = {done['value']}"
    if done["waiting"]:
        words += ", from the next start on"
    fields = {"name": name} | ({"unset": "1"} if before is None or before["origin"] == "default" else _value(before))
    return visit.go("/settings", Notice(words, "good", "/settings", fields))


def _rows(visit: Visit) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = visit.call("settings")["settings"]
    return found


def _value(row: dict[str, Any]) -> dict[str, str]:
    value = row["value"]
    return {"value": str(value).lower() if isinstance(value, bool) else str(value)}


ROUTES: Final = (
    PageRoute("/health", health),
    PageRoute("/settings", settings),
    PageRoute("/settings", change, "POST"),
)
