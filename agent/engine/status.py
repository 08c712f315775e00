"""The status of a source."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from agent.core.conflict import ConflictState
from agent.core.errors import Problem, ProblemKind
from agent.core.model import Reason, SourceState
from agent.core.reconcile import Step
from agent.core.states import first_state
from agent.engine.config import RunMode
from agent.engine.context import EngineContext

_UNREACHABLE: Final = (ProblemKind.OFFLINE, ProblemKind.BUSY)


class SourceView(Struct, frozen=True):
    """The fields of ``status``. Counts are files, sizes bytes, times seconds since the epoch.

    ``skipped`` counts each path once, whatever number of reasons it has. ``failed_tries`` names the paths that a former
    process failed to send; it is empty where this process sends itself, because ``trouble`` says the same there.
    """

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
    failed_tries: tuple[str, ...] = ()


class Alerts(Struct, frozen=True):
    """The state that leads to notifications. Unlike a view it reads no table.

    Attributes:
        conflicts: ids of undecided conflicts.
        halted: the reason of a halt.
        signed_out: the token was refused.
    """

    conflicts: frozenset[int]
    halted: str | None
    signed_out: bool


def alerts(ctx: EngineContext) -> Alerts:
    """Return the alerts, from memory only. Safe from any thread: collections are copied first."""
    trouble, held = ctx.trouble, ctx.in_flight.held_deletes
    return Alerts(
        frozenset(c.id for c in list(ctx.parked.values()) if c.state is ConflictState.OPEN),
        ctx.in_flight.root_error or ctx.source_row.halted or (f"{len(held.files)} deletes are held" if held else None),
        trouble is not None and trouble.kind is ProblemKind.SIGNED_OUT,
    )


def view(ctx: EngineContext, *, at_rest: bool) -> SourceView:
    """Return the status, from the index and the work in flight."""
    files, size = ctx.traffic.totals(ctx.now)
    steps = ctx.index.trees.work(ctx.source)
    # A parked path is waiting for a person, and not for us. Rows without work are not in ``steps``.
    for step, count in ctx.index.trees.steps_at(ctx.source, list(ctx.parked)).items():
        if step in steps:
            steps[step] -= count
    push = steps.get(Step.PUSH, 0) + steps.get(Step.PUSH_DELETE, 0)
    pull = steps.get(Step.PULL, 0) + steps.get(Step.PULL_DELETE, 0) + _to_bring_back(ctx)
    conflicts = sum(1 for c in ctx.parked.values() if c.state is not ConflictState.CLOSED)
    held = ctx.in_flight.held_deletes
    busy = not at_rest or (push + pull > 0 and held is None)
    failed_tries = _failed_tries(ctx)
    paused = ctx.in_flight.paused_until if ctx.now < ctx.in_flight.paused_until else None
    return SourceView(
        state=_state(ctx, conflicts, busy=busy, failed=bool(failed_tries)),
        files=files,
        size=size,
        pending_push=push,
        pending_pull=pull,
        conflicts=conflicts,
        skipped=_skipped(ctx, steps),
        held_plan=held.plan if held else None,
        held_count=len(held.files) if held else 0,
        cursor=ctx.source_row.cursor,
        synced_at=_synced_at(ctx),
        paused_until=paused,
        trouble=ctx.trouble,
        halted=_halted(ctx),
        failed_tries=failed_tries,
    )


def _failed_tries(ctx: EngineContext) -> tuple[str, ...]:
    """Return the paths that a former process failed to send; none while paused, as they are not to be sent now.

    A dry run sends nothing, so it meets no failure itself.
    """
    if ctx.setup.run_mode is not RunMode.DRY_RUN or ctx.paused:
        return ()
    return tuple(path for path in ctx.index.operations.failed_tries(ctx.source) if path not in ctx.parked)


def _to_bring_back(ctx: EngineContext) -> int:
    """Count files whose delete was undone and that no pull brings back."""
    rows = ctx.index.trees.get(ctx.source, list(ctx.undone)).values() if ctx.undone else ()
    return sum(1 for row in rows if row.step is Step.NOTHING)


def _skipped(ctx: EngineContext, steps: dict[Step, int]) -> int:
    """Count paths that cannot be synced: rows with such a step, and paths that only have a recorded problem."""
    counted = (Step.SKIP, Step.UNKNOWN)
    rows = ctx.index.trees.get(ctx.source, list(ctx.problems)).values()
    others = sum(1 for row in rows if row.step not in counted or row.path in ctx.parked)
    return sum(steps.get(step, 0) for step in counted) + others


def _synced_at(ctx: EngineContext) -> float | None:
    """Return the last time both sides agreed. A time in the future is ignored: the clock was set back after it."""
    known = (ctx.source_row.synced_at, ctx.in_flight.synced_at)
    return max((moment for moment in known if moment is not None and moment <= ctx.now), default=None)


def _state(ctx: EngineContext, conflicts: int, *, busy: bool, failed: bool) -> SourceState:
    kind = ctx.trouble.kind if ctx.trouble is not None else None
    return first_state(
        {
            SourceState.SIGNED_OUT: kind is ProblemKind.SIGNED_OUT,
            SourceState.HALTED: bool(_halted(ctx) or ctx.in_flight.held_deletes),
            SourceState.ERROR: failed or has_failures(ctx) or kind not in (None, *_UNREACHABLE),
            SourceState.OFFLINE: kind in _UNREACHABLE,
            SourceState.PAUSED: ctx.paused,
            SourceState.CONFLICT: conflicts > 0,
            SourceState.SYNCING: busy,
        }
    )


def _halted(ctx: EngineContext) -> str | None:
    """Return why the source is halted, and what to do."""
    if ctx.in_flight.root_error or ctx.source_row.halted:
        return ctx.in_flight.root_error or ctx.source_row.halted
    if ctx.in_flight.lost_mounts:
        names = ", ".join(sorted(ctx.in_flight.lost_mounts))
        return f"Not mounted: {names}. Mount it again, or go on without its files: raven-agent resume."
    return None


def has_failures(ctx: EngineContext) -> bool:
    """True if a selected file cannot be synced although it should be.

    A file over the server's limit is no failure of the source: everything else is in sync, and the file is named among
    the skipped ones.
    """
    listed = (problem.reason for problems in ctx.problems.values() for problem in problems)
    reasons = (*listed, *ctx.index.trees.reasons(ctx.source))
    return not all(reason.is_policy or reason is Reason.TOO_LARGE for reason in reasons)
