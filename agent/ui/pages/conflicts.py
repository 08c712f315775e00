"""The inbox of conflicts: grouped by folder, and decisions about many at once, shown before they are made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from agent.core.errors import AgentError, UsageError
from agent.core.humanize import count_of
from agent.ui.live import live_position
from agent.ui.page_route import PageRoute
from agent.ui.visit import Visit

PAGE_ROWS: Final = 50
_SEARCHED_ACTIVITY: Final = 1000

KINDS: Final[Mapping[str, str]] = {
    "edit_edit": "edited here and on the server",
    "edit_delete": "edited here, deleted on the server",
    "delete_edit": "deleted here, edited on the server",
    "no_base": "made here and on the server",
}
"""Kinds of conflicts in words. The local side comes first."""

DECISIONS: Final[Mapping[str, str]] = {
    "mine": "Keep mine",
    "server": "Keep the server's",
    "clean": "Take the clean merges",
}
_PARAMS: Final[Mapping[str, Mapping[str, Any]]] = {
    "mine": {"choice": "keep_local"},
    "server": {"choice": "keep_raven"},
    "clean": {"choice": "manual_merge", "proposed": True},
}
_COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "mine": ("keep_local",),
    "server": ("keep_raven",),
    "clean": ("manual_merge", "--proposed"),
}
Row = Mapping[str, Any]

SORTS: Final[Mapping[str, tuple[str, Callable[[Row], Any], bool]]] = {
    "new": ("newest first", lambda row: row["opened_at"], True),
    "old": ("oldest first", lambda row: row["opened_at"], False),
    "path": ("path", lambda row: (row["root"], row["path"]), False),
    "kind": ("kind", lambda row: row["kind"], False),
}


def conflicts(visit: Visit) -> Response:
    """Show the parked conflicts of all folders, or the chosen ones."""
    position = live_position(visit)
    everything = visit.call("conflicts")
    chosen = _chosen(visit, everything)
    first = min(visit.query.number("from", 0), max(0, len(chosen) - 1)) // PAGE_ROWS * PAGE_ROWS
    shown = chosen[first : first + PAGE_ROWS]
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in shown:
        groups[row["root"]].append(row)
    return visit.page(
        "conflicts.html",
        live_after=position,
        groups=groups,
        total=len(everything),
        found=len(chosen),
        first=first,
        next_page=first + PAGE_ROWS if first + PAGE_ROWS < len(chosen) else None,
        page_rows=PAGE_ROWS,
        roots=sorted({row["root"] for row in everything}),
        kinds=KINDS,
        sorts={name: words for name, (words, _, _) in SORTS.items()},
        query={name: visit.query.text(name) for name in ("folder", "kind", "q", "sort")},
        decisions=DECISIONS,
        chips=_chips(visit, [row["id"].split(".")[0] for row in shown]) if visit.query.text("differences") else (),
        solved=None if everything else _last_solved(visit),
    )


def _chosen(visit: Visit, everything: Sequence[Row]) -> list[Row]:
    folder, kind, text = (visit.query.text(name) for name in ("folder", "kind", "q"))
    _, key, reverse = SORTS.get(visit.query.text("sort"), SORTS["new"])
    found = [
        row
        for row in everything
        if folder in ("", row["root"]) and kind in ("", row["kind"]) and text.lower() in row["path"].lower()
    ]
    return sorted(found, key=key, reverse=reverse)


def _last_solved(visit: Visit) -> Row | None:
    entries = visit.call("activity", limit=_SEARCHED_ACTIVITY)
    return next((entry for entry in reversed(entries) if entry["what"] == "conflict_closed"), None)


def chips(visit: Visit) -> Response:
    """Return the size of each difference, and whether its proposed merge is clean. The rows fetch it afterwards."""
    return visit.fragment("_conflict_chips.html", chips=_chips(visit, visit.query.all("id")))


def _chips(visit: Visit, ids: Sequence[str]) -> list[Row]:
    found: list[Row] = []
    for identifier in ids[:PAGE_ROWS]:
        try:
            shown = visit.call("diff", id=identifier)
        except AgentError:
            # The conflict is over; the list is about to change.
            continue
        lines = sum(max(_lines(row["local"]), _lines(row["remote"])) for row in shown["preview"])
        found.append({"id": identifier, "clean": shown["merge_clean"], "lines": lines, "unshown": shown["unshown"]})
    return found


def _lines(text: str) -> int:
    return len(text.splitlines())


def plan(visit: Visit) -> Response:
    """Show what a decision about the ticked conflicts would do. Nothing is changed."""
    ids, decision = visit.form.all("id"), visit.form.text("decision")
    params = _params(decision)
    if not ids:
        return visit.go(_back(visit), "Tick at least one conflict first.")
    document = visit.call("resolve", ids=ids, dry_run=True, **params)
    rows = document["resolved"]
    return visit.page(
        "conflict_plan.html",
        decision=decision,
        label=DECISIONS[decision],
        words=_COMMANDS[decision],
        ready=[row for row in rows if row["state"] == "would_resolve"],
        refused=[row for row in rows if row["state"] != "would_resolve"],
        back=_back(visit),
    )


def decide(visit: Visit) -> Response:
    """Carry out a decision about several conflicts."""
    document = visit.call("resolve", ids=visit.form.all("id"), **_params(visit.form.text("decision")))
    return visit.go(_back(visit), _result(document["resolved"]))


def _result(rows: Sequence[Row]) -> str:
    counts = {state: sum(row["state"] == state for row in rows) for state in ("resolved", "queued", "refused")}
    words = [f"{count_of(counts['resolved'], 'conflict')} solved"]
    if counts["queued"]:
        words.append(f"{counts['queued']} decided, and carried out as soon as the server answers")
    if counts["refused"]:
        reason = next(row["message"] for row in rows if row["state"] == "refused")
        words.append(f"{counts['refused']} refused ({reason})")
    return "; ".join(words) + ". The text that lost is in the history of its file."


def _params(decision: str) -> Mapping[str, Any]:
    found = _PARAMS.get(decision)
    if found is None:
        raise UsageError(f"there is no decision {decision!r}", "load the page again")
    return found


def _back(visit: Visit) -> str:
    return visit.form.text("back", "/conflicts")


ROUTES: Final = (
    PageRoute("/conflicts", conflicts),
    PageRoute("/conflicts/chips", chips),
    PageRoute("/conflicts/plan", plan, "POST"),
    PageRoute("/conflicts/decide", decide, "POST"),
)
