"""Where tokens come from and where they are kept.

A token is looked for, each time anew, in this order: ``RAVEN_TOKEN`` or ``RAVEN_JWT``, the file its declaration names,
the file ``RAVEN_TOKEN_FILE`` names, ``$CREDENTIALS_DIRECTORY/raven-token``, the keyring, the 0600 file. What the
environment gives goes only to the account it was meant for.
"""

from __future__ import annotations

import base64
import enum
import json
import os
import stat
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from agent.core.errors import AgentError, UsageError
from agent.settings.links import LOCAL_HUB, RegistryError, ServerEntry, load, origin_of
from agent.settings.settings import Home, Settings, ensure_private, write_atomically

KEYRING_SERVICE: Final = "raven-agent"
KEYRING_SECONDS: Final = 10.0
"""A locked keyring may wait for a person who is not there; after this it counts as absent."""

CREDENTIALS_PREFIX: Final = "$CREDENTIALS_DIRECTORY/"
"""A declared token file that begins with this lies among the service manager's credentials."""

_OPEN: Final = 0o077
_GRANTED: Final = 0o007
"""systemd grants a user service its credential through an ACL, whose mask shows in the group bits."""

T = TypeVar("T")


class CredentialsError(AgentError):
    """A token could not be read or kept safely."""

    code = "credentials"


class TokenOrigin(enum.StrEnum):
    """Where a token came from."""

    ENVIRONMENT = "environment"
    TOKEN_FILE = "token_file"  # noqa: S105 - the name of a place, not a secret
    SERVICE_MANAGER = "service_manager"
    KEYRING = "keyring"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token; its value never shows in ``repr``.

    Attributes:
        value: what goes into the Authorization header.
        origin: where it came from.
        expires_at: seconds since the epoch, where the token says so.
    """

    value: str = field(repr=False)
    origin: TokenOrigin
    expires_at: float | None


@dataclass(frozen=True, slots=True)
class CredentialStore:
    """Reads and keeps the tokens of one home.

    Attributes:
        home: whose credentials file and registry.
        settings: ``credentials`` says whether the keyring is used; ``server_url`` whom the environment's token is for.
        env: the environment.
    """

    home: Home
    settings: Settings
    env: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def token_for(self, server: ServerEntry) -> Token | None:
        """The token for this account, read afresh; None when there is none.

        Raises:
            CredentialsError: a token file that others can read, or one that cannot be read.
        """
        found = self._from_environment(server)
        if found is None and not server.token_file:
            found = self._from_keyring(server) or self._from_file(server)
        if found is None:
            return None
        value, origin = found
        return Token(value, origin, expires_at(value))

    def workspace_of(self, server: ServerEntry) -> str:
        """The workspace this account's token names; empty where there is no token, or it names none.

        Raises:
            CredentialsError: as ``token_for``.
        """
        token = self.token_for(server)
        said = claims(token.value).get("workspaceId") if token else None
        return said if isinstance(said, str) else ""

    def store(self, server: ServerEntry, token: str) -> TokenOrigin:
        """Keep the token, replacing an older one wherever that lies; says where it went.

        Raises:
            CredentialsError: ``credentials = "keyring"`` and the keyring refused, or the disk did.
        """
        check_token(token)
        if self._keyring_wanted():
            if _keyring_call(lambda ring: _set(ring, _account(server), token)):
                self._write({name: value for name, value in self._read().items() if name != _account(server)})
                return TokenOrigin.KEYRING
            if self.settings.credentials == "keyring":
                raise CredentialsError(
                    "the keyring cannot be used", "unlock it, or: raven-agent config set credentials file"
                )
            _keyring_call(lambda ring: ring.delete_password(KEYRING_SERVICE, _account(server)))
        self._write({**self._read(), _account(server): token})
        return TokenOrigin.FILE

    def forget(self, server: ServerEntry) -> None:
        """Remove the token from the keyring and the file. Nothing there is fine.

        Raises:
            CredentialsError: the credentials file cannot be read or written.
        """
        if self._keyring_wanted():
            _keyring_call(lambda ring: ring.delete_password(KEYRING_SERVICE, _account(server)))
        kept = self._read()
        if kept.pop(_account(server), None) is not None:
            self._write(kept)

    def _from_environment(self, server: ServerEntry) -> tuple[str, TokenOrigin] | None:
        direct = self.env.get("RAVEN_TOKEN") or self.env.get("RAVEN_JWT")
        if direct and self._named_account(server):
            return direct.strip(), TokenOrigin.ENVIRONMENT
        if server.token_file:
            return self._from_declared(server.token_file)
        named = self.env.get("RAVEN_TOKEN_FILE")
        given = self.env.get("CREDENTIALS_DIRECTORY")
        if not (named or given) or not (self._named_account(server) or self._only_account(server)):
            return None
        if named:
            token = read_token_file(Path(named).expanduser())
            return (token, TokenOrigin.TOKEN_FILE) if token else None
        path = Path(given or "") / "raven-token"
        token = read_token_file(path, _GRANTED) if path.exists() else ""
        return (token, TokenOrigin.SERVICE_MANAGER) if token else None

    def _from_declared(self, token_file: str) -> tuple[str, TokenOrigin] | None:
        """The token of a declared account; a file that is not there yet is no token, not a failure."""
        path, forbidden = Path(token_file), None
        if token_file.startswith(CREDENTIALS_PREFIX):
            given = self.env.get("CREDENTIALS_DIRECTORY")
            if not given:
                return None
            path = Path(given) / token_file.removeprefix(CREDENTIALS_PREFIX)
            forbidden = _GRANTED
        try:
            owner = path.stat().st_uid
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise CredentialsError(f"cannot read the token file {path}: {error.strerror}") from error
        # An administrator's file is shared with a group on purpose.
        token = read_token_file(path, forbidden or (_GRANTED if owner == 0 and os.getuid() != 0 else _OPEN))
        origin = TokenOrigin.SERVICE_MANAGER if forbidden else TokenOrigin.TOKEN_FILE
        return (token, origin) if token else None

    def _named_account(self, server: ServerEntry) -> bool:
        """Whether ``server_url``, and ``workspace`` if it is set, mean this account."""
        url, workspace = self.settings.server_url, self.settings.workspace
        return bool(url) and origin_of(url) == server.origin and workspace in ("", server.workspace)

    def _only_account(self, server: ServerEntry) -> bool:
        """Whether a token file can only be meant for this account; with several it is meant for nobody."""
        if self.settings.server_url:
            return False
        try:
            accounts = [s for s in load(self.home.registry_file).servers if s.name != LOCAL_HUB and not s.token_file]
        except RegistryError:
            return False
        return len(accounts) == 1 and accounts[0].origin == server.origin

    def _from_keyring(self, server: ServerEntry) -> tuple[str, TokenOrigin] | None:
        if not self._keyring_wanted():
            return None
        found = _keyring_call(lambda ring: ring.get_password(KEYRING_SERVICE, _account(server)))
        return (found, TokenOrigin.KEYRING) if isinstance(found, str) and found else None

    def _from_file(self, server: ServerEntry) -> tuple[str, TokenOrigin] | None:
        found = self._read().get(_account(server))
        return (found, TokenOrigin.FILE) if found else None

    def _keyring_wanted(self) -> bool:
        return not self.home.pinned and self.settings.credentials != "file"

    def _read(self) -> dict[str, str]:
        path = self.home.credentials_file
        try:
            _refuse_open_file(path, _OPEN)
            document = json.loads(path.read_bytes())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise CredentialsError(f"cannot read {path}: {error.strerror}") from error
        except ValueError as error:
            raise CredentialsError(f"{path} is damaged", "remove it and log in again") from error
        if not isinstance(document, dict):
            raise CredentialsError(f"{path} is damaged", "remove it and log in again")
        return {str(name): value for name, value in document.items() if isinstance(value, str)}

    def _write(self, tokens: Mapping[str, str]) -> None:
        path = self.home.credentials_file
        if not tokens and not path.exists():
            return
        try:
            ensure_private(path.parent)
            write_atomically(path, json.dumps(tokens, indent=1).encode())
        except OSError as error:
            raise CredentialsError(f"cannot write {path}: {error.strerror}") from error


def read_token_file(path: Path, forbidden: int = _OPEN) -> str:
    """The token in a file, without the space around it.

    Raises:
        CredentialsError: it cannot be read, or its mode has one of the ``forbidden`` bits.
    """
    try:
        _refuse_open_file(path, forbidden)
        return path.read_text("ascii").strip()
    except OSError as error:
        raise CredentialsError(f"cannot read the token file {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise CredentialsError(f"the token file {path} does not hold a token") from None


def check_token(token: str) -> None:
    """Refuse what cannot stand in a header.

    Raises:
        UsageError: empty, or with a space, a line end or a character outside ASCII in it.
    """
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError("that is not a token", "a token is one word, without spaces or line ends")


def claims(token: str) -> dict[str, Any]:
    """What a JWT says of itself, unverified; empty for anything else."""
    try:
        payload = token.split(".")[1]
        said = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def expires_at(token: str) -> float | None:
    """When the token says it ends (seconds since the epoch), unverified; None where it does not say."""
    end = claims(token).get("exp")
    return float(end) if isinstance(end, int | float) and not isinstance(end, bool) else None


def _account(server: ServerEntry) -> str:
    return f"{server.name} {server.origin}"


def _refuse_open_file(path: Path, forbidden: int) -> None:
    if stat.S_IMODE(path.stat().st_mode) & forbidden:
        raise CredentialsError(f"{path} holds a token and others can read it", f"chmod 600 {path}")


def _set(ring: Any, account: str, token: str) -> bool:
    ring.set_password(KEYRING_SERVICE, account, token)
    return bool(ring.get_password(KEYRING_SERVICE, account) == token)


def _keyring_call(use: Callable[[Any], T]) -> T | None:
    """What ``use`` answers with the system's keyring; None when there is none, it fails, or it does not answer."""
    answers: list[T] = []

    def work() -> None:
        try:
            import keyring

            ring = keyring.get_keyring()
            # Backends below 1 are the one that always fails and those that write plain text.
            if ring.priority >= 1:
                answers.append(use(ring))
        except Exception:
            # Backends raise whatever their library does; every way of failing means "no keyring".
            return

    thread = threading.Thread(target=work, name="keyring", daemon=True)
    thread.start()
    thread.join(KEYRING_SECONDS)
    return answers[0] if answers else None
