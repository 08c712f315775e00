"""Lives of one account with tokens that can be renewed once: calls, crashes, refusals and failures drawn from a seed.

A crash at any moment leaves a pair on the disk that the server still takes, unless the answer of a renewal was lost.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.core.errors import Problem, ProblemKind, RemoteError
from agent.remotes.http.client import HttpClient
from agent.remotes.issued_tokens import IssuedTokens
from agent.remotes.scaidrive.profile import scaidrive_profile
from agent.remotes.scaidrive.tokens import renew
from agent.remotes.wrappers import CallRecord
from agent.runtime.account_tokens import AccountTokens
from agent.settings.credentials import CredentialStore
from agent.settings.errors import CredentialsError
from agent.settings.home import Home
from agent.settings.links import ServerEntry
from agent.settings.settings import Settings
from agent.settings.token_pair import TokenPair
from simulation.mutant import instead
from strict_raven.transport import HandlerTransport
from strict_raven.wire import Response
from strict_scaidrive.api import ScaiDriveApi
from strict_scaidrive.server import StrictScaiDrive

ENTRY = ServerEntry("drive", "https://drive.example", "", "scaidrive")
ROUNDS = 20
STEPS = (1, 60, 1800, 3000, 4000)
"""Seconds between two calls."""


def full_disk(*_given: object) -> None:
    """In place of ``CredentialStore.store``."""
    raise CredentialsError("the disk is full")


class TokenLife:
    """One account, one process after another, and the seed that decides."""

    def __init__(self, seed: int, top: Path) -> None:
        self.rng = random.Random(seed)
        self.now = 1_700_000_000.0
        self.server = StrictScaiDrive(lambda: self.now)
        self.api = ScaiDriveApi(self.server)
        self.store = CredentialStore(
            Home.from_environment({"RAVEN_AGENT_HOME": str(top)}), Settings(credentials="file"), {}
        )
        issued = self.api.accounts.new_tokens()
        ends = self.now + issued["expires_in"]
        self.store.store(ENTRY, TokenPair(issued["access_token"], issued["refresh_token"], self.now, ends).to_text())
        self.is_lost = False
        """The answer of a renewal was lost, which may end the sign-in."""
        self.is_unsaved = False
        """The newest pair is in memory only, as the disk was full."""
        self.restart()

    def restart(self) -> None:
        """A new process: it knows what the disk holds."""
        self.is_lost = self.is_lost or self.is_unsaved
        self.tokens = AccountTokens(self.store, lambda: ENTRY, self._renew, lambda: self.now)

    def _renew(self, entry: ServerEntry, refresh: str) -> IssuedTokens:
        def handle(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
            return self.api.handle(method, path, {}, body)

        def client(token: Callable[[], str]) -> HttpClient:
            return HttpClient(entry.url, token, scaidrive_profile(""), transport=HandlerTransport(handle))

        match self.rng.randrange(12):
            case 0:
                raise RemoteError(Problem(ProblemKind.OFFLINE, "the request was lost"))
            case 1:
                renew(client, refresh)
                self.is_lost = True
                raise RemoteError(Problem(ProblemKind.OFFLINE, "the answer was lost"))
        return renew(client, refresh)

    def call(self) -> bool:
        """One call with the present token; False if there is none that the server takes."""
        full = instead(CredentialStore, "store", full_disk) if self.rng.random() < 0.1 else contextlib.nullcontext()
        try:
            with full:
                found = self.tokens.current()
        except (RemoteError, CredentialsError) as error:
            self.is_unsaved = self.is_unsaved or isinstance(error, CredentialsError)
            return False
        self.is_unsaved = False
        assert found is not None
        taken = self.server.state.access.get(found.value, 0.0) > self.now
        if not taken:
            self.tokens.observe(CallRecord("pull", 0.1, Problem(ProblemKind.SIGNED_OUT, "refused")))
        return taken

    def live(self) -> None:
        """Everything that happens."""
        for _ in range(ROUNDS):
            self.now += self.rng.choice(STEPS)
            self.call()
            if self.rng.random() < 0.2:
                # The keys of the server changed: it no longer takes what it gave.
                self.server.state.access.clear()
            if self.rng.random() < 0.3:
                self.restart()

    def check(self) -> None:
        """The account works again by itself, unless the server's newest pair never arrived."""
        for _ in range(8):
            self.now += 60
            if self.call() or self.is_lost:
                return
        raise AssertionError("signed out, although no answer was lost")


def broken_law(seed: int, top: Path) -> str | None:
    """Live one life; returns the law that it broke."""
    life = TokenLife(seed, top)
    try:
        life.live()
        life.check()
    except AssertionError as error:
        return str(error)
    return None
