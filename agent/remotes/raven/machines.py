"""The machines of a source on the hub. The released server has no such call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.remotes.fields import maybe_text, number, row, rows, text
from agent.remotes.http.client import HttpClient
from agent.remotes.http.decode import DecodeLimits
from agent.remotes.machine_list import RemoteMachine


class RavenMachines:
    """``MachineList`` for the hub.

    Args:
        connector_id: of this machine; None if it is not registered.
    """

    def __init__(self, http: HttpClient, connector_id: str | None) -> None:
        self._http = http
        self._connector_id = connector_id

    def machines(self, source_id: str) -> list[RemoteMachine]:
        """See ``MachineList``."""
        answer = row(self._http.call("sources/machines", {"sourceId": source_id}).data, "record")
        return [self._machine(value) for value in rows(answer.get("machines"), "machine")]

    def leave(self, source_id: str) -> None:
        """See ``MachineList``."""
        if self._connector_id is not None:
            body = {"sourceId": source_id, "connectorId": self._connector_id}
            self._http.call("sources/leave", body, limits=DecodeLimits.RECORD)

    def _machine(self, value: Mapping[str, Any]) -> RemoteMachine:
        behind = number(value, "behind")
        return RemoteMachine(
            id=text(value, "id"),
            name=text(value, "name"),
            platform=maybe_text(value, "platform"),
            version=maybe_text(value, "version"),
            seen_at=maybe_text(value, "lastSeenAt"),
            reached_at=maybe_text(value, "reachedAt"),
            is_current=behind == 0,
            behind=behind,
            is_this=value.get("id") == self._connector_id,
        )
