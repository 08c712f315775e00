"""The tokens that `hub token` gave out, by their public ids: listing and revoking them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import insert, select, update

from agent.hub.domain.ports import Growth
from agent.hub.store import tables as t
from agent.hub.store.migrations import StoreError
from agent.hub.store.sql_store import SqlStore

SHORTEST_PREFIX = 4


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token that was given out. Times are milliseconds since the epoch.

    Attributes:
        id: see `agent.hub.auth.token_id`. The token itself is not stored.
        revoked_at: None while it is valid.
    """

    id: str
    workspace: str
    user: str
    created_at: int
    expires_at: int
    revoked_at: int | None = None


class TokenRegistry:
    """Issued tokens in the hub's database."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    def add(self, token: IssuedToken) -> None:
        """Record a token. The same token recorded again changes nothing."""
        with self._store.write(Growth.SMALL) as session:
            if session.connection.execute(select(t.tokens.c.id).where(t.tokens.c.id == token.id)).first() is None:
                session.connection.execute(
                    insert(t.tokens),
                    {
                        "id": token.id,
                        "workspace": token.workspace,
                        "user_id": token.user,
                        "created_at": token.created_at,
                        "expires_at": token.expires_at,
                    },
                )

    def all(self) -> list[IssuedToken]:
        """Return every recorded token, oldest first."""
        with self._store.read() as session:
            rows = session.connection.execute(select(t.tokens).order_by(t.tokens.c.created_at, t.tokens.c.id))
            return [IssuedToken(*row) for row in rows]

    def revoke(self, prefix: str, now: int) -> IssuedToken:
        """Revoke the token whose id begins with `prefix`. Revoking it again keeps the first time.

        Raises:
            StoreError: no token, or more than one, has an id that begins so.
        """
        with self._store.write(Growth.SMALL) as session:
            query = select(t.tokens).where(t.tokens.c.id.startswith(prefix, autoescape=True)).limit(2)
            rows = session.connection.execute(query).all() if len(prefix) >= SHORTEST_PREFIX else []
            if len(rows) != 1:
                count = "no token has" if not rows else "more than one token has"
                raise StoreError(
                    f"{count} an id that begins with {prefix!r}: give at least {SHORTEST_PREFIX} digits "
                    "of one from hub tokens."
                )
            found = IssuedToken(*rows[0])
            if found.revoked_at is not None:
                return found
            session.connection.execute(update(t.tokens).where(t.tokens.c.id == found.id).values(revoked_at=now))
        return IssuedToken(found.id, found.workspace, found.user, found.created_at, found.expires_at, now)

    def revoked(self, now: int) -> frozenset[str]:
        """Return the ids of revoked tokens that have not expired at `now`."""
        c = t.tokens.c
        with self._store.read() as session:
            rows = session.connection.execute(select(c.id).where(c.revoked_at.is_not(None), c.expires_at > now))
            return frozenset(row.id for row in rows)


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
