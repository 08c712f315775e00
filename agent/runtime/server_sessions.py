"""The server sessions of one home, by account name."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from agent.core.errors import UsageError
from agent.remotes.protocol import Capabilities
from agent.remotes.wrappers import CallCounts
from agent.runtime.registry_store import RegistryStore
from agent.runtime.server_session import ServerSession, local_entry
from agent.settings import links as reg
from agent.settings.links import ServerEntry

_LOST_AGAIN_SECONDS: Final = 60.0
"""Seconds before another lost connection of one server resets its connections again."""


class ServerSessions:
    """Creates the session of an account when it is first needed. Safe to use from several threads.

    Args:
        make: returns a session for an account, given a function that takes new capabilities.
        on_capabilities: called with an account's name whenever its server states other capabilities.
    """

    def __init__(
        self,
        store: RegistryStore,
        make: Callable[[ServerEntry, Callable[[Capabilities], None]], ServerSession],
        on_capabilities: Callable[[str, Capabilities], None],
    ) -> None:
        self._store = store
        self._make = make
        self._on_capabilities = on_capabilities
        self._lock = threading.RLock()
        self._sessions: dict[str, ServerSession] = {}
        self._lost: dict[str, float] = {}

    def entry(self, name: str) -> ServerEntry:
        """Return the account of that name. The embedded hub need not be in the registry.

        Raises:
            UsageError: no account has that name.
        """
        entry = self._store.current.server(name)
        if entry is None and name in reg.LOCAL_ACCOUNTS:
            return local_entry(name)
        if entry is None:
            known = [server.name for server in self._store.current.servers]
            words = f"no account named {name!r} (known: {', '.join(known) or 'none yet'})"
            raise UsageError(words, reg.account_hint(name, known))
        return entry

    def get(self, name: str) -> ServerSession:
        """Return the session of an account. Raises UsageError if no account has that name."""
        with self._lock:
            session = self._sessions.get(name)
            if session is None:
                session = self._make(self.entry(name), lambda capabilities: self._on_capabilities(name, capabilities))
                self._sessions[name] = session
            return session

    def capabilities(self, name: str) -> Capabilities | None:
        """Return the features of an account's server; None before the account is used."""
        session = self._sessions.get(name)
        return None if session is None else session.known_capabilities

    def is_listening(self, name: str) -> bool:
        """Return True while an account's server reports changes as they happen."""
        session = self._sessions.get(name)
        return session is not None and session.listening

    def call_counts(self) -> dict[str, CallCounts]:
        """Return the number of calls to each account's server, by account name."""
        with self._lock:
            return {name: session.calls.counts() for name, session in self._sessions.items()}

    def drop(self, name: str) -> None:
        """Close the session of an account that has changed or is gone."""
        with self._lock:
            session = self._sessions.pop(name, None)
        if session is not None:
            session.stop()

    def abort_connections(self, name: str | None) -> None:
        """Close the connections of one account, or of all (None): they may be dead."""
        with self._lock:
            chosen = [session for known, session in self._sessions.items() if name in (None, known)]
        for session in chosen:
            session.abort_connections()

    def may_reset(self, name: str) -> bool:
        """Return True if a lost connection of this account may reset the others: at most once a minute."""
        now = time.monotonic()
        if now < self._lost.get(name, 0.0) + _LOST_AGAIN_SECONDS:
            return False
        self._lost[name] = now
        return True

    def stop(self) -> None:
        """Close all sessions."""
        for session in list(self._sessions.values()):
            session.stop()
