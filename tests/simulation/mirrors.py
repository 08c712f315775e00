"""The engine's mirrors of the index, compared with the index after every step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agent.engine.engine import Engine
from simulation.stored import Stored, by_id


class MirrorDiffers(AssertionError):
    """What the engine remembers is not what the index holds."""


def check(engine: Engine, stored: Stored | None = None) -> None:
    """Compare every mirror of an engine with the index. Call it between two steps.

    Args:
        stored: the engine's index, if somebody has followed what was written to it.

    Raises:
        MirrorDiffers: one of them differs; the message names it and shows both.
    """
    index = stored or Stored(engine._ctx.index, engine._ctx.source)
    for table, held in _HELD.items():
        found = index.table(table)
        for name, mirror in held(engine, found).items():
            if mirror != found[name]:
                raise MirrorDiffers(f"{name}: the engine has {mirror}, the index {found[name]}")


def _conflicts(engine: Engine, _stored: Mapping[str, Any]) -> dict[str, Any]:
    ctx = engine._ctx
    return {
        "parked": ctx.parked,
        "waiting": by_id(c for cs in ctx.waiting.values() for c in cs),
        "foreign": by_id(ctx.foreign.values()),
    }


def _problems(engine: Engine, _stored: Mapping[str, Any]) -> dict[str, Any]:
    problems = (problem for found in engine._ctx.problems.values() for problem in found)
    return {"problems": {(p.path, p.origin): (p.reason, p.text, p.retry_at, p.raw) for p in problems}}


def _files(engine: Engine, stored: Mapping[str, Any]) -> dict[str, Any]:
    # The engine counts only after somebody asked, and knows of a step only that no row has it.
    totals = engine._ctx.traffic._totals or stored["totals"]
    return {"totals": totals, "steps in use": stored["steps in use"] - engine._path_store._unused}


_HELD: dict[str, Callable[[Engine, Mapping[str, Any]], dict[str, Any]]] = {
    "sources": lambda engine, _: {"source_row": engine._ctx.source_row},
    "approved": lambda engine, _: {"approved": engine._ctx.approved},
    "undone_deletes": lambda engine, _: {"undone": engine._ctx.undone},
    "conflicts": _conflicts,
    "operations": lambda engine, _: {
        "open_operations": engine._ctx.open_operations, "unanswered": engine._ctx.unanswered
    },
    "problems": _problems,
    "files": _files,
    "intents": lambda engine, _: {"journal": engine._ctx.in_flight.intents.keys()},
}  # fmt: skip
"""By table: what the engine has of it in memory, under the names of ``stored.READERS``."""
