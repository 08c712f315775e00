"""The hub's third API as a world of the conformance suite."""

from __future__ import annotations

import re
from typing import Any

from agent.hub.store.sql_store import SqlStore
from agent.remotes.http.client import HttpClient
from agent.remotes.issued_tokens import MemorySecret
from agent.remotes.pinakes.adapter import PinakesRemote
from agent.remotes.pinakes.calls import PinakesLimits
from agent.remotes.pinakes.profile import pinakes_profile
from agent.remotes.pinakes.scope import WHOLE, scope_of
from agent.remotes.protocol import Outgoing, RemoteSource
from hub.pinakes_account import HubAccount
from remotes.suite.book import MemoryBook
from remotes.suite.commits import COMMITS, CommitFaults
from remotes.suite.world import Clock, World, as_bytes
from strict_raven.transport import HandlerTransport

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
        self.algorithm = algorithm
        store, clock = SqlStore("sqlite://"), Clock()
        self.account = HubAccount(store, clock, algorithm, 365)
        faults = CommitFaults(self.account.handle, re.compile(r"/api/(v1/)?sync/upload/[^/]+/complete"))
        super().__init__(faults, clock, self.account.bearer)
        self._closing.append(store.close)

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
        return self.account.hash(as_bytes(content))

    def full(self, path: str) -> str:
        """A path of the source within the account."""
        return scope_of(self.source).full(path)

    def put(self, path: str, content: str | bytes) -> None:
        """See ``World``."""
        self.account.put(self.full(path), as_bytes(content))

    def remove(self, path: str) -> None:
        """See ``World``."""
        self.account.remove(self.full(path))

    def move(self, old: str, new: str) -> None:
        """See ``World``. A folder's move is one of each file."""
        source, target = self.full(old), self.full(new)
        heads = self.account.heads()
        paths = [source] if source in heads else [path for path in heads if path.startswith(f"{source}/")]
        self.account.move({path: target + path[len(source) :] for path in paths})

    def held(self) -> dict[str, bytes]:
        """See ``World``."""
        found = {scope_of(self.source).inside(path): content for path, content in self.account.heads().items()}
        return {path: content for path, content in found.items() if path is not None}

    def identity(self, path: str) -> tuple[str | None, str | None]:
        """See ``World``."""
        return self.foreign_hash(self.held()[path]), None

    def refusable(self) -> Outgoing:
        """A file with a path that no machine should write."""
        return self.edit("a\\b.md", "no path")

    def snapshot(self) -> Any:
        """See ``World``."""
        return self.account.snapshot()

    def restore(self, copy: Any) -> None:
        """See ``World``."""
        self.account.restore(copy)
