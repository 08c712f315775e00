"""Every check, with a running agent's own knowledge or without any agent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Final

from agent import __version__
from agent.core.errors import AgentError, DiskError
from agent.disk.fs.posix import PosixFs
from agent.doctor import folders, machine, servers
from agent.doctor.rows import CheckRow, CheckState, ok, unknown
from agent.provisioning.plan import checks, standing
from agent.remotes.protocol import Capabilities, Remote
from agent.runtime.agent import Agent
from agent.runtime.local_folder import LocalFolder
from agent.runtime.registry_store import with_environment
from agent.runtime.source_setup import open_folder
from agent.settings.credentials import CredentialStore
from agent.settings.declarations import DeclarationOutcome, read_home
from agent.settings.home import Home
from agent.settings.links import Registry
from agent.settings.registry_file import load_registry
from agent.settings.settings import Settings

_NO_AGENT: Final = "no agent runs here"


def examine(agent: Agent, declared: Iterable[DeclarationOutcome]) -> list[CheckRow]:
    """What a running agent finds: its own view of its servers and folders."""
    rows = [ok("agent", f"{__version__} runs, pid {os.getpid()}"), *_machine(agent.home, os.getpid())]
    for entry in agent.registry.servers:
        limits = [r.max_bytes for s in agent.registry.sources_of(entry.name) if (r := agent.runner(s.key)) is not None]
        most = min((limit for limit in limits if limit is not None), default=None)
        rows += servers.account(
            entry, agent.settings, agent.credentials, remote=_through(agent, entry.name), max_bytes=most
        )
    for source in agent.registry.sources:
        runner = agent.runner(source.key)
        degraded = runner.degraded if runner is not None else None
        trouble = _trouble(agent.folder(source))
        rows += folders.folder(source, agent.fs, agent.home.state_dir, trouble, degraded)
    return [*rows, *_declarations(declared)]


def examine_alone(home: Home, settings: Settings, env: Mapping[str, str]) -> list[CheckRow]:
    """What can be found where no agent runs: nothing is started, made, or written."""
    rows = [unknown("agent", _NO_AGENT), *_machine(home, None)]
    try:
        registry = with_environment(load_registry(home.registry_file), settings)
    except AgentError:
        # The registry's own row says so; without it there is nothing to go through.
        registry = Registry()
    credentials = CredentialStore(home, settings, env)
    for entry in registry.servers:
        rows += servers.account(entry, settings, credentials, remote=None, max_bytes=None)
    for source in registry.sources:
        rows += folders.folder(source, PosixFs(), home.state_dir, _trouble(open_folder(PosixFs(), home, source)), None)
    return [*rows, *_declared(home, registry)]


def _machine(home: Home, running: int | None) -> Iterator[CheckRow]:
    yield from machine.program()
    yield from machine.home(home)
    yield from machine.lock(home, running)
    yield from machine.index(home)
    yield from machine.watches()
    yield from machine.service(home)


def _through(agent: Agent, name: str) -> Callable[[], tuple[Remote, Capabilities]]:
    def way() -> tuple[Remote, Capabilities]:
        session = agent.server(name)
        return session.remote(), session.capabilities

    return way


def _trouble(folder: LocalFolder) -> str | None:
    """Why a folder cannot be opened as the one that was linked."""
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
        # The row of the settings names the file that cannot be read.
        return []
