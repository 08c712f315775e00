"""Endpoints for devices. A device's token is shown once, and only its sha256 is stored."""

from __future__ import annotations

from dataclasses import replace

from agent.hub.answers import HubError, timestamp
from agent.hub.domain.drive_model import Device, DeviceCursor
from agent.hub.domain.ports import Growth, StoreSession
from agent.hub.pinakes.context import (
    PinakesContext,
    PinakesRequest,
    account_of,
    account_source,
    secret_hash,
)
from agent.hub.pinakes.wire import (
    DeviceBody,
    DeviceRequest,
    DeviceTokenBody,
    DeviceUpdate,
    RegistrationBody,
)


def register(context: PinakesContext, request: PinakesRequest) -> RegistrationBody:
    """Register a device under an id that the hub makes."""
    wanted, now, token = request.decoded(DeviceRequest), context.clock(), context.new_token()
    made = Device(
        number=0,
        workspace=request.caller.workspace,
        user=request.caller.user,
        id=context.new_id(),
        name=wanted.name,
        platform=wanted.device_type,
        version=wanted.client_version,
        is_active=True,
        last_seen_at=now,
        created_at=now,
        os_info=wanted.os_info,
        token=secret_hash(token),
    )
    with context.store.write(Growth.SMALL) as session:
        session.add_device(made)
    return RegistrationBody(_shown(made, None), token)


def list_devices(context: PinakesContext, request: PinakesRequest) -> list[DeviceBody]:
    """List the caller's devices, oldest first."""
    account_of(context, request.caller)
    with context.store.read() as session:
        found = session.account_devices(request.caller.workspace, request.caller.user)
        return [_document(context, session, request, device) for device in found]


def read_device(context: PinakesContext, request: PinakesRequest) -> DeviceBody:
    """Show a device.

    Raises:
        HubError: 404 for an unknown one, 403 for another user's.
    """
    account_of(context, request.caller)
    with context.store.read() as session:
        return _document(context, session, request, _own(session, request))


def change_device(context: PinakesContext, request: PinakesRequest) -> DeviceBody:
    """Rename a device, or switch it on or off."""
    wanted = request.decoded(DeviceUpdate)
    account_of(context, request.caller)
    with context.store.write(Growth.SMALL) as session:
        found = _own(session, request)
        changed = replace(
            found,
            name=found.name if wanted.name is None else wanted.name,
            is_active=found.is_active if wanted.enabled is None else wanted.enabled,
        )
        session.save_device(changed)
        return _document(context, session, request, changed)


def remove_device(context: PinakesContext, request: PinakesRequest) -> None:
    """Remove a device with its cursor and its token. Its conflicts remain."""
    with context.store.write(Growth.SMALL) as session:
        session.remove_device(_own(session, request))


def renew_token(context: PinakesContext, request: PinakesRequest) -> DeviceTokenBody:
    """Give a device a new token. The old one is not valid any more."""
    token = context.new_token()
    with context.store.write(Growth.SMALL) as session:
        session.save_device_token(_own(session, request).number, secret_hash(token))
    return DeviceTokenBody(token)


def _own(session: StoreSession, request: PinakesRequest) -> Device:
    found = session.account_device(request.caller.workspace, request.ids[0])
    if found is None:
        raise HubError(404, "Device not found")
    if found.user != request.caller.user:
        raise HubError(403, "The device belongs to another user")
    return found


def _document(context: PinakesContext, session: StoreSession, request: PinakesRequest, device: Device) -> DeviceBody:
    source = account_source(context, session, request.caller)
    return _shown(device, None if source is None else session.device_cursor(device.number, source.number))


def _shown(device: Device, cursor: DeviceCursor | None) -> DeviceBody:
    synced_at = None if cursor is None else cursor.last_sync_at
    return DeviceBody(
        id=device.id,
        name=device.name,
        device_type=device.platform,
        client_version=device.version or "",
        os_info=device.os_info,
        last_sync_at=None if synced_at is None else timestamp(synced_at),
        last_seen_at=timestamp(device.last_seen_at),
        sync_cursor=0 if cursor is None else cursor.position,
        enabled=device.is_active,
        created_at=timestamp(device.created_at),
    )
