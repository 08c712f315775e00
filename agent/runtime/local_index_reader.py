"""Read the local side of one source from the index, beside the index's writer."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.core.model import IndexedFile, IndexedFileRow
from agent.core.scope import WHOLE, Scope
from agent.index import Index, open_reader
from agent.runtime.index_book import IndexBook


class LocalIndexReader:
    """A read-only connection to the index, opened when it is first needed. Safe to use from several threads."""

    def __init__(self, path: Path, source: int) -> None:
        self._path = path
        self._source = source
        self._lock = threading.Lock()
        self._reader: Index | None = None

    def book(self, scope: Scope = WHOLE) -> IndexBook:
        """Return the server side of the same source, for the adapter; ``scope`` is the part that is kept here."""
        return IndexBook(self._reading, self._source, scope)

    def close(self) -> None:
        """Close the connection. The next call opens it again."""
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Index]:
        """Give the connection that all short reads share."""
        with self._lock:
            if self._reader is None:
                self._reader = open_reader(self._path)
            yield self._reader

    def known(self) -> Iterator[IndexedFileRow]:
        """Iterate over every path, sorted. Uses a connection of its own, which closes with the iterator."""
        with contextlib.closing(open_reader(self._path)) as index:
            yield from index.trees.known(self._source)

    def known_at(self, paths: Sequence[str]) -> dict[str, IndexedFile]:
        """Return the indexed files at these paths; paths without one are left out."""
        with self._reading() as index:
            return index.trees.known_at(self._source, paths)

    def mounts(self) -> frozenset[str]:
        """Return the folders that were mount points at the last scan."""
        with self._reading() as index:
            return index.sources.get(self._source).mounts
