"""The delete guard: gathers the evidence for ``core.delete_guard.judge`` and carries its verdicts out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from agent.core.delete_guard import (
    ArrivedFile,
    DeleteEvidence,
    DeleteVerdict,
    DueDelete,
    MissingFile,
    find_renames,
    judge,
    plan_id,
)
from agent.core.reconcile import Step
from agent.core.undo import UndoPlan, without_renames
from agent.engine.config import RunMode
from agent.engine.context import EngineContext
from agent.engine.in_flight import HeldDeletes
from agent.engine.messages import ApproveDeletes, UndoDeletes
from agent.engine.path_store import DELETES, PathStore
from agent.engine.verification import Verification
from agent.index.activity import ActivityKind
from agent.index.recent_deletes import CarriedOutDelete
from agent.index.trees import PathRow

_MANY = 5000
_SECONDS_A_FILE = 2e-5
"""Validity of a judgement for each file that was read for it: about twenty times the cost."""


class DeleteGuard:
    """Judges the due deletes of both directions, and holds too many of them for a person.

    The window of a running hold does not move: deletes do not become harmless by waiting.
    """

    def __init__(self, ctx: EngineContext, path_store: PathStore, verification: Verification) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._verification = verification
        self._judged_at = 0.0
        self._judged: tuple[object, ...] = ()
        self._files = 0
        """Number of files read for the last judgement; 0 if it was cheap."""
        self._renames: dict[str, str] = {}
        """Due deletes of renamed files: the old path to the new one."""
        self._rechecking = False
        """A person approved deletes that the server's state asks for, and the server is asked once more."""

    def on_started(self) -> None:
        """Keep only approvals of due deletes, and have approved deletes of the server checked once more.

        A former process may have ended between the approval and its check. The verification of the start replaces it.
        """
        ctx = self._ctx
        for row in self._path_store.rows(sorted(ctx.approved)).values():
            if row.step not in DELETES or ctx.approved[row.path] != row.base.hash:
                ctx.drop_approval(row.path)
            elif row.step is Step.PULL_DELETE:
                self._rechecking = True

    def plan(self) -> None:
        """Judge the deletes that are due, once they are quiet."""
        ctx = self._ctx
        if not self._verification.pending:
            self._rechecking = False
        due = {step: self._path_store.count(step) for step in DELETES}
        state = (*due.values(), ctx.changes, len(ctx.parked), len(ctx.approved), ctx.source_row.held_since)
        if not any(due.values()):
            ctx.in_flight.deletes_judged(None, pending=False)
            self._end_hold()
            return
        again_at = max(self._quiet_at(), self._affordable_at())
        if state == self._judged:
            return
        if ctx.now < again_at:
            ctx.in_flight.deletes_judged(ctx.in_flight.held_deletes, pending=True)
            if again_at < float("inf"):
                ctx.wake(again_at)
            return
        self._files, self._judged_at = 0, ctx.now
        self._renames.clear()
        held = {file for step, number in due.items() if number for file in self._find_held(step, number)}
        self._record_held_plan(held)
        self._judged = (*state[:-1], ctx.source_row.held_since)

    def _quiet_at(self) -> float:
        """Return the time from which on no further deletes are expected; infinity while a scan runs."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if ctx.setup.run_mode is RunMode.DRY_RUN or in_flight.first_delete_at is None:
            return 0.0
        if in_flight.scan.running:
            # Its end causes the next step. Judged before, the deletes of one scan would not be counted together.
            return float("inf")
        return min(
            in_flight.last_delete_at + ctx.setup.deletes_quiet,
            in_flight.first_delete_at + ctx.setup.deletes_quiet_most,
        )

    def _affordable_at(self) -> float:
        """Return the time from which on a costly judgement may be repeated."""
        again_at = self._judged_at + self._files * _SECONDS_A_FILE
        return again_at if self._files and self._judged_at <= self._ctx.now else 0.0

    def _find_held(self, step: Step, due: int) -> list[tuple[str, str]]:
        """Return the deletes (path, base hash) of one direction that are held."""
        ctx, limits, index = self._ctx, self._ctx.setup.limits, self._ctx.index
        since = self._window_began()
        emptied, hold = self._emptied(step, due), ctx.source_row.held_since is not None
        if not emptied and not hold and due + index.recent_deletes.count(ctx.source, step, since) < limits.least:
            # Too few in any case, so only those renames are looked for that are found without reading arrivals.
            self._record_cheap_renames(step, since)
            return []
        evidence = self._evidence(step, since)
        self._files = evidence.files if evidence.files >= _MANY else 0
        verdicts = judge(replace(evidence, emptied=emptied, hold=hold), limits)
        return [(each.path, each.hash) for each in evidence.due if verdicts[each.path] is DeleteVerdict.HOLD]

    def _record_cheap_renames(self, step: Step, since: float) -> None:
        """Find the new names of missing files by the inodes that scans found new."""
        if step is Step.PUSH_DELETE:
            due = self._ctx.index.recent_deletes.due(self._ctx.source, step)
            new = self._ctx.in_flight.births.paths(old.identity for old in due)
            self._find_renames(step, since, due, self._texts(step, new))

    def _evidence(self, step: Step, since: float) -> DeleteEvidence:
        ctx, recent = self._ctx, self._ctx.index.recent_deletes
        gone = recent.still_gone(ctx.source, step, since)
        due = [old for old in recent.due(ctx.source, step) if old.path not in ctx.parked]
        arrived = self._arrived(step, since)
        renames = self._find_renames(step, since, due, arrived)
        deletes = [
            DueDelete(
                old.path,
                old.hash,
                renamed=old.path in renames,
                approved=ctx.approved.get(old.path) == old.hash,
            )
            for old in due
        ]
        taken = set(renames.values())
        return DeleteEvidence(
            tuple(deletes),
            Counter(digest for _, digest in gone),
            self._count_arrivals(step, since, [new for new in arrived if new.path not in taken]),
            ctx.index.trees.base_count(ctx.source) + len(gone),
        )

    def _arrived(self, step: Step, since: float) -> list[ArrivedFile]:
        return self._texts(step, sorted(self._ctx.index.recent_deletes.arrived(self._ctx.source, step, since)))

    def _texts(self, step: Step, paths: Sequence[str]) -> list[ArrivedFile]:
        births = self._ctx.in_flight.births
        found = self._ctx.index.recent_deletes.texts(self._ctx.source, step, paths)
        return [ArrivedFile(path, digest, identity, births.of(path, identity)) for path, digest, identity in found]

    def _find_renames(
        self, step: Step, since: float, due: Sequence[MissingFile], arrived: Sequence[ArrivedFile]
    ) -> dict[str, str]:
        """Return the new path of each due file that was renamed, and record it for ``count``.

        A path whose rename was carried out excuses no second delete.
        """
        spent = self._ctx.index.recent_deletes.renames(self._ctx.source, step, since)
        found = find_renames(due, [new for new in arrived if new.path not in spent])
        renames = {path: new.path for path, new in found.items()}
        self._renames.update(renames)
        return renames

    def _count_arrivals(self, step: Step, since: float, arrived: Iterable[ArrivedFile]) -> Counter[str]:
        """Return the number of arrivals of each text, without the texts of carried-out renames."""
        spent = self._ctx.index.recent_deletes.renames(self._ctx.source, step, since)
        return Counter(new.hash for new in arrived if spent.get(new.path) != new.hash)

    def _record_held_plan(self, held: set[tuple[str, str]]) -> None:
        ctx = self._ctx
        known = ctx.in_flight.held_deletes
        if not held:
            ctx.in_flight.deletes_judged(None, pending=False)
            self._end_hold()
            return
        if known is None or known.files != held:
            known = HeldDeletes(plan_id("deletes", (path for path, _ in held)), frozenset(held))
        ctx.in_flight.deletes_judged(known, pending=False)
        if ctx.source_row.held_since is None:
            ctx.update_source_row(held_since=ctx.now)
            ctx.record_activity("", ActivityKind.DELETES_HELD, f"{len(held)} files")

    def _end_hold(self) -> None:
        """End the hold once the reason of every held path is gone.

        A file that cannot be read now may still turn out to be deleted, so the hold stays while there is one.
        """
        ctx = self._ctx
        if ctx.source_row.held_since is not None and not self._path_store.count(Step.UNKNOWN):
            ctx.update_source_row(held_since=None)

    def _window_began(self) -> float:
        """Return the time up to which carried-out deletes do not count any more."""
        held_since = self._ctx.source_row.held_since
        return (self._ctx.now if held_since is None else held_since) - self._ctx.setup.limits.window

    def _emptied(self, step: Step, due: int) -> bool:
        """True if one side holds no file at all any more.

        An empty server is suspicious from two files on: the last file may well have been deleted on another machine.
        """
        trees, source = self._ctx.index.trees, self._ctx.source
        if step is Step.PUSH_DELETE:
            return due > 0 and not trees.has_files(source)
        return due > 1 and not trees.has_remote_files(source)

    def may_delete(self, row: PathRow) -> bool:
        """True if this delete may be carried out."""
        ctx = self._ctx
        if ctx.in_flight.delete_check_pending or (self._rechecking and row.step is Step.PULL_DELETE):
            return False
        return not ctx.is_withheld(row.path, row.base.hash)

    def count(self, step: Step, rows: Iterable[PathRow]) -> None:
        """Record deletes that are carried out now; unapproved ones count towards the next ones.

        The delete of a renamed file does not count, whatever happens to the text under its new name.
        """
        ctx, recent = self._ctx, self._ctx.index.recent_deletes
        counted, paths = [], []
        for row in rows:
            paths.append(row.path)
            if row.base.hash and ctx.approved.get(row.path) != row.base.hash:
                counted.append(CarriedOutDelete(row.path, row.base.hash, self._renames.get(row.path)))
        if paths:
            recent.end_renames(ctx.source, step, paths)
        if counted:
            recent.add(ctx.source, step, counted, ctx.now, self._window_began())

    def on_approve(self, message: ApproveDeletes) -> None:
        """Approve exactly the plan that the person saw."""
        ctx = self._ctx
        held = ctx.in_flight.held_deletes
        if held is None or held.plan != message.plan:
            return
        ctx.approve_deletes(held.files)
        ctx.record_activity("", ActivityKind.DELETES_APPROVED, message.plan)
        rows = self._path_store.rows(sorted(path for path, _ in held.files))
        if any(row.step is Step.PULL_DELETE for row in rows.values()):
            # The server may hold the files again. The plan is checked as a whole before any part of it acts.
            self._rechecking = True
            self._verification.request()

    def undo_plan(self) -> UndoPlan | None:
        """Return the deletes that an undo takes back: the held ones, and those within the window before them.

        None where none is held.
        """
        ctx, before = self._ctx, set[tuple[str, str]]()
        held = ctx.in_flight.held_deletes
        if held is None:
            return None
        since = self._window_began()
        for step in DELETES:
            gone = ctx.index.recent_deletes.to_undo(ctx.source, step, since)
            if gone:
                taken = set(self._renames.values())
                arrived = [new for new in self._arrived(step, since) if new.path not in taken]
                before.update(without_renames(gone, self._count_arrivals(step, since, arrived)))
        return UndoPlan(held.files, frozenset(before - held.files))

    def on_undo(self, _message: UndoDeletes) -> None:
        """Have the files of ``undo_plan`` come back.

        The index keeps each of them until it is back; ``UndoneDeletes`` does the rest.
        """
        ctx, plan = self._ctx, self.undo_plan()
        held = ctx.in_flight.held_deletes
        if plan is None or held is None:
            return
        ctx.undo_deletes(plan.before)
        ctx.undo_deletes(plan.held)
        ctx.record_activity("", ActivityKind.DELETES_UNDONE, held.plan)
