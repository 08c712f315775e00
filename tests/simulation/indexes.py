"""Indexes in memory."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence

from agent.core.model import IndexedFile, IndexedFileRow
from agent.index.store import Index, open_index

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


def index_of(copy: bytes | None = None) -> Index:
    """An index in memory, opened as the product opens one: empty, or from a copy."""
    if not _EMPTY:
        with contextlib.closing(open_index(":memory:")) as empty:
            _EMPTY.append(empty.connection.serialize())
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.deserialize(copy or _EMPTY[0])
    return Index(connection)


def generation_of(index: sqlite3.Connection) -> int:
    """How often it was put to work."""
    row = index.execute("SELECT number FROM generation").fetchone()
    return int(row[0]) if row else 0
