"""One account on one server: its adapter, its connector, and the heartbeat that says the connector lives."""

from __future__ import annotations

import logging
import platform
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from agent import __version__
from agent.core.errors import Problem, ProblemKind, RemoteError, UsageError
from agent.remotes.http.failures import RemoteCallError, SideEffect
from agent.remotes.open import open_remote
from agent.remotes.protocol import Capabilities, Registration, Remote
from agent.runtime.effect_executor import ServerConnection
from agent.runtime.hub_process import WORKSPACE, HubProcess, HubStartFailed
from agent.settings.credentials import CredentialStore
from agent.settings.errors import CredentialsError
from agent.settings.links import LOCAL_HUB, ServerEntry
from agent.settings.settings import Settings

log = logging.getLogger(__name__)

WARN_DAYS: Final = (7, 1)
"""Days before a token's end at which its end is announced."""


def expiry_words(name: str, left: float) -> str | None:
    """A sentence for a token that ends within a week, ``left`` seconds from now, or has ended; None for a later end."""
    if left > WARN_DAYS[0] * 86_400:
        return None
    if left <= 0:
        return f"the token of {name} has expired"
    days = int(left // 86_400)
    amount = f"{days} {'day' if days == 1 else 'days'}" if days else f"{int(left // 3600)} h"
    return f"the token of {name} ends in {amount}"


class ServerSession:
    """Connects when first needed; safe to use from several threads.

    Args:
        entry: the account as the registry has it.
        machine: this machine's id; a connector of another machine is not ours.
        remember: takes the entry with a new connector or address, to be saved.
        learned: told the server's capabilities whenever they change.
    """

    def __init__(
        self,
        entry: ServerEntry,
        settings: Settings,
        credentials: CredentialStore,
        hub: HubProcess,
        machine: str,
        remember: Callable[[ServerEntry], None],
        learned: Callable[[Capabilities], None],
    ) -> None:
        self.entry = entry
        self._settings = settings
        self._credentials = credentials
        self._hub = hub
        self._machine = machine
        self._remember = remember
        self._learned = learned
        self._lock = threading.Lock()
        self._remote: Remote | None = None
        self._registration: Registration | None = None
        self._stopped = threading.Event()
        self._warned: int | None = None
        self.problem: Problem | None = None

    @property
    def is_local_hub(self) -> bool:
        """Whether this is the embedded hub."""
        return self.entry.name == LOCAL_HUB

    @property
    def capabilities(self) -> Capabilities:
        """As last told; empty before the first answer."""
        return self._registration.capabilities if self._registration else Capabilities()

    def remote(self) -> Remote:
        """The adapter, without registering.

        Raises:
            RemoteError: the embedded hub does not start, or the address cannot be used.
        """
        with self._lock:
            return self._connected()

    def line(self) -> ServerConnection:
        """The adapter with this machine registered as a connector.

        Raises:
            RemoteError: as the server, or the way to it, has it.
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
                self._remember(self.entry)
            self._remote = self._open()
            self._registration = None
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
                entry.url,
                self._token,
                entry.workspace,
                name=entry.name,
                ca_file=self._settings.ca_file,
                insecure_http=entry.insecure_http,
            )
        except UsageError as error:
            raise RemoteError(Problem(ProblemKind.BAD_REQUEST, error.message), error.hint) from error

    def _token(self) -> str:
        try:
            if self.is_local_hub:
                return self._hub.token()
            found = self._credentials.token_for(self.entry)
        except HubStartFailed as error:
            raise RemoteCallError(Problem(ProblemKind.OFFLINE, error.message), SideEffect.NONE) from error
        except CredentialsError as error:
            # A token that cannot be read is a token that is not there: the queue is kept, and it is read again.
            raise RemoteCallError(Problem(ProblemKind.SIGNED_OUT, error.message), SideEffect.NONE) from error
        if found is None:
            raise RemoteCallError(Problem(ProblemKind.SIGNED_OUT, self.entry.missing_token_message), SideEffect.NONE)
        if found.expires_at is not None:
            self._warn(found.expires_at - time.time())
        return found.value

    def _warn(self, left: float) -> None:
        """Say once that the token ends within a week, and once more that it ends within a day."""
        due = [days for days in WARN_DAYS if left <= days * 86_400]
        if not due:
            self._warned = None
        elif self._warned is None or due[-1] < self._warned:
            self._warned = due[-1]
            log.warning("%s", expiry_words(self.entry.name, left))

    def _register(self, remote: Remote) -> None:
        entry = self.entry
        registration = None
        if entry.connector_id and entry.machine_id == self._machine:
            try:
                registration = remote.heartbeat(entry.connector_id)
            except RemoteError as error:
                if error.problem.kind is not ProblemKind.NOT_FOUND:
                    self.problem = error.problem
                    raise
        if registration is None:
            try:
                registration = remote.register(socket.gethostname(), sys.platform, __version__)
            except RemoteError as error:
                self.problem = error.problem
                raise
            self.entry = replace(entry, connector_id=registration.connector_id, machine_id=self._machine)
            self._remember(self.entry)
            log.info("registered with %s as connector %s on %s", entry.name, registration.connector_id, platform.node())
        self._know(registration)

    def _know(self, registration: Registration) -> None:
        before = self._registration
        self._registration = registration
        self.problem = None
        if before is None or before.capabilities != registration.capabilities:
            self._learned(registration.capabilities)

    def start_heartbeat(self, seconds: float) -> None:
        """Tell the server every now and then that this connector lives, until stopped."""
        threading.Thread(target=self._beat, args=(seconds,), name=f"heartbeat-{self.entry.name}", daemon=True).start()

    def _beat(self, seconds: float) -> None:
        while not self._stopped.wait(seconds):
            try:
                line = self.line()
                if line.connector_id:
                    self._know(line.remote.heartbeat(line.connector_id))
            except RemoteError as error:
                self.problem = error.problem
                if error.problem.kind is ProblemKind.NOT_FOUND:
                    with self._lock:
                        self._registration = None

    def abort_connections(self) -> None:
        """End the connections, as they may be dead; the next call makes new ones."""
        # Without the lock, for the same reason as in stop.
        remote = self._remote
        if remote is not None:
            remote.abort_connections()

    def stop(self) -> None:
        """Let go of the connections; calls under way fail."""
        self._stopped.set()
        # Without the lock: who holds it may be waiting for the very answer that is given up here.
        remote = self._remote
        if remote is not None:
            remote.close()


def local_entry() -> ServerEntry:
    """The embedded hub as an account; its address is known once it runs."""
    return ServerEntry(LOCAL_HUB, "http://127.0.0.1:0", WORKSPACE)
