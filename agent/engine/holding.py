"""The brake on deletes: which of them may be carried out, and which wait for a person."""

from __future__ import annotations

from collections.abc import Iterable

from agent.core.guard import must_hold, plan_id
from agent.core.model import ABSENT
from agent.core.reconcile import Step
from agent.engine.desk import Desk
from agent.engine.keeper import Keeper
from agent.engine.messages import ApproveDeletes, UndoDeletes
from agent.engine.outstanding import HeldDeletes
from agent.index.trees import Row

_MANY = 5000
_SECONDS_A_FILE = 2e-5
"""How long a judgement counts, for each file it had to look through: some twenty times what that takes."""
_DELETES = (Step.PUSH_DELETE, Step.PULL_DELETE)


class Holding:
    """Counts the deletes of each direction, those that are due and those of the last while, and holds what is too much.

    Once something is held, the window stands still: deletes do not become harmless by waiting.
    """

    def __init__(self, desk: Desk, keeper: Keeper) -> None:
        self._desk = desk
        self._keeper = keeper
        self._judged_at = 0.0
        self._judged: tuple[object, ...] = ()
        self._files = 0
        """How many files had to be looked through for the last judgement; 0 where none had to be, or few."""

    def refresh(self) -> None:
        """Judge the deletes that are due now; after a costly judgement not before a while has passed."""
        desk = self._desk
        due = [desk.index.trees.count(desk.source, step) for step in _DELETES]
        state = (*due, desk.changes, len(desk.parked), len(desk.approved), desk.standing.held_since)
        again_at = self._judged_at + self._files * _SECONDS_A_FILE
        if self._files and any(due) and self._judged_at <= desk.now < again_at:
            desk.out.judging = state != self._judged
            if desk.out.judging:
                desk.wake(again_at)
            return
        self._files, self._judged_at, desk.out.judging = 0, desk.now, False
        self._judge({step: number for step, number in zip(_DELETES, due, strict=True) if number})
        self._judged = (*state[:-1], desk.standing.held_since)

    def _judge(self, due: dict[Step, int]) -> None:
        desk = self._desk
        held: set[tuple[str, str]] = set()
        for step, number in due.items():
            held.update(self._too_many(step, number))
        known = desk.out.held
        if not held:
            desk.out.held = None
            desk.set_standing(held_since=None)
        elif known is None or known.files != held:
            desk.out.held = HeldDeletes(plan_id("deletes", (path for path, _ in held)), frozenset(held))
            if desk.standing.held_since is None:
                desk.set_standing(held_since=desk.now)
                desk.note("", "deletes_held", f"{len(held)} files")

    def _too_many(self, step: Step, due: int) -> list[tuple[str, str]]:
        """The deletes of one direction that must wait: all that nobody approved, or none."""
        desk, limits, index = self._desk, self._desk.setup.limits, self._desk.index
        since = self._window_began()
        emptied = self._emptied(step, due)
        if not emptied and due + index.removals.count(desk.source, step, since) < limits.least:
            # Too few whatever they are: what is lost and what was renamed need not be told apart.
            return []
        lost = [f for f in index.trees.lost_files(desk.source, step) if f[0] not in desk.parked]
        gone = index.removals.lost(desk.source, step, since)
        total = index.trees.base_count(desk.source) + gone
        self._files = total if total >= _MANY else 0
        if not lost or not (emptied or must_hold(len(lost) + gone, total, limits)):
            return []
        return [(path, digest) for path, digest in lost if desk.approved.get(path) != digest]

    def _window_began(self) -> float:
        """What was deleted until then does not count any more."""
        held_since = self._desk.standing.held_since
        return (self._desk.now if held_since is None else held_since) - self._desk.setup.limits.window

    def _emptied(self, step: Step, due: int) -> bool:
        """Whether one side holds nothing at all any more. A server that lists nothing is mistrusted from two files on:
        the last file of a source may well have been deleted elsewhere.
        """
        trees, source = self._desk.index.trees, self._desk.source
        if step is Step.PUSH_DELETE:
            return not trees.has_files(source)
        return due > 1 and not trees.has_remote_files(source)

    def allows(self, row: Row) -> bool:
        """Whether this delete may be carried out."""
        held = self._desk.out.held
        if self._desk.out.judging:
            return False
        return held is None or (row.path, row.base.hash) not in held.files

    def count(self, step: Step, rows: Iterable[Row]) -> None:
        """These deletes are being carried out; those nobody was asked about count towards the next ones."""
        desk = self._desk
        unasked = [(r.path, r.base.hash) for r in rows if r.base.hash and desk.approved.get(r.path) != r.base.hash]
        if unasked:
            desk.index.removals.add(desk.source, step, unasked, desk.now, self._window_began())

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
