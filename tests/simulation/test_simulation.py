"""Whole runs: every law holds at the end of a day of edits, faults, crashes and decisions."""

from __future__ import annotations

import pytest

from simulation.regressions import REGRESSIONS, Regression
from simulation.run import run
from simulation.shrink import kind_of, minimal, script_of, shrink
from simulation.test_oracle import Overwrites
from simulation.world import SERVERS, Plan

_SEEDS = 400
_FEW = {"plain": 180, "pinakes": 40, "hub-pinakes": 20}
"""Servers with fewer seeds in the ordinary suite, which has to stay quick; the long run has as many for each.

A thousand in all.
"""
_CHUNK = 20


def _check(seeds: range, server: str) -> None:
    for seed in seeds:
        verdict = run(Plan(seed, server))
        assert not verdict.wrong, verdict.told(last=40)


@pytest.mark.parametrize(
    ("server", "first"),
    [(server, first) for server in sorted(SERVERS) for first in range(0, _FEW.get(server, _SEEDS), _CHUNK)],
)
def test_mb1_every_law_holds(server: str, first: int) -> None:
    _check(range(first, first + _CHUNK), server)


@pytest.mark.long
@pytest.mark.parametrize("first", range(1000, 6000, 100))
@pytest.mark.parametrize("server", sorted(SERVERS))
def test_mb1_every_law_holds_over_ten_thousand_seeds(server: str, first: int) -> None:
    _check(range(first, first + 100), server)


@pytest.mark.parametrize("server", sorted(SERVERS))
def test_a_seed_always_gives_the_same_run(server: str) -> None:
    first, second = (run(Plan(7, server)).world.script.told() for _ in range(2))
    assert len(first) > 100
    assert first == second


@pytest.mark.parametrize("regression", REGRESSIONS, ids=lambda regression: regression.name)
def test_what_once_failed_holds_and_still_happens(regression: Regression) -> None:
    verdict = run(regression.plan)
    assert not verdict.wrong, script_of(verdict)
    told = script_of(verdict)
    assert [occasion for occasion in regression.occasion if occasion not in told] == []


def test_a_failing_run_shrinks_to_a_short_one_that_fails_alike() -> None:
    plans = (Plan(seed, "hub", turns=60, make_carrier=Overwrites) for seed in range(100))
    plan = next(plan for plan in plans if kind_of(run(plan)) == "law 1")
    short = shrink(plan)
    assert short.keep is not None
    assert len(short.keep) < 40
    told = script_of(run(short)).splitlines()
    assert told[0] == f"Plan({short.seed}, 'hub', keep={short.keep})"
    assert "law 1: the text" in "".join(told)
    assert len(told) < 60


def test_delta_debugging_leaves_only_what_is_needed() -> None:
    assert minimal(range(100), lambda some: {3, 50, 51} <= set(some)) == [3, 50, 51]
    assert minimal(range(100), lambda some: True) == []
