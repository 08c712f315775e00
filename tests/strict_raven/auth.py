"""Tokens: HS256 with a shared secret. The workspace is the token's; the `x-workspace-id` header is never read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from http.cookies import CookieError, SimpleCookie
from types import MappingProxyType
from typing import Any

import jwt

from strict_raven.context import Caller
from strict_raven.wire import HttpError

USER = "22222222-2222-4222-8222-222222222222"
WORKSPACE = "11111111-1111-4111-8111-111111111111"
SECRET = "the strict server signs its tokens with this"
ACCESS = "access"
FAR = 4_102_444_800.0
"""A moment no test's clock reaches, as Unix seconds (the year 2100)."""


def token(
    user: str = USER, workspace: str = WORKSPACE, expires: float = FAR, *, kind: str = ACCESS, secret: str = SECRET
) -> str:
    """A bearer token. `expires` is in Unix seconds; a `kind` other than `access` is refused."""
    claims = {"sub": user, "workspaceId": workspace, "type": kind, "exp": int(expires)}
    return jwt.encode(claims, secret, algorithm="HS256")


def authenticate(headers: Mapping[str, str], accounts: Mapping[str, str], secret: str, now: float) -> Caller:
    """Return the user of the request's token. A browser's cookie goes before the bearer token, even an invalid one.

    Args:
        accounts: user -> the workspace that user belongs to.

    Raises:
        HttpError: 401.
    """
    try:
        claims = _claims(_presented(headers), secret)
    except (jwt.InvalidTokenError, CookieError) as error:
        raise HttpError(401, "Unauthorized") from error
    user, workspace = str(claims.get("sub")), claims.get("workspaceId")
    if claims.get("type") != ACCESS or claims.get("exp", 0) <= now or user not in accounts:
        raise HttpError(401, "Unauthorized")
    if accounts[user] != workspace:
        raise HttpError(401, "Workspace does not match")
    return Caller(user, accounts[user])


@lru_cache(maxsize=64)
def _claims(presented: str, secret: str) -> Mapping[str, Any]:
    """Return a token's claims. The caller checks the expiry against the server's own clock."""
    return MappingProxyType(jwt.decode(presented, secret, algorithms=["HS256"], options={"verify_exp": False}))


def _presented(headers: Mapping[str, str]) -> str:
    if "cookie" in headers:
        cookies: SimpleCookie = SimpleCookie(headers["cookie"])
        if "authToken" in cookies:
            return cookies["authToken"].value
    scheme, _, presented = headers.get("authorization", "").partition(" ")
    return presented.strip() if scheme.lower() == "bearer" else ""
