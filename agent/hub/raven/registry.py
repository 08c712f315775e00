"""Endpoints for connectors and sources."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from agent.core.model import Mode
from agent.hub.answers import HubError, timestamp
from agent.hub.domain.machine_names import machine_of_token
from agent.hub.domain.model import Caller, Connector, Source, SourceStatus
from agent.hub.domain.ports import Growth, StoreFull, StoreUnavailable
from agent.hub.raven.context import (
    MAX_CACHED_OWNERS,
    HubContext,
    is_known_connector,
    locked_source_tx,
    own_connector,
    record_heartbeat,
)
from agent.hub.raven.wire import CAPABILITIES, connector_view, source_view


def register(context: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """Register a new connector on each call, as the real server does. The answer lists the hub's capabilities."""
    now = context.clock()
    connector = Connector(
        id=context.new_id(),
        workspace=caller.workspace,
        created_by=caller.user,
        name=body["name"],
        platform=body["platform"],
        version=body.get("version"),
        heartbeat_at=now,
        created_at=now,
        updated_at=now,
    )
    with context.store.write(Growth.SMALL) as session:
        session.add_connector(connector)
        session.note_connector_of_token(caller.token, connector.id)
    return connector_view(connector, now)


def heartbeat(context: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """Record a heartbeat of a connector.

    Raises:
        HubError: 404 for a connector this workspace does not have, 403 for another user's.
    """
    connector = body["connectorId"]
    if not is_known_connector(context, caller, connector):
        raise HubError(404, "Connector not found")
    record_heartbeat(context, connector)
    _note_connector(context, caller.token, connector)
    return {
        "connectorId": connector,
        "status": "online",
        "lastHeartbeatAt": timestamp(context.clock()),
        "capabilities": CAPABILITIES,
    }


def _note_connector(context: HubContext, token: str, connector: str) -> None:
    """Write which connector uses a token, once for each token that this process sees.

    A machine that joined again has another token, and registers no more. Several machines may share a token: written
    with each heartbeat, their connectors would replace each other without end.
    """
    known = context.noted_tokens
    if token in known:
        return
    if len(known) >= MAX_CACHED_OWNERS:
        known.clear()
    # Only the list of tokens needs it: a heartbeat does not fail for it, and the next one writes it.
    with contextlib.suppress(StoreUnavailable, StoreFull):
        with context.store.write(Growth.SMALL) as session:
            session.note_connector_of_token(token, connector)
        known.add(token)


def rename_connector(context: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """Rename a connector, and the caller's token in the list of tokens if a machine joined with it.

    Raises:
        HubError: 404 for a connector this workspace does not have, 403 for another user's.
    """
    now, name = context.clock(), body["name"]
    with context.store.write(Growth.SMALL) as session:
        found = own_connector(session, caller, body["connectorId"])
        if found is None:
            raise HubError(404, "Connector not found")
        session.rename_connector(found.id, name, now)
        session.rename_machine_of_token(caller.token, machine_of_token(name))
    return connector_view(dataclasses.replace(found, name=name, updated_at=now), now)


def create_source(context: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """Create a source. Names need not be unique.

    Raises:
        HubError: 400 for a connector this workspace does not have, 403 for another user's.
    """
    now = context.clock()
    source = Source(
        number=0,
        id=context.new_id(),
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
    with context.store.write(Growth.SMALL) as session:
        if own_connector(session, caller, source.connector) is None:
            raise HubError(400, "Invalid connectorId for this workspace")
        session.add_source(source)
    return source_view(source)


def list_sources(context: HubContext, caller: Caller, body: Mapping[str, Any]) -> list[dict[str, object]]:
    """List the sources of the workspace, newest first: all, or the first `limit`."""
    with context.store.read() as session:
        return [source_view(source) for source in session.sources(caller.workspace, body.get("limit"))]


def pause(context: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """Refuse pushes and edits from now on. Reading and resolving remain allowed."""
    return _set_status(context, caller, body["sourceId"], SourceStatus.PAUSED)


def resume(context: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """Accept pushes and edits again."""
    return _set_status(context, caller, body["sourceId"], SourceStatus.ACTIVE)


def rename(context: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """Rename a source. Names need not be unique, and no file or folder is renamed."""
    now = context.clock()
    with locked_source_tx(context, caller, body["sourceId"], Growth.SMALL) as (session, transaction):
        session.rename_source(transaction.source.number, body["name"], now)
        after = replace(transaction.source, name=body["name"], updated_at=now)
    return source_view(after)


def archive(context: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """Archive a source, or bring it back with `archived` false. An archived one can be read, and takes no writes."""
    wanted = SourceStatus.ACTIVE if body.get("archived") is False else SourceStatus.ARCHIVED
    return _set_status(context, caller, body["sourceId"], wanted)


def delete(context: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """Delete a source: no request knows it any more. Its rows stay in the database.

    Raises:
        HubError: 400 for the source that is the workspace's account in another API. Its clients would get the files of
            another source in its place.
    """
    with context.store.read() as session:
        account = session.account_source(caller.workspace)
        found = session.source(caller.workspace, body["sourceId"])
    if found is not None and found.number == account:
        raise HubError(400, "The source is the workspace's account for Pinakes clients: archive it instead")
    return _set_status(context, caller, body["sourceId"], SourceStatus.DELETED)


def _set_status(context: HubContext, caller: Caller, source: str, status: SourceStatus) -> dict[str, object]:
    with locked_source_tx(context, caller, source, Growth.SMALL) as (_, transaction):
        before = transaction.source
        if before.status is status:
            return source_view(before)
        transaction.set_status(status)
        after = replace(before, status=status, last_cursor=transaction.cursor, updated_at=context.clock())
    return source_view(after)
