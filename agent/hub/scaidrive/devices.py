"""Endpoints for devices, their preferences and their cursors."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from agent.hub.answers import timestamp
from agent.hub.domain.drive_model import Device, DeviceCursor, DevicePreference
from agent.hub.domain.model import Source
from agent.hub.domain.ports import Growth, StoreSession
from agent.hub.scaidrive.context import DriveContext, device_of, share_of
from agent.hub.scaidrive.request import (
    MAX_INTEGER,
    DriveRefusal,
    DriveRequest,
    Fields,
    choice,
    maybe_flag,
    maybe_text,
    maybe_texts,
    text,
    wrong_field,
)
from agent.hub.scaidrive.wire import Shown, device_view, preference_view

PLATFORMS: Final = ("windows", "macos", "linux", "ios", "android", "web", "cli")


def register(context: DriveContext, request: DriveRequest) -> object:
    """Register a device under the id that the client made. The same id again is the same device."""
    fields, now = request.fields(), context.clock()
    device = Device(
        number=0,
        workspace=request.caller.workspace,
        user=request.caller.user,
        id=text(fields, "device_id"),
        name=text(fields, "device_name"),
        platform=choice("body", "platform", text(fields, "platform"), PLATFORMS),
        version=maybe_text(fields, "client_version"),
        is_active=True,
        last_seen_at=now,
        created_at=now,
    )
    with context.store.write(Growth.SMALL) as session:
        known = session.device(device.workspace, device.user, device.id)
        if known is None:
            session.add_device(device)
        else:
            device = replace(device, number=known.number, created_at=known.created_at)
            session.save_device(device)
    return device_view(device)


def list_devices(context: DriveContext, request: DriveRequest) -> object:
    """List the caller's devices, oldest first."""
    with context.store.read() as session:
        return [device_view(device) for device in session.devices(request.caller.workspace, request.caller.user)]


def change_device(context: DriveContext, request: DriveRequest) -> object:
    """Rename a device, or switch it on or off."""
    fields = request.fields()
    name, is_active = maybe_text(fields, "device_name"), maybe_flag(fields, "is_active")
    with context.store.write(Growth.SMALL) as session:
        found = device_of(session, request.caller, request.ids[0])
        changed = replace(found, name=name or found.name, is_active=found.is_active if is_active is None else is_active)
        session.save_device(changed)
    return device_view(changed)


def remove_device(context: DriveContext, request: DriveRequest) -> object:
    """Remove a device with its cursors and preferences. Its conflicts remain."""
    with context.store.write(Growth.SMALL) as session:
        session.remove_device(device_of(session, request.caller, request.ids[0]))
    return None


def heartbeat(context: DriveContext, request: DriveRequest) -> object:
    """Record that a device is alive."""
    with context.store.write(Growth.SMALL) as session:
        found = device_of(session, request.caller, request.ids[0])
        session.save_device(replace(found, last_seen_at=context.clock()))
    return None


def list_preferences(context: DriveContext, request: DriveRequest) -> object:
    """List the preferences of a device, for the shares that have one."""
    with context.store.read() as session:
        device = device_of(session, request.caller, request.ids[0])
        return {"preferences": [preference_view(each) for each in session.device_preferences(device.number)]}


def set_preference(context: DriveContext, request: DriveRequest) -> object:
    """Set the preference of a device for one share."""
    wanted = _preference(request.ids[1], request.fields())
    return _save(context, request, [wanted])[0]


def set_preferences(context: DriveContext, request: DriveRequest) -> object:
    """Set the preferences of a device for several shares, all or none."""
    rows = request.fields().get("preferences")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise wrong_field("body", "preferences", "Input should be a list of objects", "list_type")
    return {"preferences": _save(context, request, [_preference(text(row, "share_id"), row) for row in rows])}


def _preference(share: str, fields: Fields) -> DevicePreference:
    enabled = maybe_flag(fields, "sync_enabled")
    selected, excluded = maybe_texts(fields, "selected_folders"), maybe_texts(fields, "excluded_folders")
    if selected and excluded:
        raise wrong_field("body", "excluded_folders", "give selected_folders or excluded_folders, not both")
    return DevicePreference(share, enabled is not False, selected, excluded)


def _save(context: DriveContext, request: DriveRequest, wanted: list[DevicePreference]) -> list[Shown]:
    saved: list[DevicePreference] = []
    with context.store.write(Growth.SMALL) as session:
        device = device_of(session, request.caller, request.ids[0])
        for preference in wanted:
            source = share_of(session, request.caller, preference.source)
            saved.append(replace(preference, source=source.id))
            session.save_preference(device.number, source.number, saved[-1])
    for preference in saved:
        context.preference_changed(request.caller, request.ids[0], preference.source)
    return [preference_view(preference) for preference in saved]


def status(context: DriveContext, request: DriveRequest) -> object:
    """Show the cursor of a device in a share. Without one, a cursor at the newest change is made.

    A cursor beyond the newest change is of a log that was replaced by an older copy. It counts as none.
    """
    with context.store.write(Growth.SMALL) as session:
        source, device, cursor = _cursor(session, request)
        if cursor is None:
            cursor = DeviceCursor(source.last_cursor, None)
            session.save_device_cursor(device.number, source.number, cursor)
        position = min(cursor.position, source.last_cursor)
        conflicts = session.version_conflicts(request.caller.workspace, source.number, resolved=False)
    return {
        "cursor_position": position,
        "last_sync_at": None if cursor.last_sync_at is None else timestamp(cursor.last_sync_at),
        "pending_changes": source.last_cursor - position,
        "has_conflicts": bool(conflicts),
    }


def advance(context: DriveContext, request: DriveRequest) -> object:
    """Advance the cursor of a device. It never moves back, unless it is beyond the newest change.

    Raises:
        DriveRefusal: 400 for a position beyond the newest change.
    """
    wanted, now = request.number("position", None, 0, MAX_INTEGER), context.clock()
    with context.store.write(Growth.SMALL) as session:
        source, device, cursor = _cursor(session, request)
        if wanted > source.last_cursor:
            raise DriveRefusal(400, "The position is beyond the newest change", "SYNC_CURSOR_INVALID")
        reached = 0 if cursor is None or cursor.position > source.last_cursor else cursor.position
        position = max(wanted, reached)
        session.save_device_cursor(device.number, source.number, DeviceCursor(position, now))
    return {"cursor_position": position, "last_sync_at": timestamp(now)}


def _cursor(session: StoreSession, request: DriveRequest) -> tuple[Source, Device, DeviceCursor | None]:
    source = share_of(session, request.caller, request.parameter("share_id"))
    device = device_of(session, request.caller, request.parameter("device_id"))
    return source, device, session.device_cursor(device.number, source.number)
