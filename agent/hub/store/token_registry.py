"""The tokens that `hub token` gave out, by their public ids: listing and revoking them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Integer, bindparam, func, literal_column, select, update

from agent.hub.domain.ports import Growth
from agent.hub.store import tables as t
from agent.hub.store.migrations import StoreError
from agent.hub.store.sql_store import SqlStore
from agent.hub.store.statements import Statement, insert_into

SHORTEST_PREFIX = 4

_KNOWN = Statement(select(t.tokens.c.id).where(t.tokens.c.id == bindparam("i")))
_ADD = Statement(insert_into(t.tokens, "revoked_at"))
_ALL = Statement(select(t.tokens).order_by(t.tokens.c.created_at, t.tokens.c.id))
_FIRST_TWO = Statement(
    select(t.tokens)
    .where(func.substr(t.tokens.c.id, literal_column("1"), bindparam("length", type_=Integer)) == bindparam("prefix"))
    .limit(literal_column("2"))
)
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
    """

    id: str
    workspace: str
    user: str
    created_at: int
    expires_at: int
    revoked_at: int | None = None
    machine: str | None = None


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

    def revoke(self, prefix: str, now: int) -> IssuedToken:
        """Revoke the token whose id begins with `prefix`. Revoking it again keeps the first time.

        Raises:
            StoreError: no token, or more than one, has an id that begins so.
        """
        with self._store.write(Growth.SMALL) as session:
            rows = (
                _FIRST_TWO.rows(session.transaction, prefix=prefix, length=len(prefix))
                if len(prefix) >= SHORTEST_PREFIX
                else ()
            )
            if len(rows) != 1:
                count = "no token has" if not rows else "more than one token has"
                raise StoreError(
                    f"{count} an id that begins with {prefix!r}: give at least {SHORTEST_PREFIX} digits "
                    "of one from hub tokens."
                )
            found = IssuedToken(*rows[0])
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
