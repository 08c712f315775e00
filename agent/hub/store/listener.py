"""Commits of other hubs on the same PostgreSQL database, received with LISTEN on a connection of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from typing import Any, Final

from agent.hub.domain.ports import StoreUnavailable
from agent.hub.store.session import CHANNEL
from agent.hub.store.sql_store import SqlStore

CHECK_SECONDS: Final = 5.0
"""Interval of the query that finds events whose notification was lost."""
RECONNECT_SECONDS: Final = (0.2, 5.0)
"""First and largest pause before the listening connection is opened again."""

_log = logging.getLogger("agent.hub")


class CommitListener:
    """A thread that calls `notify` with the id of each source in which any hub committed events.

    A notification is lost while the connection is broken. So after each connect, and every CHECK_SECONDS, one query
    compares the newest cursors of the sources that a request waits for.

    Args:
        waited_for: returns the ids of those sources. Called from the thread.
        notify: called from the thread.
    """

    def __init__(
        self, store: SqlStore, waited_for: Callable[[], Collection[str]], notify: Callable[[str], None]
    ) -> None:
        self._store = store
        self._waited_for = waited_for
        self._notify = notify
        self._cursors: dict[str, int] = {}
        self._stop = threading.Event()
        self._connection: Any = None
        self._thread = threading.Thread(target=self._run, name="commit-listener", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread. Waits at most two seconds for it."""
        self._stop.set()
        connection = self._connection
        if connection is not None:
            connection.close()
        self._thread.join(2.0)

    def _run(self) -> None:
        pause = RECONNECT_SECONDS[0]
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self._listen()
            except Exception as error:
                if self._stop.is_set():
                    return
                _log.info("the listening connection is lost: %s", type(error).__name__)
            if time.monotonic() - began > CHECK_SECONDS:
                pause = RECONNECT_SECONDS[0]
            self._stop.wait(pause)
            pause = min(pause * 2, RECONNECT_SECONDS[1])

    def _listen(self) -> None:
        import psycopg

        url = self._store.url
        query = {name: value for name, value in url.query.items() if name != "prepare_threshold"}
        plain = url.set(drivername="postgresql", query=query).render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True, connect_timeout=5, application_name="raven-hub-listen") as opened:
            self._connection = opened
            opened.execute(f"LISTEN {CHANNEL}")
            # Here every later commit is announced on this connection. Earlier ones are found by the query.
            self._check()
            while not self._stop.is_set():
                for notification in opened.notifies(timeout=CHECK_SECONDS, stop_after=100):
                    self._notify(notification.payload)
                self._check()

    def _check(self) -> None:
        waiting = self._waited_for()
        if not waiting:
            self._cursors = {}
            return
        try:
            with self._store.read() as session:
                newest = session.newest_cursors(waiting)
        except StoreUnavailable:
            return
        changed = [source for source, cursor in newest.items() if self._cursors.get(source) != cursor]
        self._cursors = newest
        for source in changed:
            self._notify(source)
