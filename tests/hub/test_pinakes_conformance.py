"""The Pinakes dialect holds every promise of the port over the hub's third API, with both hashes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hub.pinakes_world import PinakesHubWorld
from remotes.suite import promises


@pytest.fixture(params=["sha256", "blake3"])
def world(request: pytest.FixtureRequest) -> Iterator[PinakesHubWorld]:
    """The hub in this process."""
    made = PinakesHubWorld(request.param)
    yield made
    made.close()


globals().update(promises(__name__))
