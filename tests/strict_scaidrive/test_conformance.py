"""The ScaiDrive dialect holds every promise of the port: at the documentation's best, and in all traps at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from remotes.suite import promises
from strict_scaidrive.state import DriveTraps
from strict_scaidrive.world import EVERY_TRAP, ScaiDriveWorld


@pytest.fixture(params=["none", "all"])
def world(request: pytest.FixtureRequest) -> Iterator[ScaiDriveWorld]:
    """The server without a trap, and with every one that leaves the promises possible."""
    made = ScaiDriveWorld(replace(EVERY_TRAP) if request.param == "all" else DriveTraps())
    yield made
    made.close()


globals().update(promises(__name__))
