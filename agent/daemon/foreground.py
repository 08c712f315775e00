"""Run the agent for one command, or as the daemon of a home until it is stopped."""

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
from agent.daemon.dashboard import DashboardOnDemand
from agent.daemon.hub_host import HubHost
from agent.daemon.late_write_monitor import LateWriteMonitor
from agent.daemon.sd_notify import SdNotify
from agent.daemon.service_status import ServiceStatusReporter
from agent.daemon.sleep_detector import SleepDetector
from agent.disk.fs.protocol import Fs
from agent.engine.config import RunMode
from agent.process.heap import return_freed_memory
from agent.runtime.agent import Agent
from agent.runtime.home_lock import HomeLock
from agent.settings.home import Home
from agent.settings.settings import Settings

log = logging.getLogger(__name__)

_MAINTENANCE_SECONDS = 6 * 3600.0


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
        """Close the agent and release the home."""
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
    """Run the daemon of a home until ``stop`` is set.

    ``on_ready`` is called once the agent answers. Each entry of ``reloads`` makes it read the settings again.

    Raises:
        HomeLocked: another process holds the home.
        AgentError: its registry or index cannot be used.
    """
    # Imported here: a single command starts sooner without the web server.
    from agent.api.server import ControlServer
    from agent.provisioning.apply import Provisioner
    from agent.settings.declarations import read_home

    home.create()
    return_freed_memory()
    lock = HomeLock(home.lock_file, home.socket)
    try:
        agent = Agent(home, settings, RunMode.DAEMON, fs=fs)
        provisioner = Provisioner(agent)
        dashboard = DashboardOnDemand(home)
        context = dashboard.context = ApiContext(agent, provisioner, dashboard)
        try:
            # Before the API can be asked for a reload: the older reading must not replace the reload's newer one.
            provisioner.set_desired(read_home(home))
            reporter = ServiceStatusReporter(agent, provisioner, manager or SdNotify(), reloads)
            with ControlServer(context, home.socket), reporter, dashboard:
                # Created before any source runs: the conflicts that exist now are not new.
                alerts = AlertMonitor(agent)
                agent.start_all()
                provisioner.start()
                _start_monitors(agent, alerts, stop)
                dashboard.start_on(settings.ui_port)
                on_ready()
                reporter.ready()
                _maintain_until(stop, context)
        finally:
            provisioner.stop()
            agent.close()
    finally:
        lock.release()


def _start_monitors(agent: Agent, alerts: AlertMonitor, stop: threading.Event) -> None:
    """Start the threads that observe the agent. Each ends by itself once ``stop`` is set."""
    monitors: dict[str, Callable[[threading.Event], None]] = {
        "automerge": AutoMerge(agent).run_forever,
        "late-writes": LateWriteMonitor(agent).run_forever,
        "sleep": SleepDetector(agent.reset_connections).run_forever,
        "hub-host": HubHost(agent).run_forever,
        "alerts": alerts.run_forever,
    }
    for name, run_forever in monitors.items():
        threading.Thread(target=run_forever, args=(stop,), name=name, daemon=True).start()


def _maintain_until(stop: threading.Event, context: ApiContext) -> None:
    run_maintenance(context)
    while not stop.wait(_MAINTENANCE_SECONDS):
        run_maintenance(context)


def run_maintenance(context: ApiContext) -> None:
    """Prune the index and the trash. Runs a few times a day; a failure is retried the next time."""
    try:
        context.agent.prune_index()
        methods.call(context, "trash_prune", {})
    except (AgentError, OSError, sqlite3.Error) as error:
        log.warning("the index and the trash could not be pruned: %s", error)
