"""The table in tests/README.md is true."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
_NUMBERS = {
    "CD": (1, 3, 8, 9, 10, 11), "CF": (1, 2, 3, 4, 7, 8), "CR": (4, 5, 8, 9), "OP": (1, 3, 6),
    "PR": (1, 2, 4, 6, 7, 8, 9, 10), "RT": (1, 2, 5, 7, 9, 11, 13), "SC": (1, 4, 6, 8),
}  # fmt: skip
CASES = frozenset(f"{family}{number}" for family, numbers in _NUMBERS.items() for number in numbers)
"""Cases that must each have a test."""


def _rows() -> list[tuple[str, str]]:
    return re.findall(r"`(\w+/test_\w+\.py)` \| `(test_\w+)` \|", (TESTS / "README.md").read_text())


def test_the_table_names_only_tests_that_exist() -> None:
    """File and function, of every row."""
    wrong = [row for row in _rows() if f"\ndef {row[1]}(" not in (TESTS / row[0]).read_text()]
    assert _rows()
    assert wrong == []


def test_the_table_names_every_scenario_of_a_case_and_every_peer() -> None:
    """So that none can be added without its row, nor a case lose its last test."""
    named = {name for _, name in _rows()}
    there = {
        name
        for file in (TESTS / "scenarios").glob("test_*.py")
        for name in re.findall(r"^def (test_(?:[a-z]{2}\d+|peer)_\w+)", file.read_text(), re.MULTILINE)
    }
    assert there - named == set()
    with_test = {found.group(1).upper() for name in named if (found := re.match(r"test_([a-z]{2}\d+)_", name))}
    assert CASES - with_test == set()
