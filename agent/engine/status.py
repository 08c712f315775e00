"""A source as people see it."""

from __future__ import annotations

from msgspec import Struct

from agent.core.conflict import ConflictState
from agent.core.errors import Problem, ProblemKind
from agent.core.model import SourceState
from agent.core.reconcile import Step
from agent.engine.context import EngineContext


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


class Alerts(Struct, frozen=True):
    """What a person is told of without having asked; unlike a view it costs next to nothing.

    Attributes:
        conflicts: numbers of those nobody has decided.
        halted: why everything stands still.
    """

    conflicts: frozenset[int]
    halted: str | None
    signed_out: bool


def alerts(ctx: EngineContext) -> Alerts:
    """Look at what is outstanding, and not at the index. From any thread: what is gone through is copied first."""
    trouble, held = ctx.trouble, ctx.in_flight.held_deletes
    return Alerts(
        frozenset(c.id for c in list(ctx.parked.values()) if c.state is ConflictState.OPEN),
        ctx.in_flight.root_trouble
        or ctx.source_row.halted
        or (f"{len(held.files)} deletes are held" if held else None),
        trouble is not None and trouble.kind is ProblemKind.SIGNED_OUT,
    )


def view(ctx: EngineContext, *, at_rest: bool) -> SourceView:
    """Look at the index and at what is outstanding."""
    files, size = ctx.totals()
    steps = ctx.index.trees.work(ctx.source)
    for row in ctx.index.trees.get(ctx.source, list(ctx.parked)).values():
        if row.step is not Step.NOTHING and row.step in steps:
            steps[row.step] -= 1
    push = steps.get(Step.PUSH, 0) + steps.get(Step.PUSH_DELETE, 0)
    pull = steps.get(Step.PULL, 0) + steps.get(Step.PULL_DELETE, 0)
    conflicts = sum(1 for c in ctx.parked.values() if c.state is not ConflictState.CLOSED)
    held = ctx.in_flight.held_deletes
    busy = not at_rest or (push + pull > 0 and held is None)
    paused = ctx.in_flight.paused_until if ctx.now < ctx.in_flight.paused_until else None
    return SourceView(
        state=_state(ctx, conflicts, busy=busy),
        files=files,
        size=size,
        pending_push=push,
        pending_pull=pull,
        conflicts=conflicts,
        skipped=steps.get(Step.SKIP, 0) + steps.get(Step.UNKNOWN, 0) + len(ctx.problems),
        held_plan=held.plan if held else None,
        held_count=len(held.files) if held else 0,
        cursor=ctx.source_row.cursor,
        synced_at=_synced_at(ctx),
        paused_until=paused,
        trouble=ctx.trouble,
        halted=_halted(ctx),
    )


def _synced_at(ctx: EngineContext) -> float | None:
    """When both sides last agreed; a moment that lies ahead was written by a clock that has been set since."""
    known = (ctx.source_row.synced_at, ctx.in_flight.synced_at)
    return max((moment for moment in known if moment is not None and moment <= ctx.now), default=None)


def _state(ctx: EngineContext, conflicts: int, *, busy: bool) -> SourceState:
    trouble = ctx.trouble
    if trouble is not None and trouble.kind is ProblemKind.SIGNED_OUT:
        return SourceState.SIGNED_OUT
    if _halted(ctx) or ctx.in_flight.held_deletes:
        return SourceState.HALTED
    if trouble is not None:
        return SourceState.OFFLINE if trouble.kind in (ProblemKind.OFFLINE, ProblemKind.BUSY) else SourceState.ERROR
    if has_failures(ctx):
        return SourceState.ERROR
    if ctx.paused:
        return SourceState.PAUSED
    if conflicts:
        return SourceState.CONFLICT
    if busy:
        return SourceState.SYNCING
    return SourceState.UP_TO_DATE


def _halted(ctx: EngineContext) -> str | None:
    """Why a brake holds the source, and what to do."""
    if ctx.in_flight.root_trouble or ctx.source_row.halted:
        return ctx.in_flight.root_trouble or ctx.source_row.halted
    if ctx.in_flight.lost_mounts:
        names = ", ".join(sorted(ctx.in_flight.lost_mounts))
        return f"Not mounted: {names}. Mount it again, or go on without its files: raven-agent resume."
    return None


def has_failures(ctx: EngineContext) -> bool:
    """Whether a selected file could not be synced for a reason that is not policy."""
    listed = (problem.reason for problems in ctx.problems.values() for problem in problems)
    return not all(reason.is_policy for reason in (*listed, *ctx.index.trees.reasons(ctx.source)))
