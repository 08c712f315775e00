"""Selective sync: keep the preferences of linked sources equal to the server's, and have each change take effect."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace as changed
from functools import partial
from typing import Protocol

from agent.core.errors import AgentError, RemoteError
from agent.core.remote_records import RemoteFolder
from agent.core.scope import EVERYTHING, SyncPreference, forgotten
from agent.engine import messages as m
from agent.engine.config import RunMode
from agent.index import Index
from agent.runtime.control_loop import ControlLoop
from agent.runtime.ports import ServerConnection
from agent.runtime.server_session import ServerSession
from agent.runtime.source_runner import SourceRunner
from agent.settings import links as reg
from agent.settings.links import Registry, SourceEntry

log = logging.getLogger(__name__)


class PreferenceHost(Protocol):
    """The parts of the agent that preferences need."""

    control: ControlLoop
    index: Index
    links_lock: threading.RLock

    @property
    def registry(self) -> Registry:
        """Accounts and links as they are now."""
        ...

    def change_registry(self, change: Callable[[Registry], Registry]) -> Registry:
        """Change accounts or links, durably."""
        ...

    def connection(self, name: str) -> ServerConnection:
        """Return the connection to an account's server, registered. Raises RemoteError."""
        ...

    def server(self, name: str) -> ServerSession:
        """Return the session of an account."""
        ...

    def runner(self, key: int) -> SourceRunner | None:
        """Return the runner of a source; None if it is not running."""
        ...

    def restart_with(self, source: SourceEntry, run_mode: RunMode | None = None) -> None:
        """Store a changed link and restart its source."""
        ...


class Preferences:
    """Preferences of the linked sources of one home. Not for the control thread or a source's own threads."""

    def __init__(self, agent: PreferenceHost) -> None:
        self._agent = agent
        self._lock = threading.Lock()
        """Held while a preference is read and applied, so that an older answer never replaces a newer one."""

    def refresh_soon(self, server: str) -> None:
        """Refresh on a thread of its own. From any thread."""
        if any(self._agent.registry.sources_of(server)):
            threading.Thread(target=self._refresh, args=(server,), name=f"preferences-{server}", daemon=True).start()

    def refresh(self, server: str) -> None:
        """Read the preferences of an account's sources and apply them.

        Raises:
            RemoteError: the server cannot be asked. The preferences that were read last stay in force.
        """
        with self._lock:
            selective = self._agent.connection(server).remote.selective_sync
            linked = {source.source_id: source for source in self._agent.registry.sources_of(server)}
            if selective is None or not linked:
                return
            listed = selective.read(tuple(linked))
            session = self._agent.server(server)
            if session.registered_anew:
                # Without its rows the server would have this machine fetch every folder that was left out.
                lost = forgotten({one: source.preference for one, source in linked.items()}, listed)
                if lost:
                    selective.write_all(lost)
                session.registered_anew = False
                listed = {**listed, **lost}
            for source_id, found in listed.items():
                self._apply(linked[source_id], found)

    def change(self, source: SourceEntry, wanted: SyncPreference) -> None:
        """Set a source's preference on the server, then apply it here.

        Raises:
            RemoteError: the server refuses, or cannot be asked; nothing changes here.
        """
        with self._lock:
            selective = self._agent.connection(source.server).remote.selective_sync
            if selective is not None:
                selective.write(source.source_id, wanted)
                self._apply(source, wanted)

    def follow_folders(self, source: SourceEntry, folders: Iterable[RemoteFolder]) -> bool:
        """Take the new paths of the preference's folders into it, soon. From a source's own threads.

        Returns:
            True if a folder has a new path: the page that says so must be read again afterwards.
        """
        entry = self._current(source)
        if entry is None or entry.preference is None:
            return False
        given = tuple(folders)
        if entry.preference.moved(given) == entry.preference:
            return False
        threading.Thread(target=self._take_moved, args=(entry, given), name="preferences", daemon=True).start()
        return True

    def _take_moved(self, source: SourceEntry, folders: Sequence[RemoteFolder]) -> None:
        with self._lock:
            # Only here: a preference that was read meanwhile is newer than the one whose folders were compared.
            entry = self._current(source)
            if entry is not None and entry.preference is not None:
                self._apply(entry, entry.preference.moved(folders))

    def _refresh(self, server: str) -> None:
        try:
            self.refresh(server)
        except RemoteError as error:
            log.debug("the preferences of %s could not be read: %s", server, error.message)
        except AgentError as error:
            log.warning("the preferences of %s could not be applied: %s", server, error.message)

    def _current(self, source: SourceEntry) -> SourceEntry | None:
        return next((one for one in self._agent.registry.sources if one.key == source.key), None)

    def _apply(self, source: SourceEntry, found: SyncPreference) -> None:
        agent = self._agent
        with agent.links_lock:
            entry = self._current(source)
            if entry is None:
                return
            before = entry.preference or EVERYTHING
            wanted = found.keeping(before, partial(self._is_in_use, entry))
            if wanted == before:
                return
            log.info("%s: the server's preferences for this machine changed", entry.root)
            runner = agent.runner(entry.key)
            if runner is not None and wanted.scope != before.scope:
                # Its folder's threads hold the old rules.
                agent.restart_with(changed(entry, preference=wanted), runner.config.run_mode)
                return
            saved = self._save(entry, wanted)
            if runner is not None and saved.pause_until != entry.pause_until:
                until = saved.pause_until
                agent.control.call(partial(runner.tell, m.Resume() if until is None else m.Pause(until)))

    def _save(self, entry: SourceEntry, wanted: SyncPreference) -> SourceEntry:
        saved = changed(entry, preference=wanted)
        self._agent.change_registry(lambda registry: reg.with_source(registry, saved))
        return saved

    def _is_in_use(self, source: SourceEntry, path: str) -> bool:
        """Return True if files below a folder are in step, so that its rename is not carried out here yet."""
        agent = self._agent
        return agent.control.call(lambda: any(row.base.is_file for row in agent.index.trees.below(source.key, path)))
