"""Dependencies of every endpoint, and the two steps that nearly all of them begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from agent.hub.answers import HubError
from agent.hub.domain.heartbeats import HeartbeatBuffer
from agent.hub.domain.locked_source import UnknownSource, locked_source
from agent.hub.domain.model import Caller, Clock, Connector, NewId, Source, SourceStatus
from agent.hub.domain.ports import Growth, Store, StoreFull, StoreSession, StoreUnavailable
from agent.hub.domain.source_transaction import SourceTransaction

MAX_CACHED_OWNERS = 10_000


@dataclass(frozen=True, slots=True)
class HubContext:
    """Dependencies of the endpoints.

    Attributes:
        heartbeats: those that are not written yet.
        connector_owners: user by (workspace, connector id), a cache: a connector never changes its owner.
        noted_tokens: ids of the tokens whose connector was written by a heartbeat.
        committed: called with a source's id after a transaction that added events to it is durable.
    """

    store: Store
    clock: Clock
    new_id: NewId
    committed: Callable[[str], None]
    connector_owners: dict[tuple[str, str], str] = field(default_factory=dict)
    noted_tokens: set[str] = field(default_factory=set)
    heartbeats: HeartbeatBuffer = field(default_factory=HeartbeatBuffer)


def source_of(session: StoreSession, caller: Caller, source: str) -> Source:
    """Return a source of the caller's workspace.

    Raises:
        HubError: 404, the same for an unknown source and for one of another workspace.
    """
    found = session.source(caller.workspace, source)
    if found is None:
        raise HubError(404, "Local sync source not found")
    return found


def own_connector(session: StoreSession, caller: Caller, connector: str) -> Connector | None:
    """Return the caller's connector, or None if the workspace has none with that id.

    Raises:
        HubError: 403 if the connector belongs to another user. Its conflicts and its heartbeat are that user's.
    """
    found = session.connector(caller.workspace, connector)
    if found is not None:
        _check_owner(caller, found.created_by)
    return found


def is_own_connector(context: HubContext, session: StoreSession, caller: Caller, connector: str) -> bool:
    """Return True if the connector is the caller's, False if the workspace has none with that id.

    Raises:
        HubError: 403 as `own_connector`.
    """
    key = (caller.workspace, connector)
    owner = context.connector_owners.get(key)
    if owner is None:
        found = session.connector(caller.workspace, connector)
        if found is None:
            return False
        if len(context.connector_owners) >= MAX_CACHED_OWNERS:
            context.connector_owners.clear()
        owner = context.connector_owners[key] = found.created_by
    _check_owner(caller, owner)
    return True


def is_known_connector(context: HubContext, caller: Caller, connector: str) -> bool:
    """Return the same as `is_own_connector`, without a transaction if the connector was asked for before.

    Raises:
        HubError: 403 as `own_connector`.
    """
    owner = context.connector_owners.get((caller.workspace, connector))
    if owner is None:
        with context.store.read() as session:
            return is_own_connector(context, session, caller, connector)
    _check_owner(caller, owner)
    return True


def record_heartbeat(context: HubContext, connector: str, source: Source | None = None, cursor: int = 0) -> None:
    """Record that a connector is alive, and has read a source up to `cursor`. It is written soon, with others."""
    # A client may name any cursor. It has read no more than there is.
    position = 0 if source is None else min(cursor, source.last_cursor)
    batch = context.heartbeats.add(connector, context.clock(), None if source is None else source.number, position)
    if batch is None:
        return
    try:
        with context.store.write(Growth.SMALL) as session:
            session.save_heartbeats(batch)
    except (StoreUnavailable, StoreFull):
        # Only the time of a sign of life is lost.
        context.heartbeats.put_back(batch)


def _check_owner(caller: Caller, owner: str) -> None:
    if owner != caller.user:
        raise HubError(403, "The connector belongs to another user")


def require_active(source: Source) -> None:
    """Refuse a write to a source that takes none.

    Raises:
        HubError: 400 with the source's status.
    """
    if source.status is not SourceStatus.ACTIVE:
        raise HubError(400, f"Source is {source.status.value}")


@contextmanager
def locked_source_tx(
    context: HubContext, caller: Caller, source: str, growth: Growth = Growth.CONTENT
) -> Iterator[tuple[StoreSession, SourceTransaction]]:
    """Open one transaction on one locked source. It is written at the end of the block, and announced once durable.

    Raises:
        HubError: 404, as `source_of`.
    """
    try:
        with locked_source(context, caller.workspace, source, growth) as found:
            yield found
    except UnknownSource:
        raise HubError(404, "Local sync source not found") from None
