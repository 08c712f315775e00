"""What is known of a source as a whole: its place in the feed, its problems, and what happened to its files."""

from __future__ import annotations

import enum
import json
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from agent.core.model import Reason
from agent.index.bulk_insert import Insert

_HAPPENED: Final = Insert("INSERT INTO activity (source, at, path, what, detail, operation_id)", 6)
_SOURCE_COLUMNS: Final = (
    "feed_state, cursor, remote_paused, max_bytes, looked_at, verified_at, synced_at, halted, rejoin, moved, "
    "held_since, mounts"
)


class SourceRow(Struct, frozen=True, gc=False):
    """Where a source stands.

    Attributes:
        feed_state: the dialect's own position; None before the first page.
        cursor: the same for people.
        remote_paused: the server paused the source for all machines.
        max_bytes: the largest content the server took, once learned.
        looked_at, verified_at, synced_at: when the folder was last looked at as a whole, compared with the server's
            listing, and at rest; seconds since the epoch.
        halted: why everything stands still until a person lifts it.
        rejoin: lifting it compares both sides as at a first link.
        moved: the folder is a copy, or another one, since it was last looked at: what it lacks was not deleted in it.
        held_since: when deletes began to wait for a person; seconds since the epoch.
        mounts: folders below the root that were file systems of their own when last seen.
    """

    feed_state: str | None = None
    cursor: str | None = None
    remote_paused: bool = False
    max_bytes: int | None = None
    looked_at: float | None = None
    verified_at: float | None = None
    synced_at: float | None = None
    halted: str | None = None
    rejoin: bool = False
    moved: bool = False
    held_since: float | None = None
    mounts: frozenset[str] = frozenset()


class ProblemOrigin(enum.StrEnum):
    """Which work met the problem, and so which work lifts it."""

    LOOK = "look"
    PUSH = "push"
    PULL = "pull"
    REMOTE = "remote"


class PathProblem(Struct, frozen=True, gc=False):
    """One path that cannot be synced, and why.

    Attributes:
        path: readable form; undecodable bytes as U+FFFD.
        raw: the name's bytes where it is not UTF-8.
        retry_at: when to try again by itself; None: when the file changes or a person asks.
    """

    path: str
    origin: ProblemOrigin
    reason: Reason
    text: str
    since: float
    retry_at: float | None = None
    raw: bytes | None = None


class ActivityEntry(Struct, frozen=True, gc=False):
    """One line of the activity log."""

    id: int
    source: int
    at: float
    path: str
    what: str
    detail: str | None
    operation_id: str | None


class Notes:
    """Reads and writes standings, problems and activity; decides nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def source_row(self, source: int) -> SourceRow:
        """Where a source stands; a fresh one stands at the beginning."""
        row = self._db.execute(f"SELECT {_SOURCE_COLUMNS} FROM sources WHERE source = ?", (source,)).fetchone()
        if row is None:
            return SourceRow()
        standing = SourceRow(*row)
        return replace(
            standing,
            remote_paused=bool(standing.remote_paused),
            rejoin=bool(standing.rejoin),
            moved=bool(standing.moved),
            mounts=frozenset(json.loads(row[-1])),
        )

    def update_source_row(self, source: int, standing: SourceRow) -> None:
        """Write where a source stands."""
        self._db.execute(
            f"INSERT OR REPLACE INTO sources (source, {_SOURCE_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                source, standing.feed_state, standing.cursor, int(standing.remote_paused), standing.max_bytes,
                standing.looked_at, standing.verified_at, standing.synced_at, standing.halted, int(standing.rejoin),
                int(standing.moved),
                standing.held_since, json.dumps(sorted(standing.mounts)),
            ),
        )  # fmt: skip

    def problems(self, source: int) -> list[PathProblem]:
        """Every problem of a source, in path order."""
        sql = "SELECT path, origin, reason, text, since, retry_at, raw FROM problems WHERE source = ? ORDER BY path"
        return [
            PathProblem(path, ProblemOrigin(origin), Reason(reason), text, since, retry_at, raw)
            for path, origin, reason, text, since, retry_at, raw in self._db.execute(sql, (source,))
        ]

    def add_problems(self, source: int, problems: Iterable[PathProblem]) -> None:
        """Note problems; one a path and origin. The first moment stays, so that people see how long it lasts."""
        self._db.executemany(
            "INSERT INTO problems (source, path, raw, origin, reason, text, since, met_at, retry_at) "
            "VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (source, path, origin) DO UPDATE SET reason = excluded.reason, "
            "text = excluded.text, met_at = excluded.met_at, retry_at = excluded.retry_at, raw = excluded.raw",
            ((source, p.path, p.raw, p.origin, p.reason, p.text, p.since, p.since, p.retry_at) for p in problems),
        )

    def clear_problems(self, source: int, paths: Iterable[str], *origins: ProblemOrigin) -> None:
        """These paths have no such problem any more."""
        self._db.executemany(
            "DELETE FROM problems WHERE source = ? AND path = ? AND origin = ?",
            ((source, path, origin) for path in paths for origin in origins),
        )

    def clear_stale_problems(self, source: int, origin: ProblemOrigin, before: float) -> None:
        """Drop problems of this origin that the look begun at ``before`` did not meet again."""
        self._db.execute(
            "DELETE FROM problems WHERE source = ? AND origin = ? AND met_at < ?", (source, origin, before)
        )

    def approve(self, source: int, paths: Iterable[tuple[str, str]]) -> None:
        """A person approved deleting these (path, hash)."""
        self._db.executemany(
            "INSERT OR REPLACE INTO approved (source, path, hash) VALUES (?,?,?)",
            ((source, path, digest) for path, digest in paths),
        )

    def approved(self, source: int) -> dict[str, str]:
        """Approved deletes by path."""
        return dict(self._db.execute("SELECT path, hash FROM approved WHERE source = ?", (source,)))

    def drop_approvals(self, source: int, paths: Iterable[str]) -> None:
        """These deletes are done, or mean something else by now."""
        self._db.executemany("DELETE FROM approved WHERE source = ? AND path = ?", ((source, path) for path in paths))

    def append_activity(
        self, source: int, now: float, entries: Iterable[tuple[str, str, str | None, str | None]]
    ) -> None:
        """Add (path, what, detail, operation id) lines to the activity log."""
        _HAPPENED.write(self._db, [(source, now, *entry) for entry in entries])

    def activity(self, source: int | None, after: int, limit: int) -> Iterator[ActivityEntry]:
        """Lines after an id, oldest first; with ``after`` 0 the newest ``limit`` lines, still oldest first."""
        where = "id > :after" if source is None else "id > :after AND source = :source"
        order = "ASC" if after else "DESC"
        sql = (
            f"SELECT * FROM (SELECT id, source, at, path, what, detail, operation_id FROM activity WHERE {where} "
            f"ORDER BY id {order} LIMIT :limit) ORDER BY id"
        )
        rows: Iterable[Any] = self._db.execute(sql, {"after": after, "source": source, "limit": limit})
        return (ActivityEntry(*row) for row in rows)

    def prune_activity(self, before: float) -> None:
        """Forget activity older than this, up to the first line that is not; costs what there is of it."""
        first = self._db.execute("SELECT id FROM activity WHERE at >= ? ORDER BY id LIMIT 1", (before,)).fetchone()
        if first is None:
            self._db.execute("DELETE FROM activity")
        else:
            self._db.execute("DELETE FROM activity WHERE id < ?", first)

    def detach_from_other_machine(self, source: int) -> None:
        """What a person approved on another machine was approved there."""
        self._db.execute("DELETE FROM approved WHERE source = ?", (source,))

    def forget(self, source: int) -> None:
        """Drop everything of a source but its activity."""
        self._db.execute("DELETE FROM sources WHERE source = ?", (source,))
        self._db.execute("DELETE FROM problems WHERE source = ?", (source,))
        self._db.execute("DELETE FROM listing WHERE source = ?", (source,))
        self._db.execute("DELETE FROM approved WHERE source = ?", (source,))
