"""The inbox of conflicts: grouped by folder, and decisions about many at once, shown before they are made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from agent.core.decided_file import DECIDED_WORDS
from agent.core.errors import AgentError, UsageError
from agent.core.humanize import CONFLICT_KINDS, count_of
from agent.ui.live import live_position
from agent.ui.page_route import PageRoute
from agent.ui.visit import Visit

PAGE_ROWS: Final = 50

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

SORTS: Final[Mapping[str, str]] = {
    "newest": "newest first",
    "oldest": "oldest first",
    "path": "path",
    "kind": "kind",
}
"""Orders of the list, as the command names them, and their words."""


def conflicts(visit: Visit) -> Response:
    """Show the parked conflicts of all folders, or the chosen ones, one page of them."""
    position = live_position(visit)
    query = {name: visit.query.text(name) for name in ("folder", "kind", "q", "sort", "after")}
    # A bookmark of another release, or a folder that is not linked any more, shows everything.
    query["kind"] = query["kind"] if query["kind"] in CONFLICT_KINDS else ""
    query["sort"] = query["sort"] if query["sort"] in SORTS else "newest"
    selected = {"kind": query["kind"] or None, "match": query["q"] or None}
    counts = visit.call("conflict_counts", **selected)
    roots = sorted(row["root"] for row in counts)
    query["folder"] = query["folder"] if query["folder"] in roots else ""
    rows = visit.call(
        "conflicts",
        **selected,
        folder=query["folder"] or None,
        order=query["sort"],
        limit=PAGE_ROWS + 1,
        after=query["after"] or None,
    )
    shown = rows[:PAGE_ROWS]
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in shown:
        groups[row["root"]].append(row)
    total = sum(row["conflicts"] for row in counts)
    return visit.page(
        "conflicts.html",
        live_after=position,
        groups=groups,
        total=total,
        found=sum(row["matching"] for row in counts if query["folder"] in ("", row["root"])),
        shown=len(shown),
        following=_number(shown[-1]) if len(rows) > PAGE_ROWS else "",
        roots=roots,
        kinds=CONFLICT_KINDS,
        sorts=SORTS,
        query=query,
        decisions=DECISIONS,
        line=_line(query),
        chips=_chips(visit, [_number(row) for row in shown]) if visit.query.text("differences") else (),
        solved=None if total else _last_solved(visit),
    )


def _line(query: Mapping[str, str]) -> list[str]:
    flags = (("--kind", "kind"), ("--match", "q"), ("--order", "sort"), ("--after", "after"))
    words = [word for flag, name in flags if query[name] for word in (flag, query[name])]
    return [*([query["folder"]] if query["folder"] else []), *words]


def _number(row: Row) -> str:
    return str(row["id"]).split(".", maxsplit=1)[0]


def _last_solved(visit: Visit) -> Row | None:
    return next(iter(visit.call("activity", kind="conflict_closed", order="newest", limit=1)), None)


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
        effects=DECIDED_WORDS,
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
