"""Whole runs: every law holds at the end of a day of edits, faults, crashes and decisions."""

from __future__ import annotations

import pytest

from simulation.run import run
from simulation.servers import SERVERS
from simulation.world import Plan

_CHUNK = 10


def _check(seeds: range, server: str) -> None:
    for seed in seeds:
        verdict = run(Plan(seed, server))
        assert not verdict.wrong, verdict.told(last=40)


@pytest.mark.parametrize("first", range(0, 50, _CHUNK))
@pytest.mark.parametrize("server", sorted(SERVERS))
def test_every_law_holds(server: str, first: int) -> None:
    _check(range(first, first + _CHUNK), server)


@pytest.mark.long
@pytest.mark.parametrize("first", range(1000, 2000, 100))
@pytest.mark.parametrize("server", sorted(SERVERS))
def test_every_law_holds_over_two_thousand_seeds(server: str, first: int) -> None:
    _check(range(first, first + 100), server)


@pytest.mark.parametrize("server", sorted(SERVERS))
def test_a_seed_always_gives_the_same_run(server: str) -> None:
    first, second = (run(Plan(7, server)).world.script.told() for _ in range(2))
    assert len(first) > 100
    assert first == second


@pytest.mark.parametrize("seed", [15, 43, 46])
def test_a_path_whose_operation_was_settled_as_never_applied_is_parked(seed: int) -> None:
    _check(range(seed, seed + 1), "strict")


@pytest.mark.parametrize("seed", [22, 29, 105])
def test_a_conflict_is_not_closed_before_its_texts_are_put_by(seed: int) -> None:
    _check(range(seed, seed + 1), "strict")


def test_what_a_full_disk_left_in_the_slots_is_brought_to_the_trash() -> None:
    _check(range(873, 874), "strict")
