"""``run``: the daemon in the foreground, what services start."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from agent.cli.command import App, command
from agent.cli.exits import Exit
from agent.cli.output import Loudness


@command("run", prints_data=False)
def run_command(app: App) -> Exit:
    """Run the agent in the foreground.

    Until interrupted. This is what services start.
    """
    with stop_on_signal() as stop:
        from agent.cli.logsetup import log_as_daemon
        from agent.daemon.session import run_foreground

        settings = app.settings()
        if app.output.loudness is Loudness.VERBOSE:
            settings = dataclasses.replace(settings, log_level="debug")
        app.home.create()
        log_as_daemon(app.home, settings)
        run_foreground(app.home, settings, lambda: app.output.note("the agent is running; Ctrl-C ends it"), stop)
    return Exit.DONE


@contextlib.contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, so that the agent ends cleanly and with 0."""
    stop = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
