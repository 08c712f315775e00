"""The outbox: operations stored before they are sent, with their state."""

from __future__ import annotations

import enum
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from agent.core.reconcile import Step
from agent.core.remote_records import Operation, Verb
from agent.core.version import Version
from agent.index.bulk_insert import Insert
from agent.index.revisions import restored, stored

_MAX_SEQ: Final = (1 << 63) - 1
_CHUNK: Final = 500
_OPEN: Final = "(state IN ('stored', 'unsettled', 'acked'))"
_ADD: Final = Insert(
    "INSERT INTO operations (source, id, path, verb, hash, size, base, base_rev, remote_id, old_path, purpose, state, "
    "created_at, after)",
    14,
)
_COLUMNS: Final = (
    "seq, id, path, verb, hash, size, base, base_rev, remote_id, old_path, purpose, state, created_at, suspects, "
    "after, echoed, resume, rev"
)


class PushReason(enum.StrEnum):
    """The reason of an operation."""

    PUSH = "push"
    PARK = "park"
    """A push known to be stale: the server refuses it and so keeps both texts of a conflict."""
    RESOLVE = "resolve"


class OperationState(enum.StrEnum):
    """Progress of an operation."""

    STORED = "stored"
    """Written to the index. Only the running process knows if it was sent; a restart moves it to UNSETTLED."""
    UNSETTLED = "unsettled"
    """Sent, with an unknown outcome: in doubt."""
    ACKED = "acked"
    """The server acknowledged it; its own event has not arrived yet."""
    DONE = "done"
    ECHOED = "echoed"
    """Applied, and its own event arrived."""
    ABANDONED = "abandoned"
    """Judged as not applied. It may still arrive late; a conflict it opens then is ours and is closed silently."""


OPEN_STATES: Final = (OperationState.STORED, OperationState.UNSETTLED, OperationState.ACKED)
"""States of operations that wait for an answer or an event."""


class OverwriteSuspect(Struct, frozen=True, gc=False):
    """A foreign version that arrived before our own event. Our operation overwrote it unseen if it came later."""

    hash: str
    position: int
    rev: str | None = None

    @property
    def version(self) -> Version:
        """The foreign version."""
        return Version(self.hash, None, self.rev)


class StoredOperation(Struct, frozen=True, gc=False):
    """A stored operation with its state.

    Attributes:
        seq: rises with every operation of this home.
        after: newest event known of the path when the operation was stored.
        echoed: position of its own event in the feed.
        resume: the adapter's own state of an upload that can be resumed (JSON text, opaque); None if there is none.
        rev: the server's revision that the operation made, if it is not its hash; None until it is known.
    """

    seq: int
    operation: Operation
    reason: PushReason
    state: OperationState
    created_at: float
    suspects: tuple[OverwriteSuspect, ...] = ()
    after: int = 0
    echoed: int | None = None
    resume: str | None = None
    rev: str | None = None


class Operations:
    """Reads and writes operations; decides nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def add(
        self, source: int, operations: Sequence[tuple[Operation, int]], reason: PushReason, now: float
    ) -> list[StoredOperation]:
        """Store operations before they are sent, each with the newest event known of its path."""
        _ADD.write(
            self._db,
            [
                (
                    source,
                    op.id,
                    op.path,
                    op.verb,
                    op.hash,
                    op.size,
                    op.base,
                    stored(op.base_rev, op.base),
                    op.remote_id,
                    op.old_path,
                    reason,
                    OperationState.STORED,
                    now,
                    after,
                )
                for op, after in operations
            ],
        )
        # Only one connection writes, so the numbers of these rows have no gaps.
        (last,) = self._db.execute("SELECT last_insert_rowid()").fetchone()
        first = last - len(operations) + 1
        return [
            StoredOperation(seq, op, reason, OperationState.STORED, now, after=after)
            for seq, (op, after) in enumerate(operations, start=first)
        ]

    def by_ids(self, source: int, ids: Sequence[str]) -> dict[str, StoredOperation]:
        """Return our own operations with these ids."""
        found: dict[str, StoredOperation] = {}
        for start in range(0, len(ids), _CHUNK):
            chunk = ids[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            # The plus sign makes SQLite use the index on the id instead of the one on the source.
            sql = f"SELECT {_COLUMNS} FROM operations WHERE +source = ? AND id IN ({marks})"
            for row in self._db.execute(sql, (source, *chunk)):
                found[row[1]] = _entry(row)
        return found

    def made_by_us(
        self, source: int, path: str, digest: str | None, remote_id: str | None, rev: str | None
    ) -> str | None:
        """Return the id of the newest operation that made this version; None if none did.

        Args:
            digest: sha256 of the version; None for a delete.
            remote_id, rev: must be equal to the operation's own; None: not compared.
        """
        sql = (
            "SELECT id FROM operations WHERE source = ? AND path = ? AND hash IS ? "
            "AND (? IS NULL OR remote_id = ?) AND (? IS NULL OR rev = ?) ORDER BY seq DESC LIMIT 1"
        )
        found = self._db.execute(sql, (source, path, digest, remote_id, remote_id, rev, rev)).fetchone()
        return None if found is None else str(found[0])

    def open(self, source: int) -> list[StoredOperation]:
        """Return every operation in an open state, oldest first."""
        sql = f"SELECT {_COLUMNS} FROM operations WHERE source = ? AND {_OPEN} ORDER BY seq"
        return [_entry(row) for row in self._db.execute(sql, (source,))]

    def of_path(self, source: int, path: str) -> list[StoredOperation]:
        """Return every stored operation on a path, oldest first."""
        sql = f"SELECT {_COLUMNS} FROM operations WHERE source = ? AND path = ? ORDER BY seq"
        return [_entry(row) for row in self._db.execute(sql, (source, path))]

    def failed_tries(self, source: int) -> list[str]:
        """Return the paths, in order, that have something to send, and whose newest push was not applied.

        A push made from another base does not count: the path was in sync since.
        """
        sql = (
            "SELECT path FROM files AS file INDEXED BY files_work "
            f"WHERE source = ? AND step <> 0 AND step IN ({Step.PUSH:d}, {Step.PUSH_DELETE:d}) AND EXISTS ("
            "SELECT 1 FROM operations AS push WHERE push.seq = ("
            "SELECT max(seq) FROM operations AS newest WHERE newest.source = file.source AND newest.path = file.path) "
            "AND push.purpose = 'push' AND push.base IS file.base_hash "
            "AND push.state IN ('stored', 'unsettled', 'abandoned')) ORDER BY path"
        )
        return [path for (path,) in self._db.execute(sql, (source,))]

    def move(self, states: Mapping[int, tuple[OperationState, int | None]]) -> None:
        """Set the state of operations by ``seq``, and the position of their own event where it is known."""
        # Operations of one batch mostly change together: one statement a run of numbers.
        self._db.executemany(
            "UPDATE operations SET state = ?, echoed = coalesce(seq + ?, echoed) WHERE seq BETWEEN ? AND ?",
            _runs(states),
        )

    def drop(self, ids: Iterable[str]) -> None:
        """Delete operations that were never sent."""
        self._db.executemany("DELETE FROM operations WHERE id = ?", ((identifier,) for identifier in ids))

    def set_suspects(self, identifier: str, suspects: Sequence[OverwriteSuspect]) -> None:
        """Write the foreign versions that arrived before the operation's own event."""
        text = json.dumps([[each.hash, each.position, each.rev] for each in suspects]) if suspects else None
        self._db.execute("UPDATE operations SET suspects = ? WHERE id = ?", (text, identifier))

    def set_result(self, entry: StoredOperation) -> None:
        """Write the revision that the operation made, and the id of its file."""
        result = (entry.rev, entry.operation.remote_id, entry.operation.id)
        self._db.execute("UPDATE operations SET rev = ?, remote_id = ? WHERE id = ?", result)

    def set_resume(self, identifier: str, resume: str | None) -> None:
        """Write the adapter's state of an upload that can be resumed; None if there is none any more."""
        self._db.execute("UPDATE operations SET resume = ? WHERE id = ?", (resume, identifier))

    def prune(self, source: int, before: float) -> None:
        """Delete operations closed before ``before``. The cost is that of the rows deleted."""
        # Numbers rise with time: no row behind the first young one is read.
        young = self._db.execute("SELECT seq FROM operations WHERE created_at >= ? ORDER BY seq LIMIT 1", (before,))
        old = f"NOT {_OPEN} AND created_at < ? AND seq < ?"
        first = (young.fetchone() or (_MAX_SEQ,))[0]
        # The plus sign keeps SQLite from reading all operations of the source by path.
        self._db.execute(f"DELETE FROM operations WHERE +source = ? AND {old}", (source, before, first))

    def detach_from_other_machine(self, source: int) -> None:
        """Delete the operations of another machine whose index was copied. The journal is of this disk and stays."""
        self._db.execute("DELETE FROM operations WHERE source = ?", (source,))

    def forget(self, source: int) -> None:
        """Delete every operation of a source."""
        self._db.execute("DELETE FROM operations WHERE source = ?", (source,))


def _runs(states: Mapping[int, tuple[OperationState, int | None]]) -> list[tuple[OperationState, int | None, int, int]]:
    """Group numbers without gaps and equal changes: (state, position minus number, first number, last number)."""
    runs: list[tuple[OperationState, int | None, int, int]] = []
    for seq, (state, position) in sorted(states.items()):
        ahead = None if position is None else position - seq
        if runs and runs[-1][:2] == (state, ahead) and runs[-1][3] == seq - 1:
            runs[-1] = (state, ahead, runs[-1][2], seq)
        else:
            runs.append((state, ahead, seq, seq))
    return runs


def _entry(row: Sequence[Any]) -> StoredOperation:
    seq, identifier, path, verb, digest, size, base, base_rev, remote_id, old_path, *rest = row
    reason, state, created_at, suspects, after, echoed, resume, rev = rest
    return StoredOperation(
        seq,
        Operation(identifier, path, Verb(verb), digest, size, base, restored(base_rev, base), remote_id, old_path),
        PushReason(reason),
        OperationState(state),
        created_at,
        tuple(OverwriteSuspect(*suspect) for suspect in json.loads(suspects)) if suspects else (),
        after,
        echoed,
        resume,
        rev,
    )
