"""The port for changes of a server's sources."""

from __future__ import annotations

from typing import Protocol


class SourceAdmin(Protocol):
    """Changes of a server's sources for all machines. A server without one raises NOT_FOUND."""

    def rename(self, source_id: str, name: str) -> None:
        """Rename a source. No file or folder is renamed."""
        ...

    def archive(self, source_id: str, archived: bool) -> None:
        """Archive a source, which then takes no writes, or bring it back."""
        ...

    def delete(self, source_id: str) -> None:
        """Delete a source on the server. No file on any machine is deleted."""
        ...
