"""The ScaiDrive dialect holds every promise of the port over the hub's second API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hub.drive_world import DriveHubWorld
from remotes.suite import promises


@pytest.fixture
def world() -> Iterator[DriveHubWorld]:
    """The hub in this process."""
    made = DriveHubWorld()
    yield made
    made.close()


globals().update(promises(__name__))
