"""Writing rows, many to a statement."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

_MOST_VARIABLES: Final = 999
"""In one statement; what every build of SQLite takes."""
_MOST_ROWS: Final = 50
"""In one statement; more of them save nothing more, and of a batch's hundred none are left over."""


class Insert:
    """A statement that writes rows, prepared for one and for as many as one statement takes: SQLite spends a third less
    on each of those, and lets other threads in between once a statement instead of once a row.

    Args:
        into: the statement up to its values.
        columns: how many values make a row.
    """

    def __init__(self, into: str, columns: int) -> None:
        row = f"({','.join('?' * columns)})"
        self._together = min(_MOST_VARIABLES // columns, _MOST_ROWS)
        self._one = f"{into} VALUES {row}"
        # Never fewer than that: each length of a statement would be parsed anew, and push others out of the cache.
        self._many = f"{into} VALUES {','.join([row] * self._together)}"

    def write(self, connection: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Write them in their order."""
        together = self._together
        full = len(rows) - len(rows) % together
        for start in range(0, full, together):
            connection.execute(self._many, tuple(chain.from_iterable(rows[start : start + together])))
        connection.executemany(self._one, rows[full:])
