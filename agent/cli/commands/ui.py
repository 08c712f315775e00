"""``ui``: the dashboard in the browser."""

from __future__ import annotations

import getpass
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

import click

from agent.cli.command import App, command, without_none
from agent.cli.commands.run import once_no_command_holds_it, stop_on_signal
from agent.cli.exit_codes import ExitCode
from agent.cli.output import TextLine, View


@command("ui")
@click.option("--port", type=click.IntRange(1, 65_535), metavar="P", help="Port to listen on, by default 8676.")
@click.option("--no-open", is_flag=True, help="Print the address, and open no browser.")
def ui_command(app: App, port: int | None, no_open: bool) -> ExitCode:
    """Open the dashboard in the browser.

    It is served by the running agent, to this machine only. Without one an agent runs in this terminal until Ctrl-C.
    The address holds a code that is good once, for 60 seconds.
    """
    from agent.cli.client import daemon_of

    def show() -> None:
        daemon = daemon_of(app.home)
        if daemon is not None:
            _show(app, daemon.call("ui", without_none(port=port)), port, opens=not no_open)

    if daemon_of(app.home) is not None:
        show()
        return ExitCode.DONE
    _run_with(app, show)
    return ExitCode.DONE


def _run_with(app: App, show: Callable[[], None]) -> None:
    """Run the agent in this process, and show the address once it answers."""
    from agent.cli.logsetup import log_to_file
    from agent.daemon.foreground import run_foreground

    settings = app.settings()
    app.home.create()
    log_to_file(app.home, settings)

    def on_ready() -> None:
        threading.Thread(target=show, name="ui-link", daemon=True).start()
        app.output.note("the agent runs in this terminal; Ctrl-C ends it and the dashboard")

    with stop_on_signal() as stop:
        once_no_command_holds_it(app.home, stop, lambda: run_foreground(app.home, settings, on_ready, stop))


def _show(app: App, document: Mapping[str, Any], wanted: int | None, *, opens: bool) -> None:
    app.output.data(document, lambda found: _lines(found, wanted, os.environ))
    if opens and _has_browser(os.environ):
        import webbrowser

        webbrowser.open(document["url"])


def _lines(document: Mapping[str, Any], wanted: int | None, env: Mapping[str, str]) -> View:
    port = document["port"]
    lines = [TextLine(document["url"])]
    if wanted not in (None, port):
        lines.append(TextLine(f"it runs already, on port {port}"))
    if document.get("moved_from"):
        lines.append(TextLine(f"port {document['moved_from']} is in use, or the hub's; it listens on {port} now"))
    connection = env.get("SSH_CONNECTION", "").split()
    if len(connection) == 4:
        lines.append(TextLine("from your own machine, first:"))
        lines.append(TextLine(f"  ssh -N -L {port}:127.0.0.1:{port} {getpass.getuser()}@{connection[2]}"))
    return lines


def _has_browser(env: Mapping[str, str]) -> bool:
    """Return True if a browser that this process starts appears on the person's own screen."""
    import sys

    if env.get("SSH_CONNECTION"):
        return False
    return sys.platform == "darwin" or bool(env.get("DISPLAY") or env.get("WAYLAND_DISPLAY"))
