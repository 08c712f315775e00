"""What the engine asks for. The executor carries these out, in any order, and posts what happened."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.core.model import Choice, Intent, Operation


@dataclass(frozen=True, slots=True)
class Look:
    """Look at the whole folder and post the differences from the index, then LookEnded."""


@dataclass(frozen=True, slots=True)
class LookAt:
    """Look at these paths and post FilesSeen, then PathsLooked."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Poll:
    """Ask for the feed behind ``state``, waiting up to ``wait`` seconds on the server; post PageArrived."""

    number: int
    state: str | None
    wait: float


@dataclass(frozen=True, slots=True)
class Parcel:
    """An operation to send.

    Attributes:
        operation: what to send.
        given: a decided text (empty for a decided delete) that the folder does not hold; None: the folder is asked,
            and must still hold the operation's bytes, or nothing for a delete.
    """

    operation: Operation
    given: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Send:
    """Read, check and send these operations; post BatchAnswered.

    A file whose bytes are not the operation's any more is answered CHANGED and not sent. Where the server forgets
    conflicts with a delete, the texts of open conflicts on the deleted paths go to the trash first.
    """

    parcels: tuple[Parcel, ...]


@dataclass(frozen=True, slots=True)
class AskHead:
    """Ask what the server holds at a path; post HeadArrived."""

    path: str


@dataclass(frozen=True, slots=True)
class AskDisputes:
    """Ask what the server holds at these paths, then once for the open conflicts; post HeadArrived for each path."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AskListing:
    """Ask for the server's files; post ListingArrived once or more."""


@dataclass(frozen=True, slots=True)
class AskStanding:
    """Ask whether the server's feed still holds what was read up to ``state``; post StandingTold."""

    state: str


@dataclass(frozen=True, slots=True)
class AskConflicts:
    """Ask for the open conflicts; post ConflictsArrived."""


@dataclass(frozen=True, slots=True)
class CloseConflict:
    """Close a conflict on the server; post CloseAnswered.

    ``texts`` of this path go to the trash first: the conflict may hold the only copies.
    """

    conflict: int
    server_id: str
    choice: Choice
    content: bytes | None = field(repr=False, default=None)
    expected_head: str | None = None
    path: str = ""
    texts: tuple[bytes, ...] = field(repr=False, default=())


@dataclass(frozen=True, slots=True)
class Carry:
    """Make journalled changes to the folder; post ChangesLanded. Content is empty for a removal."""

    jobs: tuple[tuple[Intent, bytes], ...]


@dataclass(frozen=True, slots=True)
class Recover:
    """Find out what became of journalled changes a former process began; post ChangesLanded."""

    intents: tuple[Intent, ...]


@dataclass(frozen=True, slots=True)
class Committed:
    """The outcome of these changes is in the index: what was kept to find it out again may go."""

    intent_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stash:
    """Keep a text in the trash, where it may stand nowhere else; post Stashed."""

    stash_id: str
    path: str
    content: bytes = field(repr=False)
    reason: str


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Post TimePassed at this moment (seconds since the epoch)."""

    moment: float


@dataclass(frozen=True, slots=True)
class Rested:
    """The pass asked for by SyncNow is over: nothing is left that could be done now."""

    ticket: int


Effect = (
    Look
    | LookAt
    | Poll
    | Send
    | AskHead
    | AskDisputes
    | AskListing
    | AskStanding
    | AskConflicts
    | CloseConflict
    | Carry
    | Recover
    | Committed
    | Stash
    | WakeAt
    | Rested
)
