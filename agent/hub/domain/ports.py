"""The database port of the domain. `agent.hub.store.sql_store.SqlStore` is its one adapter."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from enum import Enum, auto
from typing import Protocol

from agent.hub.domain.account_ports import AccountStoreSession
from agent.hub.domain.compression import CompressedContent
from agent.hub.domain.drive_ports import DriveStoreSession
from agent.hub.domain.heartbeats import HeartbeatBatch
from agent.hub.domain.model import (
    ConflictClosure,
    Connector,
    ConnectorPosition,
    Event,
    FileVersion,
    Head,
    OpenConflict,
    RecordedOutcome,
    Source,
    SourceDevice,
)


class StoreUnavailable(Exception):
    """The database is busy or lost. Nothing was written; the same request may succeed later."""


class StoreFull(Exception):
    """The database's disk is full. Nothing was written."""


class QuotaExceeded(Exception):
    """The contents of a workspace would exceed its quota. Nothing was written."""


class Growth(Enum):
    """Expected growth of the database by a transaction."""

    CONTENT = auto()
    """Texts are added. Refused while the disk is full."""
    SMALL = auto()
    """A few rows. Accepted on a full disk too, in the space of the reserve."""


class StoreSession(DriveStoreSession, AccountStoreSession, Protocol):
    """One transaction. Reads see one snapshot; writes are atomic, and durable when the block ends."""

    def ping(self) -> None:
        """Make one round trip to the database."""

    def together(self) -> AbstractContextManager[object]:
        """Open a block of writes. The database is waited for once, at its end, which may raise the error of each."""

    def connector(self, workspace: str, connector: str) -> Connector | None:
        """Return the connector, or None if this workspace has none with that id."""

    def add_connector(self, connector: Connector) -> None:
        """Add a new connector."""

    def rename_connector(self, connector: str, name: str, now: int) -> None:
        """Write the name of a connector."""

    def rename_machine_of_token(self, token: str, name: str) -> None:
        """Write the name of the machine that joined and got the token with this id; no other token gets one."""

    def note_connector_of_token(self, token: str, connector: str) -> None:
        """Write that the connector uses the token with this id. A token that the hub did not record is left out."""

    def save_heartbeats(self, batch: HeartbeatBatch) -> None:
        """Write the newest heartbeats and positions of connectors."""

    def remove_connector_position(self, connector: str, source: int) -> None:
        """Remove the position of a connector in the feed of a source."""

    def connector_positions(self, source: int) -> dict[str, ConnectorPosition]:
        """Return the positions of connectors in the feed of a source, by connector."""

    def source_devices(self, source: int) -> list[SourceDevice]:
        """Return the devices of other APIs that read a source, of every user, oldest first."""

    def events_behind(self, source: int, cursor: int) -> int:
        """Return the number of events behind the cursor that Raven's face shows."""

    def source(self, workspace: str, source: str) -> Source | None:
        """Return the source, or None if this workspace has none with that id."""

    def locked_source(self, workspace: str, source: str) -> Source | None:
        """Return the source and lock it until the block ends, so that no other writer changes what was read."""

    def sources(self, workspace: str, limit: int | None = None) -> list[Source]:
        """Return the sources of the workspace, newest first: all, or the first `limit`."""

    def add_source(self, source: Source) -> None:
        """Add a new source. The store assigns its number and ignores the one passed."""

    def save_source(self, source: Source) -> None:
        """Write status, counters and time of change of a locked source."""

    def rename_source(self, source: int, name: str, now: int) -> None:
        """Write the name of a locked source."""

    def used_by_workspace(self, workspace: str) -> int:
        """Return the bytes of all contents of a workspace, before compression."""

    def announce(self, source: str) -> None:
        """Notify every other hub on this database, once the transaction commits, that the source has new events."""

    def heads(self, source: int, paths: Collection[str]) -> dict[str, Head]:
        """Return the heads of the paths by path, including absent paths that have a history."""

    def files(self, source: int, after: str | None, limit: int) -> list[Head]:
        """Return present files that Raven's face shows, in the order of their paths, starting behind `after`."""

    def file_hashes(self, source: int, after: str | None, limit: int) -> list[tuple[str, str]]:
        """Return (path, hash) of present files in the order of their paths, starting behind `after`."""

    def add_files(self, source: int, heads: Iterable[Head]) -> None:
        """Add paths that have no row yet."""

    def save_files(self, source: int, heads: Iterable[Head]) -> None:
        """Write the heads of known paths."""

    def versions(self, source: int, file: int, newest: int | None) -> list[FileVersion]:
        """Return the versions of a path that Raven's face shows, oldest first: the `newest` so many, or all."""

    def add_versions(self, source: int, versions: Iterable[FileVersion]) -> None:
        """Add versions."""

    def contents(self, workspace: int, hashes: Collection[str]) -> dict[str, str]:
        """Return texts by their hashes. Here and below, `workspace` is the number that a `Source` has."""

    def content_sizes(self, workspace: int, hashes: Collection[str]) -> dict[str, int]:
        """Return the sizes of texts in bytes of UTF-8, by their hashes."""

    def hold_contents(self, workspace: int, hashes: Collection[str]) -> set[str]:
        """Return the hashes that are known, and keep their contents until the transaction ends."""

    def add_contents(self, workspace: int, contents: Mapping[str, CompressedContent]) -> None:
        """Add texts by their hashes. Known ones stay as they are."""

    def events(self, source: int, cursor: int, limit: int) -> list[Event]:
        """Return events behind the cursor that Raven's face shows, in order."""

    def add_events(self, source: int, events: Iterable[Event]) -> None:
        """Add events."""

    def outcomes(self, source: int, operations: Collection[str]) -> dict[str, RecordedOutcome]:
        """Return first outcomes by operation id."""

    def add_outcomes(self, source: int, outcomes: Iterable[RecordedOutcome]) -> None:
        """Add first outcomes."""

    def open_conflicts(self, source: int) -> list[OpenConflict]:
        """Return open conflicts, newest first."""

    def find_open_conflict(self, source: int, conflict: str) -> OpenConflict | None:
        """Return one open conflict, or None if it is unknown or closed."""

    def find_open_conflict_of(self, source: int, file: int, connector: str) -> OpenConflict | None:
        """Return the open conflict of this connector on this path, or None."""

    def save_conflicts(self, source: int, conflicts: Iterable[OpenConflict]) -> None:
        """Add open conflicts, or replace those with the same id."""

    def close_conflicts(self, closings: Iterable[ConflictClosure]) -> None:
        """Mark conflicts as resolved."""


class Store(Protocol):
    """A database that stores the hub's records."""

    def read(self) -> AbstractContextManager[StoreSession]:
        """Open a transaction that only reads, all from one snapshot."""

    def write(self, growth: Growth = ...) -> AbstractContextManager[StoreSession]:
        """Open a transaction that commits at the end of the block and rolls back if the block raises.

        Raises:
            StoreFull, StoreUnavailable: nothing was written.
        """

    def close(self) -> None:
        """Close every connection."""
