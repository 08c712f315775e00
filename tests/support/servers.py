"""Servers behind real sockets: the hub as a process, the strict server as a thread; both asked from outside alike."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hub.fixtures import SENTINEL, OverHttp, Running, delete, running_hub, sha, token, upsert
from hub.fixtures import WORKSPACE as HUB_WORKSPACE
from strict_raven import WORKSPACE, Races, Response, StrictRaven
from strict_raven import token as strict_token
from strict_raven.faults import Fault, Faulty, Strikes, too_large
from strict_raven.serve import serving

__all__ = ["SENTINEL", "HubServer", "Server", "StrictServer", "page_changed", "sha"]


class Server:
    """A server, and another client of it: what other machines and people at the server do.

    Attributes:
        client: asks any endpoint.
    """

    name = "server"

    def __init__(self, url: str, workspace: str, bearer: str) -> None:
        self.url = url
        self.workspace = workspace
        self.token = bearer
        self.client = OverHttp(url, bearer, workspace)

    def put(self, source: str, path: str, text: str, base: str | None = SENTINEL) -> Any:
        """Another machine's upsert, built on the hash ``base``."""
        return self.client.push(source, upsert(path, text, base))

    def replace(self, source: str, path: str, text: str) -> Any:
        """Another machine's upsert, built on whatever stands there."""
        head = self.client.text(source, path)
        return self.put(source, path, text, SENTINEL if head is None else sha(head))

    def remove(self, source: str, path: str) -> Any:
        """Another machine's delete of what stands there."""
        head = self.client.text(source, path)
        assert head is not None
        return self.client.push(source, delete(path, sha(head)))

    def edit(self, source: str, path: str, text: str, base: str | None = None) -> Any:
        """An edit made on the server."""
        extra = {} if base is None else {"baseHash": base}
        return self.client.ok("sources/file/update", sourceId=source, relativePath=path, content=text, **extra)

    def text(self, source: str, path: str) -> str | None:
        """What stands at a path; None for nothing."""
        return self.client.text(source, path)

    def hashes(self, source: str) -> dict[str, str]:
        """Path to sha256 of every file."""
        found: dict[str, str] = {}
        after: dict[str, str] = {}
        while True:
            page = self.client.ok("sources/files", sourceId=source, **after)
            fresh = {row["relativePath"]: row["lastSyncedHash"] for row in page}
            if not fresh.keys() - found.keys():
                return found
            found |= fresh
            after = {"after": page[-1]["relativePath"]}

    def events(self, source: str, path: str | None = None) -> list[tuple[str, str | None]]:
        """(type, sha256 of the text) of every event, or of those of one path."""
        return [
            (event["type"], event["payload"].get("hash"))
            for event in self.client.events(source)
            if path is None or event.get("relativePath") == path
        ]

    def kept(self, source: str) -> set[str]:
        """sha256 of every text that stands in an event, a version, or an open conflict."""
        found = {sha(e["payload"]["content"]) for e in self.client.events(source) if "content" in e["payload"]}
        for conflict in self.client.conflicts(source):
            found |= {sha(conflict[side]) for side in ("localContent", "remoteContent") if conflict[side] is not None}
        for path in self.hashes(source):
            found |= {sha(text) for text in self.client.past(source, path)}
        return found

    def conflicts(self, source: str) -> list[Any]:
        """Open conflicts."""
        return self.client.conflicts(source)

    def new_source(self, mode: str = "bidirectional") -> str:
        """A source made by another machine."""
        return self.client.source(mode)

    def close(self) -> None:
        """Let go of the connection."""
        self.client.http.close()


class HubServer(Server):
    """The embedded hub as a process.

    Attributes:
        running: the process, and where its data lies.
    """

    name = "hub"

    def __init__(self, running: Running) -> None:
        self.running = running
        super().__init__(running.url, HUB_WORKSPACE, token(secret=(running.data / "secret").read_bytes()))

    @classmethod
    @contextlib.contextmanager
    def serving(cls, data: Path, *, fresh: bool = False) -> Iterator[HubServer]:
        """A hub that is ready; it is ended with the block. A fresh one is not forked."""
        with running_hub(data, "--port", "0", fresh=fresh) as running:
            server = cls(running)
            try:
                yield server
            finally:
                server.close()


class StrictServer(Server):
    """The strict server, with faults to inject and a switch.

    Attributes:
        raven: what it knows.
        faulty: strikes requests on the way to it.
        gateway_limit: a gateway in front of it refuses larger bodies, in bytes; None for no gateway.
    """

    name = "strict"

    def __init__(self, races: Races | None = None) -> None:
        self.raven = StrictRaven(races=races)
        self.faulty = Faulty(self._behind_gateway)
        self.gateway_limit: int | None = None
        self._stack = contextlib.ExitStack()
        url = self._stack.enter_context(serving(self.faulty.handle))
        self._port = int(url.rpartition(":")[2])
        self._is_up = True
        super().__init__(url, WORKSPACE, strict_token())

    def _behind_gateway(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        if self.gateway_limit is not None and len(body) > self.gateway_limit:
            return too_large().change(None)
        return self.raven.handle(method, path, headers, body)

    def down(self) -> None:
        """Stop answering; connections are refused."""
        self._stack.close()
        self._is_up = False

    def up(self) -> None:
        """Answer again, at the same address; a server that answers goes on."""
        if not self._is_up:
            self._stack.enter_context(serving(self.faulty.handle, self._port))
            self._is_up = True

    @classmethod
    @contextlib.contextmanager
    def serving(cls, races: Races | None = None) -> Iterator[StrictServer]:
        """A strict server that is ready; it is ended with the block."""
        server = cls(races)
        try:
            yield server
        finally:
            server.close()
            server.down()


def page_changed(change: Callable[[dict[str, Any]], dict[str, Any]], name: str = "changed page") -> Fault:
    """A fault that changes the document of an answer the server gave."""

    def apply(response: Response | None) -> Response:
        assert response is not None
        document = json.loads(response.body)
        document["data"] = change(document["data"])
        return Response(response.status, response.headers, json.dumps(document).encode())

    return Fault(name, Strikes.AFTER, apply)
