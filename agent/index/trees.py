"""The three trees: base, local and remote side of every path, and the step that follows from them."""

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
    Side,
)
from agent.core.reconcile import Step
from agent.core.state_digest import state_digest
from agent.index.bulk_insert import Insert
from agent.index.revisions import SAME, stored

_COLUMNS: Final = (
    "path, base_hash, base_size, base_rev, base_id, local_presence, local_hash, local_size, local_reason, "
    "mtime_ns, ctime_ns, inode, xxh3, racy, remote_hash, remote_size, remote_rev, remote_id, position, step"
)
_KNOWN: Final = "path, local_size, mtime_ns, ctime_ns, inode, racy, local_presence, local_reason, local_hash, xxh3"
_CHUNK: Final = 500
_DIGESTED: Final = 5000
_PRESENCES: Final = tuple(Presence)
_STEPS: Final = tuple(Step)
"""Members by number; the numbers have no gaps."""
_PUT: Final = Insert(f"INSERT OR REPLACE INTO files (source, {_COLUMNS})", 21)
_ADD: Final = Insert(
    "INSERT INTO files (source, path, local_presence, local_hash, local_size, local_reason, mtime_ns, ctime_ns, inode, "
    "xxh3, racy, step)",
    12,
)


class PathRow(Struct, frozen=True, gc=False):
    """One path's trees.

    Attributes:
        path: relative path.
        base, local, remote: the three sides.
        fingerprint: stat of the local file; that of a deleted file stays until the delete is agreed.
        position: newest event of the feed applied to the remote side.
        step: the work that follows from the three sides.
    """

    path: str
    base: Side = ABSENT
    local: Side = ABSENT
    fingerprint: Fingerprint | None = None
    remote: Side = ABSENT
    position: int = 0
    step: Step = Step.NOTHING

    @property
    def is_empty(self) -> bool:
        """True if all three sides are empty, so that the table needs no row."""
        local = self.local.presence
        if local is Presence.FILE or local is Presence.UNKNOWN:
            return False
        return not self.base.is_file and not self.remote.is_file


class Trees:
    """Reads and writes rows; decides nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def get(self, source: int, paths: Sequence[str]) -> dict[str, PathRow]:
        """Return the rows of these paths; unknown paths have empty rows."""
        rows = {path: PathRow(path) for path in paths}
        for start in range(0, len(paths), _CHUNK):
            chunk = paths[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            sql = f"SELECT {_COLUMNS} FROM files WHERE source = ? AND path IN ({marks})"
            rows.update((found[0], _row(found)) for found in self._db.execute(sql, (source, *chunk)))
        return rows

    def steps_at(self, source: int, paths: Sequence[str]) -> dict[Step, int]:
        """Return the number of rows of each step among these paths. A path without a row is not counted."""
        found: dict[Step, int] = {}
        for start in range(0, len(paths), _CHUNK):
            chunk = paths[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            sql = f"SELECT step, count(*) FROM files WHERE source = ? AND path IN ({marks}) GROUP BY step"
            for step, count in self._db.execute(sql, (source, *chunk)):
                found[_STEPS[step]] = found.get(_STEPS[step], 0) + count
        return found

    def put(self, source: int, rows: Iterable[PathRow]) -> None:
        """Write rows; empty rows are deleted."""
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
        """True if there is a row of any path from ``first`` to ``last``, both included."""
        sql = "SELECT 1 FROM files WHERE source = ? AND path >= ? AND path <= ? LIMIT 1"
        return self._db.execute(sql, (source, first, last)).fetchone() is not None

    def add(
        self, source: int, found: Iterable[Observation], steps: Mapping[tuple[Presence, Reason | None], Step]
    ) -> None:
        """Write the local sides of paths that have no row. Cheapest in path order.

        Args:
            steps: the step of each category of local side.
        """
        codes = {key: (int(key[0]), key[1].value if key[1] else None, int(step)) for key, step in steps.items()}
        _ADD.write(self._db, [_seen_values(source, seen, *codes[seen.side.category]) for seen in found])

    def all(self, source: int, after: str = "") -> Iterator[PathRow]:
        """Return every row in path order."""
        sql = f"SELECT {_COLUMNS} FROM files WHERE source = ? AND path > ? ORDER BY path"
        return map(_row, self._db.execute(sql, (source, after)))

    def restart_positions(self, source: int) -> None:
        """Set the position of the newest event of every row to 0."""
        self._db.execute("UPDATE files SET position = 0 WHERE source = ? AND position <> 0", (source,))

    def below(self, source: int, folder: str) -> Iterator[PathRow]:
        """Return every row inside a folder in path order."""
        sql = f"SELECT {_COLUMNS} FROM files WHERE source = ? AND path > ? AND path < ? ORDER BY path"
        # '0' is the character after '/'.
        return map(_row, self._db.execute(sql, (source, f"{folder}/", f"{folder}0")))

    def names_in(self, source: int, folder: str, after: str, limit: int) -> list[tuple[str, PathRow | None]]:
        """Return what is directly in a folder, in path order: each path, with its row if it is a file.

        The cost grows with the names that are returned, not with the files below them.

        Args:
            folder: path without a slash at its end; empty for the root.
            after: path of the last name that was returned, a folder's with a slash at its end; empty to begin.
            limit: number of names at most.
        """
        prefix = f"{folder}/" if folder else ""
        # '0' is the character after '/'; the largest character ends the root.
        end = f"{folder}0" if folder else "\U0010ffff"
        sql = f"SELECT {_COLUMNS} FROM files WHERE source = ? AND path > ? AND path < ? ORDER BY path LIMIT 1"
        found: list[tuple[str, PathRow | None]] = []
        at = max(after, prefix)
        while len(found) < limit:
            first = self._db.execute(sql, (source, at, end)).fetchone()
            if first is None:
                break
            name, slash, _ = first[0][len(prefix) :].partition("/")
            path = prefix + name
            if not slash:
                found.append((path, _row(first)))
                at = path
                continue
            if f"{path}/" != after:
                found.append((path, None))
            at = f"{path}0"
        return found

    def matching(self, source: int, pattern: str, after: str) -> Iterator[PathRow]:
        """Return rows whose path matches, in path order; upper and lower case of ASCII letters are equal.

        Args:
            pattern: with ``*``, ``?`` or ``[`` a pattern for the whole path, in which ``*`` also matches slashes;
                else a part of the path.
        """
        sql = f"SELECT {_COLUMNS} FROM files WHERE source = ? AND path > ? AND lower(path) GLOB ? ORDER BY path"
        return map(_row, self._db.execute(sql, (source, after, glob_of(pattern))))

    def with_remote_id(self, source: int, remote_id: str) -> str | None:
        """Return the path at which the server has the file with this id; None if no row says so. Reads every row."""
        sql = "SELECT path FROM files WHERE source = ? AND remote_id = ? AND remote_hash IS NOT NULL LIMIT 1"
        found = self._db.execute(sql, (source, remote_id)).fetchone()
        return None if found is None else str(found[0])

    def known(self, source: int) -> Iterator[IndexedFileRow]:
        """Return the local side of every row in path order, for a whole scan to compare with."""
        sql = f"SELECT {_KNOWN} FROM files WHERE source = ? ORDER BY path"
        rows = self._db.execute(sql, (source,))
        # Reading rows in chunks is faster than switching between SQLite and the disk for each row.
        return chain.from_iterable(iter(partial(rows.fetchmany, _CHUNK), []))

    def known_at(self, source: int, paths: Sequence[str]) -> dict[str, IndexedFile]:
        """Return the local side of these paths, for a scan of single paths; unknown paths are left out."""
        found: dict[str, IndexedFile] = {}
        for start in range(0, len(paths), _CHUNK):
            chunk = paths[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            sql = f"SELECT {_KNOWN} FROM files WHERE source = ? AND path IN ({marks})"
            found.update((row[0], IndexedFile._make(row)) for row in self._db.execute(sql, (source, *chunk)))
        return found

    def with_step(self, source: int, *steps: Step, after: str = "", limit: int = -1) -> list[PathRow]:
        """Return the first ``limit`` rows behind a path that have one of these steps, in path order; by default all."""
        marks = ",".join("?" * len(steps))
        sql = (
            f"SELECT {_COLUMNS} FROM files INDEXED BY files_work WHERE source = ? AND step <> 0 AND step IN ({marks}) "
            "AND path > ? ORDER BY path LIMIT ?"
        )
        return [_row(found) for found in self._db.execute(sql, (source, *steps, after, limit))]

    def totals(self, source: int) -> tuple[int, int]:
        """Return the number of local files and their bytes. Reads every row."""
        files, size = self._db.execute(
            "SELECT count(*), coalesce(sum(local_size), 0) FROM files WHERE source = ? AND local_presence = 1",
            (source,),
        ).fetchone()
        return files, size

    def count(self, source: int, step: Step) -> int:
        """Return the number of rows with a step. Reads only those rows."""
        sql = "SELECT count(*) FROM files INDEXED BY files_work WHERE source = ? AND step <> 0 AND step = ?"
        return int(self._db.execute(sql, (source, step)).fetchone()[0])

    def work(self, source: int) -> dict[Step, int]:
        """Return the number of rows of each step. Reads only rows with work."""
        sql = "SELECT step, count(*) FROM files WHERE source = ? AND step <> 0 GROUP BY step"
        return {Step(step): count for step, count in self._db.execute(sql, (source,))}

    def reasons(self, source: int) -> dict[Reason, int]:
        """Return the number of local files that cannot be sent or read, by reason. Reads only those rows."""
        found = self._db.execute(
            "SELECT local_reason, count(*) FROM files INDEXED BY files_work WHERE source = ? AND step <> 0 "
            "AND step IN (?, ?) AND local_reason IS NOT NULL GROUP BY local_reason",
            (source, Step.SKIP, Step.UNKNOWN),
        )
        return {Reason(reason): count for reason, count in found}

    def unsendable(self, source: int) -> list[PathRow]:
        """Return rows whose local file cannot be sent or read, in path order."""
        return [row for row in self.with_step(source, Step.SKIP, Step.UNKNOWN) if row.local.reason is not None]

    def remote_hashes_among(self, source: int, hashes: Sequence[str]) -> set[str]:
        """Return those of some hashes that are the server's head of some path. Reads every row, and keeps few."""
        found: set[str] = set()
        for start in range(0, len(hashes), _CHUNK):
            chunk = hashes[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            sql = f"SELECT remote_hash FROM files WHERE source = ? AND remote_hash IN ({marks})"
            found.update(digest for (digest,) in self._db.execute(sql, (source, *chunk)))
        return found

    def remote_hashes(self, source: int) -> set[str]:
        """Return every hash that is the server's head of some path."""
        sql = "SELECT DISTINCT remote_hash FROM files WHERE source = ? AND remote_hash IS NOT NULL"
        return {digest for (digest,) in self._db.execute(sql, (source,))}

    def remote_digest(self, source: int) -> str:
        """Return the digest of the remote tree; see ``state_digest``. Reads every row."""
        sql = "SELECT path, remote_hash FROM files WHERE source = ? AND remote_hash IS NOT NULL ORDER BY path"
        rows = self._db.execute(sql, (source,))
        return state_digest(iter(partial(rows.fetchmany, _DIGESTED), []))

    def has_files(self, source: int) -> bool:
        """True if the folder holds any file or any path that could not be read."""
        sql = "SELECT 1 FROM files WHERE source = ? AND local_presence IN (1, 2) LIMIT 1"
        return self._db.execute(sql, (source,)).fetchone() is not None

    def has_remote_files(self, source: int) -> bool:
        """True if the remote tree holds any file."""
        sql = "SELECT 1 FROM files WHERE source = ? AND remote_hash IS NOT NULL LIMIT 1"
        return self._db.execute(sql, (source,)).fetchone() is not None

    def base_count(self, source: int) -> int:
        """Return the number of paths with a base."""
        (count,) = self._db.execute(
            "SELECT count(*) FROM files WHERE source = ? AND base_hash IS NOT NULL", (source,)
        ).fetchone()
        return int(count)

    def forget(self, source: int) -> None:
        """Delete every row of a source."""
        self._db.execute("DELETE FROM files WHERE source = ?", (source,))


def glob_of(pattern: str) -> str:
    """Return the SQL GLOB for a pattern of a whole path, or for a part of one; to be compared with ``lower(path)``."""
    wanted = pattern.lower()
    return wanted if any(sign in wanted for sign in "*?[") else f"*{wanted}*"


def _row(found: Sequence[Any]) -> PathRow:
    (path, base_hash, base_size, base_rev, base_id, presence, local_hash, local_size, reason) = found[:9]
    (mtime, ctime, inode, xxh3, racy, remote_hash, remote_size, remote_rev, remote_id, position, step) = found[9:]
    base = remote = ABSENT
    if base_hash is not None:
        base = Side(Presence.FILE, base_hash, base_size, None, base_hash if base_rev == SAME else base_rev, base_id)
    local = ABSENT
    if presence:
        local = Side(_PRESENCES[presence], local_hash, local_size, Reason(reason) if reason else None)
    if remote_hash is not None:
        remote_rev = remote_hash if remote_rev == SAME else remote_rev
        remote = Side(Presence.FILE, remote_hash, remote_size, None, remote_rev, remote_id)
    fingerprint = Fingerprint(local_size or 0, mtime, ctime, inode, xxh3, bool(racy)) if xxh3 is not None else None
    return PathRow(path, base, local, fingerprint, remote, position, _STEPS[step])


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
        row.path, base.hash, base.size, stored(base.rev, base.hash), base.remote_id,
        int(local.presence), local.hash, local.size, local.reason.value if local.reason else None,
        *stat,
        remote.hash, remote.size, stored(remote.rev, remote.hash), remote.remote_id, row.position, int(row.step),
    )  # fmt: skip
