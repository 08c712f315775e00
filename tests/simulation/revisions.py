"""The revisions in the index, compared with their contents.

On a Raven server the revision of a content is its hash. So any place that forgets a revision, or keeps that of another
content, shows here after the step in which it did so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agent.core.model import Purpose
from agent.index.store import Index

Found = tuple[str, str | None, str | None]
"""What names a content, its hash, and the revision beside it."""


class WrongRevision(AssertionError):
    """The index holds a content beside the revision of another one, or beside none."""


def check(index: Index, source: int, table: str) -> None:
    """Compare every revision of a table with its content. Raises WrongRevision."""
    for what, digest, rev in _TABLES.get(table, _none)(index, source):
        if rev != digest:
            raise WrongRevision(f"{what}: the content {digest} has the revision {rev}")


def _none(_index: Index, _source: int) -> Iterator[Found]:
    return iter(())


def _files(index: Index, source: int) -> Iterator[Found]:
    for row in index.trees.all(source):
        yield f"remote side of {row.path}", row.remote.hash, row.remote.rev
        yield f"base of {row.path}", row.base.hash, row.base.rev
        yield f"local side of {row.path}", None, row.local.rev


def _operations(index: Index, source: int) -> Iterator[Found]:
    for entry in index.operations.open(source):
        operation = entry.operation
        yield f"base of operation {operation.id} at {operation.path}", operation.base, operation.base_rev
        for suspect in entry.suspects:
            yield f"suspect of operation {operation.id} at {operation.path}", suspect.hash, suspect.rev


def _intents(index: Index, source: int) -> Iterator[Found]:
    for intent in index.journal.all(source):
        if intent.purpose is not Purpose.RESTORE:
            yield f"change {intent.id} of {intent.path}", intent.new, intent.rev


def _conflicts(index: Index, source: int) -> Iterator[Found]:
    for conflict in index.conflicts.live(source):
        yield f"base of conflict {conflict.key} at {conflict.path}", conflict.base_hash, conflict.base_rev
        yield f"remote side of conflict {conflict.key} at {conflict.path}", conflict.remote_hash, conflict.remote_rev
        if conflict.local_rev is not None:
            yield f"local side of conflict {conflict.key} at {conflict.path}", conflict.local_hash, conflict.local_rev


_TABLES: dict[str, Callable[[Index, int], Iterator[Found]]] = {
    "files": _files,
    "operations": _operations,
    "intents": _intents,
    "conflicts": _conflicts,
}
