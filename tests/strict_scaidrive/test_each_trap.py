"""Each trap alone: the promises about the feed, pushes, contents and conflicts. No trap changes the others.

Those about hundreds of files are tested here in the long run, and in all traps at once by ``test_conformance.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from remotes.suite import promises
from strict_scaidrive.state import DriveTraps
from strict_scaidrive.world import TRAPS, ScaiDriveWorld


@pytest.fixture(params=TRAPS)
def world(request: pytest.FixtureRequest) -> Iterator[ScaiDriveWorld]:
    """The server in one trap."""
    made = ScaiDriveWorld(replace(DriveTraps(), **{request.param: True}))
    yield made
    made.close()


_SAME = ("TestAccount", "TestFailure")
_BOUND = promises(__name__, crowded_in_long_run=True)
globals().update({name: each for name, each in _BOUND.items() if name not in _SAME})
