"""The table of conflicts: those this machine resolves, and other machines' as the server lists them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from agent.core.conflict import Conflict, ConflictOrigin, ConflictState
from agent.core.model import ConflictKind, Resolution

_COLUMNS: Final = (
    "id, generation, path, kind, origin, base_hash, local_hash, remote_hash, head_hash, server_ids, "
    "opened_at, state, mine, choice, wanted_hash, note, base_rev, local_rev, remote_rev"
)


_HEAD: Final = "id, source, path, kind"
_PARKS: Final = "source = ? AND state <> 'closed' AND mine = 1"
_CHUNK: Final = 500


class ConflictHead(Struct, frozen=True, gc=False):
    """The few fields of a conflict by which lists are filtered and sorted."""

    id: int
    source: int
    path: str
    kind: str


class Conflicts:
    """Reads and writes conflicts; decides nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def open(self, source: int, conflict: Conflict) -> Conflict:
        """Store a new conflict (its ``id`` is ignored) and return it with its id."""
        cursor = self._db.execute(
            """INSERT INTO conflicts (source, generation, path, kind, origin, base_hash, local_hash, remote_hash,
            head_hash, server_ids, opened_at, state, mine, choice, wanted_hash, note, base_rev, local_rev, remote_rev)
            VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)""",
            (source, *_values(conflict)),
        )
        return replace(conflict, id=int(cursor.lastrowid or 0))

    def save(self, conflict: Conflict) -> None:
        """Write a changed conflict back."""
        self._db.execute(
            "UPDATE conflicts SET generation=?, path=?, kind=?, origin=?, base_hash=?, local_hash=?, remote_hash=?,"
            " head_hash=?, server_ids=?, opened_at=?, state=?, mine=?, choice=?, wanted_hash=?, note=?,"
            " base_rev=?, local_rev=?, remote_rev=? WHERE id=?",
            (*_values(conflict), conflict.id),
        )

    def close(self, conflict: Conflict, now: float) -> None:
        """Mark a conflict as closed. ``now``: seconds since the epoch."""
        self._db.execute("UPDATE conflicts SET state='closed', closed_at=? WHERE id=?", (now, conflict.id))

    def live(self, source: int) -> list[Conflict]:
        """Return the conflicts of a source that are not closed, oldest first."""
        sql = f"SELECT {_COLUMNS} FROM conflicts WHERE source = ? AND state <> 'closed' ORDER BY id"
        return [_conflict(row) for row in self._db.execute(sql, (source,))]

    def heads(self, sources: Collection[int]) -> list[ConflictHead]:
        """Return the heads of the conflicts of these sources that are not closed, oldest first."""
        marks = ", ".join("?" * len(sources))
        sql = f"SELECT {_HEAD} FROM conflicts WHERE source IN ({marks}) AND state <> 'closed' ORDER BY id"
        return [ConflictHead(*row) for row in self._db.execute(sql, tuple(sources))]

    def head(self, identifier: int) -> ConflictHead | None:
        """Return the head of a conflict, also of a closed one; None if there is none."""
        sql = f"SELECT {_HEAD} FROM conflicts WHERE id = ?"
        row = self._db.execute(sql, (identifier,)).fetchone()
        return ConflictHead(*row) if row else None

    def by_ids(self, identifiers: Sequence[int]) -> dict[int, Conflict]:
        """Return the conflicts with these ids, by id."""
        found: dict[int, Conflict] = {}
        for start in range(0, len(identifiers), _CHUNK):
            chunk = identifiers[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM conflicts WHERE id IN ({marks})", tuple(chunk))
            found.update((row[0], _conflict(row)) for row in rows)
        return found

    def parked_paths(self, source: int) -> set[str]:
        """Return the paths that a conflict of this machine parks; see ``Conflict.parks``."""
        sql = f"SELECT path FROM conflicts WHERE {_PARKS}"
        return {path for (path,) in self._db.execute(sql, (source,))}

    def parked_keys(self, source: int) -> list[str]:
        """Return the ids with generation of the conflicts of this machine that are not closed, oldest first."""
        sql = f"SELECT id || '.' || generation FROM conflicts WHERE {_PARKS} ORDER BY id"
        return [key for (key,) in self._db.execute(sql, (source,))]

    def get(self, identifier: int) -> tuple[int, Conflict] | None:
        """Return a conflict, also a closed one, with its source; None if there is none."""
        row = self._db.execute(f"SELECT source, {_COLUMNS} FROM conflicts WHERE id = ?", (identifier,)).fetchone()
        return (row[0], _conflict(row[1:])) if row else None

    def resolved(self, source: int, path: str) -> list[Conflict]:
        """Return the closed conflicts of a path that were resolved on this machine, newest first."""
        sql = (
            f"SELECT {_COLUMNS} FROM conflicts WHERE source = ? AND path = ? AND state = 'closed'"
            " AND choice IS NOT NULL ORDER BY id DESC"
        )
        return [_conflict(row) for row in self._db.execute(sql, (source, path))]

    def detach_from_other_machine(self, source: int) -> None:
        """Turn the conflicts of an index that was copied from another machine into that machine's.

        They are listed and not touched, and its decisions are not carried out here. Refused server edits belong to all
        machines and stay open. Disagreements that the server does not know are parked again from the trees.
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
        # A server edit that waited behind such a conflict is next.
        oldest = f"SELECT min(id) FROM conflicts WHERE {live} AND origin = :edit GROUP BY path"
        self._db.execute(f"UPDATE conflicts SET mine = 1 WHERE id IN ({oldest})", names)

    def forget(self, source: int) -> None:
        """Delete all conflicts of a source."""
        self._db.execute("DELETE FROM conflicts WHERE source = ?", (source,))


def _values(conflict: Conflict) -> tuple[Any, ...]:
    return (
        conflict.generation, conflict.path, conflict.kind, conflict.origin, conflict.base_hash, conflict.local_hash,
        conflict.remote_hash, conflict.head_hash, json.dumps(conflict.server_ids), conflict.opened_at, conflict.state,
        int(conflict.mine), conflict.choice, conflict.wanted_hash, conflict.note,
        conflict.base_rev, conflict.local_rev, conflict.remote_rev,
    )  # fmt: skip


def _conflict(row: Sequence[Any]) -> Conflict:
    (identifier, generation, path, kind, origin, base, local, remote, head) = row[:9]
    (ids, opened_at, state, mine, choice, wanted, note, *revisions) = row[9:]
    return Conflict(
        identifier, generation, path, ConflictKind(kind), ConflictOrigin(origin), base, local, remote, head,
        tuple(json.loads(ids)), opened_at, ConflictState(state), bool(mine),
        Resolution(choice) if choice else None, wanted, note, *revisions,
    )  # fmt: skip
