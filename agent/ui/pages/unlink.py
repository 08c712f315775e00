"""Unlink a folder: first what stays and what ends, then the change, and the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from agent.core.humanize import count_of
from agent.ui.folders import source_of
from agent.ui.page_route import PageRoute
from agent.ui.session import Notice
from agent.ui.visit import Visit
from agent.ui.words import path_segment

NAMED: Final = 50
"""Changes that have not reached the server, as many as the page names."""
_STOPPED: Final = frozenset({"paused", "halted"})
"""States of a folder that a new link would not have. It would begin to sync at once."""


def unlink(visit: Visit) -> Response:
    """Show what stays on both sides, and what would never reach the server."""
    return _page(visit, source_of(visit))


def _page(visit: Visit, source: Mapping[str, Any], problem: str = "", status: int = 200) -> Response:
    unsent = visit.call("files", folder=source["root"], state="pending_push", limit=NAMED + 1)
    return visit.page(
        "unlink.html",
        status,
        source=source,
        plan=visit.call("unlink", folder=source["root"], dry_run=True),
        unsent=[row["path"] for row in unsent[:NAMED]],
        more=len(unsent) > NAMED,
        problem=problem,
        at=f"/unlink/{path_segment(source['id'])}",
    )


def apply(visit: Visit) -> Response:
    """Stop syncing the folder. Changes that are not sent need a tick of their own."""
    source = source_of(visit)
    sure = visit.form.text("force") == "1"
    rules = visit.call("rules", folder=source["root"])
    planned = visit.call("unlink", folder=source["root"], dry_run=True)
    if planned["unsent"] and not sure:
        unsent = count_of(planned["unsent"], "change")
        words = f"{unsent} did not reach the server. Tick the box to unlink all the same."
        return _page(visit, source, words, 409)
    visit.call("unlink", folder=source["root"], force=sure or None)
    words = f"{source['name']} is not synced any more. Nothing was deleted, here or on the server."
    if source["state"] in _STOPPED:
        return visit.go("/", Notice(words, "care"))
    fields = {
        "folder": source["root"],
        "server": source["server"],
        "source": source["id"],
        "name": source["name"],
        "mode": source["mode"],
        "include": "\n".join(rules["include"]),
        "exclude": "\n".join(rules["exclude"]),
    }
    return visit.go("/", Notice(words, "care", "/unlink", fields))


def undo(visit: Visit) -> Response:
    """Link the folder with its source again, with the patterns it had."""
    form = visit.form
    include, exclude = form.lines("include"), form.lines("exclude")
    asked = {name: form.text(name) for name in ("folder", "server", "source", "name", "mode")}
    done = visit.call("link", **asked, include=include, exclude=exclude, accept_private=True)
    # The source's own patterns come with a link; those that this machine had taken away go again.
    further = [*_beyond(done["include"], include), *_beyond(done["exclude"], exclude)]
    if further:
        visit.call("rules", folder=done["root"], remove=further)
    words = f"Linked again: {done['root']}."
    if done["plan"]["park"]:
        words += f" {count_of(done['plan']['park'], 'file')} differ from the server, and are conflicts now."
    return visit.go("/", Notice(words, "care" if done["plan"]["park"] else "good"))


def _beyond(found: Sequence[str], wanted: Sequence[str]) -> list[str]:
    return [one for one in found if one not in wanted]


ROUTES: Final = (
    PageRoute("/unlink", undo, "POST"),
    PageRoute("/unlink/{source}", unlink),
    PageRoute("/unlink/{source}", apply, "POST"),
)
