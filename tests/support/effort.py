"""What SQLite does for a statement: counted, not timed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

_GRAIN = 10


def effort(database: sqlite3.Connection, work: Callable[[], object]) -> int:
    """Instructions of SQLite's machine that the work took, to the nearest ten for each statement."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += _GRAIN
        return 0

    database.set_progress_handler(count, _GRAIN)
    try:
        work()
    finally:
        database.set_progress_handler(None, 0)
    return steps
