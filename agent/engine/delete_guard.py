"""The brake on deletes: which of them may be carried out, and which wait for a person."""

from __future__ import annotations

from collections.abc import Iterable

from agent.core.delete_guard import must_hold, plan_id
from agent.core.model import ABSENT
from agent.core.reconcile import Step
from agent.engine.context import EngineContext
from agent.engine.in_flight import HeldDeletes
from agent.engine.messages import ApproveDeletes, UndoDeletes
from agent.engine.path_store import PathStore
from agent.index.activity import ActivityKind
from agent.index.trees import PathRow

_MANY = 5000
_SECONDS_A_FILE = 2e-5
"""How long a judgement counts, for each file it had to look through: some twenty times what that takes."""
_DELETES = (Step.PUSH_DELETE, Step.PULL_DELETE)


class DeleteGuard:
    """Counts the deletes of each direction, those that are due and those of the last while, and holds what is too much.

    Once something is held, the window stands still: deletes do not become harmless by waiting.
    """

    def __init__(self, ctx: EngineContext, path_store: PathStore) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._judged_at = 0.0
        self._judged: tuple[object, ...] = ()
        self._files = 0
        """How many files had to be looked through for the last judgement; 0 where none had to be, or few."""

    def plan(self) -> None:
        """Judge the deletes that are due now; after a costly judgement not before a while has passed."""
        ctx = self._ctx
        due = [ctx.index.trees.count(ctx.source, step) for step in _DELETES]
        state = (*due, ctx.changes, len(ctx.parked), len(ctx.approved), ctx.source_row.held_since)
        again_at = self._judged_at + self._files * _SECONDS_A_FILE
        if self._files and any(due) and self._judged_at <= ctx.now < again_at:
            ctx.in_flight.delete_check_pending = state != self._judged
            if ctx.in_flight.delete_check_pending:
                ctx.wake(again_at)
            return
        self._files, self._judged_at, ctx.in_flight.delete_check_pending = 0, ctx.now, False
        self._judge({step: number for step, number in zip(_DELETES, due, strict=True) if number})
        self._judged = (*state[:-1], ctx.source_row.held_since)

    def _judge(self, due: dict[Step, int]) -> None:
        ctx = self._ctx
        held: set[tuple[str, str]] = set()
        for step, number in due.items():
            held.update(self._too_many(step, number))
        known = ctx.in_flight.held_deletes
        if not held:
            ctx.in_flight.held_deletes = None
            ctx.update_source_row(held_since=None)
        elif known is None or known.files != held:
            ctx.in_flight.held_deletes = HeldDeletes(plan_id("deletes", (path for path, _ in held)), frozenset(held))
            if ctx.source_row.held_since is None:
                ctx.update_source_row(held_since=ctx.now)
                ctx.record_activity("", ActivityKind.DELETES_HELD, f"{len(held)} files")

    def _too_many(self, step: Step, due: int) -> list[tuple[str, str]]:
        """The deletes of one direction that must wait: all that nobody approved, or none."""
        ctx, limits, index = self._ctx, self._ctx.setup.limits, self._ctx.index
        since = self._window_began()
        emptied = self._emptied(step, due)
        if not emptied and due + index.recent_deletes.count(ctx.source, step, since) < limits.least:
            # Too few whatever they are: what is lost and what was renamed need not be told apart.
            return []
        lost = [f for f in index.trees.lost_files(ctx.source, step) if f[0] not in ctx.parked]
        gone = index.recent_deletes.lost(ctx.source, step, since)
        total = index.trees.base_count(ctx.source) + gone
        self._files = total if total >= _MANY else 0
        if not lost or not (emptied or must_hold(len(lost) + gone, total, limits)):
            return []
        return [(path, digest) for path, digest in lost if ctx.approved.get(path) != digest]

    def _window_began(self) -> float:
        """What was deleted until then does not count any more."""
        held_since = self._ctx.source_row.held_since
        return (self._ctx.now if held_since is None else held_since) - self._ctx.setup.limits.window

    def _emptied(self, step: Step, due: int) -> bool:
        """Whether one side holds nothing at all any more. A server that lists nothing is mistrusted from two files on:
        the last file of a source may well have been deleted elsewhere.
        """
        trees, source = self._ctx.index.trees, self._ctx.source
        if step is Step.PUSH_DELETE:
            return not trees.has_files(source)
        return due > 1 and not trees.has_remote_files(source)

    def allows(self, row: PathRow) -> bool:
        """Whether this delete may be carried out."""
        held = self._ctx.in_flight.held_deletes
        if self._ctx.in_flight.delete_check_pending:
            return False
        return held is None or (row.path, row.base.hash) not in held.files

    def count(self, step: Step, rows: Iterable[PathRow]) -> None:
        """These deletes are being carried out; those nobody was asked about count towards the next ones."""
        ctx = self._ctx
        unasked = [(r.path, r.base.hash) for r in rows if r.base.hash and ctx.approved.get(r.path) != r.base.hash]
        if unasked:
            ctx.index.recent_deletes.add(ctx.source, step, unasked, ctx.now, self._window_began())

    def on_approve(self, message: ApproveDeletes) -> None:
        """Approve exactly the plan a person saw."""
        held = self._ctx.in_flight.held_deletes
        if held is not None and held.plan == message.plan:
            self._ctx.index.approvals.add(self._ctx.source, held.files)
            self._ctx.approved.update(held.files)
            self._ctx.record_activity("", ActivityKind.DELETES_APPROVED, message.plan)

    def on_undo(self, _message: UndoDeletes) -> None:
        """Bring the files back to the side that lost them: without a base the other side's file is new there."""
        ctx = self._ctx
        held = ctx.in_flight.held_deletes
        if held is None:
            return
        rows = self._path_store.rows(sorted(path for path, _ in held.files))
        self._path_store.change(
            PathRow(row.path, ABSENT, row.local, row.fingerprint, row.remote, row.remote_id, row.position)
            for row in rows.values()
            if row.step in _DELETES
        )
        ctx.record_activity("", ActivityKind.DELETES_UNDONE, held.plan)
