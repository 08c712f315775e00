"""The agent of one home: its servers, its linked folders at work, and what they share."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from msgspec.structs import replace

from agent.core.delete_guard import BrakeLimits
from agent.core.errors import IndexDamaged, RemoteError, UsageError
from agent.disk.fs.posix import PosixFs
from agent.disk.fs.protocol import Fs
from agent.disk.root import Root, RootIdentity
from agent.disk.selection.rules import Rules, Selection
from agent.disk.watch.events import ChangedPaths
from agent.disk.watch.watcher import Watcher
from agent.engine import messages as m
from agent.engine.config import EngineConfig, RunMode
from agent.index import Index, generation, open_index, quarantine
from agent.index.store import unavailable
from agent.remotes.protocol import Capabilities
from agent.runtime.control_loop import ControlLoop
from agent.runtime.effect_executor import EffectExecutor, ServerConnection
from agent.runtime.hub_process import HubProcess
from agent.runtime.local_folder import LocalFolder
from agent.runtime.server_session import ServerSession, local_entry
from agent.runtime.source_runner import EffectHandlers, LocalIndexReader, SourceRunner
from agent.settings import links as reg
from agent.settings.credentials import CredentialStore
from agent.settings.home import Home
from agent.settings.links import Registry, ServerEntry, SourceEntry
from agent.settings.machine_id import machine_id
from agent.settings.registry_file import load_registry, save_registry
from agent.settings.server_url import clean_url, origin_of
from agent.settings.settings import Settings

log = logging.getLogger(__name__)

_LOST_AGAIN_SECONDS = 60.0
"""A server that hangs up again and again has its folders looked at this seldom over it."""


class Agent:
    """Everything of one home. ``run_mode`` says whether it stays (a daemon) or is there for one command.

    Every linked folder is reached through ``fs``, the real file system unless another is given.
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
        self.hub = HubProcess(home.hub_dir, settings.hub_port, settings.hub_token_days)
        self.control = ControlLoop(clock)
        self._registry_lock = threading.RLock()
        self._registry = with_environment(load_registry(home.registry_file), settings)
        self._machine = machine_id(home, self.env)
        self.links_lock = threading.RLock()
        """Held while accounts and links are made or changed, which takes several steps."""
        self._servers: dict[str, ServerSession] = {}
        self._runners: dict[int, SourceRunner] = {}
        self._lost: dict[str, float] = {}
        self._lock = threading.RLock()
        self.index = _open(home)
        self._advance_index()
        self._own_copy()
        self.control.start()

    def close(self) -> None:
        """Stop everything; what is under way is settled by the next start."""
        for server in list(self._servers.values()):
            server.stop()
        for key in list(self._runners):
            self.stop_source(key)
        self.control.stop()
        self.index.close()
        self.hub.stop()

    # The registry

    @property
    def registry(self) -> Registry:
        """Accounts and links as they stand."""
        return self._registry

    def change_registry(self, change: Callable[[Registry], Registry]) -> Registry:
        """Change accounts or links, durably."""
        with self._registry_lock:
            changed = change(self._registry)
            if changed != self._registry:
                save_registry(self.home.registry_file, changed)
                self._registry = changed
            return self._registry

    # Servers

    def server_entry(self, name: str) -> ServerEntry:
        """The account of that name; the embedded hub need not be in the registry.

        Raises:
            UsageError: no such account.
        """
        entry = self.registry.server(name)
        if entry is None and name == reg.LOCAL_HUB:
            return local_entry()
        if entry is None:
            names = ", ".join(server.name for server in self.registry.servers) or "none yet"
            raise UsageError(f"no account named {name!r} (known: {names})", "raven-agent login URL")
        return entry

    def server(self, name: str) -> ServerSession:
        """The account at work."""
        with self._lock:
            session = self._servers.get(name)
            if session is None:
                session = self._servers[name] = ServerSession(
                    self.server_entry(name), self.settings, self.credentials, self.hub, self._machine,
                    self._remember, lambda capabilities: self._learned(name, capabilities),
                )  # fmt: skip
                if self.run_mode is RunMode.DAEMON:
                    session.start_heartbeat(self.settings.heartbeat_seconds)
            return session

    def drop_server(self, name: str) -> None:
        """Let go of an account at work: it changed, or is gone."""
        with self._lock:
            session = self._servers.pop(name, None)
        if session is not None:
            session.stop()

    def connection(self, name: str) -> ServerConnection:
        """The way to an account's server, registered. Raises RemoteError."""
        return self.server(name).line()

    def wake(self, why: str, server: str | None = None) -> None:
        """Trust no connection made before now, to one server or to all, and have their folders looked at."""
        log.info("looking and asking afresh: %s", why)
        with self._lock:
            sessions = [session for name, session in self._servers.items() if server in (None, name)]
        for session in sessions:
            session.abort_connections()
        for source in self.registry.sources:
            runner = self._runners.get(source.key)
            if runner is not None and server in (None, source.server):
                runner.deliver(m.ConnectionsReset())

    def _line_lost(self, server: str) -> None:
        """A question for the feed ended without an answer: what else goes there may be as dead."""
        now = time.monotonic()
        if now >= self._lost.get(server, 0.0) + _LOST_AGAIN_SECONDS:
            self._lost[server] = now
            self.wake(f"the connection to {server} was lost", server)

    def _remember(self, entry: ServerEntry) -> None:
        self.change_registry(lambda registry: reg.with_server(registry, entry))

    def _learned(self, name: str, capabilities: Capabilities) -> None:
        def configure() -> None:
            for source in self.registry.sources_of(name):
                runner = self._runners.get(source.key)
                if runner is not None:
                    runner.configure(with_capabilities(runner.setup, capabilities))

        self.control.post(configure)

    # Sources

    def source_for(self, folder: str | os.PathLike[str]) -> SourceEntry:
        """The link whose root is this folder.

        Raises:
            UsageError: it is not linked.
        """
        from pathlib import Path

        source = self.registry.source_at(Path(folder))
        if source is None:
            raise UsageError(f"{folder} is not linked", f"raven-agent link {folder}")
        return source

    def source_over(self, path: str) -> tuple[SourceEntry, str]:
        """The link a path lies in, and the path relative to its root.

        Raises:
            UsageError: it lies in no linked folder.
        """
        from pathlib import Path

        source = self.registry.source_over(Path(path))
        if source is None:
            raise UsageError(f"{path} lies in no linked folder", "raven-agent status lists them")
        return source, Path(path).relative_to(source.root).as_posix()

    def runner(self, key: int) -> SourceRunner | None:
        """The source at work, if it is."""
        return self._runners.get(key)

    def start_source(self, source: SourceEntry, run_mode: RunMode | None = None) -> SourceRunner:
        """Put a source to work, unless it is."""
        with self._lock:
            runner = self._runners.get(source.key)
            if runner is not None:
                return runner
            setup = self.engine_config(source, run_mode or self.run_mode)
            runner = SourceRunner(self.control, self.index, setup, self.clock, source.name)
            self._runners[source.key] = runner
        if source.paused_until is not None:
            runner.deliver(m.Pause(source.paused_until))
        runner.start(self._hands(source, runner, setup.run_mode))
        return runner

    def start_source_if_daemon(self, source: SourceEntry) -> None:
        """Put a source to work if this agent stays; a single command only does what it was asked."""
        if self.run_mode is RunMode.DAEMON:
            self.start_source(source)

    def stop_source(self, key: int) -> None:
        """Let a source rest."""
        with self._lock:
            runner = self._runners.pop(key, None)
        if runner is not None:
            runner.stop()

    def folder(self, source: SourceEntry) -> LocalFolder:
        """The folder of a source, for one thread's use; close it afterwards."""
        expected = None
        if source.root_device is not None and source.root_inode is not None:
            expected = RootIdentity(source.root_device, source.root_inode)
        rules = Rules(source.include, source.exclude)
        state = str(self.home.state_dir)
        return LocalFolder(self.fs, str(source.root), rules, state, str(source.key), expected, source.source_id)

    def _hands(self, source: SourceEntry, runner: SourceRunner, run_mode: RunMode) -> EffectHandlers:
        here, there = self.folder(source), self.folder(source)
        memory = LocalIndexReader(self.home.index_file, source.key)

        def carrier(folder: LocalFolder) -> EffectExecutor:
            return EffectExecutor(
                source.source_id,
                folder,
                memory,
                lambda: self.connection(source.server),
                lambda: runner.max_bytes,
                self.clock,
            )

        watch = (lambda: self._watcher(source, runner)) if run_mode is RunMode.DAEMON else None

        def close() -> None:
            here.close()
            there.close()
            memory.close()

        return EffectHandlers(carrier(here), carrier(there), watch, close, lambda: self._line_lost(source.server))

    def _watcher(self, source: SourceEntry, runner: SourceRunner) -> Watcher | None:
        def post(noticed: ChangedPaths) -> None:
            runner.deliver(m.PathsChanged(noticed.paths, noticed.rescan))

        try:
            root = Root(self.fs, str(source.root))
        except Exception as error:
            # A folder that is away is not watched; the regular look finds it again and the state says so.
            log.warning("%s cannot be watched: %s", source.root, error)
            return None
        return Watcher(str(source.root), Selection(root, Rules(source.include, source.exclude)), post)

    def engine_config(self, source: SourceEntry, run_mode: RunMode) -> EngineConfig:
        """What the engine of a source is to be configured with, as the settings are now."""
        settings = self.settings
        # Give or take a tenth, so that many agents started together do not look and ask together for ever.
        spread = random.SystemRandom().uniform(0.9, 1.1)
        setup = EngineConfig(
            source.key,
            source.mode,
            run_mode,
            limits=BrakeLimits(
                settings.brake_min,
                settings.brake_percent / 100,
                settings.brake_total,
                settings.brake_window_minutes * 60.0,
            ),
            quiet=settings.quiet_ms / 1000,
            quiet_most=settings.quiet_max_ms / 1000,
            look_every=settings.full_look_minutes * 60 * spread,
            verify_every=settings.full_look_minutes * 60 * spread,
            long_poll_seconds=settings.poll_wait_seconds,
            poll_least=settings.poll_min_seconds,
            poll_most=settings.poll_max_seconds,
            poll_idle=settings.poll_idle_seconds,
            idle_after=settings.poll_idle_after_minutes * 60.0,
        )
        server = self._servers.get(source.server)
        return with_capabilities(setup, server.capabilities) if server else setup

    def _advance_index(self) -> None:
        try:
            keys = [source.key for source in self.registry.sources]
            went_back = generation.advance(self.index, self.home.generation_file, keys)
        except (sqlite3.Error, OSError) as error:
            self.index.close()
            raise unavailable(error) from error
        if went_back:
            log.error("%s", generation.WENT_BACK)

    def _own_copy(self) -> None:
        """After a disk was cloned: neither machine passes for the other, or carries out what the other had begun."""
        own = reg.without_foreign_connectors(self._registry, self._machine)
        if own is self._registry:
            return
        log.warning("this home was copied from another machine; this one registers by itself")
        for server in own.servers:
            if server != self._registry.server(server.name):
                for source in own.sources_of(server.name):
                    with self.index.transaction():
                        self.index.detach_from_other_machine(source.key)
        # Behind the index: cut short before this, it is done again.
        self.change_registry(lambda registry: reg.without_foreign_connectors(registry, self._machine))

    def tidy(self) -> None:
        """Let go of texts that no conflict and no open operation refers to any more."""

        def prune() -> None:
            generation.advance(self.index, self.home.generation_file)
            entries = [e for source in self.registry.sources for e in self.index.operations.open(source.key)]
            with self.index.transaction():
                self.index.texts.prune({s.hash for entry in entries for s in entry.suspects})

        self.control.call(prune)

    def start_all(self) -> None:
        """Put every linked folder to work."""
        for source in self.registry.sources:
            with contextlib.suppress(UsageError, RemoteError):
                self.start_source(source)


def with_environment(registry: Registry, settings: Settings) -> Registry:
    """The registry with the account the environment or the settings name, unless it is known already."""
    if not settings.server_url:
        return registry
    url = clean_url(settings.server_url)
    origin = origin_of(url)
    if any(s.origin == origin and settings.workspace in ("", s.workspace) for s in registry.servers):
        return registry
    name = urlsplit(url).hostname or origin
    if registry.server(name) is not None:
        name = f"{name}-{settings.workspace}"
    return reg.with_server(registry, ServerEntry(name, url, settings.workspace))


def with_capabilities(setup: EngineConfig, capabilities: Capabilities) -> EngineConfig:
    """The setup for a server that can do this."""
    return replace(
        setup,
        long_poll=capabilities.long_poll,
        ordered_feed=capabilities.ordered_feed,
        item_results=capabilities.item_results,
        keeps_history=capabilities.keeps_history,
        expected_hash=capabilities.expected_hash,
    )


def _open(home: Home) -> Index:
    """The index; a damaged one is set aside and begun anew: every source is then a union of its two sides."""
    try:
        return open_index(home.index_file)
    except IndexDamaged as error:
        stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
        aside = quarantine(home.index_file, stamp)
        log.warning("%s; set aside as %s and rebuilt", error.message, aside.name)
        return open_index(home.index_file)
