"""The errors the agent raises on purpose, and failed calls as data.

::

    AgentError
    ├── RemoteError               a call to the server failed; ``problem`` says how
    │   └── RemoteCallError       the same, with what the call may have changed on the server
    │       └── AnswerTooLarge    the answer is larger than the memory bound of its kind
    ├── DiskError                 the disk refused an action on one file
    │   ├── RootError             the synced folder is missing, unreadable or another one
    │   ├── GarbledDownload       the bytes of a download are not those that were promised
    │   ├── NoRoom                the disk has not enough free space for a download
    │   ├── UnsafePath            a parent folder of the path is a link
    │   ├── PathBlocked           a parent folder of the path is a file, or has another spelling
    │   ├── MountMissing          the path lies on a file system that is not mounted
    │   └── ContentChanged        a file changed while it was sent
    ├── IndexDamaged              the index cannot be read
    ├── IndexUnavailable          the index is sound, but its disk refuses it now
    ├── IndexTooNew               a newer release wrote the index
    ├── ConfigError               the settings or the folders that hold them are unusable
    ├── RegistryError             the registry of links cannot be read or written
    ├── CredentialsError          a token cannot be read or stored safely
    ├── DeclarationError          a declared account or folder is invalid
    ├── HubStartFailed            the embedded hub did not start
    ├── HubCommandFailed          a ``hub`` command failed
    ├── InviteFailed              the embedded hub gave no invite
    ├── HomeLocked                another agent holds this home
    ├── NotRunning                no agent runs where one is needed
    ├── UsageError                the request makes no sense as asked
    ├── RequestRefused            the request makes sense, but cannot be granted now
    ├── Unsent                    local changes have not reached the server
    ├── AnsweredError             the agent answered a command with an error
    ├── FormRefused               a form of the dashboard lacks the token of its page
    ├── Declined                  the person answered a question with no
    ├── EditorFailed              the editor could not be started, or its exit code was not 0
    ├── NotMerged                 a merge given by the person is unfinished
    ├── NoLog                     there is no log file
    ├── OutputFailed              standard output cannot be written
    ├── ServiceFailed             the service manager refused or cannot be reached
    ├── ServiceRefused            a unit file of somebody else is in the way
    └── NotInstalled              there is no service to start or stop

Conflicts, skipped files and halts are data, not errors. ``tests/unit/test_errors.py`` compares the tree with the code.
"""

from __future__ import annotations

import enum
from typing import NamedTuple


class ProblemKind(enum.StrEnum):
    """The kind of a failed call; it decides what happens next."""

    OFFLINE = "offline"
    """No connection, timeout, 502-504: queue and retry with backoff."""
    BUSY = "busy"
    """429, 503, or a hub whose disk is full: retry after ``retry_after``."""
    SIGNED_OUT = "signed_out"
    """401, or a token that may not use this connector: keep the queue, wait for another token."""
    GARBLED = "garbled"
    """HTML, an empty or cut answer, JSON of the wrong shape: change nothing, retry with backoff."""
    SERVER_FAULT = "server_fault"
    """A 500 of another cause: retry with backoff."""
    UPSTREAM_FAULT = "upstream_fault"
    """The known 500 of the released Raven server: a retry cannot help."""
    NOT_FOUND = "not_found"
    PAUSED = "paused"
    STALE = "stale"
    """409: the head moved, or another person resolved the conflict."""
    BAD_REQUEST = "bad_request"
    TOO_LARGE = "too_large"
    FORBIDDEN = "forbidden"
    """403: the account may not do this, and a retry cannot help."""
    NO_SPACE = "no_space"
    """507: a quota of the account is used up. Only contents wait; deletes and moves go on."""
    GONE = "gone"
    """410: this version, or this unfinished upload, does not exist any more."""
    CURSOR_LOST = "cursor_lost"
    """The server no longer knows our position in its feed: the source must be read from the beginning."""


class Problem(NamedTuple):
    """A failed call as data.

    Attributes:
        kind: decides what happens next.
        message: one sentence for a person, never with a token in it.
        retry_after: seconds to wait, if the server asked for a pause.
    """

    kind: ProblemKind
    message: str
    retry_after: float | None = None


class AgentError(Exception):
    """Base of all errors. ``code`` is stable and machine-readable; ``hint`` names the next step for a person."""

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
    """The disk refused an action. Only that file is affected, unless it is a RootError."""

    code = "disk"


class ContentChanged(DiskError):
    """The file is no longer the one that was opened. What was sent of it must not become a version."""

    code = "changed"


class RootError(DiskError):
    """The synced folder is missing, unreadable, or not the linked one."""

    code = "root"


class IndexDamaged(AgentError):
    """The index cannot be read. It is quarantined, and a new one merges both sides like a new link."""

    code = "index_damaged"


class IndexUnavailable(AgentError):
    """The index is sound but cannot be used now, for example on a full disk. It is left as it is."""

    code = "index_unusable"


class IndexTooNew(AgentError):
    """A newer release wrote the index."""

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
