"""Renewal of tokens: the new pair is durable before its use, each refresh token is sent once, and nothing loops."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

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
from strict_raven.transport import HandlerTransport
from strict_raven.wire import Response
from strict_scaidrive.api import ScaiDriveApi
from strict_scaidrive.server import StrictScaiDrive

ENTRY = ServerEntry("drive", "https://drive.example", "", "scaidrive")
LIFE = 3600.0


class Account:
    """One account on a strict server, on a machine whose clock is moved by the test."""

    def __init__(self, path: Path) -> None:
        self.now = 1_700_000_000.0
        self.server = StrictScaiDrive(lambda: self.now)
        self.api = ScaiDriveApi(self.server)
        home = Home.from_environment({"RAVEN_AGENT_HOME": str(path)})
        self.store = CredentialStore(home, Settings(credentials="file"), {})
        issued = self.api.accounts.new_tokens()
        self.first = TokenPair(issued["access_token"], issued["refresh_token"], self.now, self.now + LIFE)
        self.store.store(ENTRY, self.first.to_text())
        self.asked = 0
        self.lose = False
        self.tokens = AccountTokens(self.store, lambda: ENTRY, self.renew, lambda: self.now)

    def renew(self, entry: ServerEntry, refresh: str) -> IssuedTokens:
        """The real renewal against the strict server."""
        self.asked += 1

        def handle(method: str, path: str, headers: object, body: bytes) -> Response:
            return self.api.handle(method, path, {}, body)

        def client(token: Callable[[], str]) -> HttpClient:
            return HttpClient(entry.url, token, scaidrive_profile(""), transport=HandlerTransport(handle))

        issued = renew(client, refresh)
        if self.lose:
            self.lose = False
            raise RemoteError(Problem(ProblemKind.OFFLINE, "the answer was lost"))
        return issued

    @property
    def access(self) -> str:
        """The token for the next call."""
        found = self.tokens.current()
        assert found is not None
        return found.value

    def refuse(self) -> None:
        """A call ended with 401."""
        self.tokens.observe(CallRecord("pull", 0.1, Problem(ProblemKind.SIGNED_OUT, "refused")))


@pytest.fixture
def account(tmp_path: Path) -> Account:
    return Account(tmp_path / "home")


def test_a_token_is_renewed_after_most_of_its_life(account: Account) -> None:
    """Not a second before; the stored pair is the new one before anybody uses it."""
    account.now += 0.8 * LIFE - 1
    assert (account.access, account.asked) == (account.first.access, 0)
    account.now += 1
    renewed = account.access
    assert renewed != account.first.access
    assert account.asked == 1
    stored = account.store.token_for(ENTRY)
    assert stored is not None
    assert stored.value == renewed
    assert (account.access, account.asked) == (renewed, 1)


def test_many_threads_renew_once(account: Account) -> None:
    """A second exchange of the same token would end the sign-in."""
    account.now += LIFE
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(account.access)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert account.asked == 1
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_refused_refresh_token_signs_out_without_a_loop(account: Account) -> None:
    """401 on the renewal: the access token is used to its end, then the account is signed out for good."""
    account.server.state.refresh.clear()
    account.now += 0.9 * LIFE
    assert account.access == account.first.access
    account.now += LIFE
    for _ in range(3):
        account.now += 100
        with pytest.raises(RemoteError) as error:
            account.tokens.current()
        assert error.value.problem.kind is ProblemKind.SIGNED_OUT
        assert "raven-agent login" in error.value.problem.message
        assert "--dialect scaidrive" in error.value.problem.message
    assert account.asked == 1


def test_a_lost_answer_is_tried_once_more_then_signed_out(account: Account) -> None:
    """The token may be used up. That is only known when the server refuses it."""
    account.now += LIFE
    account.lose = True
    with pytest.raises(RemoteError) as error:
        account.tokens.current()
    assert error.value.problem.kind is ProblemKind.OFFLINE
    with pytest.raises(RemoteError) as error:
        account.tokens.current()
    assert (error.value.problem.kind, account.asked) == (ProblemKind.OFFLINE, 1)
    account.now += 31
    with pytest.raises(RemoteError) as error:
        account.tokens.current()
    assert (error.value.problem.kind, account.asked) == (ProblemKind.SIGNED_OUT, 2)
    account.now += 3600
    with pytest.raises(RemoteError):
        account.tokens.current()
    assert account.asked == 2


def test_a_pair_that_could_not_be_stored_is_stored_later(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server knows only the newer pair. It is neither used before it is durable, nor forgotten."""
    account.now += LIFE

    def refuse(*_: object) -> None:
        raise CredentialsError("the disk is full")

    with monkeypatch.context() as full:
        full.setattr(CredentialStore, "store", refuse)
        for _ in range(2):
            with pytest.raises(CredentialsError):
                account.tokens.current()
    renewed = account.access
    assert renewed != account.first.access
    assert account.asked == 1
    stored = account.store.token_for(ENTRY)
    assert stored is not None
    assert stored.value == renewed


def test_a_refused_call_renews_once(account: Account) -> None:
    """The server's keys may have changed: one renewal, and then the engine's slow retries."""
    first = account.access
    account.refuse()
    second = account.access
    assert second != first
    account.refuse()
    assert account.access == second
    assert account.asked == 1
    account.now += 31
    assert account.access != second
    assert account.asked == 2


def test_a_single_token_is_never_renewed(account: Account) -> None:
    """As before: it is used until the person replaces it."""
    account.store.store(ENTRY, "plain-token")
    account.now += 10 * LIFE
    account.refuse()
    assert (account.access, account.asked) == ("plain-token", 0)


def test_a_pair_shows_no_secret(account: Account) -> None:
    """Neither in its text form for people, nor in that of the token."""
    shown = repr(account.first) + repr(account.store.token_for(ENTRY)) + repr(IssuedTokens("secret-a", "secret-b", 5))
    assert account.first.access not in shown
    assert account.first.refresh not in shown
    assert "secret" not in shown


@pytest.mark.parametrize("text", ["", "token", "{", "{}", '{"access":"a"}', '{"access":5,"refresh":"b"}', "[]"])
def test_a_text_that_is_no_pair_is_a_token(text: str) -> None:
    """Tokens of other dialects are stored as they are."""
    assert TokenPair.from_text(text) is None
