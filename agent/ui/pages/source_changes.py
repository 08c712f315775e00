"""Changes of a server's sources, for all machines: rename, archive, delete."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from agent.core.errors import UsageError
from agent.ui.page_route import PageRoute
from agent.ui.session import Notice
from agent.ui.visit import Visit

_BACK: Final = {"rename": "rename", "archive": "restore", "restore": "archive"}
"""The change that takes each one back. A deleted source cannot be brought back."""


def change(visit: Visit) -> Response:
    """Change one source. The message of a change that can be taken back has an undo."""
    form = visit.form
    action, before = form.text("action"), form.text("before")
    server, source, name = form.text("server"), form.text("source"), form.text("name").strip()
    if action == "delete" and form.text("sure") != "1":
        raise UsageError(
            f"the tick is missing without which {before or source} is not deleted", "load the page again, and tick it"
        )
    done = visit.call(
        "change_source", server=server, source=source, action=action, name=name if action == "rename" else None
    )
    words = {
        "rename": f"{before or 'The source'} is called {done['name']} on {server} now. No folder or file is renamed.",
        "archive": f"{done['name']} is archived: linked folders stay as they are, and nothing more is sent.",
        "restore": f"{done['name']} takes edits again. Linked folders go on by themselves.",
        "delete": f"{done['name']} is deleted on {server}, with its history. No file on any disk is deleted.",
    }[done["action"]]
    if done["action"] == "delete" and done["root"]:
        words += " Unlink its folder, here and on every machine."
    if done["action"] not in _BACK or (done["action"] == "rename" and not before):
        return visit.go("/servers", Notice(words, "care"))
    fields = {"server": server, "source": done["id"], "action": _BACK[done["action"]]}
    fields |= {"name": before, "before": done["name"]} if done["action"] == "rename" else {"before": done["name"]}
    return visit.go("/servers", Notice(words, "good", "/servers/source", fields))


ROUTES: Final = (PageRoute("/servers/source", change, "POST"),)
