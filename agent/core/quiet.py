"""The moment at which a changed file is scanned: soon if its writer has finished it, else once it is quiet."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

FINISHED_SHARE: Final = 0.2
"""Part of the quiet time that a finished file waits. An editor that writes it twice mostly does so within this time."""


class PendingChange(Struct, frozen=True, gc=False):
    """A file that was reported as changed and is not scanned yet. Times are seconds since the epoch.

    Attributes:
        first, last: the first and the last report.
        finished: the last report says that its writer closed it, or renamed it into place.
        repeated: it was finished twice within the quiet time, so a third time may follow. This holds until its scan.
    """

    first: float
    last: float
    finished: bool = False
    repeated: bool = False

    def due(self, quiet: float, most: float) -> float:
        """Return the time of its scan.

        Args:
            quiet: seconds without a report after which a file counts as quiet.
            most: longest delay by further reports, in seconds.
        """
        # A file that is still written, or appended to again and again, must be quiet: its text may be half of one.
        soon = self.finished and not self.repeated
        return min(self.last + quiet * (FINISHED_SHARE if soon else 1), self.first + most)


def report(before: PendingChange | None, now: float, *, finished: bool, repeated: bool) -> PendingChange:
    """Return the change after one more report. ``before``: None if the path was scanned since its last report."""
    if before is None:
        return PendingChange(now, now, finished, repeated)
    return PendingChange(before.first, now, finished, repeated or before.repeated)
