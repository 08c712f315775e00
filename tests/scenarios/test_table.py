"""The table in tests/README.md is true, and no case is without a test."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
_NUMBERS = {
    "CD": (1, 3, 5, 6, 8, 9, 10, 11), "CF": (1, 2, 3, 4, 7, 8), "CR": (1, 2, 4, 5, 6, 8, 9), "MB": (1,),
    "OP": (1, 2, 3, 4, 5, 6), "PN": (1, 2, 4), "PR": (1, 2, 4, 6, 7, 8, 9, 10), "RT": (1, 2, 5, 7, 9, 11, 13),
    "SC": (1, 2, 4, 6, 8),
}  # fmt: skip
CASES = frozenset(f"{family}{number}" for family, numbers in _NUMBERS.items() for number in numbers)
"""Every known way in which sync agents fail that is told apart by an id; each must have a test."""

_OF_A_CASE = re.compile(rf"^def (test_(?:{'|'.join(_NUMBERS).lower()})\d+_\w+)", re.MULTILINE)
_OF_A_PEER = re.compile(r"^def (test_peer_\w+)", re.MULTILINE)


def _rows() -> list[tuple[str, str]]:
    """(file, test) of every row."""
    return re.findall(r"`([\w/]+/test_\w+\.py)` \| `(test_\w+)` \|", (TESTS / "README.md").read_text())


def _found(kind: re.Pattern[str]) -> set[tuple[str, str]]:
    """(file, test) of every test of this kind, wherever it stands."""
    return {
        (file.relative_to(TESTS).as_posix(), name)
        for file in TESTS.rglob("test_*.py")
        for name in kind.findall(file.read_text())
    }


def _case_of(name: str) -> str:
    return name.split("_")[1].upper()


def test_the_table_names_existing_tests_under_their_own_case() -> None:
    """File and function, of every row."""
    wrong = [row for row in _rows() if f"\ndef {row[1]}(" not in (TESTS / row[0]).read_text()]
    assert _rows()
    assert wrong == []
    named = re.findall(r"^\| ([A-Z]{2}\d+) \| `[^`]+` \| `(test_\w+)` \|", (TESTS / "README.md").read_text(), re.M)
    assert [(case, name) for case, name in named if case != _case_of(name)] == []


def test_the_table_names_every_test_of_a_case_and_of_a_peer() -> None:
    """So that none can be added without its row, nor two have one name."""
    there = _found(_OF_A_CASE) | _found(_OF_A_PEER)
    assert there - set(_rows()) == set()
    assert len(_rows()) == len(set(_rows()))


def test_every_case_has_a_test() -> None:
    """By the names of the tests themselves; and there is no test of a case nobody knows."""
    assert {_case_of(name) for _, name in _found(_OF_A_CASE)} == CASES
