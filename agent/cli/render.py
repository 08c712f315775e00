"""Each document as a person reads it. Pure: a document in, a view out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from agent.cli.humanize import ago, count_of, parse_time, seconds_words, short_hash, size_words
from agent.cli.output import Grid, Style, TextLine, View

Document = Mapping[str, Any]

_TONES: Final = {
    "up_to_date": Style.GOOD,
    "syncing": Style.PLAIN,
    "paused": Style.ASIDE,
    "conflict": Style.CARE,
    "offline": Style.CARE,
    "error": Style.BAD,
    "halted": Style.BAD,
    "signed_out": Style.BAD,
}


def nothing(words: str) -> View:
    """What is shown for an empty list."""
    return [TextLine(words, Style.ASIDE)]


def grid(headings: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> View:
    """Rows under headings, None as ``-``; ``empty`` when there are none."""
    cells = tuple(tuple("-" if cell is None else str(cell) for cell in row) for row in rows)
    return [Grid(tuple(headings), cells)] if cells else nothing(empty)


def changed(document: Any) -> View:
    """Any document without a view of its own: its fields, one a line."""
    if not isinstance(document, Mapping):
        return [TextLine(str(document))]
    lines = [TextLine(f"{name}: {_flat(value)}") for name, value in document.items() if value not in (None, [], {})]
    return lines or [TextLine("done")]


def _flat(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_flat(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(_flat(inner) for inner in value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def status(document: Document) -> View:
    """One line a source and what is wrong with it, then the servers that need care, then the daemon."""
    now = parse_time(document.get("checked_at")) or dt.datetime.now(dt.UTC)
    view: list[TextLine] = []
    for source in document["sources"]:
        view.append(TextLine(source_line(source, now), _TONES.get(source["state"], Style.PLAIN)))
        view += source_troubles(source)
    if not document["sources"]:
        view.append(TextLine("no folder is linked; start with: raven-agent up FOLDER", Style.ASIDE))
    for server in document.get("servers", ()):
        if server.get("state") == "signed_out":
            view.append(
                TextLine(f"signed out of {server['name']}: {server.get('remedy') or 'raven-agent login'}", Style.BAD)
            )
        if server.get("warning"):
            view.append(TextLine(f"  {server['warning']}", Style.CARE))
    view += declarations(document.get("declarations") or ())
    daemon = document.get("daemon")
    if daemon and daemon.get("running"):
        view.append(TextLine(f"agent running, pid {daemon.get('pid')}, since {daemon.get('since')}", Style.ASIDE))
    elif daemon is not None and document["sources"]:
        view.append(TextLine("no agent runs: changes wait for raven-agent run, up or sync", Style.CARE))
    return view


def declarations(document: Iterable[Document]) -> list[TextLine]:
    """What is declared and is not carried out, and why."""
    view = []
    for row in document:
        if row["state"] == "applied":
            continue
        tone = Style.BAD if row["state"] == "refused" else Style.CARE
        error = row.get("error") or {}
        words = error.get("message") or "not carried out yet"
        view.append(TextLine(f"{row['state']}: [[{row['kind']}]] {row['name']} in {row['file']}: {words}", tone))
        if error.get("hint"):
            view.append(TextLine(f"  {error['hint']}", Style.ASIDE))
    return view


def source_line(source: Document, now: dt.datetime) -> str:
    """``notes  up_to_date  12 files, 4.0 KiB  synced 3 s ago  /home/me/notes``."""
    said = [f"{source['name']}: {source['state'].replace('_', ' ')}"]
    if source.get("files") is not None:
        said.append(f"{count_of(source['files'], 'file')}, {size_words(source.get('bytes') or 0)}")
    for name, words in (("pending_push", "to send"), ("pending_pull", "to fetch"), ("skipped", "skipped")):
        if source.get(name):
            said.append(f"{source[name]} {words}")
    if source.get("conflicts"):
        said.append(count_of(source["conflicts"], "conflict"))
    said.append(progress_words(source) or f"synced {ago(source.get('last_sync_at'), now)}")
    return "  ".join([*said, str(source["root"])])


def progress_words(source: Document) -> str:
    """``40/100 files, 1.0 MiB of 3.0 MiB, 5 s left``; empty when nothing is under way."""
    progress = source.get("progress")
    if not progress:
        return ""
    words = f"{progress['files_done']}/{progress['files_total']} files"
    if progress.get("bytes_total"):
        words += f", {size_words(progress['bytes_done'])} of {size_words(progress['bytes_total'])}"
    left = progress.get("eta_seconds")
    return words if left is None else f"{words}, {seconds_words(left)} left"


def source_troubles(source: Document) -> list[TextLine]:
    """What a person should know or do, one line each."""
    lines = []
    if source.get("error"):
        lines.append(TextLine(f"  {source['error']['message']}", Style.BAD))
    held = source.get("held_deletes")
    if held:
        lines.append(TextLine(f"  {count_of(held['count'], 'delete')} held back; to let them through:", Style.BAD))
        lines.append(TextLine(f"    raven-agent sync {source['root']} --approve-deletes {held['plan']}"))
        lines.append(TextLine(f"    raven-agent sync {source['root']} --undo-deletes   (brings the files back)"))
    if source.get("conflicts"):
        lines.append(TextLine(f"  see: raven-agent conflicts {source['root']}", Style.CARE))
    if source.get("paused_until"):
        lines.append(TextLine(f"  paused until {source['paused_until']}", Style.ASIDE))
    lines += [TextLine(f"  {text}", Style.CARE) for text in source.get("degraded") or ()]
    return lines


def servers(document: Any) -> View:
    """The accounts."""
    rows = document["servers"] if isinstance(document, Mapping) else document
    return grid(
        ("NAME", "STATE", "URL", "WORKSPACE", "TOKEN ENDS"),
        [(s["name"], s.get("state"), s["url"], s.get("workspace"), s.get("token_expires_at")) for s in rows],
        "no server; raven-agent login URL adds one",
    )


def sources(document: Any) -> View:
    """The server's sources, and where they are linked here."""
    rows = document["sources"] if isinstance(document, Mapping) else document
    return grid(
        ("NAME", "MODE", "STATUS", "ID", "PATTERNS", "LINKED HERE"),
        [(s["name"], s["mode"], s.get("status"), s["id"], _pattern_words(s), s.get("root")) for s in rows],
        "no sources",
    )


def _pattern_words(source: Document) -> str:
    """The patterns of a source in one cell: excluded ones after a minus."""
    include = source.get("include") or ["default"]
    return " ".join([*include, *(f"-{pattern}" for pattern in source.get("exclude") or ())])


def link(document: Document) -> View:
    """What a link does, or did."""
    lines = [plan_line(document)] if document.get("plan") else []
    words = "linked" if document.get("changed") else "already linked" if document.get("was_linked") else "would link"
    lines.append(TextLine(f"{words}: {document['root']} with {document.get('server')} ({document.get('mode')})"))
    lines += _patterns(document)
    return [*lines, *(sync(document["sync"]) if document.get("sync") else ())]


def _patterns(document: Document) -> list[TextLine]:
    """The patterns of a link: what it includes and excludes, and which of them select private files."""
    lines = [
        TextLine(f"{word}: {' '.join(document[word])}", Style.ASIDE)
        for word in ("include", "exclude")
        if document.get(word)
    ]
    if document.get("private"):
        lines.append(TextLine(f"selects dotfiles or secrets: {' '.join(document['private'])}", Style.CARE))
    return lines


def plan_line(document: Document) -> TextLine:
    """``3 upload, 2 download, …``."""
    plan = document.get("plan") or {}
    words = [f"{_number(plan.get(verb))} {verb}" for verb in ("upload", "download", "adopt", "park", "skip")]
    return TextLine(", ".join(words), Style.CARE if _number(plan.get("park")) else Style.PLAIN)


def _number(value: object) -> int:
    """A plan's entry counted, whether it is a number or the list of what it counts."""
    return len(value) if isinstance(value, list) else value if isinstance(value, int) else 0


def sync(document: Document) -> View:
    """One block a source: what was done, and every file that was not."""
    view: list[TextLine] = []
    for source in document["sources"]:
        said = [
            f"{source.get(name) or 0} {words}"
            for name, words in (
                ("pushed", "sent"),
                ("pulled", "fetched"),
                ("deleted_remote", "deleted there"),
                ("deleted_local", "deleted here"),
            )
        ]
        took = seconds_words(source.get("seconds") or 0)
        state = source["state"]
        view.append(
            TextLine(
                f"{source['root']}: {state.replace('_', ' ')} ({', '.join(said)}; {took})",
                _TONES.get(state, Style.PLAIN),
            )
        )
        view += [
            TextLine(f"  {e.get('path') or source['root']}: {e['message']}", Style.BAD)
            for e in source.get("errors", ())
        ]
        view += [TextLine(f"  {s['path']}: skipped, {s['reason']}", Style.ASIDE) for s in source.get("skipped", ())]
        if source.get("conflicts"):
            words = count_of(source["conflicts"], "conflict")
            view.append(TextLine(f"  {words} parked: raven-agent conflicts {source['root']}", Style.CARE))
        view += [line for line in source_troubles({**source, "conflicts": 0}) if source.get("held_deletes")]
    return view or nothing("no folder is linked")


def files(document: Sequence[Document]) -> View:
    """Files and their states."""
    rows = [(f["state"], _size(f.get("size")), short_hash(f.get("hash")), f["path"]) for f in document]
    return grid(("STATE", "SIZE", "HASH", "PATH"), rows, "no files")


def _size(count: object) -> str:
    return size_words(count) if isinstance(count, int) else "-"


def explain(document: Document) -> View:
    """Why a path is or is not synced."""
    synced = bool(document.get("synced"))
    lines = [
        TextLine(f"{document['path']}: {'synced' if synced else 'not synced'}", Style.GOOD if synced else Style.CARE)
    ]
    if document.get("rule"):
        where = f" ({document['origin']})" if document.get("origin") else ""
        lines.append(TextLine(f"  rule: {document['rule']}{where}"))
    if document.get("state"):
        lines.append(TextLine(f"  state: {document['state']}"))
    if synced:
        lines += [
            TextLine(f"  {name}: {document.get(key) or 'no such file'}", Style.ASIDE)
            for name, key in (("here", "hash"), ("base", "base_hash"), ("server", "remote_hash"))
        ]
    return lines


def activity(document: Any) -> View:
    """What happened to files, oldest first; also one entry of a stream."""
    rows = [document] if isinstance(document, Mapping) else document
    lines = []
    for row in rows:
        first = [str(row[name]) for name in ("at", "what", "path") if row.get(name) is not None]
        rest = [_flat(row[name]) for name in ("detail",) if row.get(name)]
        lines.append(TextLine("  ".join([*first, *rest])))
    return lines or nothing("nothing happened yet")


def conflicts(document: Sequence[Document]) -> View:
    """Parked conflicts."""
    rows = [
        (
            c["id"],
            c["kind"].replace("_", " against "),
            c["state"],
            "" if c.get("mine", True) else "another machine",
            c["path"],
        )
        for c in document
    ]
    return grid(("ID", "KIND", "STATE", "OF", "PATH"), rows, "no conflicts")


def diff(document: Document) -> View:
    """One conflict: from the server's text to the local one, then the proposed merge."""
    kind = document["kind"].replace("_", " against ")
    lines = [TextLine(f"{document['id']}  {document['path']}  ({kind})", Style.HEAD)]
    lines += _unified(document.get("remote"), document.get("local"))
    if document.get("cut"):
        lines.append(TextLine("the texts differ too much to be compared line by line: shown coarsely", Style.CARE))
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
    tones = {"+": Style.GOOD, "-": Style.BAD, "@": Style.ASIDE}
    both, _ = unified((before or "").splitlines(), (after or "").splitlines(), (old, new))
    return lines + [TextLine(_tabs(text), tones.get(text[:1], Style.PLAIN)) for text in both]


def _tabs(text: str) -> str:
    return text.expandtabs(8)


def resolve(document: Document) -> View:
    """What became of each resolution."""
    tones = {"refused": Style.BAD, "failed": Style.BAD, "queued": Style.CARE}
    lines = []
    for row in document["resolved"]:
        words = f"{row['path']}: {row['state']} ({row['choice']})"
        tail = f", {row['message']}" if row.get("message") else ""
        lines.append(TextLine(words + tail, tones.get(row["state"], Style.PLAIN)))
    return lines or nothing("no conflict matches")


def history(document: Any) -> View:
    """Versions of one file, newest first."""
    rows = document["versions"] if isinstance(document, Mapping) else document
    return grid(
        ("WHEN", "WHERE", "SIZE", "FROM", "HASH"),
        [(v.get("recorded_at"), v.get("where"), _size(v.get("size")), v.get("origin"), v["hash"]) for v in rows],
        "no versions",
    )


def trash(document: Any) -> View:
    """What was replaced or removed here."""
    rows = [
        (
            t["id"],
            t.get("moved_at"),
            _size(t.get("size")),
            t.get("reason"),
            "yes" if t.get("on_server") else "no",
            t["path"],
        )
        for t in document
    ]
    return grid(("ID", "WHEN", "SIZE", "WHY", "ON SERVER", "PATH"), rows, "the trash is empty")


def doctor(document: Document) -> View:
    """Each check, and the remedy where one failed."""
    lines = []
    for row in document["checks"]:
        mark, tone = ("ok  ", Style.GOOD) if row["ok"] else ("FAIL", Style.BAD)
        if row.get("state") == "not_checked":
            mark, tone = "?   ", Style.ASIDE
        lines.append(TextLine(f"{mark}  {row['check']}: {row.get('detail') or ''}", tone))
        if not row["ok"] and row.get("remedy"):
            lines.append(TextLine(f"      {row['remedy']}"))
    return [*lines, *(_drill(document["drill"]) if "drill" in document else [])]


def _drill(document: Document) -> View:
    """Each promise and the side that keeps it, then what could not be removed."""
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


def settings(document: Document) -> View:
    """The settings table, or one value."""
    rows = document.get("settings")
    if rows is None:
        return [TextLine(word(document["value"]))]
    return grid(
        ("SETTING", "VALUE", "UNIT", "FROM", "MEANING"),
        [(r["name"], word(r["value"]), r["unit"], r["origin"], r["meaning"]) for r in rows],
        "no settings",
    )


def word(value: object) -> str:
    """A setting as the file has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
