"""Regular work of a hub process that no request asks for: the retention of workspaces."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from agent.hub.domain.ports import StoreFull, StoreUnavailable
from agent.hub.store.pruning import prune
from agent.hub.store.sql_store import SqlStore
from agent.hub.store.workspaces import WorkspaceRegistry

LOOK_SECONDS: Final = 600.0
"""Seconds between two looks for workspaces whose retention is due. Each is due once a day, at one of all hubs."""

_log = logging.getLogger("agent.hub")


class Upkeep:
    """A thread that applies the retention of each workspace once a day.

    Args:
        clock: milliseconds since the epoch.
    """

    def __init__(self, store: SqlStore, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread. Waits at most two seconds; a removal in progress is rolled back with the process."""
        self._stop.set()
        self._thread.join(2.0)

    def work(self) -> None:
        """Apply what is due now."""
        now = self._clock()
        for workspace in WorkspaceRegistry(self._store).claim(now):
            done = prune(self._store, workspace, now)
            if done.versions or done.contents:
                _log.info(
                    "workspace %s: removed %d old versions and %d contents of %d bytes",
                    workspace.id, done.versions, done.contents, done.bytes,
                )  # fmt: skip

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                self.work()
            except (StoreUnavailable, StoreFull) as error:
                _log.info("old versions were not removed: %s", error)
            except Exception:
                _log.exception("old versions were not removed")
