"""``up``: the main job in one command."""

from __future__ import annotations

import contextlib
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli import render
from agent.cli.command import App, command, include_option, yes_option
from agent.cli.commands.folders import link_with_consent
from agent.cli.commands.run import once_no_command_holds_it, stop_on_signal
from agent.cli.completions import ACCOUNT
from agent.cli.exit_codes import ExitCode
from agent.cli.humanize import folder_path, path_params, short_home
from agent.core.errors import UsageError
from agent.process.imports import quick_imports

if TYPE_CHECKING:
    from agent.cli.client import Client

VIEW_END_SECONDS = 2.0


@command("up")
@click.argument("folder")
@click.option("--server", type=ACCOUNT, metavar="NAME", help="The account; else the hub on this machine.")
@include_option
@click.option("--all-files", is_flag=True, help="Sync files of any kind and size, not only notes.")
@click.option("--port", type=click.IntRange(0, 65_535), metavar="P", help="Port of the embedded hub.")
@click.option("--once", is_flag=True, help="One pass, then exit as sync does.")
@click.option("--create", is_flag=True, help="Make FOLDER if it does not exist.")
@yes_option
def up_command(
    app: App,
    *,
    folder: str,
    server: str | None,
    include: tuple[str, ...],
    all_files: bool,
    port: int | None,
    once: bool,
    create: bool,
    yes: bool,
) -> ExitCode:
    """Sync FOLDER: nothing else is needed.

    A folder that is not linked yet is linked to --server, else to a hub that runs inside the agent. Ctrl-C ends it.
    With --all-files that hub keeps images, PDFs and videos too.
    """
    from agent.cli.commands.sync import pass_of
    from agent.settings.links import LOCAL_FILES

    if all_files and server not in (None, LOCAL_FILES):
        raise UsageError("--all-files is for the embedded hub", "leave one of --all-files and --server out")
    if all_files:
        server = LOCAL_FILES

    root = folder_path(folder)
    if not create:
        _require_folder(app, root)
    with app.connect() as client:
        _ensure_linked(app, client, root, server=server, include=include, port=port, yes=yes)
        is_daemon = client.is_daemon
        if once:
            # In the same session: a second one would start the embedded hub again.
            return pass_of(app, client, {**path_params("folder", root), "dry_run": False, "undo_deletes": False})
    if is_daemon:
        _watch(app)
    else:
        _run_with_view(app)
        from agent.service import in_background

        app.output.note(f"stopped; to sync in the background: {in_background(app.home)}")
    return ExitCode.DONE


def _require_folder(app: App, root: str) -> None:
    """Refuse a folder that does not exist, and name the nearest one: it is most often a typing mistake.

    A linked folder that is away is not refused here: the agent reports it, and may find it again.

    Raises:
        UsageError: the folder does not exist, or is a file.
    """
    from agent.settings.registry_file import load_registry

    path = Path(root)
    if path.is_dir() or load_registry(app.home.registry_file).source_at(path) is not None:
        return
    if path.exists():
        raise UsageError(f"{root} is not a folder", "sync the folder that holds it")
    from agent.runtime.linking import missing_folder

    raise missing_folder(path)


def _ensure_linked(
    app: App,
    client: Client,
    root: str,
    *,
    server: str | None,
    include: tuple[str, ...],
    port: int | None,
    yes: bool,
) -> None:
    from agent.settings.links import LOCAL_ACCOUNTS, LOCAL_FILES, LOCAL_HUB
    from agent.settings.registry_file import load_registry

    registry = load_registry(app.home.registry_file)
    known = registry.source_at(Path(root))
    chosen = server or (known.server if known else LOCAL_HUB)
    hub: dict[str, Any] | None = None
    if chosen in LOCAL_ACCOUNTS:
        hub = client.call("ensure_local_hub", {} if port is None else {"port": port})
        _note_port(app, hub, port)
    if known and server in (None, known.server) and not include:
        return
    params: dict[str, Any] = {
        **path_params("folder", root),
        "server": chosen,
        "include": list(include) or (["**"] if chosen == LOCAL_FILES else []),
        "exclude": [],
        # A missing folder was refused before, unless --create was given.
        "create": True,
    }
    linked = link_with_consent(app, client, params, yes)
    for line in render.link(linked):
        app.output.note(getattr(line, "text", ""))
    if hub is not None and hub.get("url"):
        place = short_home(hub.get("data") or app.home.hub_dir)
        app.output.note(f"your files are kept on this machine only, by the hub at {hub['url']} (in {place})")
        app.output.note("another machine: raven-agent hub invite")
        others = [account.name for account in registry.servers if account.name not in LOCAL_ACCOUNTS]
        if others and known is None and server is None:
            # Two hubs would hold one person's files apart from each other, and nothing would say so.
            typed = short_home(root)
            app.output.note(
                f"not with {' or '.join(others)}; for that: raven-agent unlink {typed}, "
                f"then raven-agent link {typed} --server {others[0]}"
            )


def _note_port(app: App, hub: dict[str, Any], wanted: int | None) -> None:
    """Name the hub's port where it is not the one that was asked for."""
    from urllib.parse import urlsplit

    port = urlsplit(str(hub.get("url"))).port
    if wanted and port != wanted:
        from agent.process.ports import listener_on

        holder = listener_on(wanted) if hub.get("changed") else None
        by = f" ({holder[0]}, pid {holder[1]})" if holder else ""
        words = f"is in use{by}" if hub.get("changed") else "is not used: the hub was running already"
        app.output.note(f"port {wanted} {words}; the hub listens on {port}")


def _watch(app: App) -> None:
    """Show the running daemon. It continues when this ends, so a signal ends only the view.

    The view ends with the daemon: a session of this process would start and end the hub for each look.
    """
    from agent.cli.client import daemon_of
    from agent.cli.live import show_stream
    from agent.core.errors import NotRunning

    with contextlib.suppress(KeyboardInterrupt):
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        app.output.note("an agent is running already; Ctrl-C ends only this view, raven-agent stop the agent")
        daemon = daemon_of(app.home)
        with contextlib.suppress(NotRunning):
            if daemon is not None:
                show_stream(app.output, daemon.follow("status_watch", {}))
        app.output.note("the agent has ended, and nothing is synced: raven-agent up FOLDER, or raven-agent run")


def _run_with_view(app: App) -> None:
    """Run the agent in this process, and show it from a thread that asks over the socket like any client."""
    from agent.cli.client import daemon_of
    from agent.cli.live import show_stream
    from agent.cli.logsetup import log_to_file
    from agent.core.errors import NotRunning

    with quick_imports():
        from agent.daemon.foreground import run_foreground

    settings = app.settings()
    app.home.create()
    log_to_file(app.home, settings)

    def view() -> None:
        daemon = daemon_of(app.home)
        # The agent ending is how this view ends; a closed pipe must not end the agent.
        with contextlib.suppress(NotRunning, BrokenPipeError):
            if daemon is not None:
                show_stream(app.output, daemon.follow("status_watch", {}))

    viewer = threading.Thread(target=view, name="view", daemon=True)
    with stop_on_signal() as stop:
        once_no_command_holds_it(app.home, stop, lambda: run_foreground(app.home, settings, viewer.start, stop))
    if viewer.ident is not None:
        viewer.join(VIEW_END_SECONDS)
