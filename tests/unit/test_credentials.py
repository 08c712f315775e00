"""Where tokens come from and where they are kept."""

from __future__ import annotations

import base64
import dataclasses
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import pytest

from agent.core.errors import UsageError
from agent.runtime.server_session import expiry_words, token_warning
from agent.settings.credentials import CredentialStore, TokenOrigin, claims, expires_at, read_token_file
from agent.settings.errors import CredentialsError
from agent.settings.home import Home
from agent.settings.links import Registry, ServerEntry
from agent.settings.registry_file import save_registry
from agent.settings.settings import Settings

SERVER = ServerEntry("work", "https://r.example", "w-1")
OTHER = ServerEntry("other", "https://elsewhere.example", "w-2")


class MemoryRing(keyring.backend.KeyringBackend):
    """A keyring that holds what it is given."""

    priority = 5

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise RuntimeError("locked")
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.locked:
            raise RuntimeError("locked")
        self.held[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.held[service, username]


@pytest.fixture
def ring() -> Iterator[MemoryRing]:
    before = keyring.get_keyring()
    made = MemoryRing()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.from_environment({"RAVEN_AGENT_HOME": str(tmp_path / "h")})


def store(home: Home, env: dict[str, str] | None = None, **settings: str) -> CredentialStore:
    return CredentialStore(home, Settings(**settings), env or {})  # type: ignore[arg-type]


def jwt(**said: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")
    return f"e30.{payload}.sig"


def value(credentials: CredentialStore, server: ServerEntry) -> str | None:
    token = credentials.token_for(server)
    return None if token is None else token.value


def test_a_kept_token_comes_back_and_can_be_forgotten(home: Home) -> None:
    credentials = store(home)
    assert credentials.token_for(SERVER) is None
    assert credentials.store(SERVER, "token-of-a-test-1") is TokenOrigin.FILE
    assert value(credentials, SERVER) == "token-of-a-test-1"
    assert value(credentials, OTHER) is None
    credentials.forget(SERVER)
    assert credentials.token_for(SERVER) is None


def test_the_file_is_readable_by_its_owner_only(home: Home) -> None:
    store(home).store(SERVER, "token-of-a-test-1")
    assert stat.S_IMODE(home.credentials_file.stat().st_mode) == 0o600


def test_a_credentials_file_others_can_read_is_refused(home: Home) -> None:
    store(home).store(SERVER, "token-of-a-test-1")
    home.credentials_file.chmod(0o644)
    with pytest.raises(CredentialsError, match="others can read") as refused:
        store(home).token_for(SERVER)
    assert "token-of-a-test-1" not in refused.value.message


def test_a_kept_token_stays_with_the_origin_it_was_given_for(home: Home) -> None:
    store(home).store(SERVER, "token-of-a-test-1")
    assert value(store(home), dataclasses.replace(SERVER, url="https://evil.example")) is None


@pytest.mark.parametrize("name", ["RAVEN_TOKEN", "RAVEN_JWT"])
def test_the_environments_token_goes_to_its_own_origin_only(home: Home, name: str) -> None:
    credentials = store(home, {name: "t-env"}, server_url="https://R.example:443/x")
    credentials.store(SERVER, "t-kept")
    assert value(credentials, SERVER) == "t-env"
    assert value(credentials, OTHER) is None


def test_without_an_address_the_environments_token_goes_nowhere(home: Home) -> None:
    assert store(home, {"RAVEN_TOKEN": "t-env"}).token_for(SERVER) is None


def test_a_token_file_is_read_again_each_time(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    credentials = store(home, {"RAVEN_TOKEN_FILE": str(file)}, server_url=SERVER.url)
    for text in ("one\n", "two\n"):
        file.write_text(text)
        assert value(credentials, SERVER) == text.strip()


def test_a_token_file_without_an_address_is_for_the_only_account(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text("t-file")
    credentials = store(home, {"RAVEN_TOKEN_FILE": str(file)})
    local = ServerEntry("local", "http://127.0.0.1:8674", "w")
    save_registry(home.registry_file, Registry((local, SERVER)))
    assert value(credentials, SERVER) == "t-file"
    assert value(credentials, local) is None
    save_registry(home.registry_file, Registry((SERVER, OTHER)))
    assert value(credentials, SERVER) is None


def test_the_service_managers_credential_is_taken(home: Home, tmp_path: Path) -> None:
    (tmp_path / "raven-token").touch(mode=0o440)
    (tmp_path / "raven-token").chmod(0o600)
    (tmp_path / "raven-token").write_text("t-systemd")
    (tmp_path / "raven-token").chmod(0o440)
    token = store(home, {"CREDENTIALS_DIRECTORY": str(tmp_path)}, server_url=SERVER.url).token_for(SERVER)
    assert token is not None
    assert (token.value, token.origin) == ("t-systemd", TokenOrigin.SERVICE_MANAGER)


def test_a_token_file_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("token-of-a-test-1")
    file.chmod(0o640)
    with pytest.raises(CredentialsError, match="others can read") as refused:
        read_token_file(file)
    assert refused.value.hint == f"chmod 600 {file}"


def test_the_keyring_is_used_where_there_is_one(home: Home, ring: MemoryRing) -> None:
    credentials = store(dataclasses.replace(home, pinned=False))
    store(home).store(SERVER, "t-old")
    assert credentials.store(SERVER, "token-of-a-test-1") is TokenOrigin.KEYRING
    assert value(credentials, SERVER) == "token-of-a-test-1"
    assert "t-old" not in home.credentials_file.read_text()
    credentials.forget(SERVER)
    assert ring.held == {}


def test_a_locked_keyring_falls_back_to_the_file(home: Home, ring: MemoryRing) -> None:
    ring.locked = True
    credentials = store(dataclasses.replace(home, pinned=False))
    assert credentials.store(SERVER, "token-of-a-test-1") is TokenOrigin.FILE
    assert value(credentials, SERVER) == "token-of-a-test-1"


def test_a_keyring_that_is_demanded_and_locked_is_an_error(home: Home, ring: MemoryRing) -> None:
    ring.locked = True
    with pytest.raises(CredentialsError, match="keyring cannot be used"):
        store(dataclasses.replace(home, pinned=False), credentials="keyring").store(SERVER, "token-of-a-test-1")


def test_a_pinned_home_never_touches_the_keyring(home: Home, ring: MemoryRing) -> None:
    store(home).store(SERVER, "token-of-a-test-1")
    assert ring.held == {}


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "ä", "a\x00"])
def test_what_cannot_stand_in_a_header_is_no_token(home: Home, token: str) -> None:
    with pytest.raises(UsageError, match="not a token"):
        store(home).store(SERVER, token)


def test_a_token_never_shows_in_its_repr(home: Home) -> None:
    credentials = store(home, {"RAVEN_TOKEN": "t-env"}, server_url=SERVER.url)
    assert "t-env" not in repr(credentials.token_for(SERVER)) + repr(credentials)


def test_the_end_is_read_from_the_token_without_its_key() -> None:
    assert expires_at(jwt(exp=1_700_000_000)) == 1_700_000_000.0
    assert claims(jwt(workspaceId="w-1"))["workspaceId"] == "w-1"
    assert expires_at("opaque") is None
    assert expires_at(jwt(exp="soon")) is None
    assert claims("a.!!!.c") == {}


def private(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def test_two_accounts_of_one_server_have_a_token_each(home: Home, tmp_path: Path) -> None:
    """What the environment gives is for the one it names by its workspace, a token file without a name for neither."""
    second = ServerEntry("second", SERVER.url, "w-2")
    save_registry(home.registry_file, Registry((SERVER, second)))
    store(home).store(SERVER, "t-first")
    store(home).store(second, "t-second")
    file = private(tmp_path / "token", "t-file")
    named = store(home, {"RAVEN_TOKEN_FILE": str(file)}, server_url=SERVER.url, workspace="w-2")
    assert (value(named, SERVER), value(named, second)) == ("t-first", "t-file")
    direct = store(home, {"RAVEN_TOKEN": "t-env"}, server_url=SERVER.url, workspace="w-1")
    assert (value(direct, SERVER), value(direct, second)) == ("t-env", "t-second")
    unnamed = store(home, {"RAVEN_TOKEN_FILE": str(file)})
    assert (value(unnamed, SERVER), value(unnamed, second)) == ("t-first", "t-second")


def test_a_declared_token_file_stands_over_a_token_that_was_kept(home: Home, tmp_path: Path) -> None:
    """It is read afresh each time; while it is not there the kept token is not used in its place."""
    entry = dataclasses.replace(SERVER, token_file=str(tmp_path / "token"))
    credentials = store(home)
    credentials.store(SERVER, "t-kept")
    assert value(credentials, entry) is None
    private(tmp_path / "token", "t-1")
    assert value(credentials, entry) == "t-1"
    private(tmp_path / "token", "t-2\n")
    assert value(credentials, entry) == "t-2"
    (tmp_path / "token").chmod(0o640)
    with pytest.raises(CredentialsError, match="others can read it"):
        credentials.token_for(entry)


def test_a_declared_credential_belongs_to_this_start(home: Home, tmp_path: Path) -> None:
    """Its folder is another one at each start, so it is named by the variable; without one there is no token."""
    entry = dataclasses.replace(SERVER, token_file="$CREDENTIALS_DIRECTORY/house")
    private(tmp_path / "house", "t-systemd").chmod(0o440)
    token = store(home, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).token_for(entry)
    assert token is not None and (token.value, token.origin) == ("t-systemd", TokenOrigin.SERVICE_MANAGER)
    assert value(store(home), entry) is None


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (8 * 86_400.0, None),
        (6.5 * 86_400, "the token of work ends in 6 days"),
        (1.5 * 86_400, "the token of work ends in 1 day"),
        (7_300.0, "the token of work ends in 2 h"),
        (-1.0, "the token of work has expired"),
    ],
)
def test_the_end_of_a_token_is_announced_within_its_last_week(left: float, words: str | None) -> None:
    """With the time that is left."""
    assert expiry_words("work", left) == words


@pytest.mark.parametrize(
    "claim", ["1700000000000", "1e999", "NaN", "-5", "9" * 400, '"soon"', "[]", "true", "Infinity", "253402300800"]
)
def test_fh4_an_expiry_that_is_no_time_is_not_understood(home: Home, claim: str) -> None:
    """FH4: the token works, its expiry is unknown, and every sentence about it says so."""
    payload = base64.urlsafe_b64encode(f'{{"workspaceId": "w", "exp": {claim}}}'.encode()).decode().rstrip("=")
    store = CredentialStore(home, Settings(), {})
    entry = ServerEntry("work", "https://r.example", "w")
    store.store(entry, f"head.{payload}.sign")
    token = store.token_for(entry)
    assert token is not None
    assert (token.expires_at, token.expiry_unclear) == (None, True)
    assert store.workspace_of(entry) == "w"
    assert token_warning("work", token, 0.0) == "token expiry not understood (work); everything else works"


def test_fh4_claims_nested_without_end_are_no_claims() -> None:
    """FH4: a decoder that gives up is no error of the command."""
    payload = base64.urlsafe_b64encode(b"[" * 100_000).decode().rstrip("=")
    assert claims(f"head.{payload}.sign") == {}
