"""Views of sources: status, sync, link."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Final

from agent.cli.humanize import (
    ago,
    clock,
    count_of,
    parse_time,
    seconds_words,
    short_home,
    short_homes,
    size_words,
    typed_path,
    when,
)
from agent.cli.output import Style, TextLine, View
from agent.cli.render.base import TONES, Document, nothing
from agent.cli.render.machine_views import machines
from agent.core.states import Reason, SourceState
from agent.settings.links import LOCAL_ACCOUNTS

_OF_ACCOUNTS: Final = frozenset({SourceState.OFFLINE, SourceState.SIGNED_OUT})
"""States whose cause is the account, so that each of its folders has the same."""
_OF_FILES: Final = frozenset(Reason)
"""Error codes that are about single files."""

NO_FOLDER: Final = "no folder is linked; start with: raven-agent up FOLDER"


def no_folder(document: Document) -> str:
    """Return the next step where no folder is linked: with an account of another machine, a source of it."""
    names = [str(server["name"]) for server in document.get("servers", ())]
    others = [name for name in names if name not in LOCAL_ACCOUNTS]
    if not others:
        return NO_FOLDER
    server = "" if len(names) == 1 else f" --server {others[0] if len(others) == 1 else 'NAME'}"
    return (
        f"no folder is linked; next: raven-agent link FOLDER{server} --source NAME "
        f"(raven-agent sources{server} lists the names)"
    )


_WAITING: Final = "waiting, no agent runs"

_LATER: Final = "  nothing is lost: it is tried again with each pass; raven-agent doctor looks for the cause"


def status(document: Document) -> View:
    """Show one line a source with its problems, then the servers that need care, then the daemon."""
    now = parse_time(document.get("checked_at")) or dt.datetime.now(dt.UTC)
    view: list[TextLine] = []
    for lines in sources_in_lines(shown_sources(document), now):
        view += lines
    if not document["sources"]:
        view.append(TextLine(no_folder(document), Style.ASIDE))
    view += accounts(document)
    view += declarations(document.get("declarations") or ())
    daemon = document.get("daemon")
    if daemon and daemon.get("running"):
        view.append(
            TextLine(f"agent running, pid {daemon.get('pid')}, started {when(daemon.get('since'), now)}", Style.ASIDE)
        )
    elif daemon is not None and document["sources"]:
        view.append(TextLine("no agent runs: changes wait for raven-agent run, up or sync", Style.CARE))
    states = {source["id"]: source["state"] for source in document["sources"]}
    return [*view, *machines(document.get("machines") or (), states, now)]


def shown_sources(document: Document) -> Sequence[Document]:
    """Return the sources of a status as a person sees them: without an agent nothing is syncing, it waits."""
    sources: Sequence[Document] = document["sources"]
    daemon = document.get("daemon")
    if daemon is None or daemon.get("running"):
        return sources
    return [{**one, "state": _WAITING} if one["state"] == SourceState.SYNCING else one for one in sources]


def accounts(document: Document) -> list[TextLine]:
    """Show the servers of a status that need a person."""
    view = []
    for server in document.get("servers", ()):
        if server.get("state") == "signed_out":
            view.append(
                TextLine(f"signed out of {server['name']}: {server.get('remedy') or 'raven-agent login'}", Style.BAD)
            )
        if server.get("warning"):
            view.append(TextLine(f"  {server['warning']}", Style.CARE))
    return view


def declarations(document: Iterable[Document]) -> list[TextLine]:
    """Show declarations that are not applied, with the reason."""
    view = []
    for row in document:
        if row["state"] == "applied":
            continue
        tone = Style.BAD if row["state"] == "refused" else Style.CARE
        error = row.get("error") or {}
        words = error.get("message") or "not applied yet"
        where = f"[[{row['kind']}]] {short_home(row['name'])} in {short_home(row['file'])}"
        view.append(TextLine(f"{row['state']}: {where}: {short_homes(words)}", tone))
        if error.get("hint"):
            view.append(TextLine(f"  {short_homes(error['hint'])}", Style.ASIDE))
    return view


def sources_in_lines(sources: Sequence[Document], now: dt.datetime, width: int | None = None) -> list[list[TextLine]]:
    """Return the lines of each source: its state in columns, then one line for each of its problems.

    Args:
        width: cells of the terminal. Where a line does not fit, each source takes several short ones.
    """
    rows = [_source_cells(source, now) for source in sources]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    fits = width is None or sum(widths) + 2 * sum(1 for cells in widths[1:] if cells) <= width
    shown = []
    said: set[str] = set()
    for source, row in zip(sources, rows, strict=True):
        tone = TONES.get(source["state"], Style.PLAIN)
        aligned = [cell.ljust(cells) for cell, cells in zip(row, widths, strict=True) if cells]
        words = ["  ".join(aligned).rstrip()] if fits else [row[0], *(f"  {cell}" for cell in row[1:] if cell)]
        troubles = _not_said(source, source_troubles(source), said)
        shown.append([*(TextLine(line, tone) for line in words), *troubles])
    return shown


def _not_said(source: Document, lines: Sequence[TextLine], said: set[str]) -> list[TextLine]:
    """Return the lines of a source; of an account's trouble only those that no source before it has shown."""
    if source["state"] not in _OF_ACCOUNTS:
        return list(lines)
    new = [line for line in lines if line.text not in said]
    said.update(line.text for line in lines)
    return new


def _source_cells(source: Document, now: dt.datetime) -> tuple[str, str, str, str, str]:
    """Return ``notes: up to date``, ``12 files, 4.0 KiB``, ``3 to send``, ``synced 3 s ago``, ``~/notes``."""
    when = progress_words(source) or f"synced {ago(source.get('last_sync_at'), now)}"
    head, size, counts = _standing(source)
    return head, size, counts, when, short_home(source["root"])


def change_line(source: Document) -> str:
    """Return a source's line without parts that change by themselves, such as the time since the last sync."""
    return "  ".join(part for part in (*_standing(source), short_home(source["root"])) if part)


def _standing(source: Document) -> tuple[str, str, str]:
    size = ""
    if source.get("files") is not None:
        size = f"{count_of(source['files'], 'file')}, {size_words(source.get('bytes') or 0)}"
    counts = [
        f"{source[name]} {words}"
        for name, words in (("pending_push", "to send"), ("pending_pull", "to fetch"), ("skipped", "skipped"))
        if source.get(name)
    ]
    if source.get("conflicts"):
        counts.append(count_of(source["conflicts"], "conflict"))
    return f"{source['name']}: {state_words(source)}", size, "  ".join(counts)


def state_words(source: Document) -> str:
    """Return a source's state in words. Files that cannot be synced leave the rest of the folder in sync."""
    failed = source.get("failed")
    waits = source.get("pending_push") or source.get("pending_pull")
    # Another error than that of a file concerns the whole folder.
    of_files = source.get("error") is None or source["error"]["code"] in _OF_FILES
    if source["state"] in ("error", "up_to_date") and failed and not waits and of_files:
        return f"up to date but for {count_of(failed, 'file')}"
    return str(source["state"]).replace("_", " ")


def progress_words(source: Document) -> str:
    """Return ``40/100 files, 1.0 MiB of 3.0 MiB, 5 s left``; empty when no work is under way."""
    progress = source.get("progress")
    if not progress:
        return f"{source['resolving']} resolutions left" if source.get("resolving") else ""
    words = f"{progress['files_done']}/{progress['files_total']} files"
    if progress.get("bytes_total"):
        words += f", {size_words(progress['bytes_done'])} of {size_words(progress['bytes_total'])}"
    left = progress.get("eta_seconds")
    return words if left is None else f"{words}, {seconds_words(left)} left"


def source_troubles(source: Document) -> list[TextLine]:
    """Show what a person should know or do about a source, one line each."""
    lines = []
    held = source.get("held_deletes")
    error = source.get("error")
    # The error of held deletes names their plan, as the lines below do.
    if error and not (held and held["plan"] in error["message"]):
        lines.append(TextLine(f"  {short_homes(error['message'])}", Style.BAD))
    if source["state"] == "offline":
        lines.append(TextLine(_LATER, Style.ASIDE))
    if held:
        lines.append(TextLine(f"  {count_of(held['count'], 'delete')} held back; to let them through:", Style.BAD))
        lines.append(TextLine(f"    raven-agent sync {typed_path(source['root'])} --approve-deletes {held['plan']}"))
        lines.append(
            TextLine(f"    raven-agent sync {typed_path(source['root'])} --undo-deletes   (brings the files back)")
        )
    if source.get("conflicts"):
        lines.append(TextLine(f"  see: raven-agent conflicts {typed_path(source['root'])}", Style.CARE))
    if _pause_words(source):
        lines.append(TextLine(f"  {_pause_words(source)}", Style.ASIDE))
    lines += [TextLine(f"  {short_homes(text)}", Style.CARE) for text in source.get("degraded") or ()]
    return lines


def _pause_words(source: Document) -> str:
    """Return who paused a source, until when, and the command that ends the pause; empty without a pause."""
    by = source.get("paused_by", "person")
    if by == "server":
        return "the server's preferences switch it off for this machine; to go on: raven-agent resume"
    if source.get("paused_until"):
        return f"paused until {clock(source['paused_until'])}; to go on: raven-agent resume"
    if source["state"] != SourceState.PAUSED:
        return ""
    if by is None:
        return "paused on the server, for all machines; to go on: raven-agent resume --everywhere"
    return "paused without an end; to go on: raven-agent resume"


def link(document: Document) -> View:
    """Show what a link does, or did."""
    was_linked = document.get("was_linked")
    lines = [plan_line(document)] if document.get("plan") and not was_linked else []
    if lines and _number(document.get("minutes")) > 1:
        minutes = count_of(document["minutes"], "minute")
        lines.append(TextLine(f"the server's limit of calls lets this take at least {minutes}", Style.ASIDE))
    words = "linked" if document.get("changed") else "already linked" if was_linked else "would link"
    mode = document.get("mode")
    way = "" if mode == "bidirectional" else f" ({mode})"
    lines.append(TextLine(f"{words}: {short_home(document['root'])} with {document.get('server')}{way}"))
    lines += _patterns(document)
    lines += [TextLine(f"  skipped: {s['path']} ({s['reason']})", Style.ASIDE) for s in document.get("skipped") or ()]
    if other := document.get("other_tool"):
        words = f"{other} syncs this folder too, and each takes the other's work for a person's: let one of them end"
        lines.append(TextLine(words, Style.CARE))
    ignores = [] if document.get("changed") else document.get("unread_ignores") or []
    lines += [
        TextLine(f"{name} is not read here: write what to leave out into .ravenignore", Style.CARE) for name in ignores
    ]
    if document.get("earlier"):
        typed = f"raven-agent link {typed_path(document['root'])} --name NEW"
        words = "it goes on with the source that it was linked with before"
        first = f"raven-agent unlink {typed_path(document['root'])}, then " if document.get("changed") else ""
        lines.append(TextLine(f"{words}; for another one: {first}{typed}", Style.ASIDE))
    for twin in document.get("twins") or ():
        typed = f"raven-agent link {typed_path(document['root'])} --source {twin}"
        first = f"raven-agent unlink {typed_path(document['root'])}, then " if document.get("changed") else ""
        lines.append(
            TextLine("the server has another source of that name; no folder here is linked with it", Style.CARE)
        )
        lines.append(TextLine(f"  to go on with that one: {first}{typed}", Style.ASIDE))
    return [*lines, *(sync(document["sync"]) if document.get("sync") else ())]


def _patterns(document: Document) -> list[TextLine]:
    """Show the patterns of a link, and those that select private files."""
    lines = [
        TextLine(f"{word}: {' '.join(document[word])}", Style.ASIDE)
        for word in ("include", "exclude")
        if document.get(word)
    ]
    if document.get("private"):
        lines.append(TextLine(f"selects dotfiles or secrets: {' '.join(document['private'])}", Style.CARE))
    return lines


_PLAN: Final = (
    ("upload", "to send"),
    ("download", "to fetch"),
    ("adopt", "equal on both sides"),
    ("park", "different on both sides, to be parked as conflicts"),
    ("skip", "to be skipped"),
)


def plan_line(document: Document) -> TextLine:
    """Return ``3 files to send, 2 to fetch``: what a link does, without what it does not."""
    plan = document.get("plan") or {}
    counts = [(_number(plan.get(verb)), words) for verb, words in _PLAN if _number(plan.get(verb))]
    if not counts:
        return TextLine("no files yet on either side")
    first, *rest = counts
    text = ", ".join([f"{count_of(first[0], 'file')} {first[1]}", *(f"{count} {words}" for count, words in rest)])
    return TextLine(text, Style.CARE if _number(plan.get("park")) else Style.PLAIN)


def _number(value: object) -> int:
    """Return the count of a plan's entry, which is a number or the list of what it counts."""
    return len(value) if isinstance(value, list) else value if isinstance(value, int) else 0


def sync(document: Document) -> View:
    """Show what a pass did, or would do, source by source. Nothing is named twice, and no zeros."""
    view: list[TextLine] = []
    said: set[str] = set()
    for source in document["sources"]:
        root = short_home(source["root"])
        counted = [
            f"{source[name]} {words}"
            for name, words in (
                ("pushed", "sent"),
                ("pulled", "fetched"),
                ("deleted_remote", "deleted there"),
                ("deleted_local", "deleted here"),
                ("pending", "not done"),
            )
            if source.get(name)
        ]
        state = source["state"]
        took = seconds_words(source.get("seconds") or 0)
        would = "would be: " if source.get("dry_run") else ""
        words = f"{would}{', '.join([*counted, took])}" if counted else took
        view.append(TextLine(f"{root}: {_pass_state(source)} ({words})", TONES.get(state, Style.PLAIN)))
        view += _not_said(source, _pass_problems(source), said)
    view += _undone(document)
    if view and document.get("undone") == 0:
        view.append(TextLine("no deletes were held, so none is undone; a file's versions: raven-agent history FILE"))
    return view or nothing(NO_FOLDER)


_UNDONE_SHOWN: Final = 20
"""Files of an undo of deletes that are shown, of each kind."""


def _undone(document: Document) -> list[TextLine]:
    """Name the files that an undo of deletes brings back; those whose delete was not held apart."""
    view = []
    files = document.get("undone_files") or ()
    for field, before, words in (("undone", False, "held delete"), ("undone_before", True, "earlier delete")):
        count = document.get(field) or 0
        named = [row for row in files if row["before"] is before][:_UNDONE_SHOWN]
        if named:
            view.append(TextLine(f"{count_of(count, words)} undone:"))
            several = len({row["root"] for row in files}) > 1
            view += [
                TextLine(f"  {short_home(row['root'])}/{row['path']}" if several else f"  {row['path']}")
                for row in named
            ]
        if count > len(named) > 0:
            view.append(TextLine(f"  and {count - len(named)} more: raven-agent activity", Style.ASIDE))
    return view


def _pass_state(source: Document) -> str:
    named = [error for error in source.get("errors", ()) if error.get("path")]
    if source["state"] in ("error", "up_to_date") and named and len(named) == len(source.get("errors", ())):
        return f"up to date but for {count_of(len(named), 'file')}"
    # A pass that has ended, or a dry run, is not syncing.
    words = "not up to date" if source["state"] == SourceState.SYNCING else str(source["state"])
    return words.replace("_", " ")


def _pass_problems(source: Document) -> list[TextLine]:
    held = source.get("held_deletes")
    view = []
    named = set()
    for error in source.get("errors", ()):
        named.add(error.get("path"))
        # The line above names the folder.
        where = f"{error['path']}: " if error.get("path") else ""
        view.append(TextLine(f"  {where}{short_homes(error['message'])}", Style.BAD))
    if source["state"] == "offline":
        view.append(TextLine(_LATER, Style.ASIDE))
    if source["state"] == SourceState.PAUSED:
        view.append(TextLine(f"  nothing was sent or fetched: {_pause_words(source)}", Style.CARE))
    view += [
        TextLine(f"  {s['path']}: skipped, {s.get('text') or s['reason']}", Style.ASIDE)
        for s in source.get("skipped", ())
        if s["path"] not in named
    ]
    if source.get("conflicts"):
        words = count_of(source["conflicts"], "conflict")
        view.append(TextLine(f"  {words} parked: raven-agent conflicts {typed_path(source['root'])}", Style.CARE))
    if held:
        view += source_troubles({**source, "conflicts": 0, "error": None})
    return view
