"""``run``: the daemon in the foreground, what services start."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Final

from agent import __version__
from agent.cli.command import App, command
from agent.cli.exit_codes import ExitCode
from agent.cli.output import Verbosity, is_terminal
from agent.core.errors import AgentError, HomeLocked
from agent.process.imports import quick_imports

if TYPE_CHECKING:
    from agent.daemon.sd_notify import SdNotify
    from agent.settings.home import Home
    from agent.settings.settings import Settings

log = logging.getLogger(__name__)

HELD_SECONDS: Final = 2.0
"""How often a service whose home somebody else holds looks whether it is free."""


@command("run", prints_data=False)
def run_command(app: App) -> ExitCode:
    """Run the agent in the foreground.

    Until interrupted. This is what services start. SIGHUP has the settings read anew.
    """
    with stop_on_signal() as stop, reload_on_hangup(stop) as reloads:
        with quick_imports():
            from agent.cli.logsetup import log_as_daemon
            from agent.daemon.foreground import run_foreground
            from agent.daemon.sd_notify import SdNotify

        manager = SdNotify.taken_from(os.environ)
        settings = _settings(app, manager)
        if app.output.loudness is Verbosity.VERBOSE:
            settings = dataclasses.replace(settings, log_level="debug")
        app.home.create()
        log_as_daemon(app.home, settings, app.output.loudness)

        def tell() -> None:
            log.info("raven-agent %s runs: pid %d, state in %s", __version__, os.getpid(), app.home.state_dir)
            if is_terminal(sys.stderr):
                app.output.note("the agent is running; Ctrl-C ends it")

        def work() -> None:
            run_foreground(app.home, settings, tell, stop, manager=manager, reloads=reloads)
            log.info("raven-agent has ended")

        if manager.address is None:
            once_no_command_holds_it(app.home, stop, work)
        else:
            _once_the_home_is_free(manager, stop, work)
    return ExitCode.DONE


def _settings(app: App, manager: SdNotify) -> Settings:
    try:
        return app.settings()
    except AgentError as error:
        manager.status(f"cannot start: {error.message}")
        raise


def once_no_command_holds_it(home: Home, stop: threading.Event, work: Callable[[], None]) -> None:
    """A command that is soon done does not keep the agent from starting; another agent does, at once."""
    from agent.cli.client import HOME_LOOK_SECONDS, HOME_SECONDS, read_lock

    deadline = time.monotonic() + HOME_SECONDS
    while not stop.is_set():
        try:
            work()
            return
        except HomeLocked:
            if read_lock(home).get("socket") or time.monotonic() > deadline:
                raise
        stop.wait(HOME_LOOK_SECONDS)


def _once_the_home_is_free(manager: SdNotify, stop: threading.Event, work: Callable[[], None]) -> None:
    """A service whose home is in use waits for its turn: repeated failures and restarts would help no one."""
    waiting = False
    while not stop.is_set():
        try:
            work()
            return
        except HomeLocked as error:
            if not waiting:
                log.warning("waiting: %s", error.message)
                manager.ready(f"waiting: {error.message}")
            waiting = True
        except AgentError as error:
            manager.status(f"cannot start: {error.message}")
            raise
        # No other code sends the watchdog signal yet.
        manager.alive()
        stop.wait(min(HELD_SECONDS, manager.feed_every or HELD_SECONDS))
    if waiting:
        manager.stopping("stopping")


@contextlib.contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, so that the agent ends cleanly and with 0."""
    stop = threading.Event()
    with _signals_handled_on_a_thread(stop.set, signal.SIGINT, signal.SIGTERM):
        yield stop


@contextlib.contextmanager
def reload_on_hangup(stop: threading.Event) -> Iterator[queue.SimpleQueue[bool]]:
    """Give a queue that gets an entry for every SIGHUP, which means "read the settings again".

    If the signal means that the terminal is gone, ``stop`` is set instead. If the process was started with SIGHUP
    ignored, it stays ignored: nohup asks for this, so that the end of a terminal ends no agent. The agent then cannot
    know a reload from a hang-up; ``raven-agent config reload`` works in any case.
    """
    reloads: queue.SimpleQueue[bool] = queue.SimpleQueue()
    had_terminal = is_terminal(sys.stderr)

    def ask() -> None:
        if had_terminal and not is_terminal(sys.stderr):
            stop.set()
        else:
            reloads.put(True)

    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        yield reloads
        return
    with _signals_handled_on_a_thread(ask, signal.SIGHUP):
        yield reloads


@contextlib.contextmanager
def _signals_handled_on_a_thread(act: Callable[[], None], *numbers: signal.Signals) -> Iterator[None]:
    """Call ``act`` with each of these signals, on a thread of its own.

    Python runs a handler on the main thread, and only after its wait ends. A signal that the kernel delivers to another
    thread does not end that wait. The wakeup fd reports every signal to this thread.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    before = {number: signal.signal(number, _write_to_wakeup_fd) for number in numbers}
    outer = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)

    def read_signals() -> None:
        while received := ours.recv(64):
            for number in received:
                if number in numbers:
                    act()
                elif outer >= 0:
                    os.write(outer, bytes([number]))

    thread = threading.Thread(target=read_signals, name="signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(outer, warn_on_full_buffer=False)
        for number, old in before.items():
            signal.signal(number, old)
        theirs.close()
        thread.join()
        ours.close()


def _write_to_wakeup_fd(_number: int, _frame: FrameType | None) -> None:
    """Empty handler: it makes Python write the signal number to the wakeup fd, which the signal thread reads."""
