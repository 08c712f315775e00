"""Sessions: opened with a token of the hub, extended while they are valid, ended.

A session's token is random and stays the same when it is extended. A session ends at the latest with the token of the
hub that opened it.
"""

from __future__ import annotations

from typing import Final

from agent.hub.answers import HubError, timestamp
from agent.hub.auth import bearer_token
from agent.hub.domain.drive_model import LoginSession
from agent.hub.domain.model import Caller
from agent.hub.domain.ports import Growth
from agent.hub.pinakes.context import SESSION_MS, PinakesContext, PinakesRequest, secret_hash
from agent.hub.pinakes.wire import LoginBody, LoginRequest, SessionBody, UserBody

PREFIX: Final = "pns_"
"""Beginning of every session's token. No token of the hub begins so."""


def login(context: PinakesContext, request: PinakesRequest) -> LoginBody:
    """Open a session. This hub has no passwords: the password is a token of `hub token`.

    Raises:
        HubError: 401 for a token that is not valid.
    """
    given, now = request.decoded(LoginRequest), context.clock()
    found = context.signed_in(given.password)
    if found is None:
        raise HubError(401, "Invalid credentials")
    token = PREFIX + context.new_token()
    ends_at = min(now + SESSION_MS, found.expires_at)
    with context.store.write(Growth.SMALL) as session:
        session.remove_ended_login_sessions(now)
        session.add_login_session(
            LoginSession(
                secret_hash(token), found.caller.workspace, found.caller.user, found.id, now, ends_at, found.expires_at
            )
        )
    return LoginBody(token, timestamp(ends_at), found.caller.user)


def refresh(context: PinakesContext, request: PinakesRequest) -> SessionBody:
    """Extend the caller's session. A token of the hub has an end that does not move, and it is shown."""
    token, now = bearer_token(request.headers) or "", context.clock()
    if not token.startswith(PREFIX):
        found = context.signed_in(token)
        if found is None:
            raise HubError(401, "Unauthorized")
        return SessionBody(timestamp(found.expires_at))
    with context.store.write(Growth.SMALL) as session:
        known = session.login_session(secret_hash(token))
        if known is None or not _is_valid(context, known):
            raise HubError(401, "The session has ended")
        expires_at = max(known.expires_at, min(now + SESSION_MS, known.ends_at))
        session.extend_login_session(known.id, expires_at)
    return SessionBody(timestamp(expires_at))


def logout(context: PinakesContext, request: PinakesRequest) -> None:
    """End the caller's session. A token of the hub is ended with `hub revoke` only."""
    token = bearer_token(request.headers) or ""
    if token.startswith(PREFIX):
        with context.store.write(Growth.SMALL) as session:
            session.remove_login_session(secret_hash(token))


def me(context: PinakesContext, request: PinakesRequest) -> UserBody:
    """Show the caller."""
    return UserBody(request.caller.user, request.caller.user)


def session_caller(context: PinakesContext, token: str) -> Caller | None:
    """Return the caller of a session, or None if it has ended."""
    with context.store.read() as session:
        known = session.login_session(secret_hash(token))
    if known is None or not _is_valid(context, known):
        return None
    return Caller(known.user, known.workspace, known.hub_token)


def _is_valid(context: PinakesContext, session: LoginSession) -> bool:
    return context.clock() < session.expires_at and not context.is_revoked(session.hub_token)
