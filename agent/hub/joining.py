"""The exchange of an invite's one-time code for a token."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Final

import orjson

from agent.hub.answers import HubError, Response
from agent.hub.auth import DAY_SECONDS, mint, token_id
from agent.hub.domain.machine_names import machine_of_token
from agent.hub.domain.model import Clock
from agent.hub.store.invite_registry import InviteProblem, InviteRegistry
from agent.hub.store.sql_store import SqlStore
from agent.hub.store.token_registry import IssuedToken, TokenRegistry

JOIN_PATH: Final = "/api/hub/join"

MAX_BODY: Final = 4096
"""Bytes of the request at most."""
_WORDS: Final = {
    InviteProblem.UNKNOWN: "This hub gave out no such invite",
    InviteProblem.USED: "The invite was used already",
    InviteProblem.ENDED: "The invite has ended",
}


class Joining:
    """Gives tokens for invites.

    Args:
        secret: signs the tokens.
        clock: milliseconds since the epoch.
        name: name of this machine for those that join; empty for its host name.
    """

    def __init__(self, store: SqlStore, secret: bytes, clock: Clock, name: str = "") -> None:
        self._name = name or socket.gethostname()
        self._invites = InviteRegistry(store)
        self._tokens = TokenRegistry(store)
        self._secret = secret
        self._clock = clock

    def answer(self, headers: Mapping[str, str], body: bytes) -> Response:
        """Exchange the code that the request carries as its bearer token.

        Args:
            body: JSON with the `name` of the machine that joins. Anything else counts as no name.

        Raises:
            HubError: 401 for a code that is unknown, was used or has ended.
            StoreUnavailable: the database does not answer.
        """
        scheme, _, code = headers.get("authorization", "").partition(" ")
        code, now = code.strip(), self._clock()
        # Looked up before anything is written: a wrong code costs one read.
        problem = self._invites.problem(code, now) if scheme.lower() == "bearer" else InviteProblem.UNKNOWN
        found = self._invites.use(code, now) if problem is None else None
        if found is None:
            raise HubError(401, _WORDS[problem or InviteProblem.USED])
        token = mint(self._secret, workspace=found.workspace, user=found.user, now=now, days=found.token_days)
        expires = now + found.token_days * DAY_SECONDS * 1000
        self._tokens.add(IssuedToken(token_id(token), found.workspace, found.user, now, expires, None, _machine(body)))
        return Response(200, orjson.dumps({"token": token, "workspace": found.workspace, "hub": self._name}))


def _machine(body: bytes) -> str | None:
    try:
        name = orjson.loads(body)["name"]
    except (ValueError, KeyError, TypeError):
        return None
    return machine_of_token(name) if isinstance(name, str) else None
