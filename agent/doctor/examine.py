"""Make every check, with a running agent or without one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Final

from agent import __version__
from agent.core.errors import AgentError, DiskError
from agent.core.humanize import count_of
from agent.disk.fs.posix import PosixFs
from agent.doctor import folders, machine, servers
from agent.doctor.rows import CheckRow, CheckState, ok, unknown
from agent.provisioning.plan import checks, standing
from agent.remotes.protocol import Capabilities, Remote
from agent.runtime import linking
from agent.runtime.agent import Agent
from agent.runtime.home_lock import HomeLock
from agent.runtime.local_folder import LocalFolder
from agent.runtime.machine_names import machine_name
from agent.runtime.registry_store import with_environment
from agent.runtime.server_session import new_connector_id
from agent.runtime.source_setup import open_folder
from agent.settings.credentials import CredentialStore
from agent.settings.declarations import DeclarationOutcome, read_home
from agent.settings.home import Home
from agent.settings.links import Registry, ServerEntry, with_server
from agent.settings.machine_id import machine_id
from agent.settings.registry_file import load_registry, save_registry
from agent.settings.settings import Settings

_NO_AGENT: Final = "no agent runs here"


def examine(agent: Agent, declared: Iterable[DeclarationOutcome]) -> list[CheckRow]:
    """Make every check inside a running agent, by its own sessions and folders."""
    rows = [ok("agent", f"{__version__} runs, pid {os.getpid()}"), *_machine(agent.home, os.getpid())]
    for entry in agent.registry.servers:
        limits = [
            r.accepts.max_bytes for s in agent.registry.sources_of(entry.name) if (r := agent.runner(s.key)) is not None
        ]
        most = min((limit for limit in limits if limit is not None), default=None)
        rows += servers.account(
            entry,
            agent.settings,
            agent.credentials,
            remote=_remote_of(agent, entry.name),
            max_bytes=most,
            register=None if entry.connector_id else _register_with(agent, entry.name),
        )
    for source in agent.registry.sources:
        runner = agent.runner(source.key)
        degraded = runner.degraded if runner is not None else None
        problem = _root_problem(agent.folder(source))
        rows += folders.folder(source, agent.fs, agent.home.state_dir, problem, degraded)
    if agent.registry.sources:
        rows.append(_lid(sum(linking.count_unsent(agent, source) for source in agent.registry.sources)))
    return [*rows, *_declarations(declared)]


def examine_alone(home: Home, settings: Settings, env: Mapping[str, str]) -> list[CheckRow]:
    """Make the checks that need no agent. Nothing is started; only the first registration with a server is kept."""
    rows = [unknown("agent", _NO_AGENT), *_machine(home, None)]
    try:
        registry = with_environment(load_registry(home.registry_file), settings)
    except AgentError:
        # The registry's own row reports this. Without it there is no account and no folder to check.
        registry = Registry()
    credentials = CredentialStore(home, settings, env)
    for entry in registry.servers:
        register = None if entry.connector_id else _register_alone(home, entry, settings, env)
        rows += servers.account(entry, settings, credentials, remote=None, max_bytes=None, register=register)
    for source in registry.sources:
        rows += folders.folder(
            source, PosixFs(), home.state_dir, _root_problem(open_folder(PosixFs(), home, source)), None
        )
    return [*rows, *_declared(home, registry)]


def _machine(home: Home, running: int | None) -> Iterator[CheckRow]:
    yield from machine.program()
    yield from machine.home(home)
    yield machine.space(home)
    yield from machine.lock(home, running)
    yield from machine.index(home)
    yield from machine.watches()
    yield from machine.service(home)


def _remote_of(agent: Agent, name: str) -> Callable[[], tuple[Remote, Capabilities]]:
    def connect() -> tuple[Remote, Capabilities]:
        session = agent.server(name)
        return session.remote(), session.capabilities

    return connect


def _register_with(agent: Agent, name: str) -> Callable[[Remote], None]:
    def register(_remote: Remote) -> None:
        agent.connection(name)

    return register


def _register_alone(
    home: Home, entry: ServerEntry, settings: Settings, env: Mapping[str, str]
) -> Callable[[Remote], None]:
    """Return a function that registers this machine and keeps the connector, so that a repeated check makes no other.

    The connector of an account that only the environment names is not kept, as the account itself is not.
    """

    def register(remote: Remote) -> None:
        try:
            lock = HomeLock(home.lock_file)
        except AgentError:
            # A command is using the home. It registers by itself if it needs to.
            return
        try:
            registry = load_registry(home.registry_file)
            known = registry.server(entry.name)
            if known is None or known.connector_id is not None:
                return
            machine = machine_id(home, env)
            wanted = new_connector_id(remote)
            if wanted is not None:
                # Durable before the call: if its answer is lost, the next call registers the same connector.
                registry = with_server(registry, replace(known, connector_id=wanted, machine_id=machine))
                save_registry(home.registry_file, registry)
            made = remote.register(machine_name(settings), sys.platform, __version__, wanted)
            kept = replace(
                known, connector_id=made.connector_id, machine_id=machine, machine_name=settings.machine_name
            )
            save_registry(home.registry_file, with_server(registry, kept))
        finally:
            lock.release()

    return register


def _lid(unsent: int) -> CheckRow:
    """State whether other machines would miss changes if this one went to sleep now. It is never a failure."""
    if not unsent:
        return ok("lid", "it is safe to close the lid: nothing waits to be sent")
    return ok("lid", f"wait with closing the lid: {count_of(unsent, 'change')} not sent or undecided; none is lost")


def _root_problem(folder: LocalFolder) -> str | None:
    """Return the reason why a folder cannot be opened as the one that was linked; None if it can."""
    with closing(folder):
        try:
            folder.root.verify()
        except (DiskError, OSError) as error:
            return str(error)
    return None


def _declarations(found: Iterable[DeclarationOutcome]) -> list[CheckRow]:
    return [{"state": (CheckState.OK if row["ok"] else CheckState.FAILED).value, **row} for row in checks(found)]


def _declared(home: Home, registry: Registry) -> Iterable[CheckRow]:
    try:
        return _declarations(standing(read_home(home), registry))
    except AgentError:
        # The settings' own row names the file that cannot be read.
        return []
