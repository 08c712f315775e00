"""A session that is extended keeps its token: before its end, after a refusal, and whatever the server says of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.core.errors import Problem, ProblemKind, RemoteError
from agent.remotes.http.client import HttpClient
from agent.remotes.issued_tokens import IssuedTokens
from agent.remotes.pinakes.profile import pinakes_profile
from agent.remotes.pinakes.tokens import UNSTATED_SECONDS, extend
from agent.remotes.wrappers import CallRecord
from agent.runtime.account_tokens import AccountTokens
from agent.settings.credentials import CredentialStore
from agent.settings.home import Home
from agent.settings.links import ServerEntry
from agent.settings.settings import Settings
from agent.settings.token_pair import TokenPair
from strict_raven.transport import HandlerTransport
from strict_raven.wire import Response

ENTRY = ServerEntry("media", "https://media.example", "", "pinakes")
SESSION = "the-session"
LIFE = 3600.0
REFUSED = CallRecord("pull", 0.0, Problem(ProblemKind.SIGNED_OUT, "refused"))


class Account:
    """One stored session on a machine whose clock is moved by the test."""

    def __init__(self, path: Path) -> None:
        self.now = 1_700_000_000.0
        home = Home.from_environment({"RAVEN_AGENT_HOME": str(path)})
        self.store = CredentialStore(home, Settings(credentials="file"), {})
        self.store.store(ENTRY, TokenPair(SESSION, SESSION, self.now, self.now + LIFE).to_text())
        self.extended = 0
        self.ended = False
        self.tokens = AccountTokens(self.store, lambda: ENTRY, self.extend, lambda: self.now)

    def extend(self, entry: ServerEntry, session: str) -> IssuedTokens:
        """The server's part."""
        assert session == SESSION
        self.extended += 1
        if self.ended:
            raise RemoteError(Problem(ProblemKind.SIGNED_OUT, "the session has ended"))
        return IssuedTokens(session, session, int(LIFE))

    @property
    def token(self) -> str:
        """The token for the next call."""
        found = self.tokens.current()
        assert found is not None
        return found.value


@pytest.fixture
def account(tmp_path: Path) -> Account:
    """An account."""
    return Account(tmp_path)


def test_a_session_is_extended_before_it_ends(account: Account) -> None:
    """Not at once, and once when most of its life is over; the token stays."""
    assert (account.token, account.extended) == (SESSION, 0)
    account.now += 0.85 * LIFE
    assert [account.token for _ in range(3)] == [SESSION] * 3
    assert account.extended == 1


def test_a_refusal_extends_once_and_not_for_ever(account: Account) -> None:
    """The same token is good again after the extension, so that it is not extended with every later call."""
    assert account.token == SESSION
    account.tokens.observe(REFUSED)
    for _ in range(5):
        assert account.token == SESSION
        account.now += 60
    assert account.extended == 1


def test_an_ended_session_is_said_and_not_sent_again(account: Account) -> None:
    """A login is needed; nothing loops."""
    account.ended = True
    account.now += 2 * LIFE
    for _ in range(5):
        with pytest.raises(RemoteError) as error:
            account.tokens.current()
        assert error.value.problem.kind is ProblemKind.SIGNED_OUT
        account.now += 60
    assert account.extended == 1


def test_the_devices_secret_lives_as_long_as_the_account(account: Account) -> None:
    """Beside the token, which it does not replace; a logout removes both."""
    account.store.store_device_secret(ENTRY, "secret")
    assert (account.store.device_secret(ENTRY), account.token) == ("secret", SESSION)
    account.store.forget(ENTRY)
    assert (account.store.device_secret(ENTRY), account.tokens.current()) == ("", None)


@pytest.mark.parametrize(
    ("status", "body", "kept", "least"),
    [
        (200, b'{"expires_at": "2999-01-01T00:00:00Z"}', SESSION, UNSTATED_SECONDS),
        (200, b'{"token": "the-session"}', SESSION, UNSTATED_SECONDS - 1),
        (200, b'{"token": "another"}', "another", UNSTATED_SECONDS - 1),
        (200, b"{}", SESSION, UNSTATED_SECONDS - 1),
        (204, b"", SESSION, UNSTATED_SECONDS - 1),
    ],
)
def test_every_answer_of_an_extension_is_understood(status: int, body: bytes, kept: str, least: float) -> None:
    """Its body is unknown: an end that is not stated is assumed to be near."""
    asked: list[tuple[str, str]] = []

    def handle(method: str, path: str, headers: dict[str, str], given: bytes) -> Response:
        asked.append((f"{method} {path}", headers["authorization"]))
        return Response(status, {"content-type": "application/json"}, body)

    def client(token: Callable[[], str]) -> HttpClient:
        return HttpClient(ENTRY.url, token, pinakes_profile(""), transport=HandlerTransport(handle))  # type: ignore[arg-type]

    issued = extend(client, SESSION)
    assert asked == [("POST /api/v1/auth/refresh", f"Bearer {SESSION}")]
    assert issued.access == issued.refresh == kept
    assert issued.seconds >= least
