"""One conflict: the merge editor, or two cards where there is nothing to merge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from starlette.responses import JSONResponse, Response

from agent.core.errors import AgentError, UsageError
from agent.core.humanize import CONFLICT_KINDS
from agent.ui.live import live_position
from agent.ui.merge_text import CHOICES, has_mixed_line_ends, open_blocks, posted_text, take
from agent.ui.page_route import PageRoute
from agent.ui.session import Notice
from agent.ui.three_columns import three_columns
from agent.ui.visit import Visit

_LOOKED_AT: Final = 50
"""Conflicts that are read at once to find the next one."""
MARKERS: Final = ("<<<<<<< ", ">>>>>>> ")
_SIDES: Final[Mapping[str, Mapping[str, Any]]] = {
    "mine": {"choice": "keep_local"},
    "server": {"choice": "keep_raven"},
    "clean": {"choice": "manual_merge", "proposed": True},
}


class _Editing(Struct):
    """The text that the page shows in its editor.

    Attributes:
        text: the text.
        kept: sha256 of the kept draft; None if there is none.
        draft: the kept draft, as ``draft`` shows it.
        is_rebased: True if the text is the draft with the changes of the sides that moved.
        problem: one sentence why the last request was not carried out.
    """

    text: str
    kept: str | None = None
    draft: Mapping[str, Any] | None = None
    is_rebased: bool = False
    problem: str = ""


def merge(visit: Visit) -> Response:
    """Show a conflict with its kept draft, carried over to the sides as they are now."""
    position = live_position(visit)
    shown = _shown(visit)
    if shown is None:
        return visit.page("merge_over.html", 404, text=None, number=_number(visit))
    return _page(visit, shown, _editing(visit, shown), position)


def _number(visit: Visit) -> str:
    return str(visit.route["number"]).split(".", maxsplit=1)[0]


def _editing(visit: Visit, shown: Mapping[str, Any]) -> _Editing:
    start = shown["start"] or ""
    if shown["draft"] is None:
        return _Editing(start)
    draft = visit.call("draft", id=shown["id"])
    if draft["rebased"] is not None and visit.query.text("draft") != "as-written":
        return _Editing(draft["rebased"], draft["hash"], draft, is_rebased=True)
    return _Editing(draft["text"], draft["hash"], draft)


def _page(visit: Visit, shown: Mapping[str, Any], editing: _Editing, position: str, status: int = 200) -> Response:
    has_texts = shown["local"] is not None and shown["remote"] is not None
    rows, is_cut = three_columns(shown["base"], shown["local"], shown["remote"]) if has_texts else ([], False)
    data = {
        "id": shown["id"],
        "path": shown["path"],
        "text": editing.text,
        "kept": editing.kept,
        "hunks": shown["hunks"],
    }
    return visit.page(
        "merge.html",
        status,
        live_after=position,
        shown=shown,
        kind=CONFLICT_KINDS.get(shown["kind"], shown["kind"]),
        number=shown["id"].split(".", maxsplit=1)[0],
        versions=_versions(visit, shown),
        editing=editing,
        is_mergeable=has_texts and shown["start"] is not None,
        blocks=open_blocks(editing.text, shown["hunks"]),
        has_mixed_ends=has_mixed_line_ends(editing.text),
        choices=CHOICES,
        rows=rows,
        is_cut=is_cut,
        data=data,
    )


def _versions(visit: Visit, shown: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return the newest version of each text of the file, by its hash; none while the server cannot be asked."""
    try:
        (source,) = visit.call("status", folder=shown["root"])["sources"]
        if source["state"] in ("offline", "signed_out"):
            return {}
        found = visit.call("history", path=f"{shown['root']}/{shown['path']}")["versions"]
    except AgentError:
        return {}
    return {version["hash"]: version for version in reversed(found) if version["where"] == "server"}


def keep(visit: Visit) -> Response:
    """Keep the text of the editor as a draft; the editor's script asks for this."""
    given = visit.form.text("replaces") or None
    params = {"replaces": given} if "replaces" in visit.form else {}
    # None means "there was no draft" here, so it is passed on and not left out.
    document = visit.call_with("draft_save", {"id": visit.form.text("id"), "text": visit.form.text("text"), **params})
    return JSONResponse({**document, "moved": document["conflict"] != document["id"]})


def session(visit: Visit) -> Response:
    """Return the token of the session. Only a page of this program can read it, and only while it is signed in."""
    return JSONResponse({"csrf": "" if visit.session is None else visit.session.csrf})


def finish(visit: Visit) -> Response:
    """Keep the posted text, then do what the pressed button says: finish, keep, or decide one block."""
    shown = _shown(visit)
    text = posted_text(visit.form, (shown["start"] if shown else None) or "")
    identifier = visit.form.text("id")
    wanted, _, block = visit.form.text("do", "keep").partition(":")
    try:
        if wanted == "take" and shown:
            number, _, choice = block.partition(":")
            text = take(text, int(number) if number.isdigit() else -1, choice, shown["hunks"])
        replaced = visit.form.text("replaces") or None
        visit.call_with("draft_save", {"id": identifier, "text": text, "replaces": replaced})
        if shown is None:
            return visit.page("merge_over.html", 409, text=text, number=_number(visit))
        if wanted == "take":
            return visit.go(f"/conflicts/{_number(visit)}#merge-plain")
        if wanted == "keep":
            return visit.go(f"/conflicts/{_number(visit)}", "The draft is kept.")
        problem = _finished(visit, identifier, text, is_sure=wanted == "finish-anyway")
    except AgentError as error:
        problem = (
            f"{error.message[:1].upper()}{error.message[1:]}. To replace it with this text, press the button again."
        )
        if error.code != "refused":
            problem = f"{error.message}. {error.hint or ''}".strip()
    if not problem:
        return _next(visit)
    return _refused(visit, identifier, text, problem)


def _shown(visit: Visit) -> Mapping[str, Any] | None:
    """Return the conflict; None if it is over."""
    try:
        return dict(visit.call("diff", id=_number(visit)))
    except UsageError:
        return None


def _refused(visit: Visit, identifier: str, text: str, problem: str) -> Response:
    """Show the text again with the reason."""
    shown = _shown(visit)
    if shown is None:
        return visit.page("merge_over.html", 409, text=text, number=_number(visit))
    if shown["id"] != identifier:
        # Here a side has moved, and this text was made without it: the page carries the change over into the draft.
        return visit.go(f"/conflicts/{_number(visit)}", Notice(problem, "bad"))
    kept = visit.call("draft", id=shown["id"])["hash"] if shown["draft"] else None
    return _page(visit, shown, _Editing(text, kept, problem=problem), live_position(visit), 409)


def _finished(visit: Visit, identifier: str, text: str, *, is_sure: bool) -> str:
    """Resolve a conflict with the text. Return one sentence why that was refused, or nothing."""
    if not is_sure and any(line.startswith(MARKERS) for line in text.splitlines()):
        return "Conflict markers are left in the text. Decide those conflicts first; the draft is kept."
    document = visit.call("resolve", ids=[identifier], choice="manual_merge", text=text)
    (row,) = document["resolved"]
    return f"Refused: {row['message']}. The draft is kept." if row["state"] == "refused" else ""


def side(visit: Visit) -> Response:
    """Solve a conflict with one side, or with its clean merge."""
    chosen = visit.form.text("side")
    if chosen not in _SIDES:
        raise UsageError(f"there is no side {chosen!r}", "load the page again")
    shown = visit.call("diff", id=_number(visit))
    document = visit.call("resolve", ids=[visit.form.text("id")], **_SIDES[chosen])
    (row,) = document["resolved"]
    if row["state"] == "refused":
        return visit.go(f"/conflicts/{_number(visit)}", Notice(f"Not done: {row['message']}.", "bad"))
    lost = {"mine": shown["remote_hash"], "server": shown["local_hash"]}.get(chosen)
    if lost is None or row["state"] != "resolved":
        return _next(visit)
    fields = {"path": f"{shown['root']}/{shown['path']}", "version": lost}
    return _next(visit, undo="/conflicts/undo", fields=fields)


def undo(visit: Visit) -> Response:
    """Bring back the text that a decision replaced, as a new version."""
    visit.call("restore", path=visit.form.text("path"), version=visit.form.text("version"))
    return visit.go("/conflicts", "The other text is back. The one it replaced is in the history of the file.")


def _open(visit: Visit, after: str | None) -> Sequence[Mapping[str, Any]]:
    """Return the first undecided conflict of this machine behind another one, and some that follow."""
    while True:
        rows = visit.call("conflicts", after=after, limit=_LOOKED_AT)
        found = [row for row in rows if row["mine"] and row["state"] == "open"]
        if found or len(rows) < _LOOKED_AT:
            return found
        after = rows[-1]["id"]


def _next(visit: Visit, undo: str = "", fields: Mapping[str, str] | None = None) -> Response:
    """Open the next conflict; the inbox after the last one. ``undo`` is the address that takes the decision back."""
    rows = _open(visit, _number(visit)) or _open(visit, None)
    words = "Solved. The text that lost is in the history of the file."
    following = next(iter(rows), None)
    if following is None:
        return visit.go("/conflicts", Notice(words, undo=undo, fields=fields or {}))
    notice = Notice(f"{words} This is the next conflict.", undo=undo, fields=fields or {})
    return visit.go(f"/conflicts/{following['id'].split('.')[0]}", notice)


ROUTES: Final = (
    PageRoute("/conflicts/session", session),
    PageRoute("/conflicts/undo", undo, "POST"),
    PageRoute("/conflicts/{number}", merge),
    PageRoute("/conflicts/{number}/draft", keep, "POST"),
    PageRoute("/conflicts/{number}/finish", finish, "POST"),
    PageRoute("/conflicts/{number}/side", side, "POST"),
)
