"""Close at the end of each test what a helper opened without a ``with`` block.

Python 3.13 warns of an SQLite connection that is dropped open, and a warning is an error here.
"""

from __future__ import annotations

from typing import Protocol, TypeVar


class Closable(Protocol):
    """Anything with a method ``close``."""

    def close(self) -> object:
        """Give the resource back; calling it twice is allowed."""
        ...


C = TypeVar("C", bound=Closable)
_opened: list[Closable] = []


def closed_after_test(resource: C) -> C:
    """Return the resource; it is closed when the running test ends."""
    _opened.append(resource)
    return resource


def close_all() -> None:
    """Close the resources in the reverse order of their opening."""
    while _opened:
        _opened.pop().close()
