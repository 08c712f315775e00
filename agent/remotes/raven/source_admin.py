"""Changes of a server's sources for all machines. The hub has these calls, the released server does not."""

from __future__ import annotations

from agent.remotes.http.client import HttpClient
from agent.remotes.http.decode import DecodeLimits


class RavenSourceAdmin:
    """``SourceAdmin`` for the hub."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    def rename(self, source_id: str, name: str) -> None:
        """See ``SourceAdmin``."""
        self._http.call("sources/rename", {"sourceId": source_id, "name": name}, limits=DecodeLimits.RECORD)

    def archive(self, source_id: str, archived: bool) -> None:
        """See ``SourceAdmin``."""
        self._http.call("sources/archive", {"sourceId": source_id, "archived": archived}, limits=DecodeLimits.RECORD)

    def delete(self, source_id: str) -> None:
        """See ``SourceAdmin``."""
        self._http.call("sources/delete", {"sourceId": source_id}, limits=DecodeLimits.RECORD)
