"""What the domain asks of a database. `SqlStore` is the one adapter; the domain imports only this."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from agent.hub.domain.compression import CompressedContent
from agent.hub.domain.model import (
    ConflictClosure,
    Connector,
    Event,
    Head,
    OpenConflict,
    RecordedOutcome,
    Source,
    Version,
)


class StoreSession(Protocol):
    """One transaction. Reads see one state; writes are all or nothing and durable when the block ends."""

    def connector(self, workspace: str, connector: str) -> Connector | None:
        """The connector, or None if this workspace has none of that id."""

    def add_connector(self, connector: Connector) -> None:
        """Keep a new connector."""

    def touch_heartbeat(self, connector: str, at: int) -> None:
        """Record a heartbeat."""

    def source(self, workspace: str, source: str) -> Source | None:
        """The source, or None if this workspace has none of that id."""

    def locked_source(self, workspace: str, source: str) -> Source | None:
        """The same, holding its lock until the block ends: no other writer is between look and write."""

    def sources(self, workspace: str) -> list[Source]:
        """Every source of the workspace, newest first."""

    def add_source(self, source: Source) -> None:
        """Keep a new source; its number is given out here and the one passed is ignored."""

    def save_source(self, source: Source) -> None:
        """Write the status, counters and time of change of a locked source."""

    def heads(self, source: int, paths: Collection[str]) -> dict[str, Head]:
        """What stands at the paths, absent ones with a past included."""

    def files(self, source: int, after: str | None, limit: int) -> list[Head]:
        """Present files in the order of their paths, those behind `after` only."""

    def add_files(self, source: int, heads: Iterable[Head]) -> None:
        """Keep paths that have no row yet."""

    def save_files(self, source: int, heads: Iterable[Head]) -> None:
        """Write what stands at known paths."""

    def versions(self, source: int, file: int, newest: int | None) -> list[Version]:
        """The texts a path has had, oldest first; the newest so many, or all."""

    def add_versions(self, source: int, versions: Iterable[Version]) -> None:
        """Keep versions."""

    def contents(self, hashes: Collection[str]) -> dict[str, str]:
        """The texts by their hashes."""

    def add_contents(self, contents: Mapping[str, CompressedContent]) -> None:
        """Keep texts by their hashes; known ones are left alone."""

    def events(self, source: int, cursor: int, limit: int) -> list[Event]:
        """Events behind the cursor, in order."""

    def add_events(self, source: int, events: Iterable[Event]) -> None:
        """Keep events."""

    def outcomes(self, source: int, operations: Collection[str]) -> dict[str, RecordedOutcome]:
        """First outcomes by operation id."""

    def add_outcomes(self, source: int, outcomes: Iterable[RecordedOutcome]) -> None:
        """Keep first outcomes."""

    def open_conflicts(self, source: int) -> list[OpenConflict]:
        """Open conflicts, newest first."""

    def open_conflict(self, source: int, conflict: str) -> OpenConflict | None:
        """One open conflict, or None if it is unknown or closed."""

    def open_conflict_of(self, source: int, file: int, connector: str) -> OpenConflict | None:
        """The open conflict of this connector on this path."""

    def save_conflicts(self, source: int, conflicts: Iterable[OpenConflict]) -> None:
        """Keep open conflicts, replacing those of the same id."""

    def close_conflicts(self, closings: Iterable[ConflictClosure]) -> None:
        """Mark conflicts as resolved."""


class Store(Protocol):
    """A database that keeps the hub's records."""

    def read(self) -> AbstractContextManager[StoreSession]:
        """A transaction that writes nothing."""

    def write(self) -> AbstractContextManager[StoreSession]:
        """A transaction that commits at the end of the block and rolls back if the block raises."""

    def close(self) -> None:
        """Let go of the database."""
