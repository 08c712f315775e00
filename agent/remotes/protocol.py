"""The port that every server dialect implements.

Obligations of every adapter, checked by one conformance suite (``tests/remotes/test_conformance.py``):

- Every call returns or raises ``RemoteError``; no other exception passes. No call retries, sleeps, or logs a token.
  Waiting and retrying belong to the engine.
- An answer that is HTML, empty, cut, or of the wrong shape raises GARBLED and changes nothing.
- ``pull`` delivers at least once, ordered by ``position``. A page and the state it returns belong together.
- ``push`` returns exactly one outcome for each operation, in any order, whatever the server leaves out. An outcome
  that is not known is UNCERTAIN, never a guess. An operation that was not sent is NOT_SENT.
- A missing base means "the file must not exist", never "overwrite".
- Content that does not match its hash is never returned: GARBLED, or REJECTED for an operation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from agent.core.errors import Problem
from agent.core.events import Page, Span
from agent.core.model import Mode, Resolution
from agent.core.remote_records import Operation, Outcome, RemoteConflict, RemoteFile, RemoteHead, RemoteVersion


class Capabilities(Struct, frozen=True):
    """Features of a server, as data.

    Attributes:
        long_poll: ``pull`` may wait on the server.
        ordered_feed: the feed has no gaps, and two writers never win on one base.
        item_results: the server states the outcome of each operation.
        expected_hash: ``resolve`` is refused if the head has moved.
        keeps_history: versions and conflicts survive a delete.
        latest_only: the feed can leave out the texts of events that a later event replaces.
        connector_id: a push batch may name its connector.
    """

    long_poll: bool = False
    ordered_feed: bool = False
    item_results: bool = False
    expected_hash: bool = False
    keeps_history: bool = False
    latest_only: bool = False
    connector_id: bool = False


class Registration(Struct, frozen=True):
    """A connector as the server knows it."""

    connector_id: str
    capabilities: Capabilities


class RemoteSource(Struct, frozen=True):
    """A source as the server lists it. ``paused`` holds for all machines."""

    id: str
    name: str
    mode: Mode
    connector_id: str | None
    paused: bool
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class Outgoing(Struct, frozen=True, gc=False):
    """An operation with the bytes to send; empty for a delete.

    Attributes:
        checked: the reader of the bytes has compared them with the operation's hash. Otherwise the adapter does it
            before it sends them.
    """

    operation: Operation
    content: bytes = b""
    checked: bool = False

    def __repr__(self) -> str:
        # The text of a file must not get into a log.
        return f"Outgoing({self.operation!r})"


class PushAnswer(Struct, frozen=True):
    """One outcome for each operation, and the problem that ended the sending early, if any."""

    outcomes: tuple[Outcome, ...]
    problem: Problem | None = None


class Remote(Protocol):
    """One account on one server. Safe to use from several threads."""

    @property
    def capabilities(self) -> Capabilities:
        """Features as last stated by the server; none before ``register`` or ``heartbeat``."""
        ...

    def register(self, name: str, platform: str, version: str) -> Registration:
        """Register this machine as a connector."""
        ...

    def heartbeat(self, connector_id: str) -> Registration:
        """Report that the connector is alive. Raises NOT_FOUND if the server does not know it."""
        ...

    def sources(self) -> list[RemoteSource]:
        """List all sources of the workspace, newest first."""
        ...

    def create_source(
        self, name: str, mode: Mode, connector_id: str, include: Sequence[str], exclude: Sequence[str]
    ) -> RemoteSource:
        """Create a source."""
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
        """Read the next events after ``state`` (None: from the beginning). Works while the source is paused.

        Args:
            wait_seconds: how long the server may wait for a new event, where it offers that.
            known: spans of positions of our own operations, in order, whose outcomes are known from their answers.
                Where they come next, they are skipped.
        """
        ...

    def push(self, source_id: str, connector_id: str | None, batch: Sequence[Outgoing]) -> PushAnswer:
        """Send operations, split into requests that the server takes. Never raises for a network failure."""
        ...

    def was_restored_from_older_copy(self, source_id: str, state: str | None) -> bool:
        """Return True if the feed lacks what ``state`` has read: the server was restored from an older copy.

        False if the server cannot say, for example while the source is paused.
        """
        ...

    def is_paused(self, source_id: str) -> bool:
        """Return True if the server lists the source as paused for all machines."""
        ...

    def listing(self, source_id: str) -> Iterator[list[RemoteFile]]:
        """Iterate over every file of the source, in pages."""
        ...

    def head(self, source_id: str, path: str) -> RemoteHead | None:
        """Read the head of a path, with the hashes of its history; None if the server has no file there."""
        ...

    def history(self, source_id: str, path: str) -> list[RemoteVersion]:
        """List the versions of a path with their contents, newest first. Reads the feed if a delete removed them."""
        ...

    def conflicts(self, source_id: str) -> Iterator[RemoteConflict]:
        """Iterate over the open conflicts of the source, those of other machines included, newest first.

        The list is read as it is iterated, so that its texts need not fit into memory. It may raise on any step.
        """
        ...

    def resolve(
        self, source_id: str, conflict_id: str, choice: Resolution, content: bytes | None, expected_head: str | None
    ) -> None:
        """Close a conflict. Raises STALE if it is closed already or the head is not ``expected_head``."""
        ...

    def abort_connections(self) -> None:
        """Close every connection, as it may be dead: calls in progress fail as OFFLINE, later ones connect again."""
        ...

    def close(self) -> None:
        """Close the adapter and its connections."""
        ...
