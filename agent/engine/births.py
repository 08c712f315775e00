"""Birth times of files that scans found new, for as long as they may be renamed files."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from agent.core.model import Observation


class Births(Struct):
    """Birth times by path. They are lost with the process; then an inode alone is no evidence of a rename."""

    _found: dict[str, tuple[int, int, float]] = field(default_factory=dict)
    """Inode, birth time in nanoseconds, and time of the scan in seconds, in the order of the scans."""
    _paths: dict[int, str] = field(default_factory=dict)
    """The last path of each inode."""

    def record(self, seen: Observation, now: float) -> None:
        """Record the birth time of a new file, if the scan took it."""
        if seen.born_ns is not None and seen.fingerprint is not None:
            self._found.pop(seen.path, None)
            self._found[seen.path] = (seen.fingerprint.inode, seen.born_ns, now)
            self._paths[seen.fingerprint.inode] = seen.path

    def forget(self, until: float) -> None:
        """Drop what was recorded up to ``until``."""
        while self._found:
            path = next(iter(self._found))
            inode, _, at = self._found[path]
            if at > until:
                return
            del self._found[path]
            if self._paths.get(inode) == path:
                del self._paths[inode]

    def of(self, path: str, identity: object) -> int | None:
        """Return the birth time of this inode at this path; None if it is not known."""
        inode, born_ns, _ = self._found.get(path, (None, None, None))
        return born_ns if inode == identity else None

    def paths(self, identities: Iterable[object]) -> list[str]:
        """Return the new paths at which these inodes were found last."""
        return [self._paths[each] for each in identities if isinstance(each, int) and each in self._paths]
