"""The bodies of ScaiDrive's preferences, both ways. The other bodies are in ``wire``."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from agent.remotes.fields import row, rows, text, texts
from agent.remotes.scaidrive.wire import relative


class PreferenceRow(Struct, frozen=True):
    """A device's preference for one share. ``selected`` and ``excluded`` are ids of folders."""

    share: str
    enabled: bool
    selected: tuple[str, ...]
    excluded: tuple[str, ...]


def preferences_of(data: Any) -> list[PreferenceRow]:
    """Decode ``GET sync/devices/{}/preferences``. A bare array is read too."""
    found = data if isinstance(data, list) else row(data, "preferences").get("preferences")
    return [
        PreferenceRow(
            text(value, "share_id"),
            value.get("sync_enabled") is not False,
            texts(value, "selected_folders"),
            texts(value, "excluded_folders"),
        )
        for value in rows(found, "preference")
    ]


def preference_body(enabled: bool, selected: list[str] | None, excluded: list[str] | None) -> dict[str, Any]:
    """Encode ``PUT sync/devices/{}/preferences/{}``."""
    return {"sync_enabled": enabled, "selected_folders": selected, "excluded_folders": excluded}


def folder_path_of(data: Any) -> str | None:
    """Decode ``GET folders/{}``: the folder's relative path; None if it is deleted."""
    found = row(data, "folder")
    return None if found.get("is_deleted") is True else relative(text(found, "path"))
