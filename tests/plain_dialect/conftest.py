from __future__ import annotations

from collections.abc import Iterator

import pytest

from plain_dialect.world import PlainWorld


@pytest.fixture
def world() -> Iterator[PlainWorld]:
    """The server at its best."""
    made = PlainWorld()
    yield made
    made.close()
