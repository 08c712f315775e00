"""Two ways to run the agent: for the length of one command, and in the foreground until told to stop."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from agent.api import methods
from agent.api.context import ApiContext
from agent.core.errors import AgentError
from agent.daemon.alerts import AlertMonitor
from agent.daemon.automerge import AutoMerge
from agent.daemon.late_write_monitor import LateWriteMonitor
from agent.daemon.sd_notify import SdNotify
from agent.daemon.service_status import ServiceStatusReporter
from agent.daemon.sleep_detector import SleepDetector
from agent.disk.fs.protocol import Fs
from agent.engine.config import RunMode
from agent.runtime.agent import Agent
from agent.runtime.home_lock import HomeLock
from agent.settings.home import Home
from agent.settings.settings import Settings

log = logging.getLogger(__name__)

_HOUSEKEEPING_SECONDS = 6 * 3600.0


class CommandSession:
    """The agent inside a command's own process, while no daemon holds the home."""

    def __init__(self, home: Home, settings: Settings) -> None:
        self._lock = HomeLock(home.lock_file)
        try:
            self._context = ApiContext(Agent(home, settings, RunMode.ONE_SHOT))
        except BaseException:
            self._lock.release()
            raise

    @classmethod
    def open(cls, home: Home, settings: Settings) -> CommandSession:
        """Take the home for this command.

        Raises:
            HomeLocked: another process holds it.
            AgentError: its registry or index cannot be used.
        """
        home.create()
        return cls(home, settings)

    def __enter__(self) -> CommandSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, method: str, params: Mapping[str, Any]) -> Any:
        """Answer one method. Raises AgentError."""
        answer = methods.call(self._context, method, params)
        if method == "sync" and self._context.agent.settings.auto_merge and not params.get("dry_run"):
            while AutoMerge(self._context.agent).once():
                answer = methods.call(self._context, method, params)
        return answer

    def close(self) -> None:
        """Let the home go."""
        self._context.agent.close()
        self._lock.release()


def run_foreground(
    home: Home,
    settings: Settings,
    on_ready: Callable[[], object],
    stop: threading.Event,
    fs: Fs | None = None,
    manager: SdNotify | None = None,
    reloads: queue.SimpleQueue[bool] | None = None,
) -> None:
    """Be the daemon of this home until ``stop`` is set; folders are reached through ``fs``, else the real file system.

    The service ``manager``, if there is one, is told how it stands. Every entry put into ``reloads`` has settings and
    declarations read anew.

    Raises:
        HomeLocked: another process holds it.
        AgentError: its registry or index cannot be used.
    """
    # Not above: a command's own session starts sooner without the web server.
    from agent.api.server import ControlServer
    from agent.provisioning.apply import Provisioner
    from agent.settings.declarations import read_home

    home.create()
    lock = HomeLock(home.lock_file, home.socket)
    try:
        agent = Agent(home, settings, RunMode.DAEMON, fs=fs)
        provisioner = Provisioner(agent)
        context = ApiContext(agent, provisioner)
        try:
            # Before the API can be asked for a reload: the older reading must not replace the reload's newer one.
            provisioner.set_desired(read_home(home))
            with (
                ControlServer(context, home.socket),
                ServiceStatusReporter(agent, provisioner, manager or SdNotify(), reloads) as status_reporter,
            ):
                # Before any source is at work: the conflicts there are now are not new.
                notifications = AlertMonitor(agent)
                agent.start_all()
                provisioner.start()
                merging = AutoMerge(agent)
                threading.Thread(target=merging.keep_on, args=(stop,), name="automerge", daemon=True).start()
                waking = SleepDetector(agent.reset_connections)
                late = LateWriteMonitor(agent)
                threading.Thread(target=late.run_forever, args=(stop,), name="late-writes", daemon=True).start()
                for name, keep_on in (("waking", waking.keep_on), ("notifications", notifications.keep_on)):
                    threading.Thread(target=keep_on, args=(stop,), name=name, daemon=True).start()
                on_ready()
                status_reporter.ready()
                run_maintenance(context)
                while not stop.wait(_HOUSEKEEPING_SECONDS):
                    run_maintenance(context)
        finally:
            provisioner.stop()
            agent.close()
    finally:
        lock.release()


def run_maintenance(context: ApiContext) -> None:
    """What is due a few times a day; a disk that refuses it now is asked again next time."""
    try:
        context.agent.prune_index()
        methods.call(context, "trash_prune", {})
    except (AgentError, OSError, sqlite3.Error) as error:
        log.warning("the index and the trash could not be tidied: %s", error)
