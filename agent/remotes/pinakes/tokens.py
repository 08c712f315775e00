"""Extend a session. There is no second token: the session itself gets a later end, and may be extended any time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from agent.core.errors import Problem, ProblemKind
from agent.remotes.http.client import HttpClient
from agent.remotes.http.decode import DecodeLimits
from agent.remotes.http.failures import RemoteCallError
from agent.remotes.http.request import ApiRequest
from agent.remotes.issued_tokens import IssuedTokens
from agent.remotes.pinakes.profile import SPELLINGS
from agent.remotes.pinakes.wire import session_end_of

UNSTATED_SECONDS: Final = 900.0
"""Life of a session whose end the server does not say. It is extended well before."""
_REFUSED: Final = (400, 401, 403)


def extend(open_http: Callable[[Callable[[], str]], HttpClient], session: str) -> IssuedTokens:
    """Extend a session; returns it with its new end.

    Args:
        open_http: returns a client with the given token.

    Raises:
        RemoteError: SIGNED_OUT if the session has ended; any other failed call, which may be repeated.
    """
    http = open_http(lambda: session)
    call = ApiRequest("POST", SPELLINGS[1] + "auth/refresh", limits=DecodeLimits.RECORD, may_be_empty=True)
    try:
        end = session_end_of(http.request(call).data)
    except RemoteCallError as failure:
        if failure.status not in _REFUSED:
            raise
        problem = Problem(ProblemKind.SIGNED_OUT, "the session has ended; sign in again")
        raise RemoteCallError(problem, failure.effect, None, failure.status) from failure
    finally:
        http.close()
    access = end.token or session
    left = UNSTATED_SECONDS if end.at is None else max(end.at - time.time(), 0.0)
    return IssuedTokens(access, access, int(left))
