"""The brake on deletes: which of them may be carried out, and which wait for a person."""

from __future__ import annotations

from agent.core.guard import must_hold, plan_id
from agent.core.model import ABSENT
from agent.core.reconcile import Step
from agent.engine.desk import Desk, HeldDeletes
from agent.engine.keeper import Keeper
from agent.engine.messages import ApproveDeletes, UndoDeletes
from agent.index.trees import Row

_DELETES = (Step.PUSH_DELETE, Step.PULL_DELETE)


class Holding:
    """Counts the deletes that are due, in each direction, and holds them when they are too many."""

    def __init__(self, desk: Desk, keeper: Keeper) -> None:
        self._desk = desk
        self._keeper = keeper

    def refresh(self) -> None:
        """Judge the deletes that are due now."""
        desk = self._desk
        work = desk.index.trees.work(desk.source)
        if not any(work.get(step) for step in _DELETES):
            desk.out.held = None
            return
        total = desk.index.trees.base_count(desk.source)
        held: list[tuple[str, str]] = []
        for step in _DELETES:
            lost = [f for f in desk.index.trees.lost_files(desk.source, step) if f[0] not in desk.parked]
            emptied = step is Step.PUSH_DELETE and not desk.index.trees.has_files(desk.source)
            if lost and (emptied or must_hold(len(lost), total, desk.setup.limits)):
                held += [(path, digest) for path, digest in lost if desk.approved.get(path) != digest]
        known = desk.out.held
        if not held:
            desk.out.held = None
        elif known is None or known.files != frozenset(held):
            desk.out.held = HeldDeletes(plan_id("deletes", (path for path, _ in held)), frozenset(held))
            if known is None:
                desk.note("", "deletes_held", f"{len(held)} files")

    def allows(self, row: Row) -> bool:
        """Whether this delete may be carried out."""
        held = self._desk.out.held
        return held is None or (row.path, row.base.hash) not in held.files

    def on_approve(self, message: ApproveDeletes) -> None:
        """Approve exactly the plan a person saw."""
        held = self._desk.out.held
        if held is not None and held.plan == message.plan:
            self._desk.index.notes.approve(self._desk.source, held.files)
            self._desk.approved.update(held.files)
            self._desk.note("", "deletes_approved", message.plan)

    def on_undo(self, _message: UndoDeletes) -> None:
        """Bring the files back to the side that lost them: without a base the other side's file is new there."""
        desk = self._desk
        held = desk.out.held
        if held is None:
            return
        rows = self._keeper.rows(sorted(path for path, _ in held.files))
        self._keeper.change(
            Row(row.path, ABSENT, row.local, row.fingerprint, row.remote, row.remote_id, row.position)
            for row in rows.values()
            if row.step in _DELETES
        )
        desk.note("", "deletes_undone", held.plan)
