"""The table in tests/README.md is true."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
CASES = frozenset(
    "CD1 CD3 CD8 CD9 CD10 CD11 CF1 CF2 CF3 CF4 CF7 CF8 RT1 RT2 RT5 RT7 RT9 RT11 RT13 CR4 CR5 CR8 CR9 PR1 PR2 PR4 PR6 PR7 "
    "PR8 PR9 PR10 SC1 SC4 SC6 SC8 OP1 OP3 OP6".split()
)
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
