"""The strict server as a world of the conformance suite."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from agent.remotes.http.client import HttpClient
from agent.remotes.issued_tokens import MemorySecret
from agent.remotes.pinakes.adapter import PinakesRemote
from agent.remotes.pinakes.calls import PinakesLimits
from agent.remotes.pinakes.devices import PinakesDevices
from agent.remotes.pinakes.profile import pinakes_profile
from agent.remotes.pinakes.scope import WHOLE, scope_of
from agent.remotes.protocol import Outgoing, RemoteSource
from remotes.suite.book import MemoryBook
from remotes.suite.commits import COMMITS, CommitFaults
from remotes.suite.world import Clock, World, as_bytes
from strict_pinakes.api import PinakesApi
from strict_pinakes.server import StrictPinakes
from strict_pinakes.state import PinTraps
from strict_raven.transport import HandlerTransport

LIMITS = PinakesLimits(inline=16, page=50, contents=1 << 20, together=20)
TRAPS = (
    "silent_400", "ignores_ranges", "wrong_etag", "ack_ahead", "only_unversioned", "only_versioned", "knows_contents",
    "complete_once", "forgets", "sparse_pages", "slashes", "silent_refresh",
)  # fmt: skip
"""Traps in which every promise can be held."""
EVERY_TRAP = replace(PinTraps(), **dict.fromkeys(TRAPS, True) | {"only_unversioned": False})
"""All of them at once, but for the one that excludes another."""
YEAR = 365 * 86_400.0


class PinakesWorld(World):
    """The strict server, its traps, and machines with the adapter."""

    commits = COMMITS
    distinguishes_visits = False
    has_ids = False
    echoes_contents = False
    keeps_refused = False
    states_limit = False
    local_calls = frozenset({"history"})
    refusals = 2

    def __init__(self, traps: PinTraps | None = None, algorithm: str = "sha256") -> None:
        clock = Clock()
        self.algorithm = algorithm
        self.records_positions = traps is None or not traps.ack_ahead
        self.server = StrictPinakes(clock, traps, algorithm)
        self.api = PinakesApi(self.server)
        faults = CommitFaults(self.api.handle, re.compile(r"/api/(v1/)?sync/upload/[^/]+/complete"))
        super().__init__(faults, clock, self.server.log_in(YEAR))

    def adapter(self, book: MemoryBook) -> PinakesRemote:
        """See ``World``."""
        http = HttpClient(
            "http://127.0.0.1", lambda: self.bearer[0], pinakes_profile(""), transport=HandlerTransport(self.handle),
            clock=self.clock, ticks=self.clock,
        )  # fmt: skip
        self._closing.append(http.close)
        return PinakesRemote(http, lambda _: book, algorithm=self.algorithm, secret=MemorySecret(), limits=LIMITS)

    @property
    def devices(self) -> PinakesDevices:
        """The devices of the account, by the first machine's adapter."""
        assert isinstance(self.remote, PinakesRemote)
        return self.remote.devices

    def sources(self) -> list[RemoteSource]:
        """See ``World``."""
        return [source for source in self.remote.sources() if source.id != WHOLE]

    def foreign_hash(self, content: str | bytes) -> str:
        """See ``World``. It is the server's own where that cannot be translated."""
        return self.server.hash(as_bytes(content))

    def full(self, path: str) -> str:
        """A path of the source within the account."""
        return scope_of(self.source).full(path)

    def put(self, path: str, content: str | bytes) -> None:
        """See ``World``."""
        self.server.put(self.full(path), as_bytes(content))

    def remove(self, path: str) -> None:
        """See ``World``."""
        self.server.remove(self.full(path))

    def move(self, old: str, new: str) -> None:
        """See ``World``. A folder's move is one of each file."""
        source, target = self.full(old), self.full(new)
        if source in self.server.state.files:
            self.server.move(source, target)
            return
        for path in sorted(self.server.state.files):
            if path.startswith(f"{source}/"):
                self.server.move(path, target + path[len(source) :])

    def held(self) -> dict[str, bytes]:
        """See ``World``."""
        found = {scope_of(self.source).inside(path): content for path, content in self.server.heads().items()}
        return {path: content for path, content in found.items() if path is not None}

    def identity(self, path: str) -> tuple[str | None, str | None]:
        """See ``World``."""
        return self.server.head_hash(self.full(path)), None

    def lose_position(self) -> bool:
        """See ``World``."""
        self.server.compact()
        return True

    def refusable(self) -> Outgoing:
        """A file with the name of a folder."""
        self.put("taken/x.md", "x")
        return self.edit("taken", "a file")

    def snapshot(self) -> Any:
        """See ``World``."""
        return self.server.snapshot()

    def restore(self, copy: Any) -> None:
        """See ``World``."""
        self.server.restore_backup(copy)
