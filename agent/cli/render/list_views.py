"""Views of servers, sources, checks and settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.cli.humanize import (
    parse_time,
    short_homes,
)
from agent.cli.output import Style, TextLine, View
from agent.cli.render.base import Document, grid, root_or_dash


def doctor(document: Document) -> View:
    """Show each check, with the remedy of a failed one."""
    lines = []
    for row in document["checks"]:
        mark, tone = ("ok  ", Style.GOOD) if row["ok"] else ("FAIL", Style.BAD)
        if row.get("state") == "not_checked":
            mark, tone = "?   ", Style.ASIDE
        lines.append(TextLine(f"{mark}  {row['check']}: {short_homes(row.get('detail') or '')}", tone))
        if not row["ok"] and row.get("remedy"):
            lines.append(TextLine(f"      {short_homes(row['remedy'])}"))
    return [*lines, *(_drill(document["drill"]) if "drill" in document else [])]


def _drill(document: Document) -> View:
    """Show each promise and the side that keeps it, then what could not be removed."""
    rows = [(row["kept_by"], row["promise"], row["detail"]) for row in document["promises"]]
    kept = sum(1 for row in document["promises"] if row["ok"])
    words = f"{document['server']}: {kept} of {len(rows)} promises kept"
    left = [TextLine(f"left behind: {one}", Style.BAD) for one in document["left_behind"]]
    return [
        TextLine(""),
        *grid(("KEPT BY", "PROMISE", "EVIDENCE"), rows, "nothing was tried"),
        TextLine(words, Style.GOOD if document["ok"] else Style.BAD),
        *left,
    ]


def _pattern_words(source: Document) -> str:
    """Return the patterns of a source in one cell: excluded ones after a minus."""
    include = source.get("include") or ["default"]
    return " ".join([*include, *(f"-{pattern}" for pattern in source.get("exclude") or ())])


def settings(document: Document) -> View:
    """Show the settings table, or one value."""
    rows = document.get("settings")
    if rows is None:
        return [TextLine(word(document["value"]))]
    return grid(
        ("SETTING", "VALUE", "UNIT", "FROM", "MEANING"),
        [(r["name"], word(r["value"]), r["unit"], r["origin"], r["meaning"]) for r in rows],
        "no settings",
    )


def word(value: object) -> str:
    """Return a setting as the file has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def servers(document: Any) -> View:
    """Show the accounts, then a line for each problem, warning and remedy."""
    rows = document["servers"] if isinstance(document, Mapping) else document
    lines = [text for s in rows for text in (s.get("message"), s.get("warning"), s.get("remedy")) if text]
    return [
        *grid(
            ("NAME", "STATE", "URL", "WORKSPACE", "TOKEN ENDS"),
            [
                (s["name"], s.get("state"), s["url"], s.get("workspace"), _expiry(s.get("token_expires_at")))
                for s in rows
            ],
            "no server; raven-agent login URL adds one",
        ),
        *(TextLine(short_homes(text), Style.BAD) for text in dict.fromkeys(lines)),
    ]


def _expiry(stamp: object) -> str:
    then = parse_time(stamp)
    return "-" if then is None else then.astimezone().strftime("%Y-%m-%d %H:%M")


def sources(document: Any) -> View:
    """Show the sources, each with the account if there are several, and the folder it is linked to here."""
    rows = document["sources"] if isinstance(document, Mapping) else document
    several = len({s.get("server") for s in rows}) > 1
    return grid(
        (*(("ACCOUNT",) if several else ()), "NAME", "MODE", "STATUS", "ID", "PATTERNS", "LINKED HERE"),
        [
            (
                *((s.get("server"),) if several else ()),
                *(s["name"], s["mode"], s.get("status"), s["id"], _pattern_words(s), root_or_dash(s.get("root"))),
            )
            for s in rows
        ],
        "no sources",
    )
