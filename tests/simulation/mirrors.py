"""The engine's mirrors of the index, compared with the index after every step."""

from __future__ import annotations

from collections.abc import Iterable

from agent.core.conflict import Conflict
from agent.engine.context import EngineContext
from agent.engine.engine import Engine
from agent.index.operations import OperationState

_UNKNOWN = (OperationState.STORED, OperationState.UNSETTLED)


class MirrorDiffers(AssertionError):
    """What the engine remembers is not what the index holds."""


def check(engine: Engine, written: int = -1) -> int:
    """Compare every mirror of an engine with the index. Call it between two steps.

    Args:
        written: what the last call returned. A step that wrote nothing is not compared again: a mirror it changed is
            found after the next write.

    Raises:
        MirrorDiffers: one of them differs; the message names it and shows both.
    """
    ctx = engine._ctx
    changes = ctx.index.connection.total_changes
    if changes == written:
        return written
    for name, (mirror, stored) in _pairs(ctx).items():
        if mirror != stored:
            raise MirrorDiffers(f"{name}: the engine has {mirror}, the index {stored}")
    return changes


def _pairs(ctx: EngineContext) -> dict[str, tuple[object, object]]:
    index, source = ctx.index, ctx.source
    live = index.conflicts.live(source)
    operations: dict[str, list[object]] = {}
    for entry in index.operations.open(source):
        operations.setdefault(entry.operation.path, []).append(entry)
    unanswered = {entry.operation.path for entry in index.operations.open(source) if entry.state in _UNKNOWN}
    problems = {(problem.path, problem.origin): problem for problem in index.problems.all(source)}
    return {
        "source_row": (ctx.source_row, index.sources.get(source)),
        "approved": (ctx.approved, index.approvals.all(source)),
        "undone": (ctx.undone, index.undone_deletes.all(source)),
        "parked": (ctx.parked, {conflict.path: conflict for conflict in live if conflict.parks}),
        "waiting": (_by_id(c for cs in ctx.waiting.values() for c in cs), _by_id(c for c in live if c.is_waiting)),
        "foreign": (_by_id(ctx.foreign.values()), _by_id(c for c in live if not c.mine and not c.is_waiting)),
        "open_operations": (ctx.open_operations, operations),
        "unanswered": (ctx.unanswered, unanswered),
        # ``since`` of a stored problem is that of the first time; the mirror has that of the last one.
        "problems": (
            {(p.path, p.origin): (p.reason, p.text, p.retry_at, p.raw) for ps in ctx.problems.values() for p in ps},
            {key: (p.reason, p.text, p.retry_at, p.raw) for key, p in problems.items()},
        ),
        "totals": (ctx._totals or index.trees.totals(source), index.trees.totals(source)),
        "journal": (sorted(ctx.in_flight.intents), sorted(intent.id for intent in index.journal.all(source))),
    }


def _by_id(conflicts: Iterable[Conflict]) -> dict[int, Conflict]:
    return {conflict.id: conflict for conflict in conflicts}
