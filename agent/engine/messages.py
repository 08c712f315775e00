"""What the engine is told. The executor posts these; the engine never asks anybody anything directly."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from agent.core.errors import Problem, ProblemKind
from agent.core.events import Page
from agent.core.model import (
    ApplyResult,
    Observation,
    Outcome,
    RemoteConflict,
    RemoteFile,
    RemoteHead,
    Resolution,
    SkippedEntry,
)


class Started(Struct, frozen=True, gc=False):
    """The executor runs; nothing is outstanding."""


class TimePassed(Struct, frozen=True, gc=False):
    """It may be later than some moment the engine asked to be woken at."""


class PathsChanged(Struct, frozen=True, gc=False):
    """The watcher saw something stir at these paths; ``rescan`` when it cannot say where."""

    paths: frozenset[str]
    rescan: bool = False


class ScanResults(Struct, frozen=True, gc=False):
    """What a look found: of a whole look only the differences from the index, of single paths all of them.

    Attributes:
        mounts: folders met that are file systems of their own. Told with the files in them: a look that breaks off
            says at its end nothing of what it met.
    """

    seen: tuple[Observation, ...]
    oddities: tuple[SkippedEntry, ...] = ()
    mounts: frozenset[str] = frozenset()


class ScanFinished(Struct, frozen=True, gc=False):
    """The whole look is through.

    Attributes:
        trouble: why the root itself could not be looked at.
        mounts: the folders met that are file systems of their own.
    """

    trouble: str | None = None
    mounts: frozenset[str] = frozenset()


class PathScanFinished(Struct, frozen=True, gc=False):
    """The single paths asked for have been looked at; their findings came before."""

    paths: tuple[str, ...]


class PageArrived(Struct, frozen=True, gc=False):
    """A page of the feed, and the call it answers; unless it is the ``last`` one, the next follows unasked."""

    poll: int
    page: Page
    last: bool = True


class BatchAnswered(Struct, frozen=True, gc=False):
    """What became of a batch; ``problem`` where the sending stopped early."""

    number: int
    outcomes: tuple[Outcome, ...]
    problem: Problem | None = None


class HeadArrived(Struct, frozen=True, gc=False):
    """What the server holds at a path now (None: nothing), with the open conflicts of that path where asked for."""

    path: str
    head: RemoteHead | None
    conflicts: tuple[RemoteConflict, ...] | None = None


class ListingArrived(Struct, frozen=True, gc=False):
    """Rows of the server's listing; ``last`` when it is whole."""

    files: tuple[RemoteFile, ...]
    last: bool


class FeedContinuityChecked(Struct, frozen=True, gc=False):
    """How the server stands to where its feed was read to.

    Attributes:
        behind: its feed does not hold what was read: it was restored from an older copy.
        paused: whether it holds the source still for all machines. The feed of a server that was put back may never
            tell that what it once told is over.
    """

    behind: bool
    paused: bool = False


class TrashWriteFinished(Struct, frozen=True, gc=False):
    """A text owed to the trash stands there; ``trouble`` where the disk refused it."""

    stash_id: str
    trouble: str | None = None


class ConnectionsReset(Struct, frozen=True, gc=False):
    """The machine slept, its clock was set, or its connections were given up as dead."""


class ConflictsArrived(Struct, frozen=True, gc=False):
    """Every open conflict of the source, all machines'."""

    conflicts: tuple[RemoteConflict, ...]


class ConflictCloseAnswered(Struct, frozen=True, gc=False):
    """The server closed a conflict, or refused to (``stale``: the head moved or somebody was faster)."""

    conflict: int
    stale: bool = False


class ChangesApplied(Struct, frozen=True, gc=False):
    """What became of changes to the folder; also the answer to Recover."""

    landed: tuple[ApplyResult, ...]


class RecoveryFailed(Struct, frozen=True, gc=False):
    """What became of journalled changes cannot be told now, and nothing may be changed until it can."""

    trouble: str


class Call(enum.StrEnum):
    """The kinds of calls to the server."""

    POLL = "poll"
    STANDING = "standing"
    PUSH = "push"
    HEAD = "head"
    LISTING = "listing"
    CONFLICTS = "conflicts"
    CLOSE = "close"


OF_ONE_FILE: Final = frozenset(
    {ProblemKind.GARBLED, ProblemKind.SERVER_FAULT, ProblemKind.BAD_REQUEST, ProblemKind.TOO_LARGE}
)
"""What a question for one file's head may meet that is that file's trouble alone."""


class CallFailed(Struct, frozen=True, gc=False):
    """A call to the server failed; nothing of it may be believed. ``subject``: poll number, path or conflict id."""

    call: Call
    problem: Problem
    subject: int | str | None = None


@dataclass(frozen=True, slots=True)
class Resolve:
    """A person decided a conflict they saw in this generation; ``text`` with manual_merge."""

    conflict: int
    generation: int
    choice: Resolution
    text: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Restore:
    """A person wants these bytes at this path; what stands there goes to the trash."""

    path: str
    content: bytes = field(repr=False)


class Pause(Struct, frozen=True, gc=False):
    """Do not change anything until this moment (infinity: until resumed)."""

    until: float


class Resume(Struct, frozen=True, gc=False):
    """Go on; also lifts a halt a person has looked at."""


class ApproveDeletes(Struct, frozen=True, gc=False):
    """A person approves exactly this plan of deletes."""

    plan: str


class UndoDeletes(Struct, frozen=True, gc=False):
    """A person wants the files of the held deletes back on the side that lost them."""


class Retry(Struct, frozen=True, gc=False):
    """Try skipped or failed files again now; None: all of them."""

    paths: tuple[str, ...] | None = None


class SyncNow(Struct, frozen=True, gc=False):
    """Do one full pass; answered by the effect Rested with the same ticket."""

    ticket: int


class RescanRequested(Struct, frozen=True, gc=False):
    """The rules or the folder changed: look at everything."""


Message = (
    Started
    | TimePassed
    | PathsChanged
    | ScanResults
    | ScanFinished
    | PathScanFinished
    | PageArrived
    | BatchAnswered
    | HeadArrived
    | ListingArrived
    | FeedContinuityChecked
    | ConnectionsReset
    | TrashWriteFinished
    | ConflictsArrived
    | ConflictCloseAnswered
    | ChangesApplied
    | RecoveryFailed
    | CallFailed
    | Resolve
    | Restore
    | Pause
    | Resume
    | ApproveDeletes
    | UndoDeletes
    | Retry
    | SyncNow
    | RescanRequested
)
