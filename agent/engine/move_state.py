"""Moves in the memory of one engine: open operations, rows that may be halves of a move, and moves that failed."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from agent.core.reconcile import Step
from agent.core.remote_records import Operation
from agent.index.operations import OPEN_STATES, OperationState, StoredOperation
from agent.index.trees import PathRow


class FailedMove(Struct, frozen=True):
    """A move that failed. The same bytes are not moved again between these paths in this process."""

    old: str
    new: str
    hash: str


class MoveState(Struct):
    """State of the moves of one source.

    Attributes:
        leaving: open move operations, by the path that they leave; a mirror of the index.
        gone: paths whose base file the server has at that path no longer, by the server's id of the file.
        come: paths to pull that may hold such a file, by its id.
        must_seek: a file is missing or new in the folder since moves to send were looked for.
        failed: see ``FailedMove``. Their files travel as two changes.
    """

    leaving: dict[str, StoredOperation] = field(default_factory=dict)
    gone: dict[str, set[str]] = field(default_factory=dict)
    come: dict[str, set[str]] = field(default_factory=dict)
    must_seek: bool = True
    failed: set[FailedMove] = field(default_factory=set)
    _ids: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    """Path to its ids in ``gone`` and ``come``."""

    def record_operation(self, entry: StoredOperation) -> tuple[str, ...]:
        """Mirror an operation; returns the path that it leaves, if it is a move."""
        old = entry.operation.old_path
        if old is None:
            return ()
        known = self.leaving.get(old)
        if entry.state in OPEN_STATES and (known is None or known.seq <= entry.seq):
            self.leaving[old] = entry
        elif known is not None and known.seq == entry.seq:
            del self.leaving[old]
        return (old,)

    def is_leaving(self, path: str) -> bool:
        """Return True if a move of unknown outcome leaves this path."""
        entry = self.leaving.get(path)
        return entry is not None and entry.state is not OperationState.ACKED

    def fail(self, operation: Operation) -> None:
        """Record that the server did not carry out a move. Its file travels as an upload and a delete."""
        if operation.old_path is not None:
            self.failed.add(FailedMove(operation.old_path, operation.path, operation.hash or ""))
            self.must_seek = True

    def record_rows(self, rows: Iterable[PathRow]) -> None:
        """Mirror written rows as far as they may be halves of a move."""
        rows = list(rows)
        for row in rows:
            left = self._ids.pop(row.path, None)
            if left is not None:
                _drop(self.gone, left[0], row.path)
                _drop(self.come, left[1], row.path)
            if is_gone(row) and row.base.remote_id is not None:
                self.gone.setdefault(row.base.remote_id, set()).add(row.path)
                self._ids[row.path] = (row.base.remote_id, None)
            self.must_seek |= row.step is Step.PUSH_DELETE or is_new_here(row)
        for row in rows if self.gone else ():
            identifier = row.remote.remote_id
            if identifier in self.gone and is_come(row):
                # Without a missing half a path to pull is not kept: at a first sync there are very many.
                self.come.setdefault(identifier, set()).add(row.path)
                self._ids[row.path] = (self._ids.get(row.path, (None, None))[0], identifier)

    def halves(self) -> set[str]:
        """Return every path that may be one half of a move whose other half is known as well."""
        both = self.gone.keys() & self.come.keys()
        return {path for identifier in both for path in self.gone[identifier] | self.come[identifier]}

    def clear_rows(self) -> None:
        """Forget every row: they are read again."""
        self.gone.clear()
        self.come.clear()
        self._ids.clear()
        self.must_seek = True


def is_gone(row: PathRow) -> bool:
    """Return True if the server has the base's file at this path no longer, and the folder still has one here."""
    base, local, remote = row.base, row.local, row.remote
    if base.remote_id is None or local.hash is None or not local.is_file or local.reason is not None:
        return False
    # A file without a known id may be the very same one.
    return not remote.is_file or remote.remote_id not in (None, base.remote_id)


def is_come(row: PathRow) -> bool:
    """Return True if the server has another file at this path than the one that was agreed on."""
    return row.step is Step.PULL and row.remote.remote_id not in (None, row.base.remote_id)


def is_new_here(row: PathRow) -> bool:
    """Return True if a file of the folder is to be sent to a path at which the server has none."""
    return row.step is Step.PUSH and not row.base.is_file and not row.remote.is_file


def _drop(found: dict[str, set[str]], identifier: str | None, path: str) -> None:
    if identifier is not None and identifier in found:
        found[identifier].discard(path)
        if not found[identifier]:
            del found[identifier]
