"""The invites that `hub invite` gave out, by the hashes of their one-time codes."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from sqlalchemy import bindparam, delete, select, update

from agent.hub.domain.ports import Growth
from agent.hub.store import tables as t
from agent.hub.store.sql_store import SqlStore
from agent.hub.store.statements import Statement, insert_into

INVITE_SECONDS: Final = 600
"""Life of an invite."""
CODE_BYTES: Final = 16
"""128 bits, so that a code cannot be guessed."""
_DAY_MS: Final = 86_400_000
_KEPT_MS: Final = _DAY_MS
"""Milliseconds that an ended invite is kept, so that its owner is told the reason."""

_ADD = Statement(insert_into(t.invites, "used_at"))
_FIND = Statement(select(t.invites).where(t.invites.c.digest == bindparam("d")))
_USE = Statement(
    update(t.invites)
    .where(t.invites.c.digest == bindparam("d"), t.invites.c.used_at.is_(None), t.invites.c.expires_at > bindparam("n"))
    .values(used_at=bindparam("at"))
)
_DROP = Statement(delete(t.invites).where(t.invites.c.expires_at < bindparam("before")))


class InviteProblem(Enum):
    """The reason why a code is not taken."""

    UNKNOWN = auto()
    USED = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class StoredInvite:
    """An invite whose code was taken.

    Attributes:
        token_days: life of the token that is given for it.
    """

    workspace: str
    user: str
    token_days: int


class InviteRegistry:
    """Invites in the hub's database. Times are milliseconds since the epoch."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    def add(self, invite: StoredInvite, now: int) -> tuple[str, int]:
        """Record an invite. Return its code, which is stored nowhere, and the time it ends."""
        code, ends = secrets.token_hex(CODE_BYTES), now + INVITE_SECONDS * 1000
        with self._store.write(Growth.SMALL) as session:
            _DROP.run(session.transaction, before=now - _KEPT_MS)
            _ADD.run(
                session.transaction,
                digest=_digest(code),
                workspace=invite.workspace,
                user_id=invite.user,
                token_days=invite.token_days,
                expires_at=ends,
            )
        return code, ends

    def problem(self, code: str, now: int) -> InviteProblem | None:
        """Return the reason why a code would not be taken now; None if it would be."""
        with self._store.read() as session:
            row = _FIND.first(session.transaction, d=_digest(code))
        if row is None:
            return InviteProblem.UNKNOWN
        _, _, _, _, ends, used = row
        if used is not None:
            return InviteProblem.USED
        return InviteProblem.ENDED if ends <= now else None

    def use(self, code: str, now: int) -> StoredInvite | None:
        """Use up a code and return its invite; None if it is unknown, was used or has ended.

        Of concurrent calls with one code, through any number of hubs, one gets the invite.
        """
        digest = _digest(code)
        with self._store.write(Growth.SMALL) as session:
            if _USE.run(session.transaction, d=digest, n=now, at=now) != 1:
                return None
            row = _FIND.first(session.transaction, d=digest)
        assert row is not None
        return StoredInvite(row[1], row[2], row[3])


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()
