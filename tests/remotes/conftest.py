"""One world a test, for each server the adapter must hold its obligations against."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from remotes.fixtures import WORLDS, World, hub_world, strict_world


@pytest.fixture(params=sorted(WORLDS))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """The same tests against every server."""
    made = WORLDS[request.param]()
    yield made
    made.close()


@pytest.fixture
def strict() -> Iterator[World]:
    """The strict server, for what only the real one does."""
    made = strict_world()
    yield made
    made.close()


@pytest.fixture
def hub() -> Iterator[World]:
    """The hub, for what only it offers."""
    made = hub_world()
    yield made
    made.close()
