"""The ScaiDrive dialect holds every promise of the port over the hub's second API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hub.drive_world import DriveHubWorld
from remotes.suite import promises


@pytest.fixture(params=[pytest.param(3, id="batches"), pytest.param(0, id="single", marks=pytest.mark.long)])
def world(request: pytest.FixtureRequest) -> Iterator[DriveHubWorld]:
    """The hub in this process, with batches of a few files, and with none as ScaiDrive's documentation has it."""
    made = DriveHubWorld(request.param)
    yield made
    made.close()


globals().update(promises(__name__))
