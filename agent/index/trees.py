"""The three trees: for every path what base, local and remote hold, and the work that follows from it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, Final

from msgspec import Struct

from agent.core.model import (
    ABSENT,
    Fingerprint,
    IndexedFile,
    IndexedFileRow,
    Observation,
    Presence,
    Reason,
    RemoteFile,
    Side,
)
from agent.core.reconcile import Step
from agent.index.bulk_insert import Insert

_COLUMNS: Final = (
    "path, base_hash, base_size, base_rev, local_presence, local_hash, local_size, local_reason, "
    "mtime_ns, ctime_ns, inode, xxh3, racy, remote_hash, remote_rev, remote_id, position, step"
)
_KNOWN: Final = "path, local_size, mtime_ns, ctime_ns, inode, racy, local_presence, local_reason, local_hash, xxh3"
_CHUNK: Final = 500
_PRESENCES: Final = tuple(Presence)
_STEPS: Final = tuple(Step)
"""By their numbers, which count up from 0."""
_PUT: Final = Insert(f"INSERT OR REPLACE INTO files (source, {_COLUMNS})", 19)
_ADD: Final = Insert(
    "INSERT INTO files (source, path, local_presence, local_hash, local_size, local_reason, mtime_ns, ctime_ns, inode, "
    "xxh3, racy, step)",
    12,
)
_LIST: Final = Insert("INSERT OR REPLACE INTO listing (source, path, hash, rev, remote_id)", 5)


class PathRow(Struct, frozen=True, gc=False):
    """One path's trees.

    Attributes:
        path: relative path.
        base, local, remote: the three sides.
        fingerprint: the stat the local side goes with.
        remote_id: the server's own name of the file.
        position: newest event of the feed applied to the remote side.
        step: the work they ask for.
    """

    path: str
    base: Side = ABSENT
    local: Side = ABSENT
    fingerprint: Fingerprint | None = None
    remote: Side = ABSENT
    remote_id: str | None = None
    position: int = 0
    step: Step = Step.NOTHING

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known at this path, so that no row need stand for it."""
        local = self.local.presence
        if local is Presence.FILE or local is Presence.UNKNOWN:
            return False
        return not self.base.is_file and not self.remote.is_file


class Trees:
    """Reads and writes rows; decides nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def get(self, source: int, paths: Sequence[str]) -> dict[str, PathRow]:
        """The rows of these paths; paths nothing is known of are empty rows."""
        rows = {path: PathRow(path) for path in paths}
        for start in range(0, len(paths), _CHUNK):
            chunk = paths[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            sql = f"SELECT {_COLUMNS} FROM files WHERE source = ? AND path IN ({marks})"
            rows.update((found[0], _row(found)) for found in self._db.execute(sql, (source, *chunk)))
        return rows

    def put(self, source: int, rows: Iterable[PathRow]) -> None:
        """Write rows; an empty row is deleted."""
        keep: list[tuple[Any, ...]] = []
        drop: list[tuple[int, str]] = []
        for row in rows:
            if row.is_empty:
                drop.append((source, row.path))
            else:
                keep.append((source, *_values(row)))
        if drop:
            self._db.executemany("DELETE FROM files WHERE source = ? AND path = ?", drop)
        if keep:
            _PUT.write(self._db, keep)

    def any_within(self, source: int, first: str, last: str) -> bool:
        """Whether there is a row of any path from ``first`` to ``last``, both included."""
        sql = "SELECT 1 FROM files WHERE source = ? AND path >= ? AND path <= ? LIMIT 1"
        return self._db.execute(sql, (source, first, last)).fetchone() is not None

    def add(
        self, source: int, found: Iterable[Observation], steps: Mapping[tuple[Presence, Reason | None], Step]
    ) -> None:
        """Write the local sides of paths that have no row, with the work a side of this sort asks for; cheapest in
        path order.
        """
        sorts = {sort: (int(sort[0]), sort[1].value if sort[1] else None, int(step)) for sort, step in steps.items()}
        _ADD.write(self._db, [_seen_values(source, seen, *sorts[seen.side.category]) for seen in found])

    def all(self, source: int, after: str = "") -> Iterator[PathRow]:
        """Every row in path order."""
        sql = f"SELECT {_COLUMNS} FROM files WHERE source = ? AND path > ? ORDER BY path"
        return map(_row, self._db.execute(sql, (source, after)))

    def below(self, source: int, folder: str) -> Iterator[PathRow]:
        """Every row inside a folder, in path order."""
        sql = f"SELECT {_COLUMNS} FROM files WHERE source = ? AND path > ? AND path < ? ORDER BY path"
        # '0' is the character after '/'.
        return map(_row, self._db.execute(sql, (source, f"{folder}/", f"{folder}0")))

    def known(self, source: int) -> Iterator[IndexedFileRow]:
        """What a look compares with, in path order: every path with a row, whatever its local side."""
        sql = f"SELECT {_KNOWN} FROM files WHERE source = ? ORDER BY path"
        rows = self._db.execute(sql, (source,))
        # Reading some at a time spares the processor going back and forth between this and the disk.
        return chain.from_iterable(iter(partial(rows.fetchmany, _CHUNK), []))

    def known_at(self, source: int, paths: Sequence[str]) -> dict[str, IndexedFile]:
        """What a look at these paths compares with; of some nothing is known."""
        found: dict[str, IndexedFile] = {}
        for start in range(0, len(paths), _CHUNK):
            chunk = paths[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            sql = f"SELECT {_KNOWN} FROM files WHERE source = ? AND path IN ({marks})"
            found.update((row[0], IndexedFile._make(row)) for row in self._db.execute(sql, (source, *chunk)))
        return found

    def with_step(self, source: int, *steps: Step, after: str = "", limit: int = -1) -> list[PathRow]:
        """The first ``limit`` rows behind a path that ask for one of these steps, in path order; by default all."""
        marks = ",".join("?" * len(steps))
        sql = (
            f"SELECT {_COLUMNS} FROM files INDEXED BY files_work WHERE source = ? AND step <> 0 AND step IN ({marks}) "
            "AND path > ? ORDER BY path LIMIT ?"
        )
        return [_row(found) for found in self._db.execute(sql, (source, *steps, after, limit))]

    def lost_files(self, source: int, step: Step) -> list[tuple[str, str]]:
        """(path, base hash) of the deletes of one direction whose bytes live at no other path of the side that lost
        them: a rename is not a lost file.
        """
        side = "local_hash" if step is Step.PUSH_DELETE else "remote_hash"
        sql = (
            "SELECT path, base_hash FROM files WHERE source = ? AND step <> 0 AND step = ? AND base_hash NOT IN "
            f"(SELECT {side} FROM files WHERE source = ? AND {side} IS NOT NULL) ORDER BY path"
        )
        return [(path, digest) for path, digest in self._db.execute(sql, (source, step, source))]

    def totals(self, source: int) -> tuple[int, int]:
        """How many files the folder holds, and their bytes; costs what there is."""
        files, size = self._db.execute(
            "SELECT count(*), coalesce(sum(local_size), 0) FROM files WHERE source = ? AND local_presence = 1",
            (source,),
        ).fetchone()
        return files, size

    def count(self, source: int, step: Step) -> int:
        """How many rows ask for a step; costs what there is of it, whatever else is to be done."""
        sql = "SELECT count(*) FROM files INDEXED BY files_work WHERE source = ? AND step <> 0 AND step = ?"
        return int(self._db.execute(sql, (source, step)).fetchone()[0])

    def work(self, source: int) -> dict[Step, int]:
        """How many rows ask for each step; costs what is to be done, not what there is."""
        sql = "SELECT step, count(*) FROM files WHERE source = ? AND step <> 0 GROUP BY step"
        return {Step(step): count for step, count in self._db.execute(sql, (source,))}

    def reasons(self, source: int) -> dict[Reason, int]:
        """How many local files cannot be sent or looked at, by reason; costs what there is of them."""
        found = self._db.execute(
            "SELECT local_reason, count(*) FROM files INDEXED BY files_work WHERE source = ? AND step <> 0 "
            "AND step IN (?, ?) AND local_reason IS NOT NULL GROUP BY local_reason",
            (source, Step.SKIP, Step.UNKNOWN),
        )
        return {Reason(reason): count for reason, count in found}

    def unsendable(self, source: int) -> list[PathRow]:
        """Rows whose local file cannot be sent or looked at, in path order."""
        return [row for row in self.with_step(source, Step.SKIP, Step.UNKNOWN) if row.local.reason is not None]

    def remote_hashes(self, source: int) -> set[str]:
        """Every hash the server holds as some path's head."""
        sql = "SELECT DISTINCT remote_hash FROM files WHERE source = ? AND remote_hash IS NOT NULL"
        return {digest for (digest,) in self._db.execute(sql, (source,))}

    def has_files(self, source: int) -> bool:
        """Whether the folder holds any file at all, as far as it was looked at."""
        sql = "SELECT 1 FROM files WHERE source = ? AND local_presence IN (1, 2) LIMIT 1"
        return self._db.execute(sql, (source,)).fetchone() is not None

    def has_remote_files(self, source: int) -> bool:
        """Whether the server holds any file of the source at all, as far as it told."""
        sql = "SELECT 1 FROM files WHERE source = ? AND remote_hash IS NOT NULL LIMIT 1"
        return self._db.execute(sql, (source,)).fetchone() is not None

    def base_count(self, source: int) -> int:
        """How many paths both sides have agreed on."""
        (count,) = self._db.execute(
            "SELECT count(*) FROM files WHERE source = ? AND base_hash IS NOT NULL", (source,)
        ).fetchone()
        return int(count)

    def forget(self, source: int) -> None:
        """Drop everything known of a source's paths."""
        self._db.execute("DELETE FROM files WHERE source = ?", (source,))

    # The listing of a verification lives beside the trees and is compared in one query.

    def start_listing(self, source: int) -> None:
        """Begin a fresh listing."""
        self._db.execute("DELETE FROM listing WHERE source = ?", (source,))

    def add_listing(self, source: int, files: Iterable[RemoteFile]) -> None:
        """Add rows the server listed."""
        _LIST.write(self._db, [(source, file.path, file.hash, file.rev, file.remote_id) for file in files])

    def listed(self, source: int, paths: Sequence[str]) -> dict[str, str]:
        """The listed hashes of these paths."""
        found: dict[str, str] = {}
        for start in range(0, len(paths), _CHUNK):
            chunk = paths[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            sql = f"SELECT path, hash FROM listing WHERE source = ? AND path IN ({marks})"
            found.update(self._db.execute(sql, (source, *chunk)))
        return found

    def listing_differs(self, source: int) -> list[str]:
        """Paths the server lists with another hash than the remote tree holds, or that the tree does not hold."""
        sql = (
            "SELECT l.path FROM listing l LEFT JOIN files f ON f.source = l.source AND f.path = l.path "
            "WHERE l.source = ? AND l.hash IS NOT f.remote_hash ORDER BY l.path"
        )
        return [path for (path,) in self._db.execute(sql, (source,))]

    def listing_misses(self, source: int) -> list[str]:
        """Paths the remote tree holds and the server did not list."""
        sql = (
            "SELECT f.path FROM files f LEFT JOIN listing l ON l.source = f.source AND l.path = f.path "
            "WHERE f.source = ? AND f.remote_hash IS NOT NULL AND l.path IS NULL ORDER BY f.path"
        )
        return [path for (path,) in self._db.execute(sql, (source,))]


def _row(found: Sequence[Any]) -> PathRow:
    (path, base_hash, base_size, base_rev, presence, local_hash, local_size, reason) = found[:8]
    (mtime, ctime, inode, xxh3, racy, remote_hash, remote_rev, remote_id, position, step) = found[8:]
    base = Side(Presence.FILE, base_hash, base_size, None, base_rev) if base_hash is not None else ABSENT
    local = ABSENT
    if presence:
        local = Side(_PRESENCES[presence], local_hash, local_size, Reason(reason) if reason else None)
    remote = Side(Presence.FILE, remote_hash, None, None, remote_rev) if remote_hash is not None else ABSENT
    fingerprint = Fingerprint(local_size or 0, mtime, ctime, inode, xxh3, bool(racy)) if xxh3 is not None else None
    return PathRow(path, base, local, fingerprint, remote, remote_id, position, _STEPS[step])


def _seen_values(source: int, seen: Observation, presence: int, reason: str | None, step: int) -> tuple[Any, ...]:
    side, mark = seen.side, seen.fingerprint
    if mark is None:
        return (source, seen.path, presence, side.hash, side.size, reason, None, None, None, None, 0, step)
    return (
        source, seen.path, presence, side.hash, side.size, reason,
        mark.mtime_ns, mark.ctime_ns, mark.inode, mark.xxh3, 1 if mark.racy else 0, step,
    )  # fmt: skip


def _values(row: PathRow) -> tuple[Any, ...]:
    base, local, remote, mark = row.base, row.local, row.remote, row.fingerprint
    stat = (
        (mark.mtime_ns, mark.ctime_ns, mark.inode, mark.xxh3, int(mark.racy)) if mark else (None, None, None, None, 0)
    )
    return (
        row.path, base.hash, base.size, base.rev,
        int(local.presence), local.hash, local.size, local.reason.value if local.reason else None,
        *stat,
        remote.hash, remote.rev, row.remote_id, row.position, int(row.step),
    )  # fmt: skip
