"""What is under way, and what is remembered between two messages. None of it outlives the process."""

from __future__ import annotations

from collections.abc import Set
from typing import Final

from msgspec import Struct, field

from agent.core.events import Span
from agent.core.model import Intent
from agent.index.operations import StoredOperation

CONTENTS_LIMIT: Final = 8 << 20
"""No further page of the feed is asked for while this many bytes of file contents wait to be installed."""


class PollCall(Struct, frozen=True):
    """A poll under way: what it asked behind, and whether it may wait on the server."""

    state: str | None
    wait: float


class HeldDeletes(Struct, frozen=True):
    """Deletes that wait for a person: (path, base hash) of each."""

    plan: str
    files: frozenset[tuple[str, str]]


class SyncCounters(Struct):
    """What has been done since the process started; a pass reports the difference."""

    pushed: int = 0
    pulled: int = 0
    deleted_remote: int = 0
    deleted_local: int = 0
    conflicts_opened: int = 0


class InFlight(Struct):
    """Effects under way, and what is remembered between messages."""

    started: bool = False
    recovering: bool = False
    recovered: bool = False
    scanning: bool = False
    scan_began: float = 0.0
    scan_wanted: bool = True
    scanned: bool = False
    scanning_paths: set[str] = field(default_factory=set)
    changed_paths: dict[str, tuple[float, float]] = field(default_factory=dict)
    racy: dict[str, float] = field(default_factory=dict)
    confirmed_racy: set[str] = field(default_factory=set)
    """Paths that were racy and are read again now that whatever came right after their last look would show."""
    unstable: set[str] = field(default_factory=set)
    """Paths that changed again while they were last read."""
    self_modified: set[str] = field(default_factory=set)
    """Paths the agent itself changed while a look was under way: what that look says of them may be old."""
    continuity_known: bool = False
    """The server still holds what was read of its feed; asked anew after every failure and before a verification."""
    checking_continuity: bool = False
    polls: dict[int, PollCall] = field(default_factory=dict)
    next_poll: int = 1
    drain_goal: int = 1
    drained: int = 0
    """Number of the newest poll that read the feed to its end."""
    echo_goal: int = 0
    """The first poll that can have told of everything acknowledged so far."""
    next_poll_at: float = 0.0
    last_event_at: float = 0.0
    newest_position: int = 0
    """Of all events told to this process."""
    drained_at: float | None = None
    synced_at: float | None = None
    """When the feed was last read to its end, and when both sides were last known to agree. Not written: an idle source
    writes nothing, and after a start both are found out anew.
    """
    contents: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Texts to be installed soon, by path, each with its hash."""
    contents_size: int = 0
    unclassified: set[str] = field(default_factory=set)
    """Paths of ``contents`` whose row or text is another since it was last decided whether the text is of use."""
    latest: set[str] = field(default_factory=set)
    """Paths of ``contents`` at which nothing came after that text, says the server."""
    batch: dict[str, StoredOperation] = field(default_factory=dict)
    """The operations on their way to the server, by id; never two on one path."""
    batches: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """The ids of ``batch`` by the number of the batch they went with."""
    next_batch: int = 1
    acknowledged_spans: list[Span] = field(default_factory=list)
    """Where in the feed our own operations stand, as their answers told; rising. It need not tell them again."""
    intents: dict[str, Intent] = field(default_factory=dict)
    applying: set[str] = field(default_factory=set)
    """The paths of ``carrying``."""
    detached: set[str] = field(default_factory=set)
    """Those of ``carrying`` that were begun on agreements forgotten since: what lands of them is agreed with nobody."""
    asking: dict[str, tuple[str | None, int]] = field(default_factory=dict)
    """Path to (remote hash, position) when its head was asked for: an answer is believed only while they stand."""
    sent: set[str] = field(default_factory=set)
    """Operation ids this process has sent at least once."""
    settle_goal: dict[str, int] = field(default_factory=dict)
    """Operation id to the drain after which it may be judged without its echo."""
    closing: set[int] = field(default_factory=set)
    writing_to_trash: set[str] = field(default_factory=set)
    """Ids of texts on their way into the trash."""
    conflicts_wanted: bool = False
    conflicts_asked: Set[str] = frozenset()
    """The conflicts known when the list was asked for: of these a missing one is gone."""
    listing_conflicts: bool = False
    changed_during_check: set[str] = field(default_factory=set)
    """Paths that moved since the running verification began."""
    retry_at: dict[str, float] = field(default_factory=dict)
    pass_began: float = 0.0
    root_trouble: str | None = None
    lost_mounts: frozenset[str] = frozenset()
    """Folders that were file systems of their own and are not mounted now."""
    paused_until: float = 0.0
    held_deletes: HeldDeletes | None = None
    delete_check_pending: bool = False
    """The deletes that are due have not been judged since the trees last changed; none is carried out meanwhile."""
    changed_since_rest: bool = True
    waiting_passes: list[int] = field(default_factory=list)
    wake_at: float | None = None

    @property
    def pushing(self) -> set[str]:
        """The paths of ``batch``."""
        return {entry.operation.path for entry in self.batch.values()}

    def scan_later(self, path: str, moment: float) -> None:
        """The stat of what was just seen here is no proof before this moment."""
        self.racy[path] = moment
        self.confirmed_racy.discard(path)

    def keep_content(self, path: str, digest: str, content: bytes) -> None:
        """Keep a text in memory, in the place of an older one of this path."""
        self.drop_content(path)
        self.contents[path] = (digest, content)
        self.contents_size += len(content)
        self.unclassified.add(path)

    def drop_content(self, path: str) -> None:
        """Keep no text of this path in memory."""
        old = self.contents.pop(path, None)
        if old is not None:
            self.contents_size -= len(old[1])
            self.unclassified.discard(path)
            self.latest.discard(path)
