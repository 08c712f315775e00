"""The registry of accounts and links in memory and on disk, changed under one lock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from agent.settings import links as reg
from agent.settings.links import Registry, ServerEntry
from agent.settings.registry_file import load_registry, save_registry
from agent.settings.server_url import clean_url, origin_of
from agent.settings.settings import Settings


class RegistryStore:
    """Accounts and links of one home. Safe to use from several threads.

    Args:
        file: the registry's file.
        settings: may name a server, which is added in memory.

    Raises:
        AgentError: the file cannot be used.
    """

    def __init__(self, file: Path, settings: Settings) -> None:
        self._file = file
        self._lock = threading.RLock()
        self._current = with_environment(load_registry(file), settings)

    @property
    def current(self) -> Registry:
        """Accounts and links as they are now. The value itself never changes."""
        return self._current

    def change(self, change: Callable[[Registry], Registry]) -> Registry:
        """Replace the registry by ``change`` of it, and save it durably if it differs."""
        with self._lock:
            changed = change(self._current)
            if changed != self._current:
                save_registry(self._file, changed)
                self._current = changed
            return self._current


def with_environment(registry: Registry, settings: Settings) -> Registry:
    """Add the account that the environment or the settings name, unless the registry has it already."""
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
