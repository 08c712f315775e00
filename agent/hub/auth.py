"""Tokens: JSON Web Tokens signed with the hub's own secret, or by another issuer whose public key is configured.

Claims: `sub` (user id), `workspaceId`, `type` = `access`, `iat`, `exp` in seconds since the epoch.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import jwt
from jwt.types import Options

from agent.hub.domain.model import Caller
from agent.settings.owner_only_files import create_once

DEFAULT_DAYS = 90
DAY_SECONDS = 86_400
PUBLIC_KEY_ALGORITHMS = ("RS256", "ES256")
MAX_TOKEN_BYTES: Final = 16_384
"""Longest token that is verified. A longer one is refused before any work is done for it."""
CACHED_TOKENS: Final = 1024
SHORTEST_SECRET = 32
"""Bytes. A key shorter than the hash of HS256 could be guessed."""
SECRET_FILE = "secret"  # noqa: S105 - the name of a file


TOKEN_ID_LENGTH: Final = 16
"""Hexadecimal digits of a token's public id."""
_PART: Final = re.compile(r"[A-Za-z0-9_-]+")
_PARTS: Final = 3
"""Header, claims and signature."""


class SecretError(Exception):
    """The hub's secret cannot be used; the message is a sentence for the person who runs the hub."""


_TIMES_ASIDE: Options = {
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_aud": False,
    "verify_iss": False,
}


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A valid token: its caller, its public id (see `token_id`), and its end in milliseconds since the epoch."""

    caller: Caller
    id: str
    expires_at: int


class Tokens(Protocol):
    """Verifier of tokens."""

    def caller(self, token: str, now: int) -> Caller | None:
        """Return the caller of a token at `now` (milliseconds since the epoch), or None if it is not valid."""

    def signed_in(self, token: str, now: int) -> SignedIn | None:
        """Return the caller of a token with its id and its end, or None if it is not valid at `now`."""


@dataclass(frozen=True, slots=True)
class _VerifiedToken:
    """A token with a valid signature: its public id (see `token_id`), its claims, and the caller that they name."""

    id: str
    claims: dict[str, Any]
    caller: Caller | None


class JwtTokens:
    """Tokens verified with one key.

    Args:
        key: the secret for HS256, or a public key in PEM for RS256 and ES256.
        algorithms: those accepted. Never both families for one key, or a public key would serve as a secret.
        is_revoked: returns True for the id (see `token_id`) of a revoked token.
    """

    def __init__(
        self,
        key: bytes,
        algorithms: tuple[str, ...] = ("HS256",),
        is_revoked: Callable[[str], bool] = lambda _id: False,
    ) -> None:
        self._key = key
        self._algorithms = list(algorithms)
        self._is_revoked = is_revoked
        # A token's signature never changes, its expiry is checked on each call. Refused tokens are not cached, or
        # clients without a valid one could fill the memory and evict the valid ones.
        self._verified: OrderedDict[bytes, _VerifiedToken] = OrderedDict()

    def caller(self, token: str, now: int) -> Caller | None:
        """Return the caller of a token at `now` (milliseconds since the epoch), or None if it is not valid."""
        verified = self._valid(token, now)
        return None if verified is None else verified.caller

    def signed_in(self, token: str, now: int) -> SignedIn | None:
        """Return the caller of a token with its id and its end, or None if it is not valid at `now`."""
        verified = self._valid(token, now)
        if verified is None or verified.caller is None:
            return None
        return SignedIn(verified.caller, verified.id, int(verified.claims["exp"] * 1000))

    def _valid(self, token: str, now: int) -> _VerifiedToken | None:
        if len(token) > MAX_TOKEN_BYTES:
            return None
        # The whole token is the key: the id says nothing about the signature.
        digest = _digest(token)
        verified = self._verified.get(digest)
        if verified is None:
            verified = self._verify(token)
            if verified is None:
                return None
            self._remember(digest, verified)
        return None if not _is_current(verified.claims, now) or self._is_revoked(verified.id) else verified

    def _remember(self, digest: bytes, verified: _VerifiedToken) -> None:
        self._verified[digest] = verified
        if len(self._verified) > CACHED_TOKENS:
            self._verified.popitem(last=False)

    def _verify(self, token: str) -> _VerifiedToken | None:
        if not _is_canonical(token):
            return None
        # Times are checked by `caller` against the hub's clock, not here against the machine's.
        try:
            claims = dict(jwt.decode(token, self._key, algorithms=self._algorithms, options=_TIMES_ASIDE))
        except (jwt.PyJWTError, ValueError):
            return None
        identifier = token_id(token)
        return _VerifiedToken(identifier, claims, _caller_of(claims, identifier))


def _caller_of(claims: dict[str, Any], identifier: str) -> Caller | None:
    user, workspace = claims.get("sub"), claims.get("workspaceId")
    if claims.get("type") != "access" or not isinstance(user, str) or not isinstance(workspace, str):
        return None
    return Caller(user, workspace, identifier) if user and workspace else None


def _is_current(claims: dict[str, Any], now: int) -> bool:
    expires, starts = claims.get("exp"), claims.get("nbf", 0)
    if not isinstance(expires, int | float) or not isinstance(starts, int | float):
        return False
    return starts * 1000 <= now < expires * 1000


def _is_canonical(token: str) -> bool:
    """Return True if each part is the one base64url text of its bytes, without padding.

    Decoders ignore foreign characters and the unused bits of the last character, so one token could be written in
    several ways.
    """
    parts = token.split(".")
    return len(parts) == _PARTS and all(map(_is_canonical_part, parts))


def _is_canonical_part(part: str) -> bool:
    if _PART.fullmatch(part) is None or len(part) % 4 == 1:
        return False
    content = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    return base64.urlsafe_b64encode(content).rstrip(b"=") == part.encode()


def bearer_token(headers: Mapping[str, str]) -> str | None:
    """Return the token of a request, or None if it has none. Header names are lower case."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def token_id(token: str) -> str:
    """Return the public id of a token: the first 16 hexadecimal digits of the sha256 of its signed input.

    The signature is left out: a second valid one, as ECDSA allows, has the same id. An id cannot be used to sign in.
    """
    return _digest(token.rpartition(".")[0]).hex()[:TOKEN_ID_LENGTH]


def mint(secret: bytes, *, workspace: str, user: str, now: int, days: float = DEFAULT_DAYS) -> str:
    """Return a token for a user of a workspace, valid for `days` from `now` (milliseconds since the epoch)."""
    issued = now // 1000
    claims = {
        "sub": user,
        "workspaceId": workspace,
        "type": "access",
        "iat": issued,
        "exp": issued + int(days * DAY_SECONDS),
    }
    return jwt.encode(claims, secret, algorithm="HS256")


def hub_secret(data_dir: Path, secret_file: Path | None = None) -> bytes:
    """Return the signing secret: from `secret_file`, else from the data folder, where it is created if missing.

    Raises:
        SecretError: the secret is too short to sign with.
        OSError: the file can be neither read nor created.
    """
    if secret_file is not None:
        return _checked(secret_file.read_bytes(), secret_file)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return load_secret(data_dir / SECRET_FILE)


def load_secret(path: Path) -> bytes:
    """Return the secret in a file, which is created on the first start, readable by its owner only.

    Raises:
        SecretError: the content is too short to sign with.
        OSError: the file can be neither read nor created.
    """
    if not path.exists():
        create_once(path, secrets.token_hex(32).encode())
    return _checked(path.read_bytes(), path)


def _checked(content: bytes, path: Path) -> bytes:
    secret = content.strip()
    if len(secret) < SHORTEST_SECRET:
        raise SecretError(
            f"The secret in {path} is too short: remove the file to get a new one, which makes all tokens invalid."
        )
    return secret
