"""Parked conflicts, the texts they refer to, and other machines' conflicts as listed."""

from __future__ import annotations

import enum
import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from agent.core.model import ConflictKind, Resolution

_COLUMNS: Final = (
    "id, generation, path, kind, origin, base_hash, local_hash, remote_hash, head_hash, server_ids, "
    "opened_at, state, mine, choice, wanted_hash, note"
)


class ConflictOrigin(enum.StrEnum):
    """Where a conflict comes from; decides which texts its two sides stand for."""

    TREES = "trees"
    """Local and remote disagree: remote is the server's head."""
    LOST_UPDATE = "lost_update"
    """Our push replaced a foreign version unseen: local is the head, remote is the version that was replaced."""
    SERVER_EDIT = "server_edit"
    """An edit made on the server was refused: local is the head, remote is the refused edit."""
    OVERTAKEN_EDIT = "overtaken_edit"
    """As SERVER_EDIT, but the head has moved on since: remote is the server's head, as with TREES."""
    STALE_OWN = "stale_own"
    """A late old operation of ours against our own newer version: closed without asking."""
    FOREIGN = "foreign"
    """Another machine's: listed, never touched."""


class ConflictState(enum.StrEnum):
    """Where a conflict stands."""

    OPEN = "open"
    RESOLVING = "resolving"
    CLOSED = "closed"


class Conflict(Struct, frozen=True, gc=False):
    """One parked disagreement. ``key`` is what people see: it changes when either side moves."""

    id: int
    generation: int
    path: str
    kind: ConflictKind
    origin: ConflictOrigin
    base_hash: str | None
    local_hash: str | None
    remote_hash: str | None
    head_hash: str | None
    server_ids: tuple[str, ...]
    opened_at: float
    state: ConflictState
    mine: bool
    choice: Resolution | None = None
    wanted_hash: str | None = None
    note: str | None = None

    @property
    def key(self) -> str:
        """``id.generation``."""
        return f"{self.id}.{self.generation}"

    @property
    def parks(self) -> bool:
        """Whether its path is kept still."""
        return self.mine and self.state is not ConflictState.CLOSED


class Conflicts:
    """Reads and writes conflicts and texts; decides nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def open(self, source: int, conflict: Conflict) -> Conflict:
        """Store a new conflict (its ``id`` is ignored) and return it with its id."""
        cursor = self._db.execute(
            """INSERT INTO conflicts (source, generation, path, kind, origin, base_hash, local_hash, remote_hash,
            head_hash, server_ids, opened_at, state, mine, choice, wanted_hash, note)
            VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)""",
            (source, *_values(conflict)),
        )
        return replace(conflict, id=int(cursor.lastrowid or 0))

    def save(self, conflict: Conflict) -> None:
        """Write a changed conflict back."""
        self._db.execute(
            "UPDATE conflicts SET generation=?, path=?, kind=?, origin=?, base_hash=?, local_hash=?, remote_hash=?,"
            " head_hash=?, server_ids=?, opened_at=?, state=?, mine=?, choice=?, wanted_hash=?, note=? WHERE id=?",
            (*_values(conflict), conflict.id),
        )

    def close(self, conflict: Conflict, now: float) -> None:
        """The disagreement is over."""
        self._db.execute("UPDATE conflicts SET state='closed', closed_at=? WHERE id=?", (now, conflict.id))

    def live(self, source: int) -> list[Conflict]:
        """Every conflict that is not closed, oldest first."""
        sql = f"SELECT {_COLUMNS} FROM conflicts WHERE source = ? AND state <> 'closed' ORDER BY id"
        return [_conflict(row) for row in self._db.execute(sql, (source,))]

    def get(self, identifier: int) -> tuple[int, Conflict] | None:
        """A conflict and its source, closed ones too."""
        row = self._db.execute(f"SELECT source, {_COLUMNS} FROM conflicts WHERE id = ?", (identifier,)).fetchone()
        return (row[0], _conflict(row[1:])) if row else None

    def detach_from_other_machine(self, source: int) -> None:
        """From now on another machine's: what it parked is listed and not touched, what it decided is not carried out.

        Refused server edits are everybody's and stay open; disagreements the server knows nothing of are parked anew
        from the trees.
        """
        undecided = "state = 'open', choice = NULL, wanted_hash = NULL, note = NULL"
        live = "source = :source AND state <> 'closed'"
        names = {"source": source, "edit": ConflictOrigin.SERVER_EDIT, "foreign": ConflictOrigin.FOREIGN}
        self._db.execute(f"UPDATE conflicts SET {undecided} WHERE {live} AND origin = :edit", names)
        self._db.execute(
            f"UPDATE conflicts SET {undecided}, mine = 0, origin = :foreign "
            f"WHERE {live} AND origin <> :edit AND server_ids <> '[]'",
            names,
        )
        self._db.execute(f"DELETE FROM conflicts WHERE {live} AND origin NOT IN (:edit, :foreign)", names)
        # One that waited behind what is no longer ours has its turn.
        oldest = f"SELECT min(id) FROM conflicts WHERE {live} AND origin = :edit GROUP BY path"
        self._db.execute(f"UPDATE conflicts SET mine = 1 WHERE id IN ({oldest})", names)

    def forget(self, source: int) -> None:
        """Drop everything of a source."""
        self._db.execute("DELETE FROM conflicts WHERE source = ?", (source,))


def _values(conflict: Conflict) -> tuple[Any, ...]:
    return (
        conflict.generation, conflict.path, conflict.kind, conflict.origin, conflict.base_hash, conflict.local_hash,
        conflict.remote_hash, conflict.head_hash, json.dumps(conflict.server_ids), conflict.opened_at, conflict.state,
        int(conflict.mine), conflict.choice, conflict.wanted_hash, conflict.note,
    )  # fmt: skip


def _conflict(row: Sequence[Any]) -> Conflict:
    (identifier, generation, path, kind, origin, base, local, remote, head) = row[:9]
    (ids, opened_at, state, mine, choice, wanted, note) = row[9:]
    return Conflict(
        identifier, generation, path, ConflictKind(kind), ConflictOrigin(origin), base, local, remote, head,
        tuple(json.loads(ids)), opened_at, ConflictState(state), bool(mine),
        Resolution(choice) if choice else None, wanted, note,
    )  # fmt: skip
