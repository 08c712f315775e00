"""Tokens: the places they are read from, and the places they are stored in.

Every look-up reads the places in this order: ``RAVEN_TOKEN`` or ``RAVEN_JWT``, the file its declaration names,
the file ``RAVEN_TOKEN_FILE`` names, ``$CREDENTIALS_DIRECTORY/raven-token``, the keyring, the 0600 file. What the
environment gives is used only for the account that it names.
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
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from agent.core.errors import UsageError
from agent.settings.errors import CredentialsError, RegistryError
from agent.settings.home import Home
from agent.settings.links import LOCAL_ACCOUNTS, ServerEntry
from agent.settings.owner_only_files import ensure_private, explain_refusal, write_atomically
from agent.settings.registry_file import load_registry
from agent.settings.server_url import origin_of
from agent.settings.settings import Settings
from agent.settings.token_pair import TokenPair

KEYRING_SERVICE: Final = "raven-agent"
KEYRING_SECONDS: Final = 10.0
"""Longest wait for the keyring. A locked one may wait for a person who is away; then it counts as absent."""

CREDENTIALS_PREFIX: Final = "$CREDENTIALS_DIRECTORY/"
"""Prefix of a declared token file that the service manager provides."""

_LAST_MOMENT: Final = 253_402_300_799
"""31 December 9999: the last second that a date can show."""

_OPEN: Final = 0o077
_GRANTED: Final = 0o007
"""systemd grants a user service its credential through an ACL, whose mask shows in the group bits."""

T = TypeVar("T")


class TokenOrigin(enum.StrEnum):
    """Place that a token was read from."""

    ENVIRONMENT = "environment"
    TOKEN_FILE = "token_file"  # noqa: S105 - the name of a place, not a secret
    SERVICE_MANAGER = "service_manager"
    KEYRING = "keyring"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token. Its ``repr`` leaves the value out.

    Attributes:
        value: the text for the Authorization header.
        origin: the place it was read from.
        expires_at: seconds since the epoch; None if the token names no time that is understood.
        expiry_unclear: the token names an expiry, and it is not understood.
        stored: the pair it belongs to, if it can be renewed.
    """

    value: str = field(repr=False)
    origin: TokenOrigin
    expires_at: float | None
    expiry_unclear: bool = False
    stored: TokenPair | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class CredentialStore:
    """Reads and stores the tokens of one home.

    Attributes:
        home: owner of the credentials file and the registry.
        settings: ``credentials`` selects keyring or file; ``server_url`` names the account of the environment's token.
        env: the environment.
    """

    home: Home
    settings: Settings
    env: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def token_for(self, server: ServerEntry) -> Token | None:
        """Read the token of this account; None when there is none.

        Raises:
            CredentialsError: a token file that others can read, or one that cannot be read.
        """
        found = self._from_environment_or_declared_file(server)
        if found is None and not server.token_file:
            found = self._from_keyring(server) or self._from_file(server)
        if found is None:
            return None
        value, origin = found
        # Only a pair that this agent stored can be replaced by its successor.
        pair = TokenPair.from_text(value) if origin in (TokenOrigin.KEYRING, TokenOrigin.FILE) else None
        if pair is not None:
            return Token(pair.access, origin, pair.ends_at or expires_at(pair.access), stored=pair)
        end = expires_at(value)
        return Token(value, origin, end, expiry_unclear=end is None and claims(value).get("exp") is not None)

    def workspace_of(self, server: ServerEntry) -> str:
        """Return the workspace that this account's token names; empty without a token, or if it names none.

        Raises:
            CredentialsError: as ``token_for``.
        """
        token = self.token_for(server)
        said = claims(token.value).get("workspaceId") if token else None
        return said if isinstance(said, str) else ""

    def store(self, server: ServerEntry, token: str) -> TokenOrigin:
        """Store the token and replace an older one, wherever that is. Return the place it was stored in.

        Raises:
            CredentialsError: ``credentials = "keyring"`` and the keyring refused, or the disk did.
        """
        check_token(token)
        return self._store(_account(server), token)

    def device_secret(self, server: ServerEntry) -> str:
        """Read the secret by which this machine names itself to the server; "" if there is none.

        Raises:
            CredentialsError: the credentials file cannot be read.
        """
        key = _device(server)
        found = _keyring_call(lambda ring: ring.get_password(KEYRING_SERVICE, key)) if self._keyring_wanted() else None
        return found if isinstance(found, str) and found else self._read().get(key, "")

    def store_device_secret(self, server: ServerEntry, secret: str) -> None:
        """Store the secret by which this machine names itself to the server. Raises CredentialsError."""
        self._store(_device(server), secret)

    def _store(self, key: str, token: str) -> TokenOrigin:
        if self._keyring_wanted():
            if _keyring_call(lambda ring: _set(ring, key, token)):
                self._write({name: value for name, value in self._read().items() if name != key})
                return TokenOrigin.KEYRING
            if self.settings.credentials == "keyring":
                raise CredentialsError(
                    "the keyring cannot be used", "unlock it, or: raven-agent config set credentials file"
                )
            _keyring_call(lambda ring: ring.delete_password(KEYRING_SERVICE, key))
        self._write({**self._read(), key: token})
        return TokenOrigin.FILE

    def forget(self, server: ServerEntry) -> None:
        """Remove the token and the device's secret from the keyring and the file, if they are there.

        Raises:
            CredentialsError: the credentials file cannot be read or written.
        """
        kept = self._read()
        before = len(kept)
        for key in (_account(server), _device(server)):
            if self._keyring_wanted():
                _keyring_call(partial(_delete, key))
            kept.pop(key, None)
        if len(kept) != before:
            self._write(kept)

    def _from_environment_or_declared_file(self, server: ServerEntry) -> tuple[str, TokenOrigin] | None:
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
        """Read the token of a declared account. A file that does not exist yet means no token; it is no error."""
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
        # An administrator shares such a file with a group on purpose.
        token = read_token_file(path, forbidden or (_GRANTED if owner == 0 and os.getuid() != 0 else _OPEN))
        origin = TokenOrigin.SERVICE_MANAGER if forbidden else TokenOrigin.TOKEN_FILE
        return (token, origin) if token else None

    def _named_account(self, server: ServerEntry) -> bool:
        """Return True if ``server_url``, and ``workspace`` if it is set, name this account."""
        url, workspace = self.settings.server_url, self.settings.workspace
        return bool(url) and origin_of(url) == server.origin and workspace in ("", server.workspace)

    def _only_account(self, server: ServerEntry) -> bool:
        """Return True if this is the only account a token file could be for. With several it is used for none."""
        if self.settings.server_url:
            return False
        try:
            accounts = [
                s
                for s in load_registry(self.home.registry_file).servers
                if s.name not in LOCAL_ACCOUNTS and not s.token_file
            ]
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
            raise CredentialsError(*explain_refusal(path, error)) from error
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
    """Read a token file; white space around the token is removed.

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
    """Refuse a text that cannot be sent in a header.

    Raises:
        UsageError: empty, or with a space, a line end or a character outside ASCII in it.
    """
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError("that is not a token", "a token is one word, without spaces or line ends")


def claims(token: str) -> dict[str, Any]:
    """Decode the claims of a JWT without verifying them; empty for any other text."""
    try:
        payload = token.split(".")[1]
        said = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def expires_at(token: str) -> float | None:
    """Return the time at which the token expires (seconds since the epoch), unverified.

    None without such a claim, and for a number that is no time of the years 1970 to 9999: milliseconds, infinity.
    """
    end = claims(token).get("exp")
    if not isinstance(end, int | float) or isinstance(end, bool) or not 0 <= end <= _LAST_MOMENT:
        return None
    return float(end)


def _account(server: ServerEntry) -> str:
    return f"{server.name} {server.origin}"


def _device(server: ServerEntry) -> str:
    return f"{_account(server)} device"


def _refuse_open_file(path: Path, forbidden: int) -> None:
    if stat.S_IMODE(path.stat().st_mode) & forbidden:
        raise CredentialsError(f"{path} holds a token and others can read it", f"chmod 600 {path}")


def _set(ring: Any, account: str, token: str) -> bool:
    ring.set_password(KEYRING_SERVICE, account, token)
    return bool(ring.get_password(KEYRING_SERVICE, account) == token)


def _delete(key: str, ring: Any) -> None:
    ring.delete_password(KEYRING_SERVICE, key)


def _keyring_call(use: Callable[[Any], T]) -> T | None:
    """Call ``use`` with the system's keyring. None when there is none, it fails, or it does not answer in time."""
    answers: list[T] = []

    def work() -> None:
        try:
            import keyring

            ring = keyring.get_keyring()
            # Priorities below 1 are the backend that always fails and those that write plain text.
            if ring.priority >= 1:
                answers.append(use(ring))
        except Exception:
            # Backends raise any exception of their library; each of them means "no keyring".
            return

    thread = threading.Thread(target=work, name="keyring", daemon=True)
    thread.start()
    thread.join(KEYRING_SECONDS)
    return answers[0] if answers else None
