"""The two servers of the simulation, and their content as every client sees it."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import orjson
from sqlalchemy import bindparam, select

from agent.hub.auth import JwtTokens, mint
from agent.hub.domain.model import EventType
from agent.hub.raven.endpoints import Hub
from agent.hub.store import tables as t
from agent.hub.store.session import SqlSession
from agent.hub.store.sql_store import SqlStore
from agent.hub.store.statements import SqliteTransaction, Statement, Transaction
from strict_raven import USER, WORKSPACE, Races, Response, StrictRaven, seeded_ids, token

_SECRET = b"a secret of the simulation, long enough for HS256" * 2
_AT_REST: list[_OneConnection] = []
"""Stores no world uses now: one that is used again has compiled its queries."""


def sha_of(text: str) -> str:
    """The identity of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a server shows at the end.

    Attributes:
        heads: path -> text.
        kept: hashes of every text that can be had from it: heads, versions, events, open conflicts.
        conflicts: open ones.
        applied: operation id -> how often an event says that it was applied.
        told: (path, hash) of every text an event says the server took at a path.
    """

    heads: dict[str, str]
    kept: frozenset[str]
    conflicts: int
    applied: Mapping[str, int]
    told: frozenset[tuple[str, str]]


class Server(Protocol):
    """What the world needs of a server."""

    bearer: str

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Answer one request."""
        ...

    def heads(self, source: str) -> dict[str, str]:
        """Path -> text of every file."""
        ...

    def evidence(self, source: str) -> Evidence:
        """What it shows of a source."""
        ...

    def log(self, source: str) -> list[tuple[int, str, str | None]]:
        """Cursor, path and sha256 of every text its events put at a path, in order; None for a delete."""
        ...

    def create_source(self) -> str:
        """The id of the source that all machines share."""
        ...

    def is_write(self, method: str, path: str) -> bool:
        """Whether a request changes what the server holds."""
        ...

    def close(self) -> None:
        """Nobody asks it any more."""
        ...

    def snapshot(self) -> Any:
        """A copy of all it holds."""
        ...

    def restore(self, copy: Any) -> None:
        """Hold what the copy holds, and nothing else."""
        ...


def call(server: Server, endpoint: str, body: Mapping[str, Any]) -> tuple[int, Any]:
    """One request past every fault: status and decoded answer."""
    headers = {
        "authorization": f"Bearer {server.bearer}",
        "x-workspace-id": WORKSPACE,
        "content-type": "application/json",
    }
    answer = server.handle("POST", f"/api/local-sync/{endpoint}", headers, orjson.dumps(body))
    return answer.status, orjson.loads(answer.body)


WRITES = ("push-batch", "update", "resolve", "pause", "resume")
"""Endpoints of Raven that change what the server holds, by the end of their paths."""


class _Raven:
    """What both Raven servers have in common."""

    def create_source(self: Any) -> str:
        """The id of the source that all machines share."""
        connector = call(self, "connectors/register", {"name": "world", "platform": "linux"})[1]["data"]["id"]
        body = {"name": "notes", "mode": "bidirectional", "connectorId": connector}
        return str(call(self, "sources", body)[1]["data"]["id"])

    def is_write(self, method: str, path: str) -> bool:
        """Whether a request changes what the server holds."""
        return path.endswith(WRITES)


class _OneConnection(SqlStore):
    """A store in memory whose transactions take its one connection past SQLAlchemy's pool."""

    def __init__(self) -> None:
        super().__init__("sqlite://")
        with self._writer.connect() as pooled:
            connection = pooled.connection.driver_connection
        assert isinstance(connection, sqlite3.Connection)
        self._connection = connection

    def empty(self) -> None:
        """Delete every row but the schema's number. A copy of an empty store would have all queries prepared anew."""
        with self._writing() as transaction:
            for table in reversed(t.metadata.sorted_tables):
                if table is not t.schema_info:
                    transaction.run(f"DELETE FROM {table.name}")

    def _reading(self) -> AbstractContextManager[Transaction]:
        # Nobody else writes while this reads, so each query alone shows the same snapshot.
        return contextlib.nullcontext(SqliteTransaction(self._connection))

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Transaction]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield SqliteTransaction(self._connection)
        except BaseException:
            self._connection.rollback()
            raise
        self._connection.commit()

    def give_back(self) -> None:
        """No world uses it now."""
        _AT_REST.append(self)


def store_in_memory() -> _OneConnection:
    """An empty store; it is given back at the end of its world."""
    found = _AT_REST.pop() if _AT_REST else _OneConnection()
    found.empty()
    return found


class HubServer(_Raven):
    """The embedded hub, in memory."""

    def __init__(self, seed: int, clock: Callable[[], float]) -> None:
        self.store = store_in_memory()
        self.snapshot, self.restore = self.store.snapshot, self.store.restore

        def milliseconds() -> int:
            return int(clock() * 1000)

        self._hub = Hub(self.store, milliseconds, seeded_ids(seed), tokens=JwtTokens(_SECRET))
        self.bearer = mint(_SECRET, workspace=WORKSPACE, user=USER, now=milliseconds(), days=4000.0)

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Answer one request."""
        answer = self._hub.handle(method, path, headers, body)
        return Response(answer.status, answer.headers, answer.read())

    def evidence(self, source: str) -> Evidence:
        """What it shows; texts are never removed from the table of contents."""
        with self.store.read() as session:
            conflicts = len(session.open_conflicts(_number(session, source)))
            kept = frozenset(digest.hex() for (digest,) in _KEPT.rows(session.transaction))
            written = _WRITTEN.rows(session.transaction)
            applied = Counter(operation for kind, operation in written if kind in _APPLYING)
            told = frozenset((path, digest.hex()) for path, digest in _TAKEN.rows(session.transaction))
            return Evidence(_heads(session, source), kept, conflicts, applied, told)

    def log(self, source: str) -> list[tuple[int, str, str | None]]:
        """As in ``Server``."""
        with self.store.read() as session:
            rows = _LOG.rows(session.transaction, s=_number(session, source))
        return [(cursor, path, digest and digest.hex()) for kind, cursor, path, digest in rows if kind in _APPLYING]

    def close(self) -> None:
        """Give the store back."""
        self.store.give_back()

    def heads(self, source: str) -> dict[str, str]:
        """Path -> text of every file."""
        with self.store.read() as session:
            return _heads(session, source)


def _heads(session: SqlSession, source: str) -> dict[str, str]:
    rows = session.files(_number(session, source), None, 10_000)
    texts = session.contents(1, [row.hash for row in rows if row.hash])
    return {row.path: texts[row.hash] for row in rows if row.hash}


def _number(session: SqlSession, source: str) -> int:
    found = session.source(WORKSPACE, source)
    assert found is not None
    return found.number


_APPLYING = {t.EVENT_CODES[EventType.UPSERT], t.EVENT_CODES[EventType.DELETE]}
_KEPT = Statement(select(t.contents.c.hash))
_WRITTEN = Statement(select(t.events.c.type, t.events.c.operation).where(t.events.c.operation.is_not(None)))
_TAKEN = Statement(
    select(t.files.c.path, t.events.c.hash).where(t.events.c.file == t.files.c.number, t.events.c.hash.is_not(None))
)
_LOG = Statement(
    select(t.events.c.type, t.events.c.cursor, t.files.c.path, t.events.c.hash)
    .where(t.events.c.source == bindparam("s"), t.files.c.source == bindparam("s"))
    .where(t.events.c.file == t.files.c.number)
    .order_by(t.events.c.cursor)
)


_FORGOTTEN = 600.0
"""Seconds after which nobody reads a skipped event again."""


class StrictServer(_Raven):
    """The server with every fault of the real one, its races included."""

    def __init__(self, seed: int, clock: Callable[[], float], skipped: float = 0.0) -> None:
        races = Races(seed, overwrite=0.5, skip=0.05, twice=0.5)
        if skipped:
            races = replace(races, skip=skipped, hold=_FORGOTTEN, reads=10**6)
        self.raven = StrictRaven(clock=clock, races=races)
        self.bearer = token()
        self.handle = self.raven.handle
        self.snapshot, self.restore = self.raven.snapshot, self.raven.restore

    def evidence(self, source: str) -> Evidence:
        """What it shows: a resolved or wiped conflict is not to be had any more."""
        (found,) = (s for s in self.raven.sources() if s.id == source)
        texts = {file.content for file in found.files.values()}
        texts |= {version.content for file in found.files.values() for version in file.versions}
        texts |= {event.payload["content"] for event in found.events if "content" in event.payload}
        conflicts = [c for c in found.conflicts.values() if c.status == "open"]
        for conflict in conflicts:
            texts |= {conflict.local_content, conflict.remote_content}
        applied = Counter(str(e.payload["operationId"]) for e in found.events if "operationId" in e.payload)
        told = frozenset(
            (event.path, sha_of(event.payload["content"]))
            for event in found.events
            if event.path and "content" in event.payload
        )
        return Evidence(self.heads(source), frozenset(map(sha_of, texts)), len(conflicts), applied, told)

    def log(self, source: str) -> list[tuple[int, str, str | None]]:
        """As in ``Server``."""
        (found,) = (s for s in self.raven.sources() if s.id == source)
        kinds = ("file.upsert", "file.delete")
        return [(e.cursor, e.path or "", e.payload.get("hash")) for e in found.events if e.type in kinds]

    def close(self) -> None:
        """Nothing is kept."""

    def heads(self, source: str) -> dict[str, str]:
        """Path -> text of every file."""
        return self.raven.heads(source)


RAVEN: dict[str, Callable[[int, Callable[[], float]], Server]] = {"hub": HubServer, "strict": StrictServer}
