"""The port every server dialect implements: what the engine may ask, and what an adapter owes in return.

Obligations of every adapter, held by one conformance suite:

- Every call either returns or raises ``RemoteError``; no other exception passes. No call retries, sleeps or logs a
  token: waiting is the engine's.
- HTML, empty, cut or wrongly shaped answers raise GARBLED and change nothing.
- ``pull`` is at-least-once and ordered by ``position``; a page and the state it returns belong together.
- ``push`` returns exactly one outcome for each operation, in any order, whatever the server leaves out. An outcome
  that cannot be told is UNCERTAIN, never a guess. What was never sent is NOT_SENT.
- A missing base means "must not exist", never "overwrite".
- Content that does not match its hash is never returned: GARBLED, or REJECTED for an operation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from agent.core.errors import Problem
from agent.core.events import Page, Span
from agent.core.model import Mode, Operation, Outcome, RemoteConflict, RemoteFile, RemoteHead, RemoteVersion, Resolution


class Capabilities(Struct, frozen=True):
    """What a server can do, as data.

    Attributes:
        long_poll: ``pull`` may wait on the server.
        ordered_feed: the feed never skips and never lets two writers win on one base.
        item_results: the server itself says what became of each operation.
        expected_hash: ``resolve`` refuses when the head moved.
        keeps_history: versions and conflicts survive a delete.
    """

    long_poll: bool = False
    ordered_feed: bool = False
    item_results: bool = False
    expected_hash: bool = False
    keeps_history: bool = False
    latest_only: bool = False
    connector_id: bool = False


class Registration(Struct, frozen=True):
    """The connector as the server knows it."""

    connector_id: str
    capabilities: Capabilities


class RemoteSource(Struct, frozen=True):
    """A source as the server lists it; ``paused`` holds for all machines."""

    id: str
    name: str
    mode: Mode
    connector_id: str | None
    paused: bool
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class Outgoing(Struct, frozen=True, gc=False):
    """An operation with the bytes it was stored for; empty for a delete.

    Attributes:
        checked: whoever read the bytes has found them to be the ones with the operation's hash; if not, the dialect
            does before it sends them.
    """

    operation: Operation
    content: bytes = b""
    checked: bool = False

    def __repr__(self) -> str:
        # A log is no place for a file's text.
        return f"Outgoing({self.operation!r})"


class PushAnswer(Struct, frozen=True):
    """One outcome for each operation, and why the sending stopped early, if it did."""

    outcomes: tuple[Outcome, ...]
    problem: Problem | None = None


class Remote(Protocol):
    """One account on one server. Safe to use from several threads."""

    @property
    def capabilities(self) -> Capabilities:
        """As last told by the server; empty before ``register`` or ``heartbeat``."""
        ...

    def register(self, name: str, platform: str, version: str) -> Registration:
        """Make this machine known as a connector."""
        ...

    def heartbeat(self, connector_id: str) -> Registration:
        """Say that the connector lives. Raises NOT_FOUND where the server has forgotten it."""
        ...

    def sources(self) -> list[RemoteSource]:
        """All sources of the workspace, newest first."""
        ...

    def create_source(
        self, name: str, mode: Mode, connector_id: str, include: Sequence[str], exclude: Sequence[str]
    ) -> RemoteSource:
        """Make a new source."""
        ...

    def pause(self, source_id: str) -> None:
        """Pause the source for all machines."""
        ...

    def resume(self, source_id: str) -> None:
        """Resume the source for all machines."""
        ...

    def pull(
        self, source_id: str, state: str | None, wait_seconds: float, now: float, known: Sequence[Span] = ()
    ) -> Page:
        """The next events after ``state`` (None: from the beginning), waiting up to ``wait_seconds`` where offered.

        Works while the source is paused.

        Args:
            known: positions of our own operations, in order, that their answers told already. Where they come next,
                they are passed over.
        """
        ...

    def push(self, source_id: str, connector_id: str | None, batch: Sequence[Outgoing]) -> PushAnswer:
        """Send operations, splitting to whatever the server takes. Never raises for what the network does."""
        ...

    def was_restored_from_older_copy(self, source_id: str, state: str | None) -> bool:
        """Whether the feed does not hold what ``state`` was told: the server was restored from an older copy.

        False where the server cannot say (a source that is paused, for one).
        """
        ...

    def is_paused(self, source_id: str) -> bool:
        """Whether the server holds the source still for all machines, asked directly."""
        ...

    def listing(self, source_id: str) -> Iterator[list[RemoteFile]]:
        """Every file the server holds, in pages."""
        ...

    def head(self, source_id: str, path: str) -> RemoteHead | None:
        """What the server holds at a path now, with its history's hashes; None where it holds nothing."""
        ...

    def history(self, source_id: str, path: str) -> list[RemoteVersion]:
        """Versions of a path with their contents, newest first; falls back to the deltas where a delete wiped them."""
        ...

    def conflicts(self, source_id: str) -> list[RemoteConflict]:
        """All open conflicts of the source, every machine's."""
        ...

    def resolve(
        self, source_id: str, conflict_id: str, choice: Resolution, content: bytes | None, expected_head: str | None
    ) -> None:
        """Close a conflict. Raises STALE where it is gone already or the head is not ``expected_head``."""
        ...

    def abort_connections(self) -> None:
        """End every connection, as they may be dead: calls under way fail as OFFLINE, the next ones connect anew."""
        ...

    def close(self) -> None:
        """Give connections back."""
        ...
