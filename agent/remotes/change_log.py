"""Recognition of a change log that is another one than before, because the server was restored from an older copy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from agent.remotes.http.failures import RemoteCallError, malformed

_C = TypeVar("_C")
_FEW: Final = 20
"""Least number of changes requested to see those that were read."""


def ids_behind(read: Callable[[_C, int], tuple[list[str], bool, _C]], cursor: _C, most: int) -> list[str]:
    """Return the ids of the first changes behind a cursor, at most so many and at least one.

    A page may be empty although more changes follow, as a server may count entries that it does not show.

    Args:
        read: returns the ids of a page, if more changes follow, and the cursor behind it; given a cursor and a limit.
    """
    found: list[str] = []
    most = max(most, 1)
    while True:
        page, more, behind = read(cursor, max(_FEW, most))
        found += page
        if len(found) >= most or not more:
            return found[:most]
        cursor = behind


def is_other_log(found: Sequence[str], first: str | None, last: str | None) -> bool:
    """Return True if the changes behind a cursor are not those that were read there. Total and pure.

    Args:
        found: ids of the changes that are there now, in order, as many as were read.
        first: id of the first change that was read.
        last: id of the last one; None if a release that did not keep it stored the position.
    """
    if (found[0] if found else None) != first:
        return True
    # The copy may have been made between two changes that were read in one page. A server may also drop a change that a
    # later one replaced, so the last one can be at an earlier place now.
    return last is not None and last not in found


def other_log() -> RemoteCallError:
    """Return the failure of a read behind a position that the server does not have: its events belong to another log.

    The engine then asks whether the server was restored.
    """
    return malformed("the server's changes are not those that were read before: it may have been restored")
