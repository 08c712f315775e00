"""Bodies of the calls about devices, both ways."""

from __future__ import annotations

from typing import Any, Final

from agent.remotes.fields import maybe_text, row, text

_PLATFORMS: Final = {"darwin": "macos", "win32": "windows", "linux": "linux"}


def device_body(device: str, name: str, platform: str, version: str) -> dict[str, Any]:
    """Encode ``POST sync/devices``."""
    return {
        "device_id": device,
        "device_name": name,
        "platform": _PLATFORMS.get(platform, "cli"),
        "client_version": version,
    }


def device_id_of(data: Any) -> str:
    """Decode the device in the answer of ``POST sync/devices``."""
    found = row(data, "device")
    return maybe_text(found, "device_id") or text(found, "id")
