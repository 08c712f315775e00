"""The engine's mirrors of the index, compared with the index after every step, and the revisions in it.

What the index holds is read again only where a statement has written since; the comparison itself leaves nothing out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agent.core.conflict import Conflict
from agent.engine.engine import Engine
from agent.index.operations import OperationState
from agent.index.store import Index

_UNKNOWN = (OperationState.STORED, OperationState.UNSETTLED)
_WRITING = re.compile(r"\s*(?:INSERT(?: OR \w+)? INTO|UPDATE|DELETE FROM)\s+(\w+)")
_HARMLESS = re.compile(r"\s*(?:SELECT|BEGIN|COMMIT|ROLLBACK|PRAGMA|CREATE TEMP|DROP TABLE)|--")


CheckRevisions = Callable[[Index, int, str], None]
"""Takes the index, the source and the name of a table. Raises WrongRevision."""


class MirrorDiffers(AssertionError):
    """What the engine remembers is not what the index holds."""


class Mirrors:
    """The mirrors of one engine. While this stands, no other connection may write to its index.

    Args:
        check_revisions: compares the revisions of a table with their contents; see ``revisions`` and ``visits``.
    """

    def __init__(self, engine: Engine, check_revisions: CheckRevisions | None = None) -> None:
        self._engine = engine
        self._check_revisions = check_revisions
        self._stored: dict[str, dict[str, Any]] = {}
        self._written: set[str] = set()
        engine._ctx.index.connection.set_trace_callback(self._note)

    def _note(self, statement: str) -> None:
        found = _WRITING.match(statement)
        if found is not None:
            self._written.add(found[1])
        elif not _HARMLESS.match(statement):
            self._stored.clear()

    def check(self) -> None:
        """Compare every mirror with the index. Call it between two steps.

        Raises:
            MirrorDiffers: one of them differs; the message names it and shows both.
            WrongRevision: a content stands beside another revision than its own.
        """
        index, source = self._engine._ctx.index, self._engine._ctx.source
        for table, (read, held) in _TABLES.items():
            stored = self._stored.get(table)
            if stored is None or table in self._written:
                stored = self._stored[table] = read(index, source)
                if self._check_revisions is not None:
                    self._check_revisions(index, source, table)
            for name, mirror in held(self._engine, stored).items():
                if mirror != stored[name]:
                    raise MirrorDiffers(f"{name}: the engine has {mirror}, the index {stored[name]}")
        self._written.clear()


def check(engine: Engine) -> None:
    """Compare the mirrors of an engine once. Raises MirrorDiffers."""
    Mirrors(engine).check()


# What a table holds, as its mirrors should have it


def _operations(index: Index, source: int) -> dict[str, Any]:
    by_path: dict[str, list[object]] = {}
    unanswered = set()
    for entry in index.operations.open(source):
        by_path.setdefault(entry.operation.path, []).append(entry)
        if entry.state in _UNKNOWN:
            unanswered.add(entry.operation.path)
    return {"open_operations": by_path, "unanswered": unanswered}


def _conflicts(index: Index, source: int) -> dict[str, Any]:
    live = index.conflicts.live(source)
    return {
        "parked": {conflict.path: conflict for conflict in live if conflict.parks},
        "waiting": _by_id(c for c in live if c.is_waiting),
        "foreign": _by_id(c for c in live if not c.mine and not c.is_waiting),
    }


def _problems(index: Index, source: int) -> dict[str, Any]:
    # ``since`` of a stored problem is that of the first time; the mirror has that of the last one.
    found = index.problems.all(source)
    return {"problems": {(p.path, p.origin): (p.reason, p.text, p.retry_at, p.raw) for p in found}}


def _files(index: Index, source: int) -> dict[str, Any]:
    return {"totals": index.trees.totals(source), "steps in use": frozenset(index.trees.work(source))}


# What the engine has


def _held_conflicts(engine: Engine, _stored: Mapping[str, Any]) -> dict[str, Any]:
    ctx = engine._ctx
    return {
        "parked": ctx.parked,
        "waiting": _by_id(c for cs in ctx.waiting.values() for c in cs),
        "foreign": _by_id(ctx.foreign.values()),
    }


def _held_problems(engine: Engine, _stored: Mapping[str, Any]) -> dict[str, Any]:
    problems = (problem for found in engine._ctx.problems.values() for problem in found)
    return {"problems": {(p.path, p.origin): (p.reason, p.text, p.retry_at, p.raw) for p in problems}}


def _held_files(engine: Engine, stored: Mapping[str, Any]) -> dict[str, Any]:
    # The engine counts only after somebody asked, and knows of a step only that no row has it.
    totals = engine._ctx._totals or stored["totals"]
    return {"totals": totals, "steps in use": stored["steps in use"] - engine._path_store._unused}


_Read = Callable[[Index, int], dict[str, Any]]
_Held = Callable[[Engine, Mapping[str, Any]], dict[str, Any]]
_TABLES: dict[str, tuple[_Read, _Held]] = {
    "sources": (
        lambda index, source: {"source_row": index.sources.get(source)},
        lambda engine, _: {"source_row": engine._ctx.source_row},
    ),
    "approved": (
        lambda index, source: {"approved": index.approvals.all(source)},
        lambda engine, _: {"approved": engine._ctx.approved},
    ),
    "undone_deletes": (
        lambda index, source: {"undone": index.undone_deletes.all(source)},
        lambda engine, _: {"undone": engine._ctx.undone},
    ),
    "conflicts": (_conflicts, _held_conflicts),
    "operations": (
        _operations,
        lambda engine, _: {"open_operations": engine._ctx.open_operations, "unanswered": engine._ctx.unanswered},
    ),
    "problems": (_problems, _held_problems),
    "files": (_files, _held_files),
    "intents": (
        lambda index, source: {"journal": {intent.id for intent in index.journal.all(source)}},
        lambda engine, _: {"journal": engine._ctx.in_flight.intents.keys()},
    ),
}


def _by_id(conflicts: Iterable[Conflict]) -> dict[int, Conflict]:
    return {conflict.id: conflict for conflict in conflicts}
