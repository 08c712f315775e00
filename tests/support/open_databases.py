"""A warning for each SQLite connection that is dropped open, on the versions of Python that do not warn themselves.

Python 3.13 warns, and a warning is an error here. With this, such a connection fails the suite on every version.
"""

from __future__ import annotations

import sqlite3
import sys
import warnings
from collections.abc import Callable
from typing import Any, Final

WARNS_ITSELF: Final = sys.version_info >= (3, 13)


class WatchedConnection(sqlite3.Connection):
    """A connection that warns if it is dropped open."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        self._is_open = False
        super().__init__(*arguments, **keywords)
        self._is_open = True

    def close(self) -> None:
        """Close the connection."""
        self._is_open = False
        super().close()

    def __del__(self) -> None:
        if self._is_open:
            warnings.warn(f"unclosed database in {self!r}", ResourceWarning, source=self, stacklevel=1)


def watch_connections() -> None:
    """Have every connection of this process watched, unless Python does so."""
    if WARNS_ITSELF:
        return
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def watched(*arguments: Any, **keywords: Any) -> sqlite3.Connection:
        keywords.setdefault("factory", WatchedConnection)
        return connect(*arguments, **keywords)

    sqlite3.connect = watched  # type: ignore[assignment]
    sqlite3.dbapi2.connect = watched  # type: ignore[assignment]
