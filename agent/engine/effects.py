"""What the engine asks for. The executor carries these out, in any order, and posts what new_activity."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import Struct

from agent.core.events import Span
from agent.core.model import Intent, Operation, Resolution


class ScanFolder(Struct, frozen=True, gc=False):
    """Look at the whole folder and post the differences from the index, then LookEnded."""


class ScanPaths(Struct, frozen=True, gc=False):
    """Look at these paths and post FilesSeen, then PathsLooked.

    Those of ``again`` will be looked at again once their stat is proof; until then an equal one is taken for it.
    """

    paths: tuple[str, ...]
    again: frozenset[str] = frozenset()


class Poll(Struct, frozen=True, gc=False):
    """Ask for the feed behind ``state``, waiting up to ``wait`` seconds on the server; post PageArrived.

    ``known`` need not be told again. While the texts told come to less than ``room`` bytes the feed is read on, and
    PageArrived posted for each page.
    """

    number: int
    state: str | None
    wait: float
    known: tuple[Span, ...] = ()
    room: int = 0


@dataclass(frozen=True, slots=True)
class OutgoingOperation:
    """An operation to send.

    Attributes:
        operation: what to send.
        content_override: the decided text (empty for a delete) that the folder does not hold. None: the folder is
            asked, and must still hold the operation's bytes, or nothing for a delete.
    """

    operation: Operation
    content_override: bytes | None = field(default=None, repr=False)


class Send(Struct, frozen=True, gc=False):
    """Read, check and send batch ``number``; post BatchAnswered.

    A file whose bytes are not the operation's any more is answered CHANGED and not sent. Where the server forgets
    conflicts with a delete, the texts of open conflicts on the deleted paths go to the trash first.
    """

    number: int
    parcels: tuple[OutgoingOperation, ...]


class FetchHead(Struct, frozen=True, gc=False):
    """Ask what the server holds at a path; post HeadArrived."""

    path: str


class FetchHeadsAndConflicts(Struct, frozen=True, gc=False):
    """Ask what the server holds at these paths, then once for the open conflicts; post HeadArrived for each path."""

    paths: tuple[str, ...]


class FetchListing(Struct, frozen=True, gc=False):
    """Ask for the server's files; post ListingArrived once or more."""


class CheckFeedContinuity(Struct, frozen=True, gc=False):
    """Ask whether the server's feed still holds what was read up to ``state``; post StandingTold."""

    state: str


class FetchConflicts(Struct, frozen=True, gc=False):
    """Ask for the open conflicts; post ConflictsArrived."""


@dataclass(frozen=True, slots=True)
class CloseConflict:
    """Close a conflict on the server; post CloseAnswered.

    ``texts`` of this path go to the trash first: the conflict may hold the only copies.
    """

    conflict: int
    server_id: str
    choice: Resolution
    content: bytes | None = field(repr=False, default=None)
    expected_head: str | None = None
    path: str = ""
    texts: tuple[bytes, ...] = field(repr=False, default=())


class ApplyChanges(Struct, frozen=True, gc=False):
    """Make journalled changes to the folder; post ChangesLanded. Content is empty for a removal."""

    jobs: tuple[tuple[Intent, bytes], ...]


class Recover(Struct, frozen=True, gc=False):
    """Find out what became of journalled changes a former process began; post ChangesLanded."""

    intents: tuple[Intent, ...]


class ReleaseJournal(Struct, frozen=True, gc=False):
    """The outcome of these changes is in the index: what was kept to find it out again may go."""

    intent_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WriteToTrash:
    """Keep a text in the trash, where it may stand nowhere else; post Stashed."""

    stash_id: str
    path: str
    content: bytes = field(repr=False)
    reason: str


class SetTimer(Struct, frozen=True, gc=False):
    """Post TimePassed at this moment (seconds since the epoch)."""

    moment: float


class PassFinished(Struct, frozen=True, gc=False):
    """The pass asked for by SyncNow is over: nothing is left that could be done now."""

    ticket: int


Effect = (
    ScanFolder
    | ScanPaths
    | Poll
    | Send
    | FetchHead
    | FetchHeadsAndConflicts
    | FetchListing
    | CheckFeedContinuity
    | FetchConflicts
    | CloseConflict
    | ApplyChanges
    | Recover
    | ReleaseJournal
    | WriteToTrash
    | SetTimer
    | PassFinished
)
