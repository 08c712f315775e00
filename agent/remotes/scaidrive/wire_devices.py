"""Bodies of the calls about devices, both ways."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from agent.remotes.fields import maybe_text, row, rows, text

_PLATFORMS: Final = {"darwin": "macos", "win32": "windows", "linux": "linux"}


class DeviceListing(Struct, frozen=True):
    """A device as the server lists it."""

    id: str
    name: str
    platform: str | None
    version: str | None
    active: bool
    seen_at: str | None


def device_body(device: str, name: str, platform: str, version: str) -> dict[str, Any]:
    """Encode ``POST sync/devices``."""
    return {
        "device_id": device,
        "device_name": name,
        "platform": _PLATFORMS.get(platform, "cli"),
        "client_version": version,
    }


def device_change_body(name: str | None = None, active: bool | None = None) -> dict[str, Any]:
    """Encode ``PATCH sync/devices/{}``; None leaves a value as it is."""
    given = {"device_name": name, "is_active": active}
    return {key: value for key, value in given.items() if value is not None}


def device_id_of(data: Any) -> str:
    """Decode the device in the answer of ``POST sync/devices``."""
    return _id(row(data, "device"))


def devices_of(data: Any) -> list[DeviceListing]:
    """Decode ``GET sync/devices``. An object with ``devices`` is read too."""
    found = data if isinstance(data, list) else row(data, "devices").get("devices")
    return [
        DeviceListing(
            _id(value),
            maybe_text(value, "device_name") or maybe_text(value, "name") or "",
            maybe_text(value, "platform"),
            maybe_text(value, "client_version"),
            value.get("is_active") is not False,
            maybe_text(value, "last_seen_at"),
        )
        for value in rows(found, "device")
    ]


def _id(value: Any) -> str:
    return maybe_text(value, "device_id") or text(value, "id")
