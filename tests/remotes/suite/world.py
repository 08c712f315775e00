"""A server with one source, asked in words that every dialect has, and machines that use it through their adapters."""

from __future__ import annotations

import abc
import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from agent.core.events import FeedEvent
from agent.core.model import Mode
from agent.core.remote_records import Operation, Outcome, Result, Verb
from agent.core.supply import Pieces, Transfer
from agent.remotes.protocol import Capabilities, Outgoing, PushAnswer, Remote, RemoteSource
from remotes.suite.book import MemoryBook
from strict_raven.faults import ConnectionLost, Faulty
from strict_raven.wire import Response

START = 1_700_000_000.0

_ids = itertools.count(1)


def sha(content: str | bytes) -> str:
    """The identity of a content."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def as_bytes(content: str | bytes) -> bytes:
    """A content given as text or bytes."""
    return content.encode() if isinstance(content, str) else content


@dataclass
class Clock:
    """A clock that stands until it is moved; seconds."""

    now: float = START

    def __call__(self) -> float:
        return self.now


class Sent(NamedTuple):
    """One request that reached the server."""

    method: str
    path: str
    size: int


class Machine:
    """One machine: its adapter, its registration, and what it has committed of the source."""

    def __init__(self, remote: Remote, book: MemoryBook, clock: Clock) -> None:
        self.remote = remote
        self.book = book
        self.clock = clock
        self.connector = ""
        self.source = ""

    def register(self, name: str) -> None:
        """Register the machine."""
        self.connector = self.remote.register(name, "linux", "1.0", f"id-of-{name}").connector_id

    @property
    def can(self) -> Capabilities:
        """What the server offers."""
        return self.remote.capabilities

    # Operations, as the engine makes them: with the revision and id under which this machine saw the base

    def edit(
        self, path: str, content: str | bytes, base: str | bytes | None = None, *, body: Pieces | None = None
    ) -> Outgoing:
        """An upsert over the content ``base`` (None: a new file)."""
        data = as_bytes(content)
        operation = self._operation(path, Verb.UPSERT, sha(data), len(data), base)
        return Outgoing(operation, data if body is None else body)

    def removal(self, path: str, base: str | bytes) -> Outgoing:
        """A delete of the content ``base``."""
        return Outgoing(self._operation(path, Verb.DELETE, None, 0, base))

    def moving(self, old: str, path: str, content: str | bytes) -> Outgoing:
        """A move of the file that holds ``content``."""
        rev, identifier = self.book.seen.get((old, sha(content)), (None, None))
        size = len(as_bytes(content))
        made = Operation(f"op-{next(_ids)}", path, Verb.MOVE, sha(content), size, sha(content), rev, identifier, old)
        return Outgoing(made)

    def _operation(self, path: str, verb: Verb, digest: str | None, size: int, base: str | bytes | None) -> Operation:
        known = None if base is None else sha(base)
        rev, identifier = self.book.seen.get((path, known), (None, None)) if known else (None, None)
        return Operation(f"op-{next(_ids)}", path, verb, digest, size, known, rev, identifier)

    # Calls

    def push(self, *batch: Outgoing, on_resumable: Callable[[str, str], None] = lambda *_: None) -> PushAnswer:
        """Push, and commit the outcomes. There must be exactly one for each operation."""
        for outgoing in batch:
            self.book.sent(outgoing.operation)

        def resumable(operation_id: str, state: str) -> None:
            on_resumable(operation_id, state)
            self.book.resumes[operation_id] = state

        answer = self.remote.push(self.source, self.connector, batch, resumable)
        assert sorted(each.operation_id for each in answer.outcomes) == sorted(out.operation.id for out in batch)
        for outcome in answer.outcomes:
            self.book.answered(outcome)
        return answer

    def outcomes(self, *batch: Outgoing) -> list[Outcome]:
        """The outcomes of a push, in the order of its operations."""
        by_id = {outcome.operation_id: outcome for outcome in self.push(*batch).outcomes}
        return [by_id[outgoing.operation.id] for outgoing in batch]

    def results(self, *batch: Outgoing) -> list[Result]:
        """What became of each operation, in the order given."""
        return [outcome.result for outcome in self.outcomes(*batch)]

    def only(self, outgoing: Outgoing) -> Outcome:
        """What became of one operation."""
        (outcome,) = self.outcomes(outgoing)
        return outcome

    def drain(self, state: str | None = None) -> tuple[list[FeedEvent], str]:
        """Every event behind ``state``, and the state after them. Each page is committed before the next is read."""
        events: list[FeedEvent] = []
        while True:
            page = self.remote.pull(self.source, state, 0.0, self.clock.now)
            self.book.commit_page(page)
            events += page.events
            state = page.state
            if not page.more:
                return events, state

    def files(self) -> dict[str, str]:
        """Path -> hash of the whole listing; a hash that is not listed is that of the head."""
        listed = [file for page in self.remote.listing(self.source) for file in page]
        found: dict[str, str] = {}
        for file in listed:
            head = None if file.hash else self.remote.head(self.source, file.path)
            found[file.path] = file.hash or (head.hash if head else "")
        return found

    def fetched(self, path: str) -> bytes | None:
        """The content of a path's head, inline or streamed; None for no file."""
        head = self.remote.head(self.source, path)
        if head is None or head.content is not None:
            return None if head is None else head.content
        return self.streamed(path, head.hash, head.size or 0, head.rev, head.remote_id)

    def streamed(self, path: str, digest: str, size: int, rev: str | None, remote_id: str | None) -> bytes:
        """The content of a version, streamed from its beginning."""
        received = bytearray()

        def sink(offset: int, piece: bytes) -> None:
            assert offset == len(received)
            received.extend(piece)

        self.remote.fetch(self.source, Transfer("0" * 16, path, remote_id, rev, digest, size), 0, sink)
        return bytes(received)


class World(Machine, abc.ABC):
    """The first machine, and the server in words that every dialect has.

    Attributes:
        faults: where failures are injected.
        requests: every request that reached the server, oldest first.
        drained: the state of a read that a test made.
        bearer: the token in use.
        commits: the end of the path of requests that commit operations.
        distinguishes_visits: a content that comes back has another revision than before.
        has_ids: files have ids that survive a move.
        echoes_contents: the events of our own operations carry their small contents, which the machine has anyway.
        keeps_refused: the server keeps the bytes of an operation that it refused.
        silent_calls: calls whose success has no content.
        local_calls: calls that send nothing.
        states_limit: the server states the largest file that it takes.
        records_positions: the server keeps the positions that machines report, unchanged.
        refusals: requests that must be refused before a call ends as signed out.
    """

    commits: str
    distinguishes_visits: bool
    has_ids: bool
    echoes_contents = True
    keeps_refused = True
    silent_calls: frozenset[str] = frozenset()
    local_calls: frozenset[str] = frozenset()
    states_limit = True
    refusals = 1
    records_positions = True

    def __init__(self, faults: Faulty, clock: Clock, bearer: str) -> None:
        self.faults = faults
        self.requests: list[Sent] = []
        self.drained: str | None = None
        self._chunks_left: int | None = None
        self.bearer = [bearer]
        self._closing: list[Callable[[], None]] = []
        self.clock = clock
        book = MemoryBook()
        super().__init__(self.adapter(book), book, clock)
        self.register("laptop")
        self.source = self.remote.create_source("notes", Mode.BIDIRECTIONAL, self.connector, ["**/*.md"], []).id

    def interrupt_chunks(self, after: int) -> None:
        """Let the connection break once, when so many chunks of uploads were taken."""
        self._chunks_left = after

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """One request of any machine."""
        if method == "PUT" and self._chunks_left is not None:
            self._chunks_left = self._chunks_left - 1 if self._chunks_left else None
            if self._chunks_left is None:
                raise ConnectionLost
        self.requests.append(Sent(method, path, len(body)))
        return self.faults.handle(method, path, headers, body)

    def other(self, name: str = "desktop") -> Machine:
        """Another machine of the same user, registered, with an empty book."""
        book = MemoryBook()
        machine = Machine(self.adapter(book), book, self.clock)
        machine.register(name)
        machine.source = self.source
        return machine

    def close(self) -> None:
        """Give everything back."""
        for each in self._closing:
            each()

    @abc.abstractmethod
    def adapter(self, book: MemoryBook) -> Any:
        """An adapter that knows no capabilities yet."""

    def sources(self) -> list[RemoteSource]:
        """The sources of the account, without those that are always there."""
        return self.remote.sources()

    def foreign_hash(self, content: str | bytes) -> str:
        """The hash by which a refused content of another machine is listed."""
        return sha(content)

    # The server, past every fault and adapter

    @abc.abstractmethod
    def put(self, path: str, content: str | bytes) -> None:
        """Create or replace a file, as somebody else."""

    @abc.abstractmethod
    def remove(self, path: str) -> None:
        """Delete a file, as somebody else."""

    @abc.abstractmethod
    def move(self, old: str, new: str) -> None:
        """Move a file or a folder, as somebody else; a dialect without moves deletes and creates."""

    @abc.abstractmethod
    def held(self) -> dict[str, bytes]:
        """Path -> content of every file."""

    @abc.abstractmethod
    def identity(self, path: str) -> tuple[str | None, str | None]:
        """The revision and the id of the file at a path, as the server has them."""

    def lose_position(self) -> bool:
        """Forget every position in the feed that a machine may hold; False where this server forgets none."""
        return False

    @abc.abstractmethod
    def refusable(self) -> Outgoing:
        """An operation that this server refuses for good, alone among others."""

    @abc.abstractmethod
    def snapshot(self) -> Any:
        """A copy of everything the server holds."""

    @abc.abstractmethod
    def restore(self, copy: Any) -> None:
        """Restore the server from an older copy."""


def needs(there: bool, what: str) -> None:
    """Skip the test where the dialect does not have what it is about."""
    if not there:
        pytest.skip(f"this dialect has no {what}")


def replay(events: Sequence[FeedEvent]) -> dict[str, str]:
    """Path -> hash, by the events alone."""
    book = MemoryBook()
    book.commit(events)
    return {path: entry.hash for path, entry in book.files.items()}
