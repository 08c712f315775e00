"""A source as people see it."""

from __future__ import annotations

from msgspec import Struct

from agent.core.errors import Problem, ProblemKind
from agent.core.model import SourceState
from agent.core.reconcile import Step
from agent.engine.desk import Desk
from agent.index.conflicts import State


class SourceView(Struct, frozen=True):
    """What ``status`` shows of a source. Counts are files, sizes bytes, times seconds since the epoch."""

    state: SourceState
    files: int
    size: int
    pending_push: int
    pending_pull: int
    conflicts: int
    skipped: int
    held_plan: str | None
    held_count: int
    cursor: str | None
    synced_at: float | None
    paused_until: float | None
    trouble: Problem | None
    halted: str | None


class Concerns(Struct, frozen=True):
    """What a person is told of without having asked; unlike a view it costs next to nothing.

    Attributes:
        conflicts: numbers of those nobody has decided.
        halted: why everything stands still.
    """

    conflicts: frozenset[int]
    halted: str | None
    signed_out: bool


def concerns(desk: Desk) -> Concerns:
    """Look at what is outstanding, and not at the index. From any thread: what is gone through is copied first."""
    trouble, held = desk.trouble, desk.out.held
    return Concerns(
        frozenset(c.id for c in list(desk.parked.values()) if c.state is State.OPEN),
        desk.out.root_trouble or desk.standing.halted or (f"{len(held.files)} deletes are held" if held else None),
        trouble is not None and trouble.kind is ProblemKind.SIGNED_OUT,
    )


def view(desk: Desk, *, at_rest: bool) -> SourceView:
    """Look at the index and at what is outstanding."""
    files, size = desk.totals()
    steps = desk.index.trees.work(desk.source)
    for row in desk.index.trees.get(desk.source, list(desk.parked)).values():
        if row.step is not Step.NOTHING and row.step in steps:
            steps[row.step] -= 1
    push = steps.get(Step.PUSH, 0) + steps.get(Step.PUSH_DELETE, 0)
    pull = steps.get(Step.PULL, 0) + steps.get(Step.PULL_DELETE, 0)
    conflicts = sum(1 for c in desk.parked.values() if c.state is not State.CLOSED)
    held = desk.out.held
    busy = not at_rest or (push + pull > 0 and held is None)
    paused = desk.out.paused_until if desk.now < desk.out.paused_until else None
    return SourceView(
        state=_state(desk, conflicts, busy=busy),
        files=files,
        size=size,
        pending_push=push,
        pending_pull=pull,
        conflicts=conflicts,
        skipped=steps.get(Step.SKIP, 0) + steps.get(Step.UNKNOWN, 0) + len(desk.problems),
        held_plan=held.plan if held else None,
        held_count=len(held.files) if held else 0,
        cursor=desk.standing.cursor,
        synced_at=_synced_at(desk),
        paused_until=paused,
        trouble=desk.trouble,
        halted=_halted(desk),
    )


def _synced_at(desk: Desk) -> float | None:
    """When both sides last agreed; a moment that lies ahead was written by a clock that has been set since."""
    known = (desk.standing.synced_at, desk.out.synced_at)
    return max((moment for moment in known if moment is not None and moment <= desk.now), default=None)


def _state(desk: Desk, conflicts: int, *, busy: bool) -> SourceState:
    trouble = desk.trouble
    if trouble is not None and trouble.kind is ProblemKind.SIGNED_OUT:
        return SourceState.SIGNED_OUT
    if _halted(desk) or desk.out.held:
        return SourceState.HALTED
    if trouble is not None:
        return SourceState.OFFLINE if trouble.kind in (ProblemKind.OFFLINE, ProblemKind.BUSY) else SourceState.ERROR
    if has_failures(desk):
        return SourceState.ERROR
    if desk.paused:
        return SourceState.PAUSED
    if conflicts:
        return SourceState.CONFLICT
    if busy:
        return SourceState.SYNCING
    return SourceState.UP_TO_DATE


def _halted(desk: Desk) -> str | None:
    """Why a brake holds the source, and what to do."""
    if desk.out.root_trouble or desk.standing.halted:
        return desk.out.root_trouble or desk.standing.halted
    if desk.out.lost_mounts:
        names = ", ".join(sorted(desk.out.lost_mounts))
        return f"Not mounted: {names}. Mount it again, or go on without its files: raven-agent resume."
    return None


def has_failures(desk: Desk) -> bool:
    """Whether a selected file could not be synced for a reason that is not policy."""
    listed = (problem.reason for problems in desk.problems.values() for problem in problems)
    return not all(reason.is_policy for reason in (*listed, *desk.index.trees.reasons(desk.source)))
