"""The choice of trash entries to remove: described cases, and all small states."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import pytest

from agent.core.retention import LARGE_AT_LEAST, expired, is_large

NOW, DAY = 1_000_000.0, 86_400.0
LIMIT = 16 * LARGE_AT_LEAST
"""Over a quarter of it an entry is large: 4 units."""
UNIT = LARGE_AT_LEAST


class Entry(NamedTuple):
    """An entry: its name, its size in units, its age in days, and if the server has it."""

    hash: str
    units: float
    age: float
    served: bool = False

    @property
    def size(self) -> int:
        return int(self.units * UNIT)

    @property
    def moved_at(self) -> float:
        return NOW - self.age * DAY


def removed(*entries: Entry, limit: int = LIMIT) -> list[str]:
    served = {entry.hash for entry in entries if entry.served}
    return [entry.hash for entry in expired(entries, NOW, 30 * DAY, limit, served.__contains__)]


SMALL = [Entry(f"note {number}", 1, number) for number in range(1, 11)]

CASES = [
    ("within the limit", [*SMALL], []),
    ("past its age", [Entry("a", 1, 31), Entry("b", 1, 30)], ["a"]),
    ("a large one past its age", [Entry("a", 40, 31)], ["a"]),
    ("the oldest small ones", [Entry(str(age), 4, age) for age in range(6, 0, -1)], ["6", "5"]),
    ("first those on the server", [Entry(str(age), 4, age, age < 3) for age in range(6, 0, -1)], ["2", "1"]),
    ("one huge file beside small ones", [*SMALL, Entry("film", 100, 0)], []),
    ("one huge file that the server has", [*SMALL, Entry("film", 100, 0, True)], ["film"]),
    ("a second huge file", [*SMALL, Entry("film 1", 100, 2), Entry("film 2", 100, 1)], ["film 1"]),
    ("large ones within the limit", [*SMALL, Entry("film 1", 8, 2), Entry("film 2", 8, 1)], []),
    ("large ones over the limit", [*SMALL, Entry("film 1", 8, 2), Entry("film 2", 9, 1)], ["film 1"]),
    ("a newer large one on the server", [Entry("film 1", 8, 2), Entry("film 2", 9, 1, True)], ["film 2"]),
    ("a huge one beside large ones", [Entry("film 1", 8, 2), Entry("film 2", 100, 1)], []),
    ("a huge one, and too many large ones", [Entry(str(n), 8, n) for n in (4, 3, 2)] + [Entry("film", 99, 1)], ["4"]),
    ("small ones over the limit", [Entry(str(n), 4, n) for n in range(1, 6)] + [Entry("film", 9, 9)], ["5"]),
]


@pytest.mark.parametrize(("entries", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_described_case_is_decided(entries: list[Entry], expected: list[str]) -> None:
    assert removed(*entries) == expected
    assert sorted(removed(*reversed(entries))) == sorted(expected)


def test_every_small_state_keeps_its_promises() -> None:
    """For all triples of entries of five sizes and two ages, on the server or not."""
    kinds = list(itertools.product((1, 4, 5, 12, 20), (1, 40), (False, True)))
    for chosen in itertools.combinations_with_replacement(kinds, 3):
        entries = [Entry(str(n), units, age + n / 10, served) for n, (units, age, served) in enumerate(chosen)]
        gone = set(removed(*entries))
        young = [entry for entry in entries if entry.age < 30]
        assert gone >= {entry.hash for entry in entries if entry.age > 30}
        small = [entry for entry in young if not is_large(entry.size, LIMIT)]
        # A large entry changes nothing for the small ones.
        alone = {entry.hash for entry in entries if entry.age > 30} | set(removed(*small))
        assert {entry.hash for entry in small if entry.hash in gone} == {e.hash for e in small if e.hash in alone}
        for group in (small, [entry for entry in young if entry not in small]):
            left = [entry for entry in group if entry.hash not in gone]
            lost = [entry for entry in group if entry.hash in gone]
            only = [entry for entry in left if not entry.served]
            newest = min(only, key=lambda entry: entry.age, default=None)
            counted = [entry for entry in left if group is small or entry != newest or entry.size <= LIMIT]
            assert sum(entry.size for entry in counted) <= LIMIT
            # An only copy goes after everything that the server has, and the older one first.
            assert all(entry.served for entry in lost) or not any(entry.served for entry in left)
            assert group is small or not any(not entry.served for entry in group) or newest is not None
            if lost:
                assert sum(entry.size for entry in group) > LIMIT


def test_a_small_limit_makes_no_small_file_large() -> None:
    """With a limit of a few bytes the oldest go, whatever their size is."""
    assert not is_large(LARGE_AT_LEAST, 0)
    assert removed(Entry("a", 0.5, 2), Entry("b", 0.5, 1), limit=10) == ["a", "b"]
