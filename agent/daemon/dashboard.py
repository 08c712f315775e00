"""The dashboard of a daemon: nothing of it is loaded before somebody asks for it."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from agent.api import methods
from agent.api.context import ApiContext
from agent.api.schema.dashboard import DashboardDocument
from agent.core.errors import AgentError
from agent.core.net import DEFAULT_DOOR_PORT, host_and_port
from agent.process.recent_log import RecentLog
from agent.settings.home import Home

if TYPE_CHECKING:
    from agent.ui.server import DashboardServer

log = logging.getLogger(__name__)


class DashboardOnDemand:
    """Starts the dashboard when it is first asked for, and ends it with its own block.

    Attributes:
        context: the context of the methods that the pages call; set before the first ``open``.
    """

    def __init__(self, home: Home) -> None:
        self.context: ApiContext | None = None
        self._home = home
        self._lock = threading.Lock()
        self._server: DashboardServer | None = None
        self._log = RecentLog()

    def open(self, port: int | None = None) -> DashboardDocument:
        """Start the dashboard unless it runs, and return its address with a one-time code. Raises UsageError."""
        with self._lock:
            if self._server is None:
                from agent.ui.server import DashboardServer

                self._server = DashboardServer(self._call, self._home.ui_file, self._hub_ports)
        return self._server.open(port)

    def log_lines(self, count: int, level: str | None) -> list[str]:
        """Return the newest lines of the log, of this level and above, without tokens."""
        return self._log.lines(count, level)

    def start_on(self, port: int) -> None:
        """Start the dashboard on the port of the settings; 0 is none. A port in use is logged and ends nothing else."""
        if not port:
            return
        try:
            self.open(port)
        except (AgentError, OSError) as error:
            log.warning("the dashboard does not start: %s", error)

    def __enter__(self) -> DashboardOnDemand:
        logging.getLogger().addHandler(self._log)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger().removeHandler(self._log)
        with self._lock:
            if self._server is not None:
                self._server.close()

    def _hub_ports(self) -> frozenset[int]:
        """Return the ports of the embedded hub: for this machine, and for others."""
        assert self.context is not None
        settings = self.context.agent.settings
        with contextlib.suppress(ValueError):
            _, port = host_and_port(settings.hub_listen)
            return frozenset({settings.hub_port, port or DEFAULT_DOOR_PORT})
        return frozenset({settings.hub_port, DEFAULT_DOOR_PORT})

    def _call(self, method: str, params: Mapping[str, Any]) -> Any:
        assert self.context is not None
        return methods.call(self.context, method, params)
