"""Tokens: JSON Web Tokens signed with the hub's own secret, or by somebody else whose public key is configured.

Claims: `sub` (user id), `workspaceId`, `type` = `access`, `iat`, `exp` in seconds since the epoch.
"""

from __future__ import annotations

import os
import secrets
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import jwt
from jwt.types import Options

from agent.hub.domain.model import Caller

DEFAULT_DAYS = 90
DAY_SECONDS = 86_400
PUBLIC_KEY_ALGORITHMS = ("RS256", "ES256")


SHORTEST_SECRET = 32
"""Bytes; a shorter key than the hash of HS256 could be guessed."""


class SecretError(Exception):
    """The hub's secret cannot be used; the message is a sentence for the person who runs the hub."""


_TIMES_ASIDE: Options = {
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_aud": False,
    "verify_iss": False,
}


class Tokens(Protocol):
    """Knows whose a token is."""

    def caller(self, token: str, now: int) -> Caller | None:
        """Who the token speaks for at `now` (milliseconds since the epoch), or None if it is not good."""


class JwtTokens:
    """Tokens checked against one key.

    Args:
        key: the secret for HS256, or a public key in PEM for RS256 and ES256.
        algorithms: those accepted; never both families for one key, or a public key would serve as a secret.
    """

    def __init__(self, key: bytes, algorithms: tuple[str, ...] = ("HS256",)) -> None:
        self._key = key
        self._algorithms = list(algorithms)
        # The signature of a token never changes, its expiry is looked at each time.
        self._claims = lru_cache(maxsize=1024)(self._verified)

    def caller(self, token: str, now: int) -> Caller | None:
        """Who the token speaks for at `now` (milliseconds since the epoch), or None if it is not good."""
        claims = self._claims(token)
        if claims is None:
            return None
        expires, starts = claims.get("exp"), claims.get("nbf", 0)
        user, workspace = claims.get("sub"), claims.get("workspaceId")
        if not isinstance(expires, int | float) or not isinstance(starts, int | float):
            return None
        if not starts * 1000 <= now < expires * 1000:
            return None
        if claims.get("type") != "access" or not isinstance(user, str) or not isinstance(workspace, str):
            return None
        return Caller(user, workspace) if user and workspace else None

    def _verified(self, token: str) -> dict[str, Any] | None:
        # The hub's clock, not the machine's, says what is expired: times are looked at by `caller`.
        try:
            return dict(jwt.decode(token, self._key, algorithms=self._algorithms, options=_TIMES_ASIDE))
        except (jwt.PyJWTError, ValueError):
            return None


def mint(secret: bytes, *, workspace: str, user: str, now: int, days: float = DEFAULT_DAYS) -> str:
    """A token for a user of a workspace, good for `days` from `now` (milliseconds since the epoch)."""
    issued = now // 1000
    claims = {
        "sub": user,
        "workspaceId": workspace,
        "type": "access",
        "iat": issued,
        "exp": issued + int(days * DAY_SECONDS),
    }
    return jwt.encode(claims, secret, algorithm="HS256")


SECRET_FILE = "secret"  # noqa: S105 - the name of a file


def hub_secret(data_dir: Path) -> bytes:
    """The secret of the hub that keeps its data in this folder; both are made if they are not there.

    Raises:
        SecretError: the file there is too short to sign with.
        OSError: the file can be neither read nor made.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return load_secret(data_dir / SECRET_FILE)


def load_secret(path: Path) -> bytes:
    """The hub's secret, made on the first start. The file is readable by its owner only.

    Raises:
        SecretError: what stands there is too short to sign with.
        OSError: the file can be neither read nor made.
    """
    if not path.exists():
        fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(32).encode())
            file.flush()
            os.fsync(file.fileno())
        try:
            # A link never replaces: of two first starts one secret wins, and it is whole.
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    secret = path.read_bytes().strip()
    if len(secret) < SHORTEST_SECRET:
        raise SecretError(f"The secret in {path} is too short: remove the file for a new one, which voids all tokens.")
    return secret
