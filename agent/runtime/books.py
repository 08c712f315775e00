"""The books of all sources of one account, opened when an adapter first reads them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from agent.core.scope import WHOLE
from agent.remotes.book import NO_BOOK, Book
from agent.runtime.local_index_reader import LocalIndexReader
from agent.settings.links import SourceEntry


class Books:
    """Returns the book of a source by the server's id of the source. Safe to use from several threads.

    Args:
        index_file: the index of this home.
        sources: returns the links of the account as they are now.
    """

    def __init__(self, index_file: Path, sources: Callable[[], Iterable[SourceEntry]]) -> None:
        self._index_file = index_file
        self._sources = sources
        self._lock = threading.Lock()
        self._readers: dict[int, LocalIndexReader] = {}

    def __call__(self, source_id: str) -> Book:
        """Return the book of a source; an empty one for a source that is not linked here."""
        linked = next((source for source in self._sources() if source.source_id == source_id), None)
        if linked is None:
            return NO_BOOK
        with self._lock:
            reader = self._readers.get(linked.key)
            if reader is None:
                reader = self._readers[linked.key] = LocalIndexReader(self._index_file, linked.key)
        return reader.book(WHOLE if linked.preference is None else linked.preference.scope)

    def close(self) -> None:
        """Close the connections to the index. The next read opens them again."""
        with self._lock:
            readers = list(self._readers.values())
        for reader in readers:
            reader.close()
