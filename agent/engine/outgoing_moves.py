"""Renames in the folder, sent as moves where the server has them: no content travels, and the history stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from agent.core.moves import FileAt, pair
from agent.core.reconcile import Step
from agent.core.remote_records import Operation, Verb
from agent.engine.context import EngineContext
from agent.engine.move_state import FailedMove, is_new_here
from agent.engine.path_store import PathStore
from agent.index.operations import PushReason
from agent.index.trees import PathRow

_MOST_READ: Final = 20_000
"""Paths to upload from which on no rename is looked for among them: reading them would cost more than it saves."""


class OutgoingMoves:
    """Pairs missing files of the folder with new ones. A pair that cannot be sent at once travels as two changes."""

    def __init__(self, ctx: EngineContext, path_store: PathStore) -> None:
        self._ctx = ctx
        self._path_store = path_store

    def choose(self, is_free: Callable[[str], bool]) -> None:
        """Store an operation for each rename that was found since the last call.

        Args:
            is_free: returns True if nothing else is done at a path.
        """
        ctx = self._ctx
        if not ctx.setup.moves or not ctx.moves.must_seek:
            return
        ctx.moves.must_seek = False
        if not self._path_store.count(Step.PUSH_DELETE) or self._path_store.count(Step.PUSH) > _MOST_READ:
            return
        olds = {row.path: row for row in self._path_store.with_step(Step.PUSH_DELETE) if self._may_leave(row)}
        news = {row.path: row for row in self._path_store.with_step(Step.PUSH) if is_new_here(row)}
        gone = [FileAt(row.path, row.base.hash, _identity(row, row.base.hash)) for row in olds.values()]
        come = [FileAt(row.path, row.local.hash, _identity(row, row.local.hash)) for row in news.values()]
        found = [
            (olds[move.old], news[move.new])
            for move in pair(gone, come)
            if is_free(move.old) and is_free(move.new) and not self._has_failed(olds[move.old], news[move.new])
        ]
        self._path_store.read(new for _, new in found)
        identifiers = ctx.new_operation_ids(len(found))
        operations = [
            (_operation(identifier, old, new), new) for identifier, (old, new) in zip(identifiers, found, strict=True)
        ]
        ctx.add_operations(operations, PushReason.PUSH)

    def _may_leave(self, row: PathRow) -> bool:
        """Return True if the file is known to the server by its id, and no person decides about its delete."""
        return row.base.remote_id is not None and not self._ctx.is_withheld(row.path, row.base.hash)

    def _has_failed(self, old: PathRow, new: PathRow) -> bool:
        return FailedMove(old.path, new.path, new.local.hash or "") in self._ctx.moves.failed


def _identity(row: PathRow, digest: str | None) -> tuple[int, str | None] | None:
    """Return what must be equal for one file under two paths. Its text is: what was edited as well is no move."""
    return None if row.fingerprint is None else (row.fingerprint.inode, digest)


def _operation(identifier: str, old: PathRow, new: PathRow) -> Operation:
    base = old.base
    return Operation(
        identifier, new.path, Verb.MOVE, base.hash, new.local.size or 0, base.hash, base.rev, base.remote_id, old.path
    )
