"""The lives can fail: each mutant of the dialect is found by its known seed."""

from __future__ import annotations

import pytest

from strict_scaidrive.mutants import DRIVE_MUTANTS, DriveMutant, first_seed


@pytest.mark.parametrize("mutant", DRIVE_MUTANTS, ids=[mutant.name for mutant in DRIVE_MUTANTS])
def test_a_mutant_of_the_dialect_is_found(mutant: DriveMutant) -> None:
    """A law is broken with the mutant, and none without it."""
    assert first_seed(mutant, [mutant.seed]) is not None, mutant.broken
