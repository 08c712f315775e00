"""Effects: what the engine asks for. The executor carries them out in any order and posts messages."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from agent.core.events import Span
from agent.core.model import Intent, Resolution
from agent.core.remote_records import Operation
from agent.core.supply import Supply, Transfer
from agent.core.without_texts import WithoutTexts


class ScanFolder(Struct, frozen=True, gc=False):
    """Scan the whole folder; post ScanResults with the differences from the index, then ScanFinished."""


class ScanPaths(Struct, frozen=True, gc=False):
    """Scan these paths; post ScanResults, then PathScanFinished.

    Attributes:
        again: racy paths that will be scanned again. Until then an equal stat counts as unchanged.
        anew: paths to read as if the index did not know them, whatever their stat says.
    """

    paths: tuple[str, ...]
    again: frozenset[str] = frozenset()
    anew: frozenset[str] = frozenset()


class ReadLargeFiles(Struct, frozen=True, gc=False):
    """Read these large files, beside all other effects; post ScanResults for each, then LargeFilesRead."""

    paths: tuple[str, ...]


class Poll(Struct, frozen=True, gc=False):
    """Read the feed behind ``state``; post PageArrived for each page.

    Attributes:
        wait: seconds the server may wait for an event.
        known: positions of our own events, which the server need not return.
        room: bytes of texts; further pages are read while less has arrived.
        applied: nothing up to ``state`` is left to fetch or apply, so the server may learn this position.
    """

    number: int
    state: str | None
    wait: float
    known: tuple[Span, ...] = ()
    room: int = 0
    applied: bool = False


class OutgoingOperation(WithoutTexts, frozen=True):
    """An operation to send.

    Attributes:
        operation: what to send.
        content_override: the decided text that the folder does not hold (empty for a delete). None: the text is read
            from the folder, which must still hold it, or no file for a delete.
        is_large: its content is sent in pieces of the opened file. It is alone in its batch.
        resume: the newest state that ``Resumable`` gave for this operation.
    """

    TEXTS: ClassVar = ("content_override",)

    operation: Operation
    content_override: bytes | None = None
    is_large: bool = False
    resume: str | None = None


class Send(Struct, frozen=True, gc=False):
    """Read, check and send batch ``number``; post BatchAnswered.

    An operation whose file has other bytes now is answered CHANGED and not sent. If the server forgets conflicts with a
    delete, the texts of open conflicts on the deleted paths are written to the trash first. A large upload has
    Resumable committed before its first chunk.
    """

    number: int
    parcels: tuple[OutgoingOperation, ...]

    @property
    def is_large(self) -> bool:
        """True if it is one large upload, which takes long."""
        return any(parcel.is_large for parcel in self.parcels)


class CancelUpload(Struct, frozen=True, gc=False):
    """End a large upload before its next chunk: its file has other bytes by now. The batch is answered all the same."""

    operation_id: str


class Recall(Struct, frozen=True, gc=False):
    """Ask what the server can prove about an operation in doubt; post Recalled."""

    operation: Operation
    resume: str | None = None


class Fetch(Struct, frozen=True, gc=False):
    """Download a large content into the staging folder, behind what is there; post Advanced, then Fetched."""

    transfer: Transfer


class CancelFetch(Struct, frozen=True, gc=False):
    """End a download before its next piece. Fetched follows all the same."""

    transfer_id: str


class DiscardDownloads(Struct, frozen=True, gc=False):
    """Remove the files of downloads that are not wanted any more."""

    transfer_ids: tuple[str, ...]


class KeepDownload(Struct, frozen=True, gc=False):
    """Move a finished download into the trash; post Fetched."""

    transfer: Transfer
    reason: str


class FetchHead(Struct, frozen=True, gc=False):
    """Ask for the server's head of a path; post HeadArrived."""

    path: str


class FetchHeadsAndConflicts(Struct, frozen=True, gc=False):
    """Ask for the heads of these paths, then once for the open conflicts; post HeadArrived for each path."""

    paths: tuple[str, ...]


class FetchListing(Struct, frozen=True, gc=False):
    """Ask for the server's listing of files; post ListingArrived once or more."""


class FetchStateDigest(Struct, frozen=True, gc=False):
    """Ask for the digest of the server's files; post StateDigestArrived."""


class CheckDeleted(Struct, frozen=True, gc=False):
    """Ask which of these files the server deleted or moved, as its listing proves neither; post DeletedChecked.

    Attributes:
        files: path and the server's id of each.
    """

    files: tuple[tuple[str, str], ...]


class CheckFeedContinuity(Struct, frozen=True, gc=False):
    """Ask if the server's feed still holds what was read up to ``state``; post FeedContinuityChecked."""

    state: str


class FetchConflicts(Struct, frozen=True, gc=False):
    """Ask for the open conflicts; post ConflictsArrived.

    Attributes:
        with_texts: the server's ids of the conflicts whose texts are wanted.
    """

    with_texts: frozenset[str] = frozenset()


class CloseConflict(WithoutTexts, frozen=True):
    """A conflict to close on the server.

    Attributes:
        texts: of this path, written to the trash first: the conflict may hold the only copies.
    """

    TEXTS: ClassVar = ("content", "texts")

    conflict: int
    server_id: str
    choice: Resolution
    content: bytes | None = None
    expected_head: str | None = None
    path: str = ""
    texts: tuple[bytes, ...] = ()


class CloseConflicts(Struct, frozen=True, gc=False):
    """Close conflicts on the server, one after another; post ConflictCloseAnswered for each.

    All their texts are written to the trash before the first is closed.
    """

    closes: tuple[CloseConflict, ...]


class ApplyChanges(Struct, frozen=True, gc=False):
    """Make journalled changes to the folder; post ChangesApplied."""

    jobs: tuple[tuple[Intent, Supply], ...]


class Recover(Struct, frozen=True, gc=False):
    """Find the outcome of journalled changes that a former process began; post ChangesApplied.

    Attributes:
        transfers: every download that is wanted. The files of others are removed.
    """

    intents: tuple[Intent, ...]
    transfers: tuple[Transfer, ...] = ()


class ReleaseJournal(Struct, frozen=True, gc=False):
    """Delete the staging marks of these changes: their outcome is in the index."""

    intent_ids: tuple[str, ...]


class TextForTrash(WithoutTexts, frozen=True):
    """A text to write to the trash, perhaps its only copy."""

    TEXTS: ClassVar = ("content",)

    stash_id: str
    path: str
    content: bytes
    reason: str


class WriteToTrash(Struct, frozen=True, gc=False):
    """Write texts to the trash; post TrashWriteFinished for each."""

    texts: tuple[TextForTrash, ...]


class FetchDeletedTexts(Struct, frozen=True, gc=False):
    """Find the texts of deleted files in the trash or the server's history; post DeletedTextFound for each file.

    A failed question to the server ends the search with CallFailed for its file; the files behind it get no message.

    Attributes:
        files: (path, sha256) of each.
    """

    files: tuple[tuple[str, str], ...]


class SetTimer(Struct, frozen=True, gc=False):
    """Post TimePassed at this moment (seconds since the epoch)."""

    moment: float


class PassFinished(Struct, frozen=True, gc=False):
    """The pass of SyncNow is over: nothing is left that could be done now."""

    ticket: int


Effect = (
    ScanFolder
    | ScanPaths
    | ReadLargeFiles
    | Poll
    | Send
    | CancelUpload
    | Recall
    | Fetch
    | CancelFetch
    | DiscardDownloads
    | KeepDownload
    | FetchHead
    | FetchHeadsAndConflicts
    | FetchListing
    | FetchStateDigest
    | CheckDeleted
    | CheckFeedContinuity
    | FetchConflicts
    | CloseConflicts
    | ApplyChanges
    | Recover
    | ReleaseJournal
    | WriteToTrash
    | FetchDeletedTexts
    | SetTimer
    | PassFinished
)
