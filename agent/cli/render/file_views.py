"""Views of single files: files, explain, activity, history, trash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from agent.cli.humanize import (
    parse_time,
    quoted,
    short_hash,
    short_home,
    short_homes,
    typed_path,
    when,
)
from agent.cli.output import Style, TextLine, View
from agent.cli.render.base import Document, flat, grid, nothing, size
from agent.cli.render.fact_views import file_answers, folder_answers
from agent.cli.render.source_views import shown_sources

_BAR: Final = 30
"""Cells of the longest bar."""


def files(document: Sequence[Document]) -> View:
    """Show files and their states, with the reason of a skipped one, and the folder where there are several."""
    several = len({f.get("root") for f in document}) > 1
    reasons = any(f.get("reason_text") for f in document)
    headings = ["STATE", "SIZE", "HASH", *(["FOLDER"] if several else []), "PATH", *(["REASON"] if reasons else [])]
    rows = [
        (
            f["state"],
            size(f.get("size")),
            short_hash(f.get("hash")),
            *((short_home(f.get("root")),) if several else ()),
            f["path"],
            *((f.get("reason_text") or "",) if reasons else ()),
        )
        for f in document
    ]
    return grid(headings, rows, "no files")


_NO_VERSIONS: Final = (
    "no versions: neither the server nor the trash of this machine has any; raven-agent files lists the files"
)
_EMPTY_TRASH: Final = (
    "the trash is empty: no sync replaced or removed a file here; of a file that you deleted: raven-agent history FILE"
)
_ANOTHER: Final = "not this text"
"""An earlier version of a file may have it."""
_EARLIER: Final = "a text that the server does not hold now may be an earlier version there: raven-agent history FILE"
_HASHES: Final = {"here": "hash", "base": "base_hash", "server": "remote_hash"}
_STATES: Final = {
    "ok": "the same here and on the server",
    "pending_push": "waits to be sent",
    "pending_pull": "waits to be fetched",
    "conflict": "in conflict",
    "skipped": "left out",
}


def explain(document: Document) -> View:
    """Show why a path is or is not synced."""
    synced = bool(document.get("synced"))
    is_folder = document.get("kind") == "folder"
    words = "files in it are synced" if is_folder and synced else "synced" if synced else "not synced"
    if document.get("exists") is False and not any(document.get(key) for key in ("state", *_HASHES.values())):
        words = "would be synced, but neither side has this file" if synced else "neither side has this file, and it"
        words = words if synced else f"{words} would not be synced"
        typed = typed_path(f"{document['root']}/{document['path']}")
        if document.get("file"):
            head = TextLine(f"{document['path']}: neither side has this file any more", Style.CARE)
            return [head, *file_answers(document["file"], typed, present=0)]
        return [
            TextLine(f"{document['path']}: {words}", Style.CARE),
            TextLine(f"  files in {short_home(document['root'])}: raven-agent files {typed_path(document['root'])}"),
            TextLine(f"  if it was there once: raven-agent history {typed}"),
        ]
    shown = short_home(document["root"]) if document["path"] == "." and document.get("root") else document["path"]
    lines = [TextLine(f"{shown}: {words}", Style.GOOD if synced else Style.CARE)]
    if document.get("rule"):
        where = f" ({short_homes(document['origin'])})" if document.get("origin") else ""
        lines.append(TextLine(f"  rule: {document['rule']}{where}"))
    if document.get("reason"):
        lines.append(TextLine(f"  reason: {short_homes(document['reason'])}", Style.CARE))
    if document.get("include"):
        change = f"raven-agent rules {typed_path(document['root'])} --include {quoted(document['include'])}"
        lines.append(TextLine(f"  to sync it: {change}", Style.ASIDE))
    if document.get("state"):
        lines.append(TextLine(f"  state: {_STATES.get(document['state'], document['state'])}"))
    if document.get("file"):
        typed = typed_path(f"{document['root']}/{document['path']}")
        # The server's present text is an old one for a person who has deleted the file.
        gone = document.get("exists") is False and document.get("base_hash") is not None
        lines += file_answers(document["file"], typed, present=0 if gone else 1)
    if document.get("folder"):
        lines += folder_answers(document["folder"], typed_path(document["root"]))
    if synced and not is_folder:
        words = ", ".join(f"{name} {short_hash(document.get(key))}" for name, key in _HASHES.items())
        lines.append(TextLine(f"  contents: {words}", Style.ASIDE))
    return lines


_EVENTS: Final = {
    "deleted_remote": "deleted on the server",
    "deleted_local": "deleted here",
    "conflict_closed": "conflict resolved",
    "deletes_held": "deletes held back",
    "deletes_approved": "deletes approved",
    "deletes_undone": "deletes undone",
    "overwritten_unseen": "version replaced unseen",
    "trash_refused": "trash refused",
    "event_refused": "event refused",
    "feed_restarted": "feed read anew",
}


def activity(document: Any) -> View:
    """Show what happened to files, oldest first; also one entry of a stream."""
    rows = [document] if isinstance(document, Mapping) else document
    several = len({row.get("root") for row in rows}) > 1 or isinstance(document, Mapping)
    lines = []
    for row in rows:
        what = str(row.get("what"))
        path = row.get("path")
        if several and row.get("root"):
            path = short_home(f"{row['root']}/{path}" if path else row["root"])
        parts = [when(row.get("at")), _EVENTS.get(what, what.replace("_", " ")), path or ""]
        lines.append(
            TextLine("  ".join([part for part in parts if part] + ([flat(row["detail"])] if row.get("detail") else [])))
        )
    return lines or nothing("no activity yet")


def activity_counts(document: Sequence[Document]) -> View:
    """Show counted activity, with a bar for each span."""
    most = max((row["entries"] for row in document), default=1)
    rows = [
        (_local_minute(row["at"]), row["entries"], row["files"], "#" * max(1, round(_BAR * row["entries"] / most)))
        for row in document
    ]
    return grid(("FROM", "CHANGES", "FILES", ""), rows, "no activity in that time")


def traffic(document: Sequence[Document]) -> View:
    """Show changes and transferred bytes of each span, with the size of the folders at its end."""
    rows = [
        (
            _local_minute(row["at"]),
            row["changes"],
            size(row["sent"]),
            size(row["received"]),
            "" if row["files"] is None else row["files"],
            "" if row["bytes"] is None else size(row["bytes"]),
        )
        for row in document
    ]
    return grid(("FROM", "CHANGES", "SENT", "RECEIVED", "FILES", "SIZE"), rows, "no activity in that time")


def _local_minute(stamp: str) -> str:
    then = parse_time(stamp)
    return stamp if then is None else then.astimezone().strftime("%Y-%m-%d %H:%M")


def events(document: Any) -> View:
    """Show events of the stream, one line each; also a single one."""
    rows = [document] if isinstance(document, Mapping) else document
    lines: list[TextLine] = []
    for row in rows:
        if row["kind"] == "activity":
            lines += [line for line in activity(row["activity"]) if isinstance(line, TextLine)]
        elif row["kind"] == "conflicts":
            lines.append(TextLine(f"conflicts: {len(row['conflicts'])}"))
        else:
            states = [
                f"{short_home(one['root'])} {one['state'].replace('_', ' ')}" for one in shown_sources(row["status"])
            ]
            lines.append(TextLine(f"status: {', '.join(states) or 'no folder'}"))
    return lines or nothing("no new events")


def history(document: Any) -> View:
    """Show the versions of one file, newest first."""
    rows = document["versions"] if isinstance(document, Mapping) else document
    asked = not (isinstance(document, Mapping) and document.get("error"))
    return grid(
        ("WHEN", "WHERE", "SIZE", "FROM", "HASH"),
        [
            (when(v.get("recorded_at")), v.get("where"), size(v.get("size")), v.get("origin"), short_hash(v["hash"]))
            for v in rows
        ],
        _NO_VERSIONS if asked else "no versions in the trash of this machine",
    )


def trash(document: Any) -> View:
    """Show what was replaced or removed here."""
    several = len({t.get("root") for t in document}) > 1 or any(t.get("unlinked") for t in document)
    rows = [
        (
            t["id"],
            when(t.get("moved_at")),
            size(t.get("size")),
            t.get("reason"),
            _server_now(t),
            *((short_home(t.get("root")) + (" (unlinked)" if t.get("unlinked") else ""),) if several else ()),
            t["path"],
        )
        for t in document
    ]
    headings = ("ID", "WHEN", "SIZE", "WHY", "SERVER NOW", *(("FOLDER",) if several else ()), "PATH")
    older = any(_server_now(t) == _ANOTHER for t in document)
    return [*grid(headings, rows, _EMPTY_TRASH), *([TextLine(_EARLIER, Style.ASIDE)] if older else [])]


def _server_now(entry: Document) -> str | None:
    """Compare an entry with the server's present files. Of an unlinked folder they are not known."""
    if entry.get("on_server"):
        return "this text"
    return None if entry.get("unlinked") else _ANOTHER
