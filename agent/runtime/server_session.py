"""One account on one server: its adapter, its connector, and the heartbeat that keeps the connector alive."""

from __future__ import annotations

import logging
import platform
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from agent import __version__
from agent.core.errors import Problem, ProblemKind, RemoteError, UsageError
from agent.remotes.dialects import AdapterOptions, open_remote, renew_tokens
from agent.remotes.http.failures import RemoteCallError, SideEffect
from agent.remotes.issued_tokens import IssuedTokens
from agent.remotes.protocol import Capabilities, Nudge, Registration, Remote
from agent.remotes.wrappers import CallCounter
from agent.runtime.account_tokens import AccountTokens
from agent.runtime.books import Books
from agent.runtime.device_secret import StoredDeviceSecret
from agent.runtime.effect_executor import ServerConnection
from agent.runtime.hub_process import WORKSPACE, HubProcess, HubStartFailed
from agent.runtime.machine_names import machine_name, send_name
from agent.runtime.nudge_listener import NudgeListener
from agent.settings.credentials import CredentialStore, Token
from agent.settings.errors import CredentialsError
from agent.settings.links import LOCAL_ACCOUNTS, LOCAL_FILES, RAVEN, SCAIDRIVE, ServerEntry
from agent.settings.settings import Settings

log = logging.getLogger(__name__)

WARN_DAYS: Final = (7, 1)
"""Days before the end of a token at which a warning is due, largest first."""


EXPIRY_UNCLEAR: Final = "token expiry not understood"


def token_warning(name: str, token: Token, now: float) -> str | None:
    """Return what a person should know about the expiry of an account's token; None if nothing.

    Args:
        now: seconds since the epoch.
    """
    if token.stored is not None:
        # It is renewed long before its end. A renewal that fails is a problem of its own.
        return None
    if token.expires_at is None:
        return f"{EXPIRY_UNCLEAR} ({name}); everything else works" if token.expiry_unclear else None
    return expiry_words(name, token.expires_at - now)


def expiry_words(name: str, left: float) -> str | None:
    """Return a warning for a token that ends in ``left`` seconds; None if it lasts longer than a week."""
    if left > WARN_DAYS[0] * 86_400:
        return None
    if left <= 0:
        return f"the token of {name} has expired"
    days = int(left // 86_400)
    amount = f"{days} {'day' if days == 1 else 'days'}" if days else f"{int(left // 3600)} h"
    return f"the token of {name} ends in {amount}"


def new_connector_id(remote: Remote) -> str | None:
    """Return an id for this machine's connector if the client makes it; None if the server does."""
    return str(uuid.uuid4()) if remote.capabilities.client_made_id else None


class ServerSession:
    """The session of one account; connects when first needed. Safe to use from several threads.

    Args:
        entry: the account of the registry.
        machine: this machine's id. A connector that another machine registered is not used.
        save_entry: saves the account with a new connector or address.
        on_capabilities: called with the server's features whenever they change.
        books: returns what the index knows of a source of the account.
    """

    def __init__(
        self,
        entry: ServerEntry,
        settings: Settings,
        credentials: CredentialStore,
        hub: HubProcess,
        machine: str,
        save_entry: Callable[[ServerEntry], None],
        on_capabilities: Callable[[Capabilities], None],
        books: Books,
    ) -> None:
        self.entry = entry
        self._settings = settings
        self._hub = hub
        self._machine = machine
        self._save_entry = save_entry
        self._on_capabilities = on_capabilities
        self._books = books
        self._tokens = AccountTokens(credentials, lambda: self.entry, self._renew)
        self._device_secret = StoredDeviceSecret(credentials, lambda: self.entry)
        self._lock = threading.Lock()
        self._remote: Remote | None = None
        self._registration: Registration | None = None
        self._stopped = threading.Event()
        self._warned: int | None = None
        self._listener: NudgeListener | None = None
        self.calls = CallCounter()
        """Number of calls to the server since the session began."""
        self.problem: Problem | None = None
        """The newest problem with the server; None after a successful call."""
        self._answered_at = float("-inf")
        self.on_alive: Callable[[], None] | None = None
        """Called after each registration and heartbeat, on the thread that made it."""
        self.registered_anew = False
        """The server had forgotten this machine. Set back by the one who has put its preferences back."""

    @property
    def is_local_hub(self) -> bool:
        """True for the embedded hub."""
        return self.entry.name in LOCAL_ACCOUNTS

    @property
    def known_capabilities(self) -> Capabilities | None:
        """Features of the server as last stated; before the first answer those of its dialect; None before it is used.

        The engine assumes no feature then. The default ones are those of one dialect, and another may have no history.
        """
        if self._registration is not None:
            return self._registration.capabilities
        remote = self._remote
        return None if remote is None else remote.capabilities

    @property
    def capabilities(self) -> Capabilities:
        """The same; the default ones before the server is used."""
        return self.known_capabilities or Capabilities()

    @property
    def own_connector(self) -> str | None:
        """Id of this machine's connector as it was registered last; None if it never was."""
        return self.entry.connector_id if self.entry.machine_id == self._machine else None

    def remote(self) -> Remote:
        """Return the adapter, without registering this machine.

        Raises:
            RemoteError: the embedded hub does not start, or the address cannot be used.
        """
        with self._lock:
            return self._connected()

    def connection(self) -> ServerConnection:
        """Return the adapter with this machine registered as a connector.

        Raises:
            RemoteError: the server cannot be reached, or refuses.
        """
        with self._lock:
            remote = self._connected()
            if self._registration is None:
                self._register(remote)
            return ServerConnection(remote, self.entry.connector_id)

    def _connected(self) -> Remote:
        url = self._url()
        if self._remote is None or url != self.entry.url:
            if url != self.entry.url:
                self.entry = replace(self.entry, url=url)
                self._save_entry(self.entry)
            if self._remote is not None:
                self._remote.close()
            self._remote = self._open()
            self._registration = None
        if self._stopped.is_set():
            # ``stop`` may have looked before there was an adapter to close.
            self._remote.close()
            raise RemoteError(Problem(ProblemKind.OFFLINE, f"the session of {self.entry.name} is closed"))
        return self._remote

    def _url(self) -> str:
        if not self.is_local_hub:
            return self.entry.url
        try:
            return self._hub.ensure()
        except HubStartFailed as error:
            raise RemoteError(Problem(ProblemKind.OFFLINE, error.message), error.hint) from error

    def _open(self) -> Remote:
        entry = self.entry
        try:
            return open_remote(
                entry.dialect,
                entry.url,
                self.token,
                entry.workspace,
                name=entry.name,
                ca_file=self._settings.ca_file,
                pin=entry.pin,
                insecure_http=entry.insecure_http,
                options=AdapterOptions(self._books, self._settings.pinakes_hash, self._device_secret),
                observers=(self.calls, self._tokens.observe),
            )
        except UsageError as error:
            raise RemoteError(Problem(ProblemKind.BAD_REQUEST, error.message), error.hint) from error

    def token(self) -> str:
        """Return the token for the next call.

        Raises:
            RemoteError: SIGNED_OUT if there is none or it cannot be read; OFFLINE if the embedded hub does not start.
        """
        try:
            if self.is_local_hub:
                return self._hub.token()
            found = self._tokens.current()
        except HubStartFailed as error:
            raise RemoteCallError(Problem(ProblemKind.OFFLINE, error.message), SideEffect.NONE) from error
        except CredentialsError as error:
            # A token that cannot be read counts as missing: the queue is kept, and the token is read again.
            raise RemoteCallError(Problem(ProblemKind.SIGNED_OUT, error.message), SideEffect.NONE) from error
        if found is None:
            raise RemoteCallError(Problem(ProblemKind.SIGNED_OUT, self.entry.missing_token_message), SideEffect.NONE)
        if found.expires_at is not None and found.stored is None:
            self._warn(found.expires_at - time.time())
        return found.value

    def _renew(self, entry: ServerEntry, refresh: str) -> IssuedTokens:
        try:
            return renew_tokens(
                entry.dialect,
                entry.url,
                refresh,
                name=entry.name,
                ca_file=self._settings.ca_file,
                pin=entry.pin,
                insecure_http=entry.insecure_http,
            )
        except UsageError as error:
            raise RemoteError(Problem(ProblemKind.BAD_REQUEST, error.message), error.hint) from error

    def _warn(self, left: float) -> None:
        """Log once that the token ends within a week, and once that it ends within a day."""
        due = [days for days in WARN_DAYS if left <= days * 86_400]
        if not due:
            self._warned = None
        elif self._warned is None or due[-1] < self._warned:
            self._warned = due[-1]
            log.warning("%s", expiry_words(self.entry.name, left))

    def _register(self, remote: Remote) -> None:
        entry = self.entry
        known = self.own_connector
        registration = None
        if known:
            try:
                registration = remote.heartbeat(known)
            except RemoteError as error:
                if error.problem.kind is not ProblemKind.NOT_FOUND:
                    self.problem = error.problem
                    raise
        if registration is None:
            wanted = known or new_connector_id(remote)
            if wanted != known:
                # Durable before the call: if its answer is lost, the next call registers the same connector.
                self.entry = replace(entry, connector_id=wanted, machine_id=self._machine)
                self._save_entry(self.entry)
            try:
                registration = remote.register(machine_name(self._settings), sys.platform, __version__, wanted)
            except RemoteError as error:
                self.problem = error.problem
                raise
            self.registered_anew = self.registered_anew or known is not None
            self.entry = replace(
                entry,
                connector_id=registration.connector_id,
                machine_id=self._machine,
                machine_name=self._settings.machine_name,
            )
            self._save_entry(self.entry)
            log.info("registered with %s as connector %s on %s", entry.name, registration.connector_id, platform.node())
        else:
            sent = send_name(remote, entry, registration.connector_id, self._settings)
            if sent != entry.machine_name:
                self.entry = replace(entry, machine_name=sent)
                self._save_entry(self.entry)
        self._take_answer(registration)

    def _take_answer(self, registration: Registration) -> None:
        before = self._registration
        self._registration = registration
        self.problem = None
        self._answered_at = time.monotonic()
        if before is None or before.capabilities != registration.capabilities:
            self._on_capabilities(registration.capabilities)
        if self._listener is not None and registration.capabilities.nudges:
            self._listener.start()
        if self.on_alive is not None:
            self.on_alive()

    def start_heartbeat(self, seconds: float) -> None:
        """Send a heartbeat every ``seconds`` on a thread of its own, until stopped."""
        threading.Thread(target=self._beat, args=(seconds,), name=f"heartbeat-{self.entry.name}", daemon=True).start()

    def _beat(self, seconds: float) -> None:
        while not self._stopped.wait(max(seconds, self._least_heartbeat())):
            try:
                connection = self.connection()
                if connection.connector_id:
                    self._take_answer(connection.remote.heartbeat(connection.connector_id))
            except RemoteError as error:
                self.problem = error.problem
                if error.problem.kind is ProblemKind.NOT_FOUND:
                    with self._lock:
                        self._registration = None

    def listen(self, on_nudge: Callable[[Nudge], None], on_listening: Callable[[bool], None]) -> None:
        """Have a server that reports changes do so, on a thread of its own, once this machine is registered.

        Args:
            on_nudge: takes each nudge.
            on_listening: called with True when changes are reported from now on, with False when no longer.
        """
        self._listener = NudgeListener(self.entry.name, self.connection, on_nudge, on_listening)

    @property
    def listening(self) -> bool:
        """True while the server reports changes as they happen."""
        return self._listener is not None and self._listener.listening

    def _least_heartbeat(self) -> float:
        remote = self._remote
        return 0.0 if remote is None else remote.capabilities.heartbeat_seconds

    def check(self, max_age: float = 0.0) -> Problem | None:
        """Ask the server; return the problem, or None if it answers.

        Nothing is registered or changed. The embedded hub is not started for a check.

        Args:
            max_age: seconds; an answer that is not older is enough.
        """
        if self.problem is None and time.monotonic() - self._answered_at < max_age:
            return None
        if self.is_local_hub and not self._hub.running:
            return None
        try:
            self.remote().sources()
        except RemoteError as error:
            self.problem = error.problem
        else:
            self.problem = None
            self._answered_at = time.monotonic()
        return self.problem

    def abort_connections(self) -> None:
        """Close the connections, as they may be dead. The next call opens new ones."""
        # Without the lock: its holder may wait for an answer on the very connection that is closed here.
        remote = self._remote
        if remote is not None:
            remote.abort_connections()
        if self._listener is not None:
            self._listener.wake()

    def stop(self) -> None:
        """Stop the heartbeat and close the connections; calls in progress fail."""
        self._stopped.set()
        if self._listener is not None:
            self._listener.begin_stop()
        # Without the lock: its holder may wait for the very answer that is given up here.
        remote = self._remote
        if remote is not None:
            remote.close()
        if self._listener is not None:
            self._listener.join()
        self._books.close()


def local_entry(name: str) -> ServerEntry:
    """Return an account of the embedded hub. Its address is known once the hub runs."""
    return ServerEntry(name, "http://127.0.0.1:0", WORKSPACE, SCAIDRIVE if name == LOCAL_FILES else RAVEN)
