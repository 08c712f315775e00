"""One conflict: the merge editor, or two cards where there is nothing to merge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct
from starlette.responses import JSONResponse, Response

from agent.core.errors import AgentError, UsageError
from agent.ui.live import live_position
from agent.ui.merge_text import CHOICES, Hunk, has_mixed_line_ends, open_blocks, posted_text, take
from agent.ui.page_route import PageRoute
from agent.ui.pages.conflicts import KINDS
from agent.ui.three_columns import three_columns
from agent.ui.visit import Visit

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
    shown = visit.call("diff", id=_number(visit))
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
        kind=KINDS.get(shown["kind"], shown["kind"]),
        number=shown["id"].split(".", maxsplit=1)[0],
        editing=editing,
        is_mergeable=has_texts and shown["start"] is not None,
        blocks=open_blocks(editing.text, shown["hunks"]),
        has_mixed_ends=has_mixed_line_ends(editing.text),
        choices=CHOICES,
        rows=rows,
        is_cut=is_cut,
        data=data,
    )


def keep(visit: Visit) -> Response:
    """Keep the text of the editor as a draft; the editor's script asks for this."""
    given = visit.form.text("replaces") or None
    params = {"replaces": given} if "replaces" in visit.form else {}
    # None means "there was no draft" here, so it is passed on and not left out.
    document = visit.call_with("draft_save", {"id": visit.form.text("id"), "text": visit.form.text("text"), **params})
    return JSONResponse({**document, "moved": document["conflict"] != document["id"]})


def finish(visit: Visit) -> Response:
    """Keep the posted text, then do what the pressed button says: finish, keep, or decide one block."""
    identifier = visit.form.text("id")
    try:
        shown = visit.call("diff", id=_number(visit))
    except UsageError:
        raise
    except AgentError:
        shown = None
    text = posted_text(visit.form, shown["start"] or "" if shown else "")
    hunks: list[Hunk] = shown["hunks"] if shown else []
    wanted, _, choice = visit.form.text("do", "keep").partition(":")
    problem = ""
    try:
        if wanted == "take":
            number, _, side = choice.partition(":")
            text = take(text, int(number) if number.isdigit() else -1, side, hunks)
        saved = visit.call_with(
            "draft_save",
            {"id": identifier, "text": text, "replaces": visit.form.text("replaces") or None},
        )
        if wanted in ("finish", "finish-anyway"):
            problem = _finished(visit, identifier, text, is_sure=wanted == "finish-anyway")
            if not problem:
                return _next(visit)
        elif wanted == "take":
            return visit.go(f"/conflicts/{_number(visit)}#merge-plain")
        else:
            return visit.go(f"/conflicts/{_number(visit)}", "The draft is kept.")
    except AgentError as error:
        saved, problem = None, f"{error.message}. {error.hint or ''}".strip()
    # Refused: the text is shown again, whatever the reason, and its draft is kept.
    shown = visit.call("diff", id=_number(visit))
    kept = saved["hash"] if saved else visit.form.text("replaces") or None
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
    document = visit.call("resolve", ids=[visit.form.text("id")], **_SIDES[chosen])
    (row,) = document["resolved"]
    if row["state"] == "refused":
        return visit.go(f"/conflicts/{_number(visit)}", f"Not done: {row['message']}.")
    return _next(visit)


def _next(visit: Visit) -> Response:
    """Open the next conflict; the inbox after the last one."""
    rows = [row for row in visit.call("conflicts") if row["mine"] and row["state"] == "open"]
    words = "Solved. The texts that lost are in the history of the file."
    later = [row for row in rows if int(row["id"].split(".")[0]) > int(_number(visit))]
    following = next(iter(later or rows), None)
    if following is None:
        return visit.go("/conflicts", words)
    return visit.go(f"/conflicts/{following['id'].split('.')[0]}", f"{words} This is the next conflict.")


ROUTES: Final = (
    PageRoute("/conflicts/{number}", merge),
    PageRoute("/conflicts/{number}/draft", keep, "POST"),
    PageRoute("/conflicts/{number}/finish", finish, "POST"),
    PageRoute("/conflicts/{number}/side", side, "POST"),
)
