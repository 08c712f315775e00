"""Messages: what the engine learns. The executor posts them; the engine itself does no I/O."""

from __future__ import annotations

import enum
import hashlib
from typing import ClassVar, Final

from msgspec import Struct

from agent.core.errors import Problem, ProblemKind
from agent.core.events import Page
from agent.core.model import ApplyResult, Observation, Resolution, SkippedEntry
from agent.core.remote_records import Outcome, RemoteConflict, RemoteFile, RemoteHead
from agent.core.supply import Inline, Staged, Supply, Transfer
from agent.core.without_texts import WithoutTexts


class Started(Struct, frozen=True, gc=False):
    """The executor runs; no effect is in flight."""


class TimePassed(Struct, frozen=True, gc=False):
    """A timer of the engine may be due."""


class PathsChanged(Struct, frozen=True, gc=False):
    """The watcher reported changes at these paths.

    Attributes:
        rescan: also at unknown ones.
        finished: those of the paths that their writer closed, or renamed into place.
    """

    paths: frozenset[str]
    rescan: bool = False
    finished: frozenset[str] = frozenset()


class ScanResults(Struct, frozen=True, gc=False):
    """Results of a scan: of a whole scan the differences from the index, of single paths all of them.

    Attributes:
        oddities: entries that can never be synced.
        mounts: mount points found below the root, sent with the files in them: a scan that breaks off sends no summary.
        large: large files that must be read to be known; they are not in ``seen``.
    """

    seen: tuple[Observation, ...]
    oddities: tuple[SkippedEntry, ...] = ()
    mounts: frozenset[str] = frozenset()
    large: frozenset[str] = frozenset()


class ScanFinished(Struct, frozen=True, gc=False):
    """The whole scan is over.

    Attributes:
        trouble: why the root itself could not be read.
        mounts: mount points found below the root.
    """

    trouble: str | None = None
    mounts: frozenset[str] = frozenset()


class PathScanFinished(Struct, frozen=True, gc=False):
    """The scan of single paths is over; its results came before."""

    paths: tuple[str, ...]


class LargeFilesRead(Struct, frozen=True, gc=False):
    """The reading of large files is over; its results came before."""

    paths: tuple[str, ...]


class PageArrived(Struct, frozen=True, gc=False):
    """A page of the feed for a poll. Unless it is the ``last`` one, the next page follows by itself."""

    poll: int
    page: Page
    last: bool = True


class BatchAnswered(Struct, frozen=True, gc=False):
    """Outcomes of a batch; ``problem``: why sending stopped early."""

    number: int
    outcomes: tuple[Outcome, ...]
    problem: Problem | None = None


class Resumable(Struct, frozen=True, gc=False):
    """A large upload can continue in another process with ``state``. The sender waits until this is committed."""

    operation_id: str
    state: str


class Recalled(Struct, frozen=True, gc=False):
    """The server's proof about an operation in doubt.

    APPLIED and CONFLICT are its outcome. NOT_SENT proves that it was not applied, so that its upload can continue.
    Everything else proves nothing.
    """

    outcome: Outcome


class Advanced(Struct, frozen=True, gc=False):
    """A download has this many bytes by now. At most four a second for each download; nothing is written."""

    transfer_id: str
    size: int


class FetchResult(enum.Enum):
    """The end of a download."""

    COMPLETE = "complete"
    """It is durable and has the promised hash."""
    KEPT = "kept"  # in the trash, instead of an install
    CANCELLED = "cancelled"
    FAILED = "failed"
    """The server or the connection failed; ``Fetched.problem`` says how. What has arrived is kept."""
    GARBLED = "garbled"
    """Wrong bytes came. They were removed."""
    NO_ROOM = "no_room"
    DISK = "disk"  # the disk refused the file


class Fetched(Struct, frozen=True, gc=False):
    """A download ended.

    Attributes:
        problem: with FAILED, the failed call.
        text: with another failure, the cause for people.
    """

    transfer_id: str
    result: FetchResult = FetchResult.COMPLETE
    problem: Problem | None = None
    text: str | None = None


class HeadArrived(Struct, frozen=True, gc=False):
    """The server's head of a path (None: no file), with its open conflicts if they were asked for."""

    path: str
    head: RemoteHead | None
    conflicts: tuple[RemoteConflict, ...] | None = None


class ListingArrived(Struct, frozen=True, gc=False):
    """Rows of the server's listing; ``last``: it is complete."""

    files: tuple[RemoteFile, ...]
    last: bool


class StateDigestArrived(Struct, frozen=True, gc=False):
    """The digest of the server's files; see ``core.state_digest``."""

    digest: str


class DeletedChecked(Struct, frozen=True, gc=False):
    """Answer to CheckDeleted.

    Attributes:
        gone: those of the files that are no longer at their paths, as the server says itself.
    """

    gone: tuple[tuple[str, str], ...]


class FeedContinuityChecked(Struct, frozen=True, gc=False):
    """Comparison of the server's feed with the position it was read to.

    Attributes:
        behind: the feed lacks events that were read: the server was restored from an older copy.
        paused: the server pauses the source for all machines. A restored server may never send the end of a pause.
    """

    behind: bool
    paused: bool = False


class TrashWriteFinished(Struct, frozen=True, gc=False):
    """A text was written to the trash; ``trouble``: the disk refused it."""

    stash_id: str
    trouble: str | None = None


class ConnectionsReset(Struct, frozen=True, gc=False):
    """The machine slept, its clock was set, or its connections were closed as dead."""


class Nudged(Struct, frozen=True, gc=False):
    """The source may have changed: the server said so, or its nudges begin or end.

    Attributes:
        full: the server asks for a verification.
    """

    full: bool = False


class ConflictsArrived(Struct, frozen=True, gc=False):
    """A part of the list of the source's open conflicts, of all machines; ``last`` ends the list."""

    conflicts: tuple[RemoteConflict, ...]
    last: bool = True


class ConflictCloseAnswered(Struct, frozen=True, gc=False):
    """The server closed a conflict, or refused (``stale``: the head moved, or it was closed before)."""

    conflict: int
    stale: bool = False


class ChangesApplied(Struct, frozen=True, gc=False):
    """Outcomes of changes to the folder; also the answer to Recover."""

    landed: tuple[ApplyResult, ...]


class RecoveryFailed(Struct, frozen=True, gc=False):
    """The outcome of journalled changes is unknown; the folder must not be changed until it is known."""

    trouble: str


class Call(enum.StrEnum):
    """Kinds of calls to the server."""

    POLL = "poll"
    STANDING = "standing"
    PUSH = "push"
    HEAD = "head"
    LISTING = "listing"
    CONFLICTS = "conflicts"
    CLOSE = "close"
    HISTORY = "history"
    FETCH = "fetch"
    RECALL = "recall"


OF_ONE_FILE: Final = frozenset(
    {
        ProblemKind.GARBLED,
        ProblemKind.SERVER_FAULT,
        ProblemKind.BAD_REQUEST,
        ProblemKind.TOO_LARGE,
        ProblemKind.FORBIDDEN,
        ProblemKind.GONE,
    }
)
"""Failures of a question for one head that concern only that file."""


class CallFailed(Struct, frozen=True, gc=False):
    """A call to the server failed. ``subject``: poll number, path or conflict id."""

    call: Call
    problem: Problem
    subject: int | str | None = None


class Resolve(WithoutTexts, frozen=True):
    """A person's decision on a conflict as shown in ``generation``; ``text`` with manual_merge."""

    TEXTS: ClassVar = ("text",)

    conflict: int
    generation: int
    choice: Resolution
    text: bytes | None = None


class Restore(WithoutTexts, frozen=True):
    """A person's wish for this text at this path; the present file goes to the trash.

    Attributes:
        content: the text; None with a large file, or to remove the file. Its delete is then sent like any other.
        staged: a large file, as a finished download in the staging folder. Its sender removes it if it is left over.
    """

    TEXTS: ClassVar = ("content",)

    path: str
    content: bytes | None
    staged: Transfer | None = None

    @property
    def hash(self) -> str | None:
        """The sha256 of the file to bring back; None to remove the file."""
        if self.staged is not None:
            return self.staged.hash
        return None if self.content is None else hashlib.sha256(self.content).hexdigest()

    @property
    def supply(self) -> Supply:
        """The place of its bytes."""
        return Inline(self.content or b"") if self.staged is None else Staged(self.staged.id)


class DeletedTextFound(WithoutTexts, frozen=True):
    """The text of a deleted file, to be brought back.

    Attributes:
        content: None if the text was not found.
        trouble: why the search was incomplete, so that it must be repeated; None: the text is nowhere.
    """

    TEXTS: ClassVar = ("content",)

    path: str
    content: bytes | None = None
    trouble: str | None = None


class Pause(Struct, frozen=True, gc=False):
    """Change nothing until this moment (infinity: until resumed)."""

    until: float


class Resume(Struct, frozen=True, gc=False):
    """Continue; also lifts a halt."""


class ApproveDeletes(Struct, frozen=True, gc=False):
    """A person's approval of exactly this plan of deletes."""

    plan: str


class UndoDeletes(Struct, frozen=True, gc=False):
    """Bring back the files of the held deletes, and those deleted within the window before them."""


class Retry(Struct, frozen=True, gc=False):
    """Retry skipped or failed files now; None: all of them."""

    paths: tuple[str, ...] | None = None


class SyncNow(Struct, frozen=True, gc=False):
    """Do one full pass; answered by the effect PassFinished with the same ticket."""

    ticket: int


class RescanRequested(Struct, frozen=True, gc=False):
    """Scan the whole folder: the rules or the folder changed."""


Message = (
    Started
    | TimePassed
    | PathsChanged
    | ScanResults
    | ScanFinished
    | PathScanFinished
    | LargeFilesRead
    | PageArrived
    | BatchAnswered
    | Resumable
    | Recalled
    | Advanced
    | Fetched
    | HeadArrived
    | ListingArrived
    | StateDigestArrived
    | DeletedChecked
    | FeedContinuityChecked
    | ConnectionsReset
    | Nudged
    | TrashWriteFinished
    | ConflictsArrived
    | ConflictCloseAnswered
    | ChangesApplied
    | RecoveryFailed
    | CallFailed
    | Resolve
    | Restore
    | DeletedTextFound
    | Pause
    | Resume
    | ApproveDeletes
    | UndoDeletes
    | Retry
    | SyncNow
    | RescanRequested
)
