from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from plain_dialect.household import Household
from plain_dialect.world import PlainWorld


@pytest.fixture
def world() -> Iterator[PlainWorld]:
    """The server at its best."""
    made = PlainWorld()
    yield made
    made.close()


@pytest.fixture
def home(world: PlainWorld, tmp_path: Path) -> Iterator[Household]:
    with contextlib.closing(Household(world, tmp_path)) as made:
        yield made
