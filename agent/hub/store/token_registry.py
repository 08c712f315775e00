"""The tokens that `hub token` gave out, by their public ids: listing and revoking them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import bindparam, select, update

from agent.hub.domain.ports import Growth
from agent.hub.store import tables as t
from agent.hub.store.migrations import StoreError
from agent.hub.store.sql_store import SqlStore
from agent.hub.store.statements import Statement, insert_into

SHORTEST_PREFIX = 4

_KNOWN = Statement(select(t.tokens.c.id).where(t.tokens.c.id == bindparam("i")))
_ADD = Statement(insert_into(t.tokens, "revoked_at", "connector"))
_ALL = Statement(select(t.tokens).order_by(t.tokens.c.created_at, t.tokens.c.id))
_REVOKE = Statement(update(t.tokens).where(t.tokens.c.id == bindparam("i")).values(revoked_at=bindparam("at")))
_REVOKED = Statement(
    select(t.tokens.c.id).where(t.tokens.c.revoked_at.is_not(None), t.tokens.c.expires_at > bindparam("now"))
)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token that was given out. Times are milliseconds since the epoch.

    Attributes:
        id: see `agent.hub.auth.token_id`. The token itself is not stored.
        revoked_at: None while it is valid.
        machine: name of the machine that joined with an invite; None for a token of `hub token`.
        connector: id of the connector that was last seen with it; None for none yet.
    """

    id: str
    workspace: str
    user: str
    created_at: int
    expires_at: int
    revoked_at: int | None = None
    machine: str | None = None
    connector: str | None = None


def chosen_token(tokens: Sequence[IssuedToken], text: str, now: int) -> IssuedToken:
    """Return the one token that a person means: by the beginning of its id or its connector's, or by a machine name.

    Args:
        now: milliseconds since the epoch. Of several, those that still work are meant.

    Raises:
        StoreError: no token, or more than one, is meant.
    """
    by_id = [one for one in tokens if len(text) >= SHORTEST_PREFIX and _begins(one, text)]
    # A name may look like the beginning of an id. The tokens of both are meant then, so that neither hides the other.
    found = [*by_id, *(one for one in tokens if one.machine == text and one not in by_id)]
    valid = [one for one in found if one.revoked_at is None and one.expires_at > now]
    meant = found if len(found) == 1 else valid
    if len(meant) == 1:
        return meant[0]
    if meant:
        ids = ", ".join(one.id for one in meant)
        raise StoreError(f"more than one token is meant by {text!r}: give the id of one: {ids}.")
    raise StoreError(
        f"no token is meant by {text!r}: give a machine's name, or at least {SHORTEST_PREFIX} digits of an id from "
        "hub tokens or status --machines."
    )


def _begins(token: IssuedToken, prefix: str) -> bool:
    return token.id.startswith(prefix) or (token.connector or "").startswith(prefix)


class TokenRegistry:
    """Issued tokens in the hub's database."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    def add(self, token: IssuedToken) -> None:
        """Record a token. The same token recorded again changes nothing."""
        with self._store.write(Growth.SMALL) as session:
            if _KNOWN.first(session.transaction, i=token.id) is None:
                _ADD.run(
                    session.transaction,
                    id=token.id,
                    workspace=token.workspace,
                    user_id=token.user,
                    created_at=token.created_at,
                    expires_at=token.expires_at,
                    machine=token.machine,
                )

    def all(self) -> list[IssuedToken]:
        """Return every recorded token, oldest first."""
        with self._store.read() as session:
            return [IssuedToken(*row) for row in _ALL.rows(session.transaction)]

    def revoke(self, text: str, now: int) -> IssuedToken:
        """Revoke the token that `chosen_token` returns. Revoking it again keeps the first time.

        Raises:
            StoreError: no token, or more than one, is meant.
        """
        with self._store.write(Growth.SMALL) as session:
            found = chosen_token([IssuedToken(*row) for row in _ALL.rows(session.transaction)], text, now)
            if found.revoked_at is not None:
                return found
            _REVOKE.run(session.transaction, i=found.id, at=now)
        return replace(found, revoked_at=now)

    def revoked(self, now: int) -> frozenset[str]:
        """Return the ids of revoked tokens that have not expired at `now`."""
        with self._store.read() as session:
            return frozenset(id_ for (id_,) in _REVOKED.rows(session.transaction, now=now))


class Revocations:
    """Ids of revoked tokens in memory, read again from the database when they are older than `max_age` seconds."""

    def __init__(self, registry: TokenRegistry, max_age: float = 3.0) -> None:
        self._registry = registry
        self._max_age = max_age
        self._ids: frozenset[str] = frozenset()
        self._read_at = float("-inf")

    def contains(self, token: str) -> bool:
        """Return True if the token with this id was revoked, as of the last `refresh`."""
        return token in self._ids

    def is_stale(self, monotonic: float) -> bool:
        """Return True if `refresh` is due at this monotonic time in seconds."""
        return monotonic - self._read_at > self._max_age

    def refresh(self, now: int, monotonic: float) -> None:
        """Read the ids again. `now` is milliseconds since the epoch.

        Raises:
            StoreUnavailable: the database does not answer. The ids of before remain.
        """
        self._ids = self._registry.revoked(now)
        self._read_at = monotonic
