"""One transaction on one locked source, announced to the waiting clients once it is durable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from agent.hub.domain.model import Clock, NewId
from agent.hub.domain.ports import Growth, Store, StoreSession
from agent.hub.domain.source_transaction import SourceTransaction


class UnknownSource(Exception):
    """The workspace has no such source."""


class WriterContext(Protocol):
    """Dependencies of a transaction on a source. Every API's context has them."""

    @property
    def store(self) -> Store:
        """The database."""

    @property
    def clock(self) -> Clock:
        """Milliseconds since the epoch."""

    @property
    def new_id(self) -> NewId:
        """Fresh ids."""

    @property
    def committed(self) -> Callable[[str], None]:
        """Called with a source's id after a transaction that added events to it is durable."""


@contextmanager
def locked_source(
    context: WriterContext,
    workspace: str,
    source: str,
    growth: Growth = Growth.CONTENT,
) -> Iterator[tuple[StoreSession, SourceTransaction]]:
    """Open one transaction on one locked source. It is written at the end of the block, and announced once durable.

    Raises:
        UnknownSource: nothing was opened.
    """
    with context.store.write(growth) as session:
        locked = session.locked_source(workspace, source)
        if locked is None:
            raise UnknownSource(source)
        transaction = SourceTransaction(session, locked, context.clock(), context.new_id)
        yield session, transaction
        transaction.flush()
    if transaction.cursor != locked.last_cursor:
        context.committed(locked.id)
