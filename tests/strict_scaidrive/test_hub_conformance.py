"""The adapter holds the promises of the port over the hub's ScaiDrive API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from remotes.suite import promises
from strict_scaidrive.api import CHUNK
from strict_scaidrive.hub_world import HubDriveWorld


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubDriveWorld]:
    """The hub, with chunks of a few bytes."""
    monkeypatch.setattr("agent.hub.scaidrive.uploads.DEFAULT_CHUNK", CHUNK)
    made = HubDriveWorld()
    yield made
    made.close()


globals().update(promises(__name__))
