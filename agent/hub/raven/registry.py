"""Connectors and sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent.hub.domain.model import Caller, Connector, Mode, Source, SourceStatus
from agent.hub.raven.context import HubContext, locked_source_tx
from agent.hub.raven.wire import CAPABILITIES, HubError, connector_view, source_view, timestamp


def register(services: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """A new connector each time, as on the real server; the answer also says what this hub can do."""
    now = services.clock()
    connector = Connector(
        id=services.new_id(),
        workspace=caller.workspace,
        created_by=caller.user,
        name=body["name"],
        platform=body["platform"],
        version=body.get("version"),
        heartbeat_at=now,
        created_at=now,
        updated_at=now,
    )
    with services.store.write() as session:
        session.add_connector(connector)
    return connector_view(connector, now)


def heartbeat(services: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """A connector lives.

    Raises:
        HubError: 404 for a connector this workspace does not have.
    """
    now = services.clock()
    with services.store.write() as session:
        connector = session.connector(caller.workspace, body["connectorId"])
        if connector is None:
            raise HubError(404, "Connector not found")
        session.touch_heartbeat(connector.id, now)
    return {
        "connectorId": connector.id,
        "status": "online",
        "lastHeartbeatAt": timestamp(now),
        "capabilities": CAPABILITIES,
    }


def create_source(services: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """A new source; names need not be unique.

    Raises:
        HubError: 400 for a connector this workspace does not have.
    """
    now = services.clock()
    source = Source(
        number=0,
        id=services.new_id(),
        workspace=caller.workspace,
        created_by=caller.user,
        name=body["name"],
        mode=Mode(body["mode"]),
        connector=body["connectorId"],
        status=SourceStatus.ACTIVE,
        includes=tuple(body.get("includePatterns") or ()),
        excludes=tuple(body.get("excludePatterns") or ()),
        last_cursor=0,
        last_file=0,
        created_at=now,
        updated_at=now,
    )
    with services.store.write() as session:
        if session.connector(caller.workspace, source.connector) is None:
            raise HubError(400, "Invalid connectorId for this workspace")
        session.add_source(source)
    return source_view(source)


def list_sources(services: HubContext, caller: Caller, body: Mapping[str, Any]) -> list[dict[str, object]]:
    """Every source of the workspace, newest first."""
    with services.store.read() as session:
        return [source_view(source) for source in session.sources(caller.workspace)]


def pause(services: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """Stop taking pushes and edits; reading and resolving go on."""
    return _turn(services, caller, body["sourceId"], SourceStatus.PAUSED)


def resume(services: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """Take pushes and edits again."""
    return _turn(services, caller, body["sourceId"], SourceStatus.ACTIVE)


def _turn(services: HubContext, caller: Caller, source: str, status: SourceStatus) -> dict[str, object]:
    with locked_source_tx(services, caller, source) as (_, transaction):
        before = transaction.source
        if before.status is status:
            return source_view(before)
        transaction.set_status(status)
        after = replace(before, status=status, last_cursor=transaction.cursor, updated_at=services.clock())
    return source_view(after)
