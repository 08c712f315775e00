"""Servers behind the adapter under test, each with faults that can be injected and a clock that stands."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.core.events import FeedEvent
from agent.core.model import Mode
from agent.core.remote_records import Operation, Outcome, Result, Verb
from agent.hub.auth import JwtTokens, mint
from agent.hub.raven.endpoints import Hub
from agent.hub.store.sql_store import SqlStore
from agent.remotes.http.client import HttpClient
from agent.remotes.protocol import Outgoing, PushAnswer
from agent.remotes.raven.adapter import RavenRemote
from agent.remotes.raven.profile import raven_profile
from strict_raven import USER, WORKSPACE, Races, Response, StrictRaven, token
from strict_raven.faults import Faulty
from strict_raven.transport import HandlerTransport
from support.closing import closed_after_test

HUB_SECRET = b"a secret of the tests, long enough for HS256" * 2
START = 1_700_000_000.0

_ids = itertools.count(1)


def sha(content: str) -> str:
    """The identity of a text."""
    return hashlib.sha256(content.encode()).hexdigest()


def edit(path: str, content: str, base: str | None = None, op: str | None = None) -> Outgoing:
    """An upsert of a text over the text ``base`` (None: a new file)."""
    operation = Operation(
        id=op or f"op-{next(_ids)}",
        path=path,
        verb=Verb.UPSERT,
        hash=sha(content),
        size=len(content.encode()),
        base=None if base is None else sha(base),
    )
    return Outgoing(operation, content.encode())


def removal(path: str, base: str, op: str | None = None) -> Outgoing:
    """A delete of the text ``base``."""
    operation = Operation(op or f"op-{next(_ids)}", path, Verb.DELETE, None, 0, sha(base))
    return Outgoing(operation)


@dataclass
class Clock:
    """A clock that stands until it is moved; seconds."""

    now: float = START

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """One server with one source, and an adapter that talks to it.

    Attributes:
        hub: whether the server is the hub, which says more.
        faults: where failures are injected.
        strict: the strict server's insides; None for the hub.
        batches: every push-batch body sent, oldest first.
    """

    hub: bool
    faults: Faulty
    clock: Clock
    bearer: list[str]
    strict: StrictRaven | None = None
    remote: RavenRemote = field(init=False)
    connector: str = field(init=False)
    source: str = field(init=False)
    batches: list[bytes] = field(init=False, default_factory=list)
    _open: list[HttpClient] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.remote = self.adapter()
        self.connector = self.remote.register("laptop", "linux", "1.0").connector_id
        self.source = self.remote.create_source("notes", Mode.BIDIRECTIONAL, self.connector, ["**/*.md"], []).id

    def adapter(self) -> RavenRemote:
        """Another machine's adapter, which knows no capabilities yet."""
        return RavenRemote(self.http())

    def http(self) -> HttpClient:
        """The raw calls, for what the adapter does not offer."""
        transport = HandlerTransport(self._handle)
        made = HttpClient(
            "http://127.0.0.1", lambda: self.bearer[0], raven_profile(WORKSPACE), transport=transport, clock=self.clock
        )
        self._open.append(made)
        return made

    def _handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        if path.endswith("push-batch"):
            self.batches.append(body)
        return self.faults.handle(method, path, headers, body)

    def close(self) -> None:
        """Give everything back."""
        for http in self._open:
            http.close()

    def push(self, *batch: Outgoing) -> PushAnswer:
        """Push to the source."""
        return self.remote.push(self.source, self.connector, batch)

    def results(self, *batch: Outgoing) -> list[Result]:
        """What became of each operation, in the order given; there must be exactly one outcome for each."""
        return results(self.push(*batch), batch)

    def only(self, outgoing: Outgoing) -> Outcome:
        """What became of one operation."""
        (outcome,) = self.push(outgoing).outcomes
        return outcome

    def raw(self, endpoint: str, **body: Any) -> Any:
        """One call past the adapter."""
        return self.http().call(endpoint, {"sourceId": self.source, **body}).data

    def edit_on_server(self, path: str, content: str, base: str | None = None) -> Any:
        """An edit made on the server itself."""
        more = {} if base is None else {"baseHash": sha(base)}
        return self.raw("sources/file/update", relativePath=path, content=content, **more)

    def drain(self, state: str | None = None, remote: RavenRemote | None = None) -> tuple[list[FeedEvent], str]:
        """Every event behind ``state``, and the state after them."""
        events: list[FeedEvent] = []
        while True:
            page = (remote or self.remote).pull(self.source, state, 0.0, self.clock.now)
            events += page.events
            state = page.state
            if not page.more:
                return events, state

    def files(self) -> dict[str, str]:
        """Path -> hash of the whole listing."""
        return {file.path: file.hash for page in self.remote.listing(self.source) for file in page}

    def text(self, path: str) -> str | None:
        """What stands at a path; None for nothing."""
        head = self.remote.head(self.source, path)
        return None if head is None else head.content.decode()


def results(answer: PushAnswer, batch: Sequence[Outgoing]) -> list[Result]:
    """The results in the batch's order; there must be exactly one for each operation."""
    assert sorted(outcome.operation_id for outcome in answer.outcomes) == sorted(out.operation.id for out in batch)
    by_id = {outcome.operation_id: outcome.result for outcome in answer.outcomes}
    return [by_id[out.operation.id] for out in batch]


def strict_world(races: Races | None = None) -> World:
    """The strict server, with every fault of the real one."""
    clock = Clock()
    server = StrictRaven(clock=clock, races=races)
    return World(False, Faulty(server.handle, wait=lambda _: None), clock, [token()], server)


def hub_world() -> World:
    """The hub, in this process and in memory."""
    clock = Clock()
    hub = Hub(closed_after_test(SqlStore("sqlite://")), lambda: int(clock.now * 1000), tokens=JwtTokens(HUB_SECRET))

    def handle(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        answer = hub.handle(method, path, headers, body)
        return Response(answer.status, answer.headers, answer.read())

    bearer = mint(HUB_SECRET, workspace=WORKSPACE, user=USER, now=int(clock.now * 1000))
    return World(True, Faulty(handle, wait=lambda _: None), clock, [bearer])


WORLDS: dict[str, Callable[[], World]] = {"strict": strict_world, "hub": hub_world}
