"""The book that adapters read: the committed server side of one source in the index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

from agent.core.scope import WHOLE, Scope
from agent.index import Index
from agent.index.trees import PathRow
from agent.remotes.book import BookEntry, PushedContent


class IndexBook:
    """``Book`` over the index.

    Args:
        reading: gives an index for one read; the same one must not be given to two threads at once.
        source: the key of the source.
        scope: the part of the source that this machine keeps.
    """

    def __init__(self, reading: Callable[[], AbstractContextManager[Index]], source: int, scope: Scope = WHOLE) -> None:
        self._reading = reading
        self._source = source
        self._scope = scope

    def path_of(self, remote_id: str) -> str | None:
        """See ``Book``."""
        with self._reading() as index:
            return index.trees.with_remote_id(self._source, remote_id)

    def entry_at(self, path: str) -> BookEntry | None:
        """See ``Book``."""
        with self._reading() as index:
            return _entry(index.trees.get(self._source, [path])[path])

    def files_below(self, path: str) -> Iterator[BookEntry]:
        """See ``Book``. The files are read at once: a move of the folder concerns them all."""
        with self._reading() as index:
            rows = index.trees.below(self._source, path) if path else index.trees.all(self._source)
            return iter([entry for row in rows if (entry := _entry(row)) is not None])

    def folder_id(self, path: str) -> str | None:
        """See ``Book``."""
        with self._reading() as index:
            found = index.folders.at(self._source, path)
            return None if found is None else found.id

    def folder_path(self, folder_id: str) -> str | None:
        """See ``Book``."""
        with self._reading() as index:
            found = index.folders.get(self._source, folder_id)
            return None if found is None else found.path

    def has_other_folder(self, path: str, folder_id: str) -> bool:
        """See ``Book``."""
        with self._reading() as index:
            return index.folders.has_other(self._source, path, folder_id)

    def is_kept(self, path: str) -> bool:
        """See ``Book``."""
        return self._scope.rule_against(path) is None

    def operation_for(self, remote_id: str | None, rev: str | None, path: str, digest: str | None) -> str | None:
        """See ``Book``."""
        with self._reading() as index:
            return index.operations.made_by_us(self._source, path, digest, remote_id, rev)

    def pushed_to(self, path: str) -> Sequence[PushedContent]:
        """See ``Book``."""
        with self._reading() as index:
            found = [(each, each.operation) for each in index.operations.of_path(self._source, path)]
        return [PushedContent(o.hash, each.rev, o.base, o.base_rev, each.resume) for each, o in reversed(found)]


def _entry(row: PathRow) -> BookEntry | None:
    side = row.remote
    if not side.is_file or side.hash is None:
        return None
    return BookEntry(row.path, side.remote_id, side.rev, side.hash, side.size)
