"""The listener of the dashboard: on this machine's own addresses, started when it is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import uvicorn
from msgspec.structs import replace

from agent.api.schema.dashboard import DashboardDocument
from agent.core.errors import UsageError
from agent.process.idle_server import IdleServer
from agent.ui.app import make_app, make_templates
from agent.ui.page_route import LOGIN_PATH
from agent.ui.preferences import PreferencesFile
from agent.ui.session import BrowserSessions
from agent.ui.visit import Call, DashboardParts

log = logging.getLogger(__name__)

USUAL_PORT: Final = 8676
"""Beside the port at which the hub listens for other machines, which is 8675."""
_END_SECONDS: Final = 4.0
_IN_USE: Final = frozenset({errno.EADDRINUSE, errno.EACCES})


class DashboardServer:
    """Serves the pages from its first ``open`` until ``close``. Without one it holds no port and no thread.

    Args:
        call: the control API.
        preferences: the file with the port of the last time.
        hub_ports: returns the ports of the embedded hub, which the dashboard must leave free.
    """

    def __init__(self, call: Call, preferences: Path, hub_ports: Callable[[], frozenset[int]] = frozenset) -> None:
        self._hub_ports = hub_ports
        self.moved_from: int | None = None
        """The port of the last time, if it could not be used again."""
        self._preferences = PreferencesFile(preferences)
        self._parts = DashboardParts(call, make_templates(), self._preferences, self._is_ending)
        self._sessions = BrowserSessions()
        self._lock = threading.Lock()
        self._server: IdleServer | None = None
        self._thread: threading.Thread | None = None
        self._port = 0

    def open(self, port: int | None = None) -> DashboardDocument:
        """Start the listener unless it runs, and return an address with a new one-time code.

        Raises:
            UsageError: the wanted port is in use.
        """
        with self._lock:
            if self._server is None:
                self._start(port)
            # The fragment of an address is sent to no server and stored in no log.
            url = f"http://127.0.0.1:{self._port}{LOGIN_PATH}#{self._sessions.issue_code()}"
            return DashboardDocument(url=url, port=self._port, moved_from=self.moved_from)

    def close(self) -> None:
        """End the listener. Every session ends with it."""
        with self._lock:
            if self._server is not None and self._thread is not None:
                self._server.end()
                self._thread.join(_END_SECONDS)
                self._server = self._thread = None

    def _is_ending(self) -> bool:
        server = self._server
        return server is None or server.should_exit

    def _start(self, port: int | None) -> None:
        remembered = self._preferences.read()
        # A release before remembered the port at which the hub listens for other machines.
        kept = 0 if remembered.port in self._hub_ports() else remembered.port
        sockets = _listen(port, kept or USUAL_PORT)
        self._port = sockets[0].getsockname()[1]
        if port is None and remembered.port not in (0, self._port):
            self.moved_from = remembered.port
            log.info("port %d is in use, or the hub's; the dashboard takes another", remembered.port)
        if self._port != remembered.port:
            self._preferences.write(replace(remembered, port=self._port))
        app = make_app(self._parts, self._sessions, f"raven-agent-{self._port}")
        config = uvicorn.Config(
            app, http="h11", log_config=None, access_log=False, lifespan="off", date_header=False,
            server_header=False, proxy_headers=False, timeout_graceful_shutdown=2,
        )  # fmt: skip
        server = IdleServer(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self._server = server
        self._thread = threading.Thread(
            target=lambda: asyncio.run(server.serve(sockets=sockets)), name="dashboard", daemon=True
        )
        self._thread.start()
        log.info("the dashboard listens on 127.0.0.1:%d", self._port)


def _listen(wanted: int | None, usual: int) -> list[socket.socket]:
    """Return listening sockets of both loopback addresses on one port; of one where the other is missing or in use.

    Raises:
        UsageError: the wanted port is in use.
    """
    for port in (usual, 0) if wanted is None else (wanted,):
        try:
            first = _bound(socket.AF_INET, "127.0.0.1", port)
        except OSError as error:
            if error.errno not in _IN_USE:
                raise
            continue
        sockets = [first]
        with contextlib.suppress(OSError):
            sockets.append(_bound(socket.AF_INET6, "::1", first.getsockname()[1]))
        return sockets
    raise UsageError(f"port {wanted} is in use, or not allowed", "choose another with --port")


def _bound(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(64)
    except OSError:
        listener.close()
        raise
    return listener
