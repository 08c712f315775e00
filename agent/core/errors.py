"""Every error the agent raises on purpose.

::

    AgentError
    ├── RemoteError            a call to the server did not do what it should (``kind`` says how)
    ├── DiskError              the disk refused
    │   └── RootError          the synced folder itself is missing or not the one that was linked
    ├── IndexDamaged           the index cannot be read
    ├── IndexTooNew            the index was written by a newer release
    ├── UsageError             the request makes no sense as asked
    ├── HomeLocked             another agent holds this home
    └── NotRunning             no agent runs where one is needed

Conflicts, skipped files and halts are data, not errors.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class ProblemKind(enum.StrEnum):
    """How a call failed; decides what happens next."""

    OFFLINE = "offline"
    """No connection, timeout, 502-504: queue and retry with backoff."""
    BUSY = "busy"
    """429 or 503: retry after ``retry_after``."""
    SIGNED_OUT = "signed_out"
    """401: keep the queue, wait for a new token."""
    GARBLED = "garbled"
    """HTML, an empty or cut answer, JSON of the wrong shape: nothing changes, retry with backoff."""
    SERVER_FAULT = "server_fault"
    """A 500 that is not one of the others."""
    UPSTREAM_FAULT = "upstream_fault"
    """The known 500 of the released Raven server: retrying cannot help."""
    NOT_FOUND = "not_found"
    PAUSED = "paused"
    STALE = "stale"
    """409, or the conflict was resolved by somebody else meanwhile."""
    BAD_REQUEST = "bad_request"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True)
class Problem:
    """A failed call as data.

    Attributes:
        kind: decides what happens next.
        message: one sentence for a person, never with a token in it.
        retry_after: seconds the server asked us to wait, where it did.
    """

    kind: ProblemKind
    message: str
    retry_after: float | None = None


class AgentError(Exception):
    """Base of all; ``code`` is stable and machine-readable, ``hint`` names the next step."""

    code = "error"

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class RemoteError(AgentError):
    """A call to the server failed; ``problem`` says how."""

    def __init__(self, problem: Problem, hint: str | None = None) -> None:
        super().__init__(problem.message, hint)
        self.problem = problem

    @property
    def code(self) -> str:  # type: ignore[override]
        """The problem's kind."""
        return self.problem.kind.value


class DiskError(AgentError):
    """The disk refused; one file's trouble unless it is a RootError."""

    code = "disk"


class RootError(DiskError):
    """The synced folder is missing, unreadable, or not the one that was linked."""

    code = "root"


class IndexDamaged(AgentError):
    """The index cannot be read; it is set aside and rebuilt as a union."""

    code = "index_damaged"


class IndexUnavailable(AgentError):
    """The index is sound as far as known, and cannot be used now: its disk is full, say. It is left as it is."""

    code = "index_unusable"


class IndexTooNew(AgentError):
    """The index was written by a newer release."""

    code = "index_too_new"


class UsageError(AgentError):
    """The request makes no sense as asked."""

    code = "usage"


class HomeLocked(AgentError):
    """Another agent holds this home."""

    code = "locked"


class NotRunning(AgentError):
    """No agent runs where one is needed."""

    code = "not_running"
