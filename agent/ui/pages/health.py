"""Health: every check with its remedy, the end of the log, a report for a helper, metrics, and the settings."""

from __future__ import annotations

import base64
from typing import Any, Final

from starlette.responses import Response

from agent.process.shell_words import typed_path
from agent.ui.page_route import PageRoute
from agent.ui.session import Notice
from agent.ui.visit import Visit

LEVELS: Final = ("debug", "info", "warning", "error")
_LINES: Final = 200
_SHOWN: Final = 400
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
        curl=f"curl --silent --unix-socket {typed_path(visit.call('metrics')['socket'])} http://agent/metrics",
    )


def metrics(visit: Visit) -> Response:
    """Show all metrics as text."""
    return Response(visit.call("metrics")["text"], media_type="text/plain")


def bundle(visit: Visit) -> Response:
    """Show what a report for a helper holds, file by file."""
    files = visit.call("bundle")["files"]
    return visit.page("bundle.html", files=[{**one, **_shown(one["text"])} for one in files])


def _shown(text: str) -> dict[str, Any]:
    """Return the lines of a file that the page shows: the last ones, because a log ends with what happened last."""
    lines = text.splitlines()
    return {"lines": lines[-_SHOWN:], "left_out": max(0, len(lines) - _SHOWN)}


def download(visit: Visit) -> Response:
    """Send the report as a file. It is made anew, so the log in it may be longer than on the page."""
    content = base64.b64decode(visit.call("bundle")["content_base64"])
    headers = {"content-disposition": 'attachment; filename="raven-agent-report.zip"'}
    return Response(content, media_type="application/zip", headers=headers)


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
    PageRoute("/health/bundle", bundle),
    PageRoute("/health/bundle.zip", download),
    PageRoute("/metrics", metrics),
    PageRoute("/settings", settings),
    PageRoute("/settings", change, "POST"),
)
