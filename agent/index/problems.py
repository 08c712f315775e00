"""Paths that cannot be synced, each with the reason."""

from __future__ import annotations

import enum
import sqlite3
from collections.abc import Iterable

from msgspec import Struct

from agent.core.model import Reason


class ProblemOrigin(enum.StrEnum):
    """The work that met a problem. Only the same work clears it."""

    LOOK = "look"
    PUSH = "push"
    PULL = "pull"
    REMOTE = "remote"
    UNDO = "undo"


class PathProblem(Struct, frozen=True, gc=False):
    """One path that cannot be synced.

    Attributes:
        path: readable form; bytes that are not UTF-8 as U+FFFD.
        text: one sentence for a person.
        since: first time it was met; seconds since the epoch.
        retry_at: time of the next automatic try; None: when the file changes or a person asks.
        raw: the name's bytes where it is not UTF-8.
    """

    path: str
    origin: ProblemOrigin
    reason: Reason
    text: str
    since: float
    retry_at: float | None = None
    raw: bytes | None = None


class Problems:
    """Reads and writes problems; decides nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def all(self, source: int) -> list[PathProblem]:
        """Return every problem of a source in path order."""
        sql = "SELECT path, origin, reason, text, since, retry_at, raw FROM problems WHERE source = ? ORDER BY path"
        return [
            PathProblem(path, ProblemOrigin(origin), Reason(reason), text, since, retry_at, raw)
            for path, origin, reason, text, since, retry_at, raw in self._db.execute(sql, (source,))
        ]

    def add(self, source: int, problems: Iterable[PathProblem]) -> None:
        """Write problems, one a path and origin. ``since`` of an older row stays, so people see how long it lasts."""
        self._db.executemany(
            "INSERT INTO problems (source, path, raw, origin, reason, text, since, met_at, retry_at) "
            "VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (source, path, origin) DO UPDATE SET reason = excluded.reason, "
            "text = excluded.text, met_at = excluded.met_at, retry_at = excluded.retry_at, raw = excluded.raw",
            ((source, p.path, p.raw, p.origin, p.reason, p.text, p.since, p.since, p.retry_at) for p in problems),
        )

    def clear(self, source: int, paths: Iterable[str], *origins: ProblemOrigin) -> None:
        """Delete the problems of these paths and origins."""
        self._db.executemany(
            "DELETE FROM problems WHERE source = ? AND path = ? AND origin = ?",
            ((source, path, origin) for path in paths for origin in origins),
        )

    def clear_stale(self, source: int, origin: ProblemOrigin, before: float) -> None:
        """Delete problems of one origin that were last met before ``before``, the begin of a whole scan."""
        self._db.execute(
            "DELETE FROM problems WHERE source = ? AND origin = ? AND met_at < ?", (source, origin, before)
        )

    def forget(self, source: int) -> None:
        """Delete every problem of a source."""
        self._db.execute("DELETE FROM problems WHERE source = ?", (source,))
