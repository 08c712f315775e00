"""Operations on their way to the server, and the journal of changes on their way to the folder."""

from __future__ import annotations

import enum
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from agent.core.model import Intent, Operation, Purpose, Verb
from agent.index.bulk_insert import Insert

_BEYOND: Final = (1 << 63) - 1
"""No number is larger."""
_CHUNK: Final = 500
_OPEN: Final = "(state IN ('stored', 'unsettled', 'acked'))"
_ADD: Final = Insert(
    "INSERT INTO operations (source, id, path, verb, hash, size, base, purpose, state, created_at, after)", 11
)
_JOURNAL: Final = Insert("INSERT INTO intents (id, source, path, new, expected, purpose, created_at)", 7)
_COLUMNS: Final = "seq, id, path, verb, hash, size, base, purpose, state, created_at, suspects, after, echoed"


class PushReason(enum.StrEnum):
    """Why an operation is sent."""

    PUSH = "push"
    PARK = "park"
    """A push that is known to be stale, so that both texts of a conflict stand on the server."""
    RESOLVE = "resolve"


class OperationState(enum.StrEnum):
    """How far an operation has come."""

    STORED = "stored"
    """Stored; whether it was sent is known to the running process only, so a restart takes it for UNSETTLED."""
    UNSETTLED = "unsettled"
    """Sent, and nobody said what became of it."""
    ACKED = "acked"
    """Applied, says the server; its echo has not come by yet."""
    DONE = "done"
    ECHOED = "echoed"
    """Applied, and the feed has told of it."""
    ABANDONED = "abandoned"
    """Settled as never applied. It may still arrive late; a conflict it then opens is ours and of no interest."""


OPEN_STATES: Final = (OperationState.STORED, OperationState.UNSETTLED, OperationState.ACKED)
"""Stages in which something is still to come."""


class OverwriteSuspect(Struct, frozen=True, gc=False):
    """A foreign version the feed told before our own echo: overwritten unseen, if our operation came after it."""

    hash: str
    position: int


class StoredOperation(Struct, frozen=True, gc=False):
    """A stored operation and how far it has come.

    ``seq`` rises with every operation of this home; ``after`` is the newest event that was known of the path when the
    operation was stored, ``echoed`` its own.
    """

    seq: int
    operation: Operation
    why: PushReason
    stage: OperationState
    created_at: float
    suspects: tuple[OverwriteSuspect, ...] = ()
    after: int = 0
    echoed: int | None = None


class Operations:
    """Reads and writes operations and intents; decides nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def add(
        self, source: int, operations: Sequence[tuple[Operation, int]], why: PushReason, now: float
    ) -> list[StoredOperation]:
        """Store operations before they are sent, each with the newest event known of its path."""
        _ADD.write(
            self._db,
            [
                (source, op.id, op.path, op.verb, op.hash, op.size, op.base, why, OperationState.STORED, now, after)
                for op, after in operations
            ],
        )
        # One connection writes, so what it stores in one go is numbered in one go.
        (last,) = self._db.execute("SELECT last_insert_rowid()").fetchone()
        first = last - len(operations) + 1
        return [
            StoredOperation(seq, op, why, OperationState.STORED, now, after=after)
            for seq, (op, after) in enumerate(operations, start=first)
        ]

    def by_ids(self, source: int, ids: Sequence[str]) -> dict[str, StoredOperation]:
        """Our own operations among these ids."""
        found: dict[str, StoredOperation] = {}
        for start in range(0, len(ids), _CHUNK):
            chunk = ids[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            # The sign keeps SQLite from going through all operations of the source for a few ids.
            sql = f"SELECT {_COLUMNS} FROM operations WHERE +source = ? AND id IN ({marks})"
            for row in self._db.execute(sql, (source, *chunk)):
                found[row[1]] = _entry(row)
        return found

    def open(self, source: int) -> list[StoredOperation]:
        """Every operation that is not done, oldest first."""
        sql = f"SELECT {_COLUMNS} FROM operations WHERE source = ? AND {_OPEN} ORDER BY seq"
        return [_entry(row) for row in self._db.execute(sql, (source,))]

    def of_path(self, source: int, path: str) -> list[StoredOperation]:
        """Every remembered operation on a path, oldest first."""
        sql = f"SELECT {_COLUMNS} FROM operations WHERE source = ? AND path = ? ORDER BY seq"
        return [_entry(row) for row in self._db.execute(sql, (source, path))]

    def move(self, stages: Mapping[int, tuple[OperationState, int | None]]) -> None:
        """Move operations, by ``seq``, on to a stage; with the position of their own event where that was told."""
        # What was stored together is mostly moved together: one statement for a run of numbers, not one a number.
        self._db.executemany(
            "UPDATE operations SET state = ?, echoed = coalesce(seq + ?, echoed) WHERE seq BETWEEN ? AND ?",
            _runs(stages),
        )

    def drop(self, ids: Iterable[str]) -> None:
        """Forget operations that were never sent."""
        self._db.executemany("DELETE FROM operations WHERE id = ?", ((identifier,) for identifier in ids))

    def set_suspects(self, identifier: str, suspects: Sequence[OverwriteSuspect]) -> None:
        """Remember foreign versions seen before the echo."""
        text = json.dumps([[suspect.hash, suspect.position] for suspect in suspects]) if suspects else None
        self._db.execute("UPDATE operations SET suspects = ? WHERE id = ?", (text, identifier))

    def prune(self, source: int, before: float) -> None:
        """Forget operations done long ago; costs what there is of them."""
        # Numbers rise with time: what stands behind the first that is young enough is not looked at.
        young = self._db.execute("SELECT seq FROM operations WHERE created_at >= ? ORDER BY seq LIMIT 1", (before,))
        old = f"NOT {_OPEN} AND created_at < ? AND seq < ?"
        first = (young.fetchone() or (_BEYOND,))[0]
        # The plus keeps SQLite from going through all of the source's operations by their paths.
        self._db.execute(f"DELETE FROM operations WHERE +source = ? AND {old}", (source, before, first))

    def journal(self, source: int, intents: Iterable[Intent], now: float) -> None:
        """Write down changes to the folder before they are made."""
        _JOURNAL.write(self._db, [(i.id, source, i.path, i.new, i.expected, i.purpose, now) for i in intents])

    def intents(self, source: int) -> list[Intent]:
        """Journalled changes whose outcome is not known."""
        sql = "SELECT id, path, new, expected, purpose FROM intents WHERE source = ? ORDER BY created_at, id"
        return [
            Intent(identifier, path, new, expected, Purpose(purpose))
            for identifier, path, new, expected, purpose in self._db.execute(sql, (source,))
        ]

    def close_intents(self, ids: Iterable[str]) -> None:
        """Their outcome is in the trees now."""
        ids = list(ids)
        for start in range(0, len(ids), _CHUNK):
            chunk = ids[start : start + _CHUNK]
            self._db.execute(f"DELETE FROM intents WHERE id IN ({','.join('?' * len(chunk))})", chunk)

    def detach_from_other_machine(self, source: int) -> None:
        """Forget what another machine has sent or was about to send. Its journal is this disk's as well, and stays."""
        self._db.execute("DELETE FROM operations WHERE source = ?", (source,))

    def forget(self, source: int) -> None:
        """Drop everything of a source."""
        self._db.execute("DELETE FROM operations WHERE source = ?", (source,))
        self._db.execute("DELETE FROM intents WHERE source = ?", (source,))


def _runs(stages: Mapping[int, tuple[OperationState, int | None]]) -> list[tuple[OperationState, int | None, int, int]]:
    """(stage, position less number, first number, last number) of stretches without gaps that have these in common."""
    runs: list[tuple[OperationState, int | None, int, int]] = []
    for seq, (stage, position) in sorted(stages.items()):
        ahead = None if position is None else position - seq
        if runs and runs[-1][:2] == (stage, ahead) and runs[-1][3] == seq - 1:
            runs[-1] = (stage, ahead, runs[-1][2], seq)
        else:
            runs.append((stage, ahead, seq, seq))
    return runs


def _entry(row: Sequence[Any]) -> StoredOperation:
    seq, identifier, path, verb, digest, size, base, why, stage, created_at, suspects, after, echoed = row
    return StoredOperation(
        seq,
        Operation(identifier, path, Verb(verb), digest, size, base),
        PushReason(why),
        OperationState(stage),
        created_at,
        tuple(OverwriteSuspect(digest, position) for digest, position in json.loads(suspects)) if suspects else (),
        after,
        echoed,
    )
