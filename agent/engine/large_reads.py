"""Large files being read beside everything else, and those of them that changed meanwhile."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field


class LargeReads(Struct):
    """The reads in flight.

    Attributes:
        paths: files being read.
        changed: those that a scan found changed during the read.
    """

    paths: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        """Return True while a file is being read."""
        return bool(self.paths)

    def begin(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Record files as being read; returns those that were not. The others changed, so they are read again."""
        wanted = set(paths)
        self.changed |= wanted & self.paths
        new = wanted - self.paths
        self.paths |= new
        return tuple(sorted(new))

    def end(self, paths: Iterable[str]) -> list[str]:
        """Record the end of reads; returns the files that changed meanwhile."""
        ended = set(paths)
        again = sorted(self.changed & ended)
        self.paths -= ended
        self.changed -= ended
        return again
