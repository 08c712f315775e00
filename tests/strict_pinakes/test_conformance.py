"""The Pinakes dialect holds every promise of the port: at its best and in all traps at once, with both hashes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from remotes.suite import promises
from strict_pinakes.state import PinTraps
from strict_pinakes.world import EVERY_TRAP, PinakesWorld


@pytest.fixture(params=["sha256", "blake3", "sha256 in all traps", "blake3 in all traps"])
def world(request: pytest.FixtureRequest) -> Iterator[PinakesWorld]:
    """The server without a trap, and with every one that leaves the promises possible."""
    algorithm, _, trapped = request.param.partition(" ")
    made = PinakesWorld(replace(EVERY_TRAP) if trapped else PinTraps(), algorithm)
    yield made
    made.close()


globals().update(promises(__name__))
