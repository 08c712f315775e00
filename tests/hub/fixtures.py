"""Hubs for tests: in this process for their answers, or as a process for races, kills and sockets."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx
import orjson

from agent.hub.auth import JwtTokens, mint
from agent.hub.domain.ids import system_clock
from agent.hub.raven.endpoints import Hub
from agent.hub.store.sql_store import SqlStore
from support.eventually import patience
from support.fork_server import FORKED_HUB, PRELUDE, Forked

SENTINEL = "0" * 64
SECRET = b"not a secret, long enough for HS256 and for nothing else" * 2
WORKSPACE = "11111111-1111-4111-8111-111111111111"
USER = "22222222-2222-4222-8222-222222222222"
STRANGER = "33333333-3333-4333-8333-333333333333"
UNKNOWN = "99999999-9999-4999-8999-999999999999"

Ask = Callable[[str, Mapping[str, Any]], tuple[int, Any]]
"""(endpoint, body) -> (status, decoded answer)."""


def sha(text: str) -> str:
    """The identity of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


_operations = itertools.count(1)


def upsert(path: str, text: str, base: str | None = SENTINEL, **more: Any) -> dict[str, Any]:
    """An item that pushes a text built on `base`."""
    item = {"operationId": f"op-{next(_operations)}", "relativePath": path, "content": text, "contentHash": sha(text)}
    return item | {"baseHash": base} | more


def delete(path: str, base: str | None, **more: Any) -> dict[str, Any]:
    """An item that deletes what had the hash `base`."""
    return upsert(path, "", base, isDelete=True) | more


def token(workspace: str = WORKSPACE, user: str = USER, secret: bytes = SECRET, **more: Any) -> str:
    """A token that is good now."""
    return mint(secret, workspace=workspace, user=user, now=system_clock(), **more)


def headers(bearer: str, workspace: str = WORKSPACE) -> dict[str, str]:
    """The headers every request carries."""
    return {
        "authorization": f"Bearer {bearer}",
        "x-workspace-id": workspace,
        "content-type": "application/json",
    }


class Client:
    """The endpoints as methods, over any way to ask."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask

    def ok(self, endpoint: str, **body: Any) -> Any:
        """The data of a successful answer."""
        status, answer = self.ask(endpoint, body)
        assert status == 200, (endpoint, status, answer)
        assert answer["success"] is True
        return answer["data"]

    def refused(self, endpoint: str, **body: Any) -> tuple[int, Any]:
        """Status and message of an answer that is no success."""
        status, answer = self.ask(endpoint, body)
        assert status != 200, (endpoint, answer)
        return status, answer["message"]

    def connector(self) -> str:
        """A new connector's id."""
        return str(self.ok("connectors/register", name="laptop", platform="linux")["id"])

    def source(self, mode: str = "bidirectional") -> str:
        """A new source's id."""
        return str(self.ok("sources", name="notes", mode=mode, connectorId=self.connector())["id"])

    def push(self, source: str, *items: Mapping[str, Any], **more: Any) -> Any:
        """The answer to a batch."""
        return self.ok("sources/push-batch", sourceId=source, items=list(items), **more)

    def outcome(self, source: str, item: Mapping[str, Any], **more: Any) -> Any:
        """The result of one pushed item."""
        return self.push(source, item, **more)["items"][0]

    def text(self, source: str, path: str) -> str | None:
        """Return the text of a path; None for no file."""
        status, answer = self.ask("sources/file", {"sourceId": source, "relativePath": path})
        return answer["data"]["content"] if status == 200 else None

    def events(self, source: str, cursor: int = 0, **more: Any) -> list[Any]:
        """Every event behind a cursor."""
        found: list[Any] = []
        while page := self.ok("sources/deltas", sourceId=source, cursor=cursor, limit=500, **more)["events"]:
            found += page
            cursor = page[-1]["cursor"]
        return found

    def conflicts(self, source: str) -> list[Any]:
        """Open conflicts."""
        return list(self.ok("sources/conflicts", sourceId=source))

    def past(self, source: str, path: str) -> list[str]:
        """The texts a path has had."""
        versions = self.ok("sources/history", sourceId=source, relativePath=path, allVersions=True)["versions"]
        return [version["content"] for version in versions]


@dataclass
class Wall:
    """A clock that the test sets."""

    now: int = field(default_factory=system_clock)

    def __call__(self) -> int:
        return self.now


class InProcess(Client):
    """A hub in this process, on its own database and clock."""

    def __init__(self, store: SqlStore, workspace: str = WORKSPACE, hub: Hub | None = None) -> None:
        super().__init__(self._ask)
        self.store = store
        self.wall = Wall()
        self.hub = hub or Hub(store, self.wall, tokens=JwtTokens(SECRET))
        self.headers = headers(token(workspace), workspace)

    def beside(self, workspace: str) -> InProcess:
        """The same hub, asked by another workspace."""
        return InProcess(self.store, workspace, self.hub)

    def send(self, method: str, path: str, sent: Mapping[str, str], body: bytes | None) -> tuple[int, Any, bytes]:
        """One raw request."""
        answer = self.hub.handle(method, path, sent, body or b"")
        return answer.status, answer.headers, answer.read()

    def _ask(self, endpoint: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        status, _, answer = self.send("POST", f"/api/local-sync/{endpoint}", self.headers, orjson.dumps(body))
        return status, orjson.loads(answer)


class OverHttp(Client):
    """A hub reached over HTTP, one connection at a time; use one for each thread."""

    def __init__(self, url: str, bearer: str, workspace: str = WORKSPACE) -> None:
        super().__init__(self._ask)
        self.http = httpx.Client(base_url=url, headers=headers(bearer, workspace), timeout=60)

    def _ask(self, endpoint: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        answer = self.http.post(f"/api/local-sync/{endpoint}", content=orjson.dumps(body))
        return answer.status_code, orjson.loads(answer.content)


HubProcess = subprocess.Popen[bytes] | Forked


@dataclass(frozen=True)
class Running:
    """A hub process."""

    process: HubProcess
    url: str
    data: Path
    clients: list[OverHttp] = field(default_factory=list)

    def client(self) -> OverHttp:
        """A new connection with a good token; it is closed with the hub."""
        made = OverHttp(self.url, token(secret=(self.data / "secret").read_bytes()))
        self.clients.append(made)
        return made


@contextmanager
def running_hub(data: Path, *arguments: str, fresh: bool = False) -> Iterator[Running]:
    """A hub process that is ready, ended at the end of the block if it still lives.

    Args:
        fresh: started by an interpreter of its own, for tests of its memory or command line; else forked.
    """
    with tempfile.TemporaryFile() as errors, _hub_process(data, arguments, fresh, errors) as (process, output):
        try:
            line = output.readline()
            if not line:
                process.wait(patience(15))
                errors.seek(0)
                raise AssertionError(errors.read().decode())
            ready = orjson.loads(line)
            assert ready["pid"] == process.pid
            running = Running(process, ready["url"], data)
            yield running
            for client in running.clients:
                client.http.close()
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(patience(15))


@contextmanager
def _hub_process(
    data: Path, arguments: Sequence[str], fresh: bool, errors: IO[bytes]
) -> Iterator[tuple[HubProcess, IO[bytes]]]:
    """The process, and what it prints."""
    words = ["--data", str(data), *arguments]
    reading, writing = os.pipe()
    with open(reading, "rb") as output, open(os.devnull, "rb") as nothing:
        with open(writing, "wb") as own:
            streams = nothing.fileno(), own.fileno(), errors.fileno()
            if fresh:
                command = [sys.executable, "-P", "-m", "agent.hub", *words]
                process: HubProcess = subprocess.Popen(command, stdin=streams[0], stdout=streams[1], stderr=streams[2])
            else:
                process = Forked(words, {**os.environ, PRELUDE: FORKED_HUB}, os.getcwd(), streams)
        yield process, output


def together(*jobs: Callable[[], Any]) -> list[Any]:
    """Run the jobs at the same time, each in a thread, and return their results."""
    gate = threading.Barrier(len(jobs))
    results: list[Any] = [None] * len(jobs)
    failures: list[BaseException] = []

    def run(index: int, job: Callable[[], Any]) -> None:
        gate.wait()
        try:
            results[index] = job()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(index, job)) for index, job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results
