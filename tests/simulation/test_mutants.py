"""The oracle and the trace audit can fail: they find code that is broken on purpose, and accept it restored."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from agent.disk.apply.swap import Swapper
from simulation.mutant import Mutant
from simulation.mutants import hunt
from simulation.mutations import MUTANTS
from simulation.run import run
from simulation.world import Plan

QUICK = 150
"""Seeds within which a mutant is found out whose known seeds lost its situation."""
MANY = 1000


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_is_broken_is_found_out_within_a_few_seeds(mutant: Mutant) -> None:
    """Some early seed complains over the mutant, and does not without it."""
    assert hunt(mutant, range(QUICK)).caught is not None, mutant.broken


@pytest.mark.long
@pytest.mark.parametrize(
    "mutant", [m for m in MUTANTS if max(m.seeds, default=0) < MANY], ids=lambda mutant: mutant.name
)
def test_what_is_broken_is_found_without_a_known_seed(mutant: Mutant) -> None:
    """The seeds from 0 on find it, on one of its faces at least. One mutant is known to need more of them."""
    assert hunt(replace(mutant, seeds=()), range(MANY)).caught is not None, mutant.broken


def test_every_mutant_is_taken_out_again() -> None:
    """After the context is left the product is what it was, whatever was raised inside."""
    whole = Swapper.replace
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "no check after the swap")
    with pytest.raises(KeyError), mutant.breaking():
        assert Swapper.replace is not whole
        raise KeyError
    assert Swapper.replace is whole


def test_the_names_of_mutants_tell_them_apart() -> None:
    """Each has a name and a sentence of its own."""
    assert len({mutant.name for mutant in MUTANTS}) == len({mutant.broken for mutant in MUTANTS}) == len(MUTANTS)


def test_the_trace_audit_finds_nothing_in_the_real_product() -> None:
    """What it asks is asked of every run; here of a few, so that a mutant's reason means the mutant."""
    for seed in range(4):
        assert run(Plan(seed, "strict")).wrong == ()
