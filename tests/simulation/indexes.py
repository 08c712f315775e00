"""Indexes in memory."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence

from agent.core.model import IndexedFile, IndexedFileRow
from agent.index.store import Index, open_index
from simulation.stored import FollowedConnection

SOURCE = 1
"""The one source there is, as indexes know it."""


class MemoryFile:
    """The part of ``pathlib.Path`` that ``generation.advance`` needs, in memory: a life then touches no real disk."""

    def __init__(self) -> None:
        self._text = ""

    @property
    def name(self) -> str:
        """A name without meaning."""
        return "generation"

    def with_name(self, _name: str) -> MemoryFile:
        """A partial file beside this one."""
        return MemoryFile()

    def touch(self, mode: int) -> None:
        """Nothing to do: ``mode`` has no meaning in memory."""

    def write_text(self, text: str) -> None:
        """Hold a text."""
        self._text = text

    def read_text(self) -> str:
        """Return the text."""
        return self._text

    def replace(self, target: MemoryFile) -> None:
        """Give the text to the target."""
        target._text = self._text


class Memory:
    """Reads the local side of the index."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def known(self) -> Iterator[IndexedFileRow]:
        """Every path, sorted."""
        return iter(list(self._index.trees.known(SOURCE)))

    def known_at(self, paths: Sequence[str]) -> dict[str, IndexedFile]:
        """These paths, as far as anything is known of them."""
        return self._index.trees.known_at(SOURCE, paths)

    def mounts(self) -> frozenset[str]:
        """Folders that were file systems of their own."""
        return self._index.sources.get(SOURCE).mounts


_EMPTY: list[bytes] = []
_AT_REST: list[sqlite3.Connection] = []
"""Connections of indexes that no machine uses now, emptied: preparing the statements anew took a tenth of a life."""
_STATEMENTS = 400


def index_of(copy: bytes | None = None) -> Index:
    """An index in memory, opened as the product opens one: empty, or from a copy."""
    if not _EMPTY:
        with contextlib.closing(open_index(":memory:")) as empty:
            _EMPTY.append(empty.connection.serialize())
    if copy is None and _AT_REST:
        return Index(_AT_REST.pop())
    connection = sqlite3.connect(
        ":memory:", isolation_level=None, check_same_thread=False, cached_statements=_STATEMENTS,
        factory=FollowedConnection,
    )  # fmt: skip
    # Copied, because a database that was deserialized writes each changed page twice, and locks an imagined file.
    with contextlib.closing(sqlite3.connect(":memory:")) as past:
        past.deserialize(copy or _EMPTY[0])
        past.backup(connection)
    return Index(connection)


def put_aside(index: Index) -> None:
    """Empty an index that nobody uses any more, and keep its connection for another."""
    connection = index.connection
    assert isinstance(connection, FollowedConnection)
    connection.follow = None
    empty(connection)
    _AT_REST.append(connection)


def empty(connection: sqlite3.Connection) -> None:
    """Delete every row but the records of the migrations, and let the numbers of rows begin at 1 again."""
    tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND substr(name, 1, 1) <> '_' AND name NOT LIKE ?"
    connection.execute("BEGIN")
    for (table,) in connection.execute(tables, ("sqlite_%",)).fetchall():
        connection.execute(f"DELETE FROM {table}")
    connection.execute("DELETE FROM sqlite_sequence WHERE substr(name, 1, 1) <> '_'")
    connection.execute("COMMIT")


def generation_of(index: sqlite3.Connection) -> int:
    """How often it was put to work."""
    row = index.execute("SELECT number FROM generation").fetchone()
    return int(row[0]) if row else 0
