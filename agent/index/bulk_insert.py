# performance island: a third less time for each row of a large write than executemany, see tests/benchmarks
# (test_linked.py, a first link); the plain alternative is ``connection.executemany(into + VALUES (?, ...))``.
"""Writing rows, many with one statement."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

_MOST_VARIABLES: Final = 999
"""Variables of one statement that every build of SQLite accepts."""
_MOST_ROWS: Final = 50
"""Rows of one statement. More are not faster, and a batch of 100 operations is exactly two statements."""


class Insert:
    """An INSERT prepared for one row and for many rows.

    SQLite releases its lock to other threads once a statement, so fewer statements also wait less.

    Args:
        into: the statement up to its values.
        columns: number of values of a row.
    """

    def __init__(self, into: str, columns: int) -> None:
        row = f"({','.join('?' * columns)})"
        self._together = min(_MOST_VARIABLES // columns, _MOST_ROWS)
        self._one = f"{into} VALUES {row}"
        # Only two lengths: each further one would be parsed anew and push others out of the statement cache.
        self._many = f"{into} VALUES {','.join([row] * self._together)}"

    def write(self, connection: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Write rows in their order."""
        together = self._together
        full = len(rows) - len(rows) % together
        for start in range(0, full, together):
            connection.execute(self._many, tuple(chain.from_iterable(rows[start : start + together])))
        connection.executemany(self._one, rows[full:])
