"""The parts that executors of effects use: the server of an account, the local side of the index, and the engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from agent.core.model import IndexedFile, IndexedFileRow
from agent.engine import messages as m
from agent.remotes.protocol import Remote


class IndexReader(Protocol):
    """The local side of the index, readable beside its writer."""

    def known(self) -> Iterator[IndexedFileRow]:
        """Iterate over every path, sorted."""
        ...

    def known_at(self, paths: Sequence[str]) -> dict[str, IndexedFile]:
        """Return the indexed files at these paths."""
        ...

    def mounts(self) -> frozenset[str]:
        """Return the folders that were mount points at the last scan."""
        ...


class ServerConnection(Struct, frozen=True):
    """An adapter with this machine registered.

    Attributes:
        remote: the adapter.
        connector_id: the id of this machine on the server.
    """

    remote: Remote
    connector_id: str | None


class NotCommitted(Exception):
    """The engine cannot take the message: it stops, or its index refused a step."""


class Reporter(Protocol):
    """Takes messages of an effect that is still carried out. From any thread but the control thread."""

    def deliver(self, message: m.Message) -> None:
        """Deliver a message to the engine; returns at once."""
        ...

    def commit(self, message: m.Message) -> None:
        """Have the engine process a message, and return once that is durable. Raises NotCommitted."""
        ...
