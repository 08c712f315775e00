"""The renewal of an access token. A refresh token can be used once, so a lost answer may cost the account its login."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode

from agent.core.errors import Problem, ProblemKind
from agent.remotes.fields import number, row, text
from agent.remotes.http.client import HttpClient
from agent.remotes.http.decode import DecodeLimits
from agent.remotes.http.failures import RemoteCallError
from agent.remotes.http.request import ApiRequest
from agent.remotes.issued_tokens import IssuedTokens

_FORM: Final = "application/x-www-form-urlencoded"
_REFUSED: Final = (400, 401, 403, 404, 422)


def renew(open_http: Callable[[Callable[[], str]], HttpClient], refresh: str) -> IssuedTokens:
    """Exchange a refresh token for a new pair.

    Args:
        open_http: returns a client with the given token.

    Raises:
        RemoteError: SIGNED_OUT if the server does not take the token; any other failed call, after which the token may
            be used up.
    """
    # The call needs no token. A header that repeats a real one could get it removed from the answer.
    http = open_http(lambda: secrets.token_hex(16))
    body = urlencode({"grant_type": "refresh_token", "refresh_token": refresh}).encode()
    call = ApiRequest("POST", "auth/token", body=body, content_type=_FORM, limits=DecodeLimits.RECORD)
    try:
        answer = row(http.request(call).data, "token")
    except RemoteCallError as failure:
        if failure.status not in _REFUSED:
            raise
        problem = Problem(ProblemKind.SIGNED_OUT, "the server no longer takes this sign-in; sign in again")
        raise RemoteCallError(problem, failure.effect, None, failure.status) from failure
    finally:
        http.close()
    return IssuedTokens(text(answer, "access_token"), text(answer, "refresh_token"), number(answer, "expires_in"))
