"""The endpoints for the positions of the machines of a source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from agent.hub.answers import HubError, timestamp
from agent.hub.domain.model import Caller, Connector, ConnectorPosition, Source, SourceDevice
from agent.hub.domain.ports import Growth, StoreSession
from agent.hub.raven.context import HubContext, is_own_connector, source_of


def list_machines(context: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """List the connectors and devices that read a source, and the number of changes behind the position of each.

    A connector reads this API. A device reads another API of this hub, and reports its position about once a minute.
    """
    with context.store.read() as session:
        source = source_of(session, caller, body["sourceId"])
        connectors = [*_connectors(context, session, caller, source)]
        devices = [_of_device(source, device) for device in session.source_devices(source.number)]
    return {"sourceId": source.id, "lastCursor": source.last_cursor, "machines": [*connectors, *devices]}


def leave(context: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """Forget the position of a connector in a source, so that it is not listed until it reads the source again.

    Raises:
        HubError: 404 for an unknown source or connector, 403 for another user's connector.
    """
    connector = body["connectorId"]
    with context.store.write(Growth.SMALL) as session:
        source = source_of(session, caller, body["sourceId"])
        if not is_own_connector(context, session, caller, connector):
            raise HubError(404, "Connector not found")
        context.heartbeats.forget(connector, source.number)
        session.remove_connector_position(connector, source.number)
    return {"sourceId": source.id, "connectorId": connector}


def _connectors(
    context: HubContext, session: StoreSession, caller: Caller, source: Source
) -> Iterator[dict[str, object]]:
    @cache
    def behind(position: int) -> int:
        return session.events_behind(source.number, position)

    places = {**session.connector_positions(source.number), **context.heartbeats.positions(source.number)}
    for id_, place in sorted(places.items()):
        connector = session.connector(caller.workspace, id_)
        if connector is not None:
            seen_at = max(connector.heartbeat_at, context.heartbeats.seen_at(id_))
            yield _of_connector(connector, seen_at, place, behind(place.position))


def _of_connector(connector: Connector, seen_at: int, place: ConnectorPosition, behind: int) -> dict[str, object]:
    return {
        "id": connector.id,
        "name": connector.name,
        "platform": connector.platform,
        "version": connector.version,
        "lastSeenAt": timestamp(seen_at),
        "cursor": place.position,
        "reachedAt": timestamp(place.at),
        "behind": behind,
    }


def _of_device(source: Source, device: SourceDevice) -> dict[str, object]:
    return {
        "id": device.id,
        "name": device.name,
        "platform": device.platform,
        "version": device.version,
        "lastSeenAt": timestamp(device.seen_at),
        "cursor": device.position,
        "reachedAt": None if device.synced_at is None else timestamp(device.synced_at),
        "behind": max(0, source.last_cursor - device.position),
    }
