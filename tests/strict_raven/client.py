"""A plain client of one source, for tests that look at a server from outside."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx

from strict_raven.auth import token
from strict_raven.domain import StrictRaven
from strict_raven.races import Races
from strict_raven.transport import HandlerTransport
from strict_raven.wire import Handler

SENTINEL = "0" * 64


def digest(text: str) -> str:
    """sha256 of the text."""
    return hashlib.sha256(text.encode()).hexdigest()


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Client:
    """Talks to a handler as an agent would."""

    def __init__(self, handler: Handler) -> None:
        headers = {"authorization": f"Bearer {token()}"}
        self.http = httpx.Client(transport=HandlerTransport(handler), base_url="http://raven", headers=headers)
        connector = self.call("connectors/register", name="c", platform="linux")["id"]
        self.source: str = self.call("sources", name="s", mode="bidirectional", connectorId=connector)["id"]

    def post(self, endpoint: str, **body: Any) -> httpx.Response:
        """The raw answer."""
        return self.http.post(f"/api/local-sync/{endpoint}", json=body)

    def call(self, endpoint: str, **body: Any) -> Any:
        """The data of an answer that must be 200."""
        response = self.post(endpoint, **body)
        assert response.status_code == 200, response.text
        return response.json()["data"]

    def push(self, operation: str, path: str, content: str, base: str | None = None) -> tuple[int, int]:
        """Push one text; (applied, conflicts)."""
        item = {"operationId": operation, "relativePath": path, "content": content, "contentHash": digest(content)}
        answer = self.call("sources/push-batch", sourceId=self.source, items=[{**item, "baseHash": base}])
        return answer["applied"], answer["conflicts"]

    def delete(self, operation: str, path: str, base: str) -> tuple[int, int]:
        """Push one delete; (applied, conflicts)."""
        item = {"operationId": operation, "relativePath": path, "content": "", "isDelete": True, "baseHash": base}
        answer = self.call("sources/push-batch", sourceId=self.source, items=[item])
        return answer["applied"], answer["conflicts"]

    def events(self, cursor: int = 0) -> list[dict[str, Any]]:
        """One page of the feed."""
        page = self.call("sources/deltas", sourceId=self.source, cursor=cursor, limit=500)
        return list(page["events"])


def server_and_client(races: Races | None = None) -> tuple[StrictRaven, Client, Clock]:
    """A fresh server on a standing clock, and a client with a source of its own."""
    clock = Clock()
    server = StrictRaven(clock=clock, races=races)
    return server, Client(server.handle), clock
