"""Raven servers as worlds of the conformance suite, each with faults that can be injected and a clock that stands."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent.core.events import FeedEvent
from agent.core.remote_records import Operation, Result, Verb
from agent.hub.auth import JwtTokens, mint
from agent.hub.raven.endpoints import Hub
from agent.hub.store.sql_store import SqlStore
from agent.remotes.http.client import HttpClient
from agent.remotes.protocol import Outgoing, PushAnswer, Remote
from agent.remotes.raven.adapter import RavenRemote
from agent.remotes.raven.profile import raven_profile
from remotes.suite.book import MemoryBook
from remotes.suite.world import START, Clock, as_bytes, sha
from remotes.suite.world import World as AnyWorld
from strict_raven import USER, WORKSPACE, Races, Response, StrictRaven, token
from strict_raven.faults import Faulty
from strict_raven.transport import HandlerTransport
from support.closing import closed_after_test

__all__ = ["START", "WORLDS", "Clock", "World", "edit", "hub_world", "removal", "results", "sha", "strict_world"]

HUB_SECRET = b"a secret of the tests, long enough for HS256" * 2

_ids = itertools.count(1)


def edit(path: str, content: str, base: str | None = None, op: str | None = None) -> Outgoing:
    """An upsert of a text over the text ``base`` (None: a new file)."""
    operation = Operation(
        id=op or f"op-other-{next(_ids)}",
        path=path,
        verb=Verb.UPSERT,
        hash=sha(content),
        size=len(content.encode()),
        base=None if base is None else sha(base),
    )
    return Outgoing(operation, content.encode())


def removal(path: str, base: str, op: str | None = None) -> Outgoing:
    """A delete of the text ``base``."""
    operation = Operation(op or f"op-other-{next(_ids)}", path, Verb.DELETE, None, 0, sha(base))
    return Outgoing(operation)


class World(AnyWorld):
    """One Raven server with one source, and an adapter that talks to it.

    Attributes:
        hub: whether the server is the hub, which says more.
        strict: the strict server's insides; None for the hub.
        batches: every push-batch body sent, oldest first.
    """

    commits = "push-batch"
    distinguishes_visits = False
    has_ids = False
    remote: RavenRemote

    def __init__(
        self,
        faults: Faulty,
        clock: Clock,
        bearer: str,
        copies: tuple[Callable[[], Any], Callable[[Any], None]],
        strict: StrictRaven | None = None,
    ) -> None:
        self.hub = strict is None
        self.strict = strict
        self.batches: list[bytes] = []
        self._copies = copies
        super().__init__(faults, clock, bearer)

    def adapter(self, book: MemoryBook | None = None) -> RavenRemote:
        """Another machine's adapter, which knows no capabilities yet."""
        return RavenRemote(self.http())

    def http(self) -> HttpClient:
        """The raw calls, for what the adapter does not offer."""
        made = self._client(self.handle)
        self._closing.append(made.close)
        return made

    def _client(self, handle: Callable[..., Response]) -> HttpClient:
        profile, transport = raven_profile(WORKSPACE), HandlerTransport(handle)
        return HttpClient("http://127.0.0.1", lambda: self.bearer[0], profile, transport=transport, clock=self.clock)

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """See ``World`` of the suite."""
        if path.endswith("push-batch"):
            self.batches.append(body)
        return super().handle(method, path, headers, body)

    def raw(self, endpoint: str, **body: Any) -> Any:
        """One call past the adapter."""
        return self.http().call(endpoint, {"sourceId": self.source, **body}).data

    def edit_on_server(self, path: str, content: str, base: str | None = None) -> Any:
        """An edit made on the server itself."""
        more = {} if base is None else {"baseHash": sha(base)}
        return self.raw("sources/file/update", relativePath=path, content=content, **more)

    def drain(self, state: str | None = None, remote: Remote | None = None) -> tuple[list[FeedEvent], str]:
        """Every event behind ``state``, and the state after them."""
        if remote is None:
            return super().drain(state)
        events: list[FeedEvent] = []
        while True:
            page = remote.pull(self.source, state, 0.0, self.clock.now)
            events += page.events
            state = page.state
            if not page.more:
                return events, state

    def text(self, path: str) -> str | None:
        """What stands at a path; None for nothing."""
        head = self.remote.head(self.source, path)
        return None if head is None or head.content is None else head.content.decode()

    # The server, in the words of the suite

    def _past_faults(self) -> RavenRemote:
        """An adapter of somebody else, whose requests no fault strikes and no test counts."""
        return RavenRemote(self._client(self.faults.unharmed))

    def _push(self, *batch: Outgoing) -> None:
        remote = self._past_faults()
        connector = remote.register("somebody", "linux", "1.0").connector_id
        assert set(results(remote.push(self.source, connector, batch), batch)) == {Result.APPLIED}
        remote.close()

    def put(self, path: str, content: str | bytes) -> None:
        """See ``World`` of the suite."""
        data, before = as_bytes(content), self.held().get(path)
        base = None if before is None else sha(before)
        operation = Operation(f"op-other-{next(_ids)}", path, Verb.UPSERT, sha(data), len(data), base)
        self._push(Outgoing(operation, data))

    def remove(self, path: str) -> None:
        """See ``World`` of the suite."""
        self._push(Outgoing(Operation(f"op-other-{next(_ids)}", path, Verb.DELETE, None, 0, sha(self.held()[path]))))

    def move(self, old: str, new: str) -> None:
        """See ``World`` of the suite."""
        held = self.held()
        for path in [path for path in held if path == old or path.startswith(old + "/")]:
            self.put(new + path[len(old) :], held[path])
            self.remove(path)

    def held(self) -> dict[str, bytes]:
        """See ``World`` of the suite."""
        remote = self._past_faults()
        paths = [file.path for page in remote.listing(self.source) for file in page]
        heads = {path: remote.head(self.source, path) for path in paths}
        remote.close()
        return {path: head.content for path, head in heads.items() if head is not None and head.content is not None}

    def identity(self, path: str) -> tuple[str | None, str | None]:
        """A Raven file's revision is its hash; its path is its identity."""
        return sha(self.held()[path]), None

    def refusable(self) -> Outgoing:
        """Text that the database does not take."""
        return edit("poison.md", "a\0b")

    def snapshot(self) -> Any:
        """See ``World`` of the suite."""
        return self._copies[0]()

    def restore(self, copy: Any) -> None:
        """See ``World`` of the suite."""
        self._copies[1](copy)


def results(answer: PushAnswer, batch: Sequence[Outgoing]) -> list[Result]:
    """The results in the batch's order; there must be exactly one for each operation."""
    assert sorted(outcome.operation_id for outcome in answer.outcomes) == sorted(out.operation.id for out in batch)
    by_id = {outcome.operation_id: outcome.result for outcome in answer.outcomes}
    return [by_id[out.operation.id] for out in batch]


def strict_world(races: Races | None = None) -> World:
    """The strict server, with every fault of the real one."""
    clock = Clock()
    server = StrictRaven(clock=clock, races=races)
    copies = (server.snapshot, server.restore)
    return World(Faulty(server.handle, wait=lambda _: None), clock, token(), copies, server)


def hub_world() -> World:
    """The hub, in this process and in memory."""
    clock = Clock()
    store = closed_after_test(SqlStore("sqlite://"))
    hub = Hub(store, lambda: int(clock.now * 1000), tokens=JwtTokens(HUB_SECRET))

    def handle(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        answer = hub.handle(method, path, headers, body)
        return Response(answer.status, answer.headers, answer.read())

    bearer = mint(HUB_SECRET, workspace=WORKSPACE, user=USER, now=int(clock.now * 1000))
    return World(Faulty(handle, wait=lambda _: None), clock, bearer, (store.snapshot, store.restore))


WORLDS: dict[str, Callable[[], World]] = {"strict": strict_world, "hub": hub_world}
"""One world a test, for each server the adapter must hold its obligations against."""
