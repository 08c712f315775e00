"""Every field of the state in flight has one writer."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from agent.engine import in_flight as module
from agent.engine.in_flight import InFlight
from agent.engine.phases import ScanPhase

ENGINE = Path(module.__file__).parent
_MUTATORS = frozenset(
    {"add", "append", "clear", "discard", "difference_update", "extend", "pop", "remove", "setdefault", "update"}
)


def _field(node: ast.AST) -> str | None:
    """The field that ``in_flight.FIELD``, ``x.in_flight.FIELD`` or an item of it names."""
    if isinstance(node, ast.Subscript):
        return _field(node.value)
    if not isinstance(node, ast.Attribute):
        return None
    owner = node.value
    name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", None)
    return node.attr if name == "in_flight" else None


def _written(node: ast.AST) -> list[ast.AST]:
    """What a statement or a call changes."""
    if isinstance(node, ast.Assign):
        return [part for target in node.targets for part in getattr(target, "elts", [target])]
    if isinstance(node, ast.AugAssign):
        return [node.target]
    if isinstance(node, ast.Delete):
        return list(node.targets)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _MUTATORS:
        return [node.func.value]
    return []


def test_each_field_is_written_by_one_part() -> None:
    """Outside of its own methods, at most one module of the engine writes a field."""
    writers: dict[str, set[str]] = defaultdict(set)
    for file in ENGINE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            for name in filter(None, map(_field, _written(node))):
                writers[name].add(file.name)
    assert writers.keys() <= set(InFlight.__struct_fields__)
    assert len(writers) > 20
    assert {name: files for name, files in writers.items() if len(files) > 1} == {}


@pytest.mark.parametrize("phase", ScanPhase)
def test_scan_phases_are_total(phase: ScanPhase) -> None:
    """A request is never lost, a begin takes it, and a success is never forgotten."""
    assert phase.requested().wanted and phase.requested().running is phase.running
    assert phase.begun().running and not phase.begun().wanted
    for succeeded in (True, False):
        ended = phase.ended(succeeded=succeeded)
        assert not ended.running and ended.wanted is phase.wanted
        assert ended.complete is (phase.complete or succeeded)
