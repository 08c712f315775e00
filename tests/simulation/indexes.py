"""Indexes in memory."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from agent.core.model import Known
from agent.index import generation
from agent.index.store import Index, open_index

SOURCE = 1
"""The one source there is, as indexes know it."""


class Memory:
    """Reads the local side of the index."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def known(self) -> Iterator[Known]:
        """Every path, sorted."""
        return iter(list(self._index.trees.known(SOURCE)))

    def known_at(self, paths: Sequence[str]) -> dict[str, Known]:
        """These paths."""
        rows = self._index.trees.get(SOURCE, paths)
        return {path: Known(path, row.local, row.fingerprint) for path, row in rows.items()}

    def mounts(self) -> frozenset[str]:
        """Folders that were file systems of their own."""
        return self._index.notes.standing(SOURCE).mounts


_EMPTY: list[bytes] = []


class Slip:
    """A piece of paper on which one text can stand: what ``generation.advance`` needs of a file beside the index."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._text: str | None = None

    def with_name(self, name: str) -> Slip:
        """An empty one."""
        return Slip(name)

    def read_text(self) -> str:
        """What stands on it. Raises FileNotFoundError while nothing does."""
        if self._text is None:
            raise FileNotFoundError(self.name)
        return self._text

    def write_text(self, text: str) -> None:
        """Let this stand on it."""
        self._text = text

    def replace(self, other: Slip) -> None:
        """Let the other say what this one does."""
        other._text = self._text


def begin_generation(index: Index, beside: Slip) -> bool:
    """Put an index to work; whether it is older than the one that was last."""
    return generation.advance(index, cast(Path, beside))


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
