"""The port that every server dialect implements.

Obligations of every adapter, checked by one conformance suite (``tests/remotes/suite/``):

- Every call returns or raises ``RemoteError``; no other exception passes, except one that a ``Sink`` or an
  ``OnResumable`` raised. No call sleeps, or logs a token. No call retries, except one that was refused without an
  effect: once, with a new token of the device or under another spelling of its path. Waiting and retrying belong to
  the engine; logging and counting are wrappers of this port.
- An answer that is HTML, empty, cut, or of the wrong shape raises GARBLED and changes nothing.
- ``pull`` delivers at least once, ordered by ``position``. A page and the state it returns belong together: the same
  state returns the same events while the server stays the same. Positions rise from page to page; a dialect whose
  server has none counts them in its state.
- ``push`` returns exactly one outcome for each operation, in any order, whatever the server leaves out. An outcome
  that is not known is UNCERTAIN, never a guess. An operation that was not sent is NOT_SENT.
- A missing base means "the file must not exist", never "overwrite". A base revision that is not the server's newest one
  is a CONFLICT, never an overwrite.
- Where the server has revisions and file ids, every event, outcome, head and listed file carries them, unchanged. The
  engine compares them for equality only.
- Content that does not match its hash is never returned: GARBLED, or REJECTED for an operation. ``fetch`` streams, so
  its receiver checks the hash. An upload that is sent in chunks promises its hash to the server where the server checks
  it, and is never committed after its file changed.
- An event is the echo of our operation only if the server or the ``Book`` proves it; else its ``operation_id`` is None.
- "Not found" proves no delete where the server hides what an account may not see.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Iterator, Sequence, Set
from typing import Protocol

from msgspec import Struct

from agent.core.errors import Problem
from agent.core.events import Page, Span
from agent.core.model import Mode, Resolution
from agent.core.remote_records import Operation, Outcome, RemoteConflict, RemoteFile, RemoteHead, RemoteVersion
from agent.core.supply import Pieces, Transfer
from agent.remotes.device_admin import DeviceAdmin
from agent.remotes.machine_list import MachineList
from agent.remotes.selective_sync import SelectiveSync as SelectiveSync
from agent.remotes.source_admin import SourceAdmin


class ListingCost(enum.StrEnum):
    """The work behind ``Remote.listing``; it decides how often a source is verified."""

    CHEAP = "cheap"
    """A few calls, with the hash of each file."""
    WALK = "walk"
    """One call a folder. Hashes may be missing, and cost a call for each file."""
    FOLD = "fold"
    """The server lists nothing: the whole feed is read."""


class CallRate(Struct, frozen=True):
    """The calls that a server allows, in its own units.

    Attributes:
        a_minute: allowed in a minute.
        upload, download: calls of one small file.
    """

    a_minute: int
    upload: int
    download: int

    def seconds(self, uploads: int, downloads: int) -> float:
        """Return the least time that so many small files take, in seconds."""
        return (uploads * self.upload + downloads * self.download) * 60 / self.a_minute


class Capabilities(Struct, frozen=True):
    """Features of a server, as data. The defaults are those of the released Raven server.

    Attributes:
        long_poll: ``pull`` may wait on the server.
        ordered_feed: the feed has no gaps, and two writers never win on one base.
        item_results: the server states the outcome of each operation, also of one that is sent again.
        expected_hash: ``resolve`` is refused if the head has moved.
        keeps_history: versions and conflicts survive a delete.
        history: the server lists the older versions of a file, with their contents.
        latest_only: the feed can leave out the texts of events that a later event replaces.
        connector_id: a push batch may name its connector.
        hides_files: a listing leaves out what the account may not see, so a missing file is no deleted one.
        text_only: only UTF-8 text without NUL bytes is taken.
        max_bytes: bytes of the largest content that the server takes; None if it states no limit.
        moves: a file can be moved with its id and history (``Verb.MOVE``).
        inline_limit: bytes of the largest content in events, heads and ``Outgoing.body``; None for no limit. A larger
            one is fetched with ``fetch`` and pushed from an opened file.
        listing: see ``ListingCost``.
        blind_resolve: ``resolve`` only closes the conflict. The decided content is then pushed on the current head.
        conflict_events: the feed names the conflicts of all machines; otherwise each verification reads their list.
        nudges: ``listen`` reports changes as they happen.
        client_made_id: ``register`` uses the id that this machine made.
        server_mode: the server stores the mode of a source.
        server_patterns: the server stores the patterns of a source.
        server_pause: a source can be paused for all machines.
        resumable_uploads: an interrupted upload continues with its missing chunks.
        heartbeat_seconds: the least number of seconds between two heartbeats.
        poll_heartbeat: a poll that names this machine counts as a heartbeat.
        rename_connector: a connector's name can be changed.
        machines: the server lists the machines of a source with their positions.
        rate: the calls that the server allows; None if it states no limit.
        state_digest: the server states one hash over all its files, and its revisions are the contents' hashes.
    """

    long_poll: bool = False
    ordered_feed: bool = False
    item_results: bool = False
    expected_hash: bool = False
    keeps_history: bool = False
    history: bool = True
    latest_only: bool = False
    connector_id: bool = False
    hides_files: bool = False
    text_only: bool = True
    max_bytes: int | None = None
    moves: bool = False
    inline_limit: int | None = None
    listing: ListingCost = ListingCost.CHEAP
    blind_resolve: bool = False
    conflict_events: bool = True
    nudges: bool = False
    client_made_id: bool = False
    server_mode: bool = True
    server_patterns: bool = True
    server_pause: bool = True
    resumable_uploads: bool = False
    heartbeat_seconds: float = 0.0
    rate: CallRate | None = None
    state_digest: bool = False
    poll_heartbeat: bool = False
    machines: bool = False
    rename_connector: bool = False


class Registration(Struct, frozen=True):
    """A connector as the server knows it."""

    connector_id: str
    capabilities: Capabilities


class RemoteSource(Struct, frozen=True):
    """A source as the server lists it.

    Attributes:
        paused: it takes no writes: it is paused for all machines, or archived.
        archived: it is archived.
        writable: the account may change its files.
    """

    id: str
    name: str
    mode: Mode
    connector_id: str | None
    paused: bool
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    writable: bool = True
    archived: bool = False


class Outgoing(Struct, frozen=True, gc=False):
    """An operation with the bytes to send.

    Attributes:
        body: the bytes; empty for a delete or a move. Above ``inline_limit`` the opened file; the adapter does not
            close it.
        checked: the reader of the bytes has compared them with the operation's hash. Otherwise the adapter does it
            before it sends them, or has the server do it.
        resume: the newest state that ``on_resumable`` was given for this operation; None for the first try.
    """

    operation: Operation
    body: bytes | Pieces = b""
    checked: bool = False
    resume: str | None = None

    def __repr__(self) -> str:
        # The text of a file must not get into a log.
        return f"Outgoing({self.operation!r})"


class PushAnswer(Struct, frozen=True):
    """One outcome for each operation, and the problem that ended the sending early, if any."""

    outcomes: tuple[Outcome, ...]
    problem: Problem | None = None


class Nudge(Struct, frozen=True):
    """Hint that a source changed; only ``pull`` says how.

    Attributes:
        source_id: the source; None if it may be any source of the account.
        full: the server asks for a full verification.
        preferences: the server's preferences of this machine changed.
    """

    source_id: str | None
    full: bool = False
    preferences: bool = False


Sink = Callable[[int, bytes], None]
"""Takes a piece of a content at its offset. The pieces of one call follow each other without a gap.

The first one begins at the requested offset, or at 0 if the server sent the whole content; what was there is then
replaced. An exception that it raises ends the call and passes unchanged.
"""

OnResumable = Callable[[str, str], None]
"""Takes the id of an operation and the state (JSON text) with which its upload can continue in another process.

It returns once the state is durable. If it raises, nothing more of the operation is sent.
"""


def not_resumable(operation_id: str, state: str) -> None:
    """Drop the state: this upload is not continued in another process."""


class Remote(Protocol):
    """One account on one server. Safe to use from several threads."""

    @property
    def capabilities(self) -> Capabilities:
        """Features as last stated by the server; before ``register`` or ``heartbeat`` those of the dialect itself."""

    @property
    def selective_sync(self) -> SelectiveSync | None:
        """The server's selective sync; None if it has none."""

    @property
    def source_admin(self) -> SourceAdmin | None:
        """Changes of the server's sources; None if the dialect has none."""

    @property
    def machine_list(self) -> MachineList | None:
        """The machines of a source; None if the server does not list them."""

    @property
    def device_admin(self) -> DeviceAdmin | None:
        """The devices of the account; None if the dialect does not let their user change them."""

    def register(self, name: str, platform: str, version: str, wanted_id: str | None = None) -> Registration:
        """Register this machine as a connector.

        Args:
            wanted_id: an id that this machine made and stored before the call. With ``client_made_id`` it becomes the
                connector's id, and a repeated call registers no second connector. Other dialects ignore it.
        """

    def heartbeat(self, connector_id: str) -> Registration:
        """Report that the connector is alive. Raises NOT_FOUND if the server does not know it."""

    def rename_connector(self, connector_id: str, name: str) -> bool:
        """Give this machine another name on the server; return False where a connector keeps its first name.

        Raises:
            RemoteError: NOT_FOUND if the server does not know the connector; any other failed call.
        """

    def sources(self) -> list[RemoteSource]:
        """List all sources of the workspace, newest first."""

    def create_source(
        self, name: str, mode: Mode, connector_id: str, include: Sequence[str], exclude: Sequence[str]
    ) -> RemoteSource:
        """Create a source. Mode and patterns are sent where the server stores them."""

    def pause(self, source_id: str) -> None:
        """Pause the source for all machines. Only with ``server_pause``."""

    def resume(self, source_id: str) -> None:
        """Resume the source for all machines. Only with ``server_pause``."""

    def pull(
        self,
        source_id: str,
        state: str | None,
        wait_seconds: float,
        now: float,
        known: Sequence[Span] = (),
        *,
        applied: bool = True,
    ) -> Page:
        """Read the next events after ``state`` (None: from the beginning). Works while the source is paused.

        A server without a history of events is listed first; its files are the first events.

        Args:
            wait_seconds: how long the server may wait for a new event, where it offers that.
            known: spans of positions of our own operations, in order, whose outcomes are known from their answers.
                Where they come next, they are skipped.
            applied: this machine holds everything up to ``state`` and ``known``. Only then may the server learn that
                it has come so far.

        Raises:
            RemoteError: CURSOR_LOST if the server cannot continue from ``state``; GARBLED if it was restored from an
                older copy since ``state`` was read and has new events by now. A server that holds requests open is not
                checked: its restart ends them.
        """

    def push(
        self,
        source_id: str,
        connector_id: str | None,
        batch: Sequence[Outgoing],
        on_resumable: OnResumable = not_resumable,
    ) -> PushAnswer:
        """Send operations, split into requests that the server takes. Never raises for a network failure.

        A large upload calls ``on_resumable`` before its first chunk. With ``Outgoing.resume`` only the chunks that the
        server lacks are sent; an upload that the server forgot begins anew, once. An operation whose file changes while
        it is sent is CHANGED, and its upload is discarded.
        """

    def cancel(self, operation_id: str) -> None:
        """Stop a running upload before its next chunk; its outcome is CHANGED. Without effect if none is running."""

    def recall(self, source_id: str, operation: Operation, resume: str | None) -> Outcome:
        """Return what the server can still prove about an operation in doubt, without sending it again.

        UNCERTAIN if it proves nothing. The engine then sends the operation again where ``item_results`` holds, and
        otherwise judges by the feed, the open conflicts and the head.
        """

    def fetch(self, source_id: str, transfer: Transfer, offset: int, sink: Sink) -> None:
        """Stream the content of a version from ``offset`` on, never more than ``transfer.size`` bytes in total.

        A server that does not know ranges, or has nothing at the offset, is read from 0.

        Raises:
            RemoteError: NOT_FOUND or GONE if the server no longer has this version; GARBLED if its size is another one
                or the answer was cut short; any other failed call.
        """

    def was_restored_from_older_copy(self, source_id: str, state: str | None) -> bool:
        """Return True if the feed lacks what ``state`` has read: the server was restored from an older copy.

        False if the server cannot say, for example while the source is paused.
        """

    def is_paused(self, source_id: str) -> bool:
        """Return True if the server lists the source as paused for all machines."""

    def listing(self, source_id: str) -> Iterator[list[RemoteFile]]:
        """Iterate over every file of the source, in pages."""

    def state_digest(self, source_id: str) -> str:
        """Read the digest of every file of the source; see ``core.state_digest``. Only with ``state_digest``."""

    def is_gone(self, source_id: str, path: str, remote_id: str) -> bool:
        """Return True if the server says itself that this file was deleted or moved away. Only with ``hides_files``.

        False proves nothing: the account may not see the file any more.
        """

    def head(self, source_id: str, path: str) -> RemoteHead | None:
        """Read the head of a path, with the hashes of its history; None if the server has no file there."""

    def history(self, source_id: str, path: str, limit: int | None = None) -> list[RemoteVersion]:
        """List the newest ``limit`` versions (None: all) with contents; from the feed if a delete removed them."""

    def conflicts(
        self, source_id: str, paths: Set[str] | None = None, with_texts: Set[str] | None = None
    ) -> Iterator[RemoteConflict]:
        """Iterate over the open conflicts of the source, those of other machines included, newest first.

        The list is read as it is iterated, so that its texts need not fit into memory. It may raise on any step.
        Conflicts at other ``paths``, and other texts than ``with_texts`` (ids), are left out where they cost requests.
        """

    def resolve(
        self, source_id: str, conflict_id: str, choice: Resolution, content: bytes | None, expected_head: str | None
    ) -> None:
        """Close a conflict. Raises STALE if it is closed already or the head is not ``expected_head``.

        With ``blind_resolve`` the head stays as it is, for every choice, and is not compared.
        """

    def listen(self, stop: threading.Event, on_nudge: Callable[[Nudge], None]) -> None:
        """Report changes until ``stop`` is set and ``close`` is called; returns at once without ``nudges``.

        The first nudge says that changes are reported from now on. It is of every source, as some may have changed
        before. Runs on a thread of its own, after ``register`` or ``heartbeat``. Raises RemoteError when the connection
        ends; the caller then waits and calls again.
        """

    def abort_connections(self) -> None:
        """Close every connection, as it may be dead: calls in progress fail as OFFLINE, later ones connect again."""

    def close(self) -> None:
        """Close the adapter and its connections."""
