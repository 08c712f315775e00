"""A hub that a test stops and starts at one address, as an administrator does by a service manager."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from hub.fixtures import WORKSPACE, running_hub, token


class HubService:
    """A hub as a process; it runs within the block.

    Attributes:
        url: its address, the same after each start.
        token: a token for its workspace.
    """

    def __init__(self, data: Path, workspace: str = WORKSPACE) -> None:
        self.data = data
        self._workspace = workspace
        self.url = ""
        self.token = ""
        self._port = 0
        self._running = contextlib.ExitStack()

    def start(self) -> None:
        """Start it; comes back when it answers."""
        running = self._running.enter_context(running_hub(self.data, "--port", str(self._port)))
        self.url = running.url
        self._port = urlsplit(self.url).port or 0

    def stop(self) -> None:
        """End it."""
        self._running.close()

    def __enter__(self) -> HubService:
        self.start()
        self.token = token(self._workspace, secret=(self.data / "secret").read_bytes())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
