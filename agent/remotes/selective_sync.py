"""The port for a server's selective sync."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from agent.core.scope import PreferredFolder, SyncPreference


class SelectiveSync(Protocol):
    """The server's preferences of this machine's connector. Safe to use from several threads, after ``register``."""

    def read(self, source_ids: Collection[str]) -> dict[str, SyncPreference]:
        """Return the preference of each of these sources; ``EVERYTHING`` for one without.

        A folder carries the server's path and the one that this machine's index still has.
        """
        ...

    def write(self, source_id: str, preference: SyncPreference) -> None:
        """Set the preference of one source. Its folders are sent by their ids."""
        ...

    def write_all(self, preferences: Mapping[str, SyncPreference]) -> None:
        """Set the preferences of several sources, by the id of each, in one call."""
        ...

    def folder(self, source_id: str, path: str) -> PreferredFolder:
        """Return the folder at a relative path. Raises NOT_FOUND if the server has none there."""
        ...
