"""The port, the colours and the keys of the dashboard, kept in a small file between two runs."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from agent.settings.owner_only_files import write_atomically

THEMES: Final = ("system", "light", "dark")


class DashboardPreferences(Struct, frozen=True):
    """Values that the dashboard remembers.

    Attributes:
        port: port of the last listener; 0 if there was none.
        theme: system, light or dark.
        keys: True if single keys move between pages.
    """

    port: int = 0
    theme: str = "system"
    keys: bool = True


class PreferencesFile:
    """The preferences of one home. A damaged file counts as none: it holds nothing of value."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def read(self) -> DashboardPreferences:
        """Return the stored preferences, or the defaults."""
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=DashboardPreferences)
        except (OSError, msgspec.DecodeError):
            return DashboardPreferences()
        return found if found.theme in THEMES else msgspec.structs.replace(found, theme="system")

    def write(self, preferences: DashboardPreferences) -> None:
        """Store the preferences. On a full disk the old ones stay."""
        with self._lock, contextlib.suppress(OSError):
            write_atomically(self._path, msgspec.json.encode(preferences))
