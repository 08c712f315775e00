"""The agent of one home: composes its index, sessions, sources and control loop."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from shlex import quote

from msgspec.structs import replace

from agent.core.errors import IndexDamaged, RemoteError, UsageError
from agent.disk.fs.posix import PosixFs
from agent.disk.fs.protocol import Fs
from agent.engine import messages as m
from agent.engine.config import EngineConfig, RunMode
from agent.index import Index, generation, open_index, quarantine
from agent.index.store import unavailable
from agent.remotes.protocol import Capabilities, Nudge
from agent.remotes.wrappers import CallCounts
from agent.runtime import source_setup
from agent.runtime.books import Books
from agent.runtime.cloned_home import detach_cloned_home
from agent.runtime.control_loop import ControlLoop
from agent.runtime.effect_executor import ServerConnection
from agent.runtime.hub_process import HubProcess
from agent.runtime.local_folder import LocalFolder
from agent.runtime.local_index_reader import LocalIndexReader
from agent.runtime.preferences import Preferences
from agent.runtime.registry_store import RegistryStore
from agent.runtime.server_session import ServerSession
from agent.runtime.server_sessions import ServerSessions
from agent.runtime.source_runner import SourceRunner
from agent.settings import links as reg
from agent.settings.credentials import CredentialStore
from agent.settings.home import Home
from agent.settings.links import Registry, ServerEntry, SourceEntry
from agent.settings.machine_id import machine_id
from agent.settings.settings import Settings

log = logging.getLogger(__name__)


class Agent:
    """All parts of one home. Starts the control loop; sources start with ``start_source``.

    Args:
        run_mode: DAEMON for a process that stays, else the mode of a single command.
        env: the environment, for tokens and the machine's id.
        clock: seconds since the epoch.
        fs: the file system of the linked folders; None for the real one.

    Raises:
        AgentError: the registry or the index cannot be used.
    """

    def __init__(
        self,
        home: Home,
        settings: Settings,
        run_mode: RunMode,
        env: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
        fs: Fs | None = None,
    ) -> None:
        self.home = home
        self.settings = settings
        self.run_mode = run_mode
        self.clock = clock
        self.fs: Fs = PosixFs() if fs is None else fs
        self.since = clock()
        self.env: Mapping[str, str] = os.environ if env is None else env
        self.credentials = CredentialStore(home, settings, self.env)
        self.hub = HubProcess(
            home.hub_dir, settings.hub_port, settings.hub_token_days, settings.hub_listen, settings.machine_name
        )
        self.control = ControlLoop(clock)
        self.links_lock = threading.RLock()
        """Held while accounts and links are created or changed, which takes several steps."""
        self._store = RegistryStore(home.registry_file, settings)
        self._machine = machine_id(home, self.env)
        self._sessions = ServerSessions(self._store, self._new_session, self._configure_sources)
        self.preferences = Preferences(self)
        self._runners: dict[int, SourceRunner] = {}
        self._lock = threading.RLock()
        self.index = _open(home)
        self._advance_generation()
        detach_cloned_home(self._store, self.index, self._machine)
        self.control.start()

    def close(self) -> None:
        """Stop everything. The next start finds out the outcome of calls in progress."""
        self._sessions.stop()
        for key in list(self._runners):
            self.stop_source(key)
        self.control.stop()
        self.index.close()
        self.hub.stop()

    # Accounts and links

    @property
    def registry(self) -> Registry:
        """Accounts and links as they are now."""
        return self._store.current

    def change_registry(self, change: Callable[[Registry], Registry]) -> Registry:
        """Change accounts or links, durably."""
        return self._store.change(change)

    def server_entry(self, name: str) -> ServerEntry:
        """Return the account of that name. Raises UsageError if there is none."""
        return self._sessions.entry(name)

    def server(self, name: str) -> ServerSession:
        """Return the session of an account. Raises UsageError if there is no such account."""
        return self._sessions.get(name)

    def call_counts(self) -> dict[str, CallCounts]:
        """Return the number of calls to each account's server, by account name."""
        return self._sessions.call_counts()

    def drop_server(self, name: str) -> None:
        """Close the session of an account that has changed or is gone."""
        self._sessions.drop(name)
        # The next session may find no way to listen.
        self._on_listening(name, listening=False)

    def connection(self, name: str) -> ServerConnection:
        """Return the connection to an account's server, registered. Raises RemoteError."""
        return self.server(name).connection()

    def reset_connections(self, reason: str, server: str | None = None) -> None:
        """Close all connections made before, to one server or to all (None), and let their sources check at once."""
        log.info("connections are reset: %s", reason)
        self._sessions.abort_connections(server)
        for source in self.registry.sources:
            runner = self._runners.get(source.key)
            if runner is not None and server in (None, source.server):
                runner.deliver(m.ConnectionsReset())

    def _new_session(self, entry: ServerEntry, learned: Callable[[Capabilities], None]) -> ServerSession:
        books = Books(self.home.index_file, lambda: self.registry.sources_of(entry.name))
        session = ServerSession(
            entry, self.settings, self.credentials, self.hub, self._machine, self._save_entry, learned, books
        )
        if self.run_mode is RunMode.DAEMON:
            session.on_alive = lambda: self.preferences.refresh_soon(entry.name)
            session.start_heartbeat(self.settings.heartbeat_seconds)
            session.listen(
                lambda nudge: self._on_nudge(entry.name, nudge),
                lambda listening: self._on_listening(entry.name, listening=listening),
            )
        return session

    def _on_nudge(self, server: str, nudge: Nudge) -> None:
        if nudge.preferences or nudge.source_id is None:
            # A new connection nudges every source: what changed before it was not reported, preferences too.
            self.preferences.refresh_soon(server)
        if nudge.preferences:
            return
        for source in self.registry.sources_of(server):
            runner = self._runners.get(source.key)
            if runner is not None and nudge.source_id in (None, source.source_id):
                runner.deliver(m.Nudged(nudge.full))

    def _on_listening(self, server: str, *, listening: bool) -> None:
        def configure() -> None:
            for source in self.registry.sources_of(server):
                with self._lock:
                    runner = self._runners.get(source.key)
                if runner is not None:
                    runner.configure(replace(runner.config, listening=listening))
                    # At the next interval a change of the time between would wait for up to a minute.
                    runner.deliver(m.Nudged())

        self.control.post(configure)

    def _save_entry(self, entry: ServerEntry) -> None:
        self.change_registry(lambda registry: reg.with_server(registry, entry))

    def _configure_sources(self, server: str, capabilities: Capabilities) -> None:
        def configure() -> None:
            for source in self.registry.sources_of(server):
                runner = self._runners.get(source.key)
                if runner is not None:
                    runner.configure(source_setup.with_capabilities(runner.config, capabilities))

        self.control.post(configure)

    # Sources

    def source_for(self, folder: str | os.PathLike[str]) -> SourceEntry:
        """Return the link whose root is this folder.

        Raises:
            UsageError: it is not linked; the hint names the linked folder that is probably meant.
        """
        path = Path(folder)
        source = self.registry.source_at(path)
        if source is None:
            raise UsageError(f"{folder} is not linked", self._near(path))
        return source

    def _near(self, path: Path) -> str:
        from difflib import get_close_matches

        over = self.registry.source_over(path)
        if over is not None:
            return f"it lies in {over.root}, which is linked"
        beside = [one.root.name for one in self.registry.sources if one.root.parent == path.parent]
        near = get_close_matches(path.name, beside, n=1, cutoff=0.6)
        return f"did you mean {path.parent / near[0]}?" if near else f"raven-agent link {quote(str(path))}"

    def source_over(self, path: str) -> tuple[SourceEntry, str]:
        """Return the link that contains a path, and the path relative to its root.

        Raises:
            UsageError: no linked folder contains it.
        """
        source = self.registry.source_over(Path(path))
        if source is None:
            hint = "raven-agent status lists the linked ones; raven-agent up FOLDER links another"
            raise UsageError(f"{path} lies in no linked folder", hint)
        return source, Path(path).relative_to(source.root).as_posix()

    def runner(self, key: int) -> SourceRunner | None:
        """Return the runner of a source; None if it is not running."""
        return self._runners.get(key)

    def start_source(self, source: SourceEntry, run_mode: RunMode | None = None) -> SourceRunner:
        """Start a source unless it is running; return its runner.

        Args:
            run_mode: another mode than the agent's, for example DRY_RUN.

        Raises:
            UsageError: it was unlinked meanwhile.
        """
        with self._lock:
            runner = self._runners.get(source.key)
            if runner is not None:
                return runner
            # A caller may have read the link before a change that restarts its source.
            current = next((one for one in self.registry.sources if one.key == source.key), None)
            if current is None:
                raise UsageError(f"{source.root} is not linked", "raven-agent status lists the linked folders")
            source = current
            config = self.engine_config(source, run_mode or self.run_mode)
            runner = SourceRunner(self.control, self.index, config, self.clock, source.name)
            self._runners[source.key] = runner
        if source.pause_until is not None:
            runner.deliver(m.Pause(source.pause_until))
        watch = config.run_mode is RunMode.DAEMON
        runner.start(
            source_setup.source_executors(
                source,
                runner,
                lambda: self.folder(source),
                LocalIndexReader(self.home.index_file, source.key),
                lambda: self.connection(source.server),
                self.clock,
                lambda: self._on_connection_lost(source.server),
                (lambda folders: watch and self.preferences.follow_folders(source, folders)),
                (lambda: source_setup.make_watcher(self.fs, source, runner)) if watch else None,
            )
        )
        return runner

    def start_source_if_daemon(self, source: SourceEntry) -> None:
        """Start a source in a daemon. A single command starts only the sources that it was asked about."""
        if self.run_mode is RunMode.DAEMON:
            self.start_source(source)

    def restart_with(self, source: SourceEntry, run_mode: RunMode | None = None) -> None:
        """Store a changed link and stop its source. A daemon starts it again.

        Args:
            run_mode: start it in any case, in this mode.
        """
        self.change_registry(lambda registry: reg.with_source(registry, source))
        # Stored first: another thread that starts the source between these lines starts the changed one.
        self.stop_source(source.key)
        if run_mode is not None or self.run_mode is RunMode.DAEMON:
            self.start_source(source, run_mode)

    def start_all(self) -> None:
        """Start every linked folder."""
        for source in self.registry.sources:
            with contextlib.suppress(UsageError, RemoteError):
                self.start_source(source)

    def stop_source(self, key: int) -> None:
        """Stop a source if it is running."""
        with self._lock:
            runner = self._runners.pop(key, None)
        if runner is not None:
            runner.stop()

    def folder(self, source: SourceEntry) -> LocalFolder:
        """Return the folder of a source, for the use of one thread. The caller closes it."""
        return source_setup.open_folder(self.fs, self.home, source)

    def engine_config(self, source: SourceEntry, run_mode: RunMode) -> EngineConfig:
        """Return the configuration of a source's engine by the current settings."""
        capabilities = self._sessions.capabilities(source.server)
        listening = self._sessions.is_listening(source.server)
        return source_setup.engine_config(source, self.settings, run_mode, capabilities, listening=listening)

    def _on_connection_lost(self, server: str) -> None:
        # Other connections to that server may be dead too.
        if self._sessions.may_reset(server):
            self.reset_connections(f"the connection to {server} was lost", server)

    # The index

    def prune_index(self) -> None:
        """Delete texts that no conflict and no open operation refers to."""

        def prune() -> None:
            generation.advance(self.index, self.home.generation_file)
            entries = [e for source in self.registry.sources for e in self.index.operations.open(source.key)]
            with self.index.transaction():
                self.index.texts.prune({s.hash for entry in entries for s in entry.suspects})

        self.control.call(prune)

    def _advance_generation(self) -> None:
        try:
            keys = [source.key for source in self.registry.sources]
            went_back = generation.advance(self.index, self.home.generation_file, keys)
        except (sqlite3.Error, OSError) as error:
            self.index.close()
            raise unavailable(error) from error
        if went_back:
            log.error("%s", generation.WENT_BACK)


def _open(home: Home) -> Index:
    """Open the index. A damaged one is moved aside and rebuilt: every source then merges its two sides."""
    try:
        return open_index(home.index_file)
    except IndexDamaged as error:
        stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
        aside = quarantine(home.index_file, stamp)
        log.warning("%s; moved to %s and rebuilt", error.message, aside.name)
        return open_index(home.index_file)
