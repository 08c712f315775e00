"""The error tree in the documentation of ``agent/core/errors.py`` is the one in the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import agent
from agent.core import errors

ROOT = Path(agent.__file__).parent


def _children() -> dict[str, set[str]]:
    """Class name to the names of its direct subclasses, of all classes in the program."""
    found: dict[str, set[str]] = {}
    for file in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.ClassDef):
                continue
            for base in node.bases:
                name = base.id if isinstance(base, ast.Name) else getattr(base, "attr", "")
                found.setdefault(name, set()).add(node.name)
    return found


def _in_code(top: str, children: dict[str, set[str]]) -> set[tuple[str, str]]:
    """(parent, child) of everything below ``top``."""
    below = {(top, child) for child in children.get(top, ())}
    return below.union(*(_in_code(child, children) for _, child in below)) if below else below


def _in_documentation() -> set[tuple[str, str]]:
    """(parent, child) as drawn: each level is indented by four characters."""
    pairs, stack = set(), ["AgentError"]
    for line in (errors.__doc__ or "").splitlines():
        drawn = re.match(r"    ([│ ]*)[├└]── (\w+)", line)
        if drawn:
            depth = len(drawn[1]) // 4 + 1
            stack[depth:] = [drawn[2]]
            pairs.add((stack[depth - 1], drawn[2]))
    return pairs


def test_the_drawn_error_tree_is_complete() -> None:
    """Every subclass of AgentError is drawn below its parent, and nothing else is."""
    assert _in_documentation() == _in_code("AgentError", _children())
