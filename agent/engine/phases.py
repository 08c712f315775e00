"""Phases of the recovery after a start and of whole scans."""

from __future__ import annotations

import enum
from typing import Final


class RecoveryPhase(enum.Enum):
    """Progress of the recovery of journalled changes after a start."""

    NOT_STARTED = "not_started"
    """The process has not begun: nothing may be asked of the disk or the server."""
    RUNNING = "running"
    WAITING = "waiting"
    """The folder could not be reached; the recovery is tried again."""
    DONE = "done"


class ScanPhase(enum.Enum):
    """Progress of whole scans: (a scan succeeded since the start, one is running, another one is wanted)."""

    FIRST_DUE = (False, False, True)
    FIRST_RUNNING = (False, True, False)
    FIRST_RUNNING_AGAIN = (False, True, True)
    FIRST_FAILED = (False, False, False)
    IDLE = (True, False, False)
    DUE = (True, False, True)
    RUNNING = (True, True, False)
    RUNNING_AGAIN = (True, True, True)

    def __init__(self, complete: bool, running: bool, wanted: bool) -> None:
        self.complete = complete
        """True if a whole scan succeeded since the start, so that the local tree is known."""
        self.running = running
        """True while a whole scan runs."""
        self.wanted = wanted
        """True if a whole scan is due, or due again after the running one."""

    def requested(self) -> ScanPhase:
        """Return the phase after a request for a whole scan."""
        return _BY_FLAGS[self.complete, self.running, True]

    def begun(self) -> ScanPhase:
        """Return the phase after the begin of a whole scan."""
        return _BY_FLAGS[self.complete, True, False]

    def ended(self, *, succeeded: bool) -> ScanPhase:
        """Return the phase after the end of a whole scan."""
        return _BY_FLAGS[self.complete or succeeded, False, self.wanted]


_BY_FLAGS: Final = {(phase.complete, phase.running, phase.wanted): phase for phase in ScanPhase}
