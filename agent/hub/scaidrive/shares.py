"""Endpoints for the user and for shares. A share is a source of the workspace."""

from __future__ import annotations

from typing import Final

from agent.core.model import Mode
from agent.hub.domain.model import Caller, Connector, Source, SourceStatus
from agent.hub.domain.ports import Growth, StoreSession
from agent.hub.scaidrive.context import BATCH_BYTES, DriveContext, share_of
from agent.hub.scaidrive.request import MAX_INTEGER, DriveRequest, choice, text, wrong_field
from agent.hub.scaidrive.wire import share_view

SHARE_TYPES: Final = ("central", "personal", "project")
PAGE: Final = 50
MAX_PAGE: Final = 100
_CONNECTOR: Final = "scaidrive"


def me(context: DriveContext, request: DriveRequest) -> object:
    """Show the caller. A hub that takes batches states their limits, which ScaiDrive's documentation does not have."""
    batches = {"batch": {"files": context.batch_files, "bytes": BATCH_BYTES}} if context.batch_files else {}
    return {
        "id": request.caller.user,
        "tenant_id": request.caller.workspace,
        "groups": [],
        "scopes": ["files:read", "files:write"],
        "max_file_size_bytes": context.largest_file,
        **batches,
    }


def list_shares(context: DriveContext, request: DriveRequest) -> object:
    """List shares by pages, newest first."""
    start, limit = request.number("offset", 0, 0, MAX_INTEGER), request.number("limit", PAGE, 1, MAX_PAGE)
    with context.store.read() as session:
        found = session.sources(request.caller.workspace)
        shown = [share_view(source, session.used_bytes(source.number)) for source in found[start : start + limit]]
    return {"shares": shown, "total": len(found)}


def read_share(context: DriveContext, request: DriveRequest) -> object:
    """Show one share."""
    with context.store.read() as session:
        source = share_of(session, request.caller, request.ids[0])
        return share_view(source, session.used_bytes(source.number))


def create_share(context: DriveContext, request: DriveRequest) -> object:
    """Create a share. Names need not be unique."""
    fields, now = request.fields(), context.clock()
    choice("body", "share_type", text(fields, "share_type"), SHARE_TYPES)
    if text(fields, "owner_id") != request.caller.user:
        raise wrong_field("body", "owner_id", "must be the caller")
    name = text(fields, "name")
    with context.store.write(Growth.SMALL) as session:
        source = Source(
            number=0,
            id=context.new_id(),
            workspace=request.caller.workspace,
            created_by=request.caller.user,
            name=name,
            mode=Mode.BIDIRECTIONAL,
            connector=_connector(session, request.caller, context.new_id(), now),
            status=SourceStatus.ACTIVE,
            includes=(),
            excludes=(),
            last_cursor=0,
            last_file=0,
            created_at=now,
            updated_at=now,
        )
        session.add_source(source)
    return share_view(source, 0)


def _connector(session: StoreSession, caller: Caller, new_id: str, now: int) -> str:
    # Raven's face shows a source with the connector that created it.
    session.add_connector(Connector(new_id, caller.workspace, caller.user, _CONNECTOR, _CONNECTOR, None, now, now, now))
    return new_id
