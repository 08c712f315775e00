"""The hub's third API as a world of the conformance suite."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from agent.hub.answers import HubError
from agent.hub.auth import JwtTokens, mint
from agent.hub.domain.contents import received_content, row_of, type_of
from agent.hub.domain.ids import new_uuid
from agent.hub.domain.model import Caller, Head, VersionOrigin
from agent.hub.pinakes.context import PinakesContext, account_source, account_writer
from agent.hub.pinakes.face import PinakesFace, match
from agent.hub.pinakes.hashes import ContentHashes
from agent.hub.raven.endpoints import Hub
from agent.hub.store.blobs import TableBlobs
from agent.hub.store.sql_store import SqlStore
from agent.remotes.http.client import HttpClient
from agent.remotes.issued_tokens import MemorySecret
from agent.remotes.pinakes.adapter import PinakesRemote
from agent.remotes.pinakes.calls import PinakesLimits
from agent.remotes.pinakes.profile import pinakes_profile
from agent.remotes.pinakes.scope import WHOLE, scope_of
from agent.remotes.protocol import Outgoing, RemoteSource
from hub.fixtures import SECRET, STRANGER, USER, WORKSPACE
from remotes.suite.book import MemoryBook
from remotes.suite.commits import COMMITS, CommitFaults
from remotes.suite.world import Clock, World, as_bytes
from strict_raven.transport import HandlerTransport
from strict_raven.wire import Response

CHUNK = 8
"""Bytes of a chunk, so that small contents are uploads of several."""
LARGEST = 4096
"""Bytes of the largest file that this hub takes."""
LIMITS = PinakesLimits(inline=16, page=50, contents=1 << 20, together=20)


class PinakesHubWorld(World):
    """The hub in this process, and machines with the adapter."""

    commits = COMMITS
    distinguishes_visits = False
    has_ids = False
    echoes_contents = False
    keeps_refused = False
    states_limit = False
    local_calls = frozenset({"history"})
    refusals = 2

    def __init__(self, algorithm: str) -> None:
        clock = Clock()
        self.algorithm = algorithm
        self.store = SqlStore("sqlite://")
        tokens = JwtTokens(SECRET)
        self._hub = Hub(self.store, self._now, tokens=tokens)
        blobs = TableBlobs(self.store)
        self.context = PinakesContext(
            self.store, blobs, self._now, new_uuid, lambda _: None, ContentHashes(self.store, blobs, algorithm),
            lambda token: tokens.signed_in(token, self._now()), lambda _: False, new_uuid, CHUNK, LARGEST,
        )  # fmt: skip
        self._face = PinakesFace(self.context)
        self.clock = clock
        bearer = mint(SECRET, workspace=WORKSPACE, user=USER, now=self._now(), days=365)
        faults = CommitFaults(self._handle, re.compile(r"/api/(v1/)?sync/upload/[^/]+/complete"))
        super().__init__(faults, clock, bearer)
        self._closing.append(self.store.close)

    def _now(self) -> int:
        return int(self.clock() * 1000)

    def _handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        plain, _, query = path.partition("?")
        found = match(method, unquote(plain))
        if found is None:
            return Response(404, {"content-type": "application/json"}, b'{"error":"not here"}')
        try:
            caller = self._hub.signed_in(headers)
        except HubError as error:
            answer = self._face.failed(error)
        else:
            answer = self._face.handle(found, caller, query, headers, body, limited=False)
        return Response(answer.status, answer.headers, answer.read())

    def adapter(self, book: MemoryBook) -> PinakesRemote:
        """See ``World``."""
        http = HttpClient(
            "http://127.0.0.1", lambda: self.bearer[0], pinakes_profile(""), transport=HandlerTransport(self.handle),
            clock=self.clock, ticks=self.clock,
        )  # fmt: skip
        self._closing.append(http.close)
        return PinakesRemote(http, lambda _: book, algorithm=self.algorithm, secret=MemorySecret(), limits=LIMITS)

    def sources(self) -> list[RemoteSource]:
        """See ``World``."""
        return [source for source in self.remote.sources() if source.id != WHOLE]

    def foreign_hash(self, content: str | bytes) -> str:
        """See ``World``."""
        made = self.context.hashes.new()
        made.update(as_bytes(content))
        return made.hexdigest()

    def full(self, path: str) -> str:
        """A path of the source within the account."""
        return scope_of(self.source).full(path)

    def _writing(self) -> Any:
        return account_writer(self.context, Caller(USER, WORKSPACE))

    def put(self, path: str, content: str | bytes) -> None:
        """See ``World``."""
        full = self.full(path)
        received = received_content(self.context.blobs, new_uuid, as_bytes(content))
        with self._writing() as (session, transaction):
            transaction.load_heads([full])
            row = row_of(self.context.blobs, session, transaction.source.workspace_number, received)
            if row is not None:
                transaction.add_content(received.hash, row)
            transaction.upsert(
                full, received.hash, VersionOrigin.CONNECTOR, new_uuid(), hidden=received.hidden,
                content_type=type_of(full, None, hidden=received.hidden), detail={"by": STRANGER},
            )  # fmt: skip

    def remove(self, path: str) -> None:
        """See ``World``."""
        with self._writing() as (_, transaction):
            transaction.load_heads([self.full(path)])
            transaction.delete(self.full(path), new_uuid(), detail={"by": STRANGER})

    def move(self, old: str, new: str) -> None:
        """See ``World``. A folder's move is one of each file."""
        source, target = self.full(old), self.full(new)
        heads = self._heads()
        paths = [source] if source in heads else [path for path in heads if path.startswith(f"{source}/")]
        with self._writing() as (_, transaction):
            for path in paths:
                moved = target + path[len(source) :]
                transaction.load_heads([path, moved])
                transaction.move(path, moved, new_uuid(), {"by": STRANGER})

    def _heads(self) -> dict[str, Head]:
        with self.store.read() as session:
            source = account_source(self.context, session, Caller(USER, WORKSPACE))
            if source is None:
                return {}
            return {each.head.path: each.head for each in session.files_below(source.number, "", "\U0010ffff", 10_000)}

    def held(self) -> dict[str, bytes]:
        """See ``World``."""
        found: dict[str, bytes] = {}
        for path, head in self._heads().items():
            inside = scope_of(self.source).inside(path)
            if inside is not None and head.hash is not None:
                with self.store.read() as session:
                    content = session.content_bytes(1, head.hash)
                assert content is not None
                found[inside] = content
        return found

    def identity(self, path: str) -> tuple[str | None, str | None]:
        """See ``World``."""
        return self.foreign_hash(self.held()[path]), None

    def refusable(self) -> Outgoing:
        """A file with a path that no machine should write."""
        return self.edit("a\\b.md", "no path")

    def snapshot(self) -> Any:
        """See ``World``."""
        return self.store.snapshot()

    def restore(self, copy: Any) -> None:
        """See ``World``."""
        self.store.restore(copy)
        self.context.accounts.clear()
