"""Views of conflicts, diff and resolve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.cli.humanize import (
    short_home,
    short_homes,
    when,
)
from agent.cli.output import Style, TextLine, View
from agent.cli.render.base import Document, grid, nothing, size
from agent.core.decided_file import DECIDED_WORDS
from agent.core.humanize import CONFLICT_KINDS


def conflicts(document: Sequence[Document]) -> View:
    """Show parked conflicts. The path is given as ``diff`` and ``resolve`` take it from anywhere."""
    several = len({c.get("root") for c in document}) > 1
    rows = [
        (
            c["id"],
            when(c.get("opened_at")),
            CONFLICT_KINDS.get(c["kind"], c["kind"]),
            c["state"],
            *((short_home(c.get("root")),) if several else ()),
            c["path"],
            _remark(c),
        )
        for c in document
    ]
    headings = ("ID", "SINCE", "KIND", "STATE", *(("FOLDER",) if several else ()), "PATH", "")
    return grid(headings, rows, "no conflicts")


def _remark(conflict: Document) -> str:
    remarks = []
    if not conflict.get("mine", True):
        remarks.append("another machine's: resolved there")
    if conflict.get("excluded"):
        remarks.append("excluded by the rules")
    if conflict.get("draft"):
        remarks.append("your merge is kept: resolve --edit")
    return ", ".join(remarks)


def drafts(document: Sequence[Document]) -> View:
    """Show kept merges."""
    rows = [
        (
            d["id"],
            when(d["written_at"]),
            size(d["size"]),
            d["path"] or "-",
            "its conflict is over" if d["conflict"] is None else "a side has moved" if d["conflict"] != d["id"] else "",
            short_home(d["file"]),
        )
        for d in document
    ]
    return grid(("ID", "WRITTEN", "SIZE", "PATH", "", "FILE"), rows, "no kept merges")


def draft(document: Document) -> View:
    """Show the text of a kept merge."""
    return [TextLine(line.expandtabs(8)) for line in str(document["text"]).splitlines()]


def draft_rebased(document: Document) -> View:
    """Show a kept merge with the changes of the sides that moved since."""
    text = document["rebased"] if document["moved"] else document["text"]
    return [TextLine(line.expandtabs(8)) for line in str(text).splitlines()]


def diff(document: Document) -> View:
    """Show one conflict: from the server's text to the local one, then the proposed merge."""
    kind = CONFLICT_KINDS.get(document["kind"], document["kind"])
    lines = [TextLine(f"{document['id']}  {document['path']}  ({kind})", Style.HEAD)]
    if document.get("unshown"):
        return [*lines, TextLine(str(document["unshown"]), Style.ASIDE)]
    lines += _unified(document.get("remote"), document.get("local"))
    if document.get("cut"):
        lines.append(TextLine(_COARSE, Style.CARE))
    merged = document.get("merged")
    if merged is None:
        lines.append(TextLine("no merge can be proposed", Style.ASIDE))
    elif document.get("merge_clean"):
        lines.append(TextLine("proposed merge (clean; take it with: manual_merge --proposed):", Style.HEAD))
        lines += _unified(document.get("base"), merged, "base", "merged")
    else:
        lines.append(TextLine("proposed merge (not clean; finish it with: manual_merge --edit):", Style.HEAD))
        lines += [TextLine(_tabs(text)) for text in str(merged).splitlines()]
    return lines


def _unified(before: str | None, after: str | None, old: str = "raven", new: str = "local") -> list[TextLine]:
    # Imported where it is used: every other view is shown sooner without it.
    from agent.core.diff import unified

    lines = []
    for side, text in ((old, before), (new, after)):
        if text is None:
            lines.append(TextLine(f"{side}: no such file, or no text", Style.ASIDE))
    both, _ = unified((before or "").splitlines(), (after or "").splitlines(), (old, new))
    return lines + _colored(both)


def _colored(unified_lines: Sequence[str]) -> list[TextLine]:
    tones = {"+": Style.GOOD, "-": Style.BAD, "@": Style.ASIDE}
    return [TextLine(_tabs(text), tones.get(text[:1], Style.PLAIN)) for text in unified_lines]


def compare(document: Document) -> View:
    """Show the difference of two versions of a file."""
    old, new = document["old"], document["new"]
    if old["hash"] == new["hash"]:
        return nothing(f"{document['path']}: {old['name']} and {new['name']} are the same text")
    if document["diff"] is None:
        sizes = f"{size(old['size'])} and {size(new['size'])}"
        return nothing(f"{document['path']}: {old['name']} and {new['name']} differ and are no text ({sizes})")
    lines = _colored(document["diff"])
    if document["cut"]:
        lines.append(TextLine(_COARSE, Style.CARE))
    return lines


_COARSE: Final = "the texts differ too much to be compared line by line: shown coarsely"


def _tabs(text: str) -> str:
    return text.expandtabs(8)


_STATES: Final = {"would_resolve": "would be resolved"}


def resolve(document: Document) -> View:
    """Show the result of each resolution."""
    tones = {"refused": Style.BAD, "failed": Style.BAD, "queued": Style.CARE}
    lines = []
    for row in document["resolved"]:
        words = f"{row['path']}: {_STATES.get(row['state'], row['state'])} ({row['choice']})"
        tail = f", {short_homes(row['message'])}" if row.get("message") else ""
        tail += f": {DECIDED_WORDS[row['here']]}" if row.get("here") in DECIDED_WORDS else ""
        lines.append(TextLine(words + tail, tones.get(row["state"], Style.PLAIN)))
    return lines or nothing("no conflict matches")
