"""The overview: one card for each folder, and what a person can do about it."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from starlette.responses import Response

from agent.core.humanize import count_of, seconds_words
from agent.ui.live import live_status
from agent.ui.page_route import PageRoute
from agent.ui.session import Notice
from agent.ui.visit import Visit
from agent.ui.words import tone

_LOCAL: Final = frozenset({"local", "local-files"})
"""Accounts of the embedded hub."""

_PAUSES: Final = (("15 min", "900", "15m"), ("1 h", "3600", "1h"), ("until resumed", "", ""))
"""Words, seconds, and the same as the command takes it."""


def overview(visit: Visit) -> Response:
    """Show every folder with its state."""
    return visit.page("overview.html", **_values(visit))


def _values(visit: Visit) -> dict[str, Any]:
    position, state = live_status(visit)
    held = {s["id"]: _held_files(visit, s) for s in state["sources"] if s["held_deletes"]}
    local = {s["name"] for s in state["servers"] if s["name"] in _LOCAL}
    return {
        "state": state,
        "live_after": position,
        "held": held,
        "pauses": _PAUSES,
        "sentence": sentence,
        "card_tone": card_tone,
        "only_here": bool(local) and all(source["server"] in local for source in state["sources"]),
        "hub": next((server["url"] for server in state["servers"] if server["name"] in local), None),
    }


def _held_files(visit: Visit, source: dict[str, Any]) -> list[str]:
    """Return the first files of held deletes."""
    found = []
    for state in ("pending_push", "pending_pull"):
        rows = visit.call("files", folder=source["root"], state=state, limit=200)
        found += [row["path"] for row in rows if (row["hash"] is None or row["remote_hash"] is None)]
    return found


def sentence(source: dict[str, Any]) -> str:
    """Return the state of a folder in one sentence: ``in step, 214 files`` or ``3 to send, 12 s left``."""
    if source["state"] == "up_to_date":
        return f"in step, {count_of(source['files'], 'file')}"
    parts = [
        f"{source[name]} {words}"
        for name, words in (("pending_push", "to send"), ("pending_pull", "to fetch"))
        if source[name]
    ]
    left = (source["progress"] or {}).get("eta_seconds")
    if parts and left is not None:
        parts.append(f"{seconds_words(left)} left")
    return ", ".join(parts) or count_of(source["files"], "file")


def card_tone(source: dict[str, Any]) -> str:
    """Return the tone of a card: that of its state where a person is needed."""
    found = tone(source["state"])
    return found if found in ("care", "bad") else ""


def sync(visit: Visit) -> Response:
    """Make one full pass over a folder, or over all."""
    folder = visit.form.text("folder") or None
    plan = visit.form.text("approve") or None
    undo = True if visit.form.text("undo") else None
    began = dt.datetime.now(dt.UTC).isoformat()
    done = visit.call("sync", folder=folder, approve_deletes=plan, undo_deletes=undo)
    errors = [error["message"] for source in done["sources"] for error in source["errors"]]
    if errors:
        return visit.go("/", Notice(f"The pass ended with an error: {errors[0]}", "bad"))
    moved = sum(s["pushed"] + s["pulled"] + s["deleted_remote"] + s["deleted_local"] for s in done["sources"])
    if undo:
        return visit.go("/", _undone_words(done))
    if plan:
        return visit.go("/", _approved(done["sources"], began))
    return visit.go("/", f"Synced: {count_of(moved, 'change')}." if moved else "Synced: no changes.")


def _undone_words(done: dict[str, Any]) -> str:
    """Return the message about deletes that were undone, with the names of some that were not held."""
    words = "The held deletes are undone; the files are back."
    before = [row["path"] for row in done.get("undone_files", ()) if row["before"]]
    if not before:
        return words
    count, named = done["undone_before"], before[:5]
    more = ", …" if count > len(named) else ""
    return f"{words} So is what was deleted shortly before ({count_of(count, 'file')}): {', '.join(named)}{more}"


def _approved(sources: list[dict[str, Any]], began: str) -> Notice:
    """Return the message about deletes that went through. Its undo shows the files of the moment before."""
    gone = sum(one["deleted_remote"] + one["deleted_local"] for one in sources)
    words = f"{count_of(gone, 'delete')} went through. Undo shows the files that come back, before anything changes."
    return Notice(words, "care", f"/rewind/{sources[0]['id']}/look", {"at": began})


def pause(visit: Visit) -> Response:
    """Stop a folder, or all, for a while."""
    seconds = visit.form.number("seconds", 0)
    folder = visit.form.text("folder")
    visit.call("pause", folder=folder or None, seconds=float(seconds) or None)
    fields = {"folder": folder} if folder else {}
    return visit.go("/", Notice("Paused. Nothing is sent or fetched until it goes on.", "care", "/resume", fields))


def resume(visit: Visit) -> Response:
    """Continue after a pause or a halt."""
    done = visit.call("resume", folder=visit.form.text("folder") or None)
    if halted := done.get("halted"):
        return visit.go("/", Notice(f"Still stopped: {halted[0]['message']}", "bad"))
    if on_server := done.get("paused_on_server"):
        words = f"Still paused: {on_server[0]} is paused on the server, for all machines."
        return visit.go("/", Notice(words, "care"))
    return visit.go("/", "It goes on.")


def moved(visit: Visit) -> Response:
    """Record that a folder is somewhere else now."""
    done = visit.call("move", old=visit.form.text("old"), new=visit.form.text("new").strip())
    return visit.go("/", f"The folder is at {done['root']} now.")


ROUTES: Final = (
    PageRoute("/", overview),
    PageRoute("/sync", sync, "POST"),
    PageRoute("/pause", pause, "POST"),
    PageRoute("/resume", resume, "POST"),
    PageRoute("/move", moved, "POST"),
)
