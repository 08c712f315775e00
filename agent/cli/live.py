"""Views that change by themselves: the live status, and the progress line beside a pass."""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from agent.cli import render
from agent.cli.humanize import parse_time
from agent.cli.output import (
    Output,
    OutputFormat,
    Style,
    TextLine,
    Verbosity,
    console_for,
    draw,
    is_terminal,
    rich_block,
    writing,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from agent.cli.client import Client
    from agent.cli.command import App

TICK_SECONDS: Final = 0.5
WATCH_SECONDS: Final = 2.0
BAR_CELLS: Final = 30


def sources_in(document: Any) -> Sequence[Mapping[str, Any]]:
    """Return the sources of a status or progress document."""
    found: Sequence[Mapping[str, Any]] = render.shown_sources(document) if isinstance(document, Mapping) else document
    return found


def watch_status(app: App, params: Mapping[str, Any]) -> None:
    """Show the status again and again until interrupted."""
    from agent.cli.client import follow

    show_stream(app.output, follow(app.home, app.settings(), "status_watch", params, WATCH_SECONDS))


def show_stream(output: Output, documents: Iterable[Any]) -> None:
    """Show status documents as they come: a live view on a terminal, else only what changes, as text or JSON."""
    if output.form is OutputFormat.JSON:
        for document in changed_documents(documents):
            output.each(document, render.status)
    elif is_terminal(sys.stdout):
        _show_live(documents)
    else:
        _show_changes(documents)


def changed_documents(documents: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the status documents that differ from the one before in more than their times.

    An agent at rest agrees with its server again and again: ``checked_at`` and ``last_sync_at`` alone are no change.
    """
    shown: object = None
    for document in documents:
        sources = [{**source, "last_sync_at": None} for source in document.get("sources", ())]
        state = {**document, "checked_at": None, "sources": sources}
        if state != shown:
            shown = state
            yield document


def _show_live(documents: Iterable[Any]) -> None:
    from rich.console import Group
    from rich.live import Live

    console = console_for(sys.stdout)
    hint = rich_block(TextLine("Ctrl-C ends this", Style.ASIDE))
    with Live(console=console, auto_refresh=False, transient=False) as live:
        for document in documents:
            live.update(Group(picture(document, console.width), hint), refresh=True)


def picture(document: Mapping[str, Any], width: int) -> RenderableType:
    """Return the live view of a status document for a terminal of ``width`` cells."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.progress_bar import ProgressBar

    now = parse_time(document.get("checked_at")) or dt.datetime.now(dt.UTC)
    sources = sources_in(document)
    blocks: list[RenderableType] = []
    for source, lines in zip(sources, render.sources_in_lines(sources, now, width), strict=True):
        blocks += map(rich_block, lines)
        progress = source.get("progress")
        if progress:
            total, done = _measure(progress)
            # A bar ends without a new line of its own; the padding gives it one.
            blocks.append(Padding(ProgressBar(total=total, completed=done, width=min(BAR_CELLS, width)), 0))
    if not sources:
        blocks.append(rich_block(TextLine(render.no_folder(document), Style.ASIDE)))
    blocks += map(rich_block, render.accounts(document))
    if document.get("last_event"):
        blocks += map(rich_block, render.activity(document["last_event"]))
    return Group(*blocks)


def _measure(progress: Mapping[str, Any]) -> tuple[float, float]:
    """Return total and done, in bytes if they are known, else in files. A total is never 0."""
    if progress.get("bytes_total"):
        return float(progress["bytes_total"]), float(progress["bytes_done"])
    return float(progress["files_total"] or 1), float(progress["files_done"])


def _show_changes(documents: Iterable[Any]) -> None:
    shown: dict[str, str] = {}
    for document in documents:
        for source in sources_in(document):
            text = render.change_line(source)
            if shown.get(str(source["root"])) != text:
                shown[str(source["root"])] = text
                troubles = render.source_troubles(source)
                with writing() as out:
                    draw([TextLine(text), *troubles], out)


@contextlib.contextmanager
def progress_beside(output: Output, client: Client) -> Iterator[None]:
    """Show progress on a terminal's stderr while the body runs; nothing elsewhere.

    An error in drawing the line never ends the body.
    """
    if output.form is OutputFormat.JSON or output.loudness is Verbosity.QUIET or not is_terminal(sys.stderr):
        yield
        return
    done = threading.Event()
    drawer = threading.Thread(target=_draw_progress, args=(client, done), name="progress", daemon=True)
    drawer.start()
    try:
        yield
    finally:
        done.set()
        drawer.join(TICK_SECONDS * 4)


def _draw_progress(client: Client, done: threading.Event) -> None:
    from rich.live import Live

    console = console_for(sys.stderr)
    with contextlib.suppress(Exception), Live(console=console, auto_refresh=False, transient=True) as live:
        while not done.wait(TICK_SECONDS):
            now = dt.datetime.now(dt.UTC)
            sources = sources_in(client.call("progress", {}))
            busy = [s for s in sources if s.get("progress") or s.get("resolving")]
            if busy:
                live.update(picture({"sources": busy, "checked_at": now.isoformat()}, console.width), refresh=True)
