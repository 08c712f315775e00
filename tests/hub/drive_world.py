"""The hub's second API as a world of the conformance suite."""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from agent.hub.answers import HubError
from agent.hub.auth import JwtTokens, mint
from agent.hub.domain.contents import received_content
from agent.hub.domain.model import Caller, Head
from agent.hub.raven.endpoints import Hub
from agent.hub.scaidrive.context import DriveContext, ShareWriter, share_writer
from agent.hub.scaidrive.face import DriveFace, match
from agent.hub.scaidrive.files import put_content
from agent.hub.scaidrive.folders import moved_folder
from agent.hub.scaidrive.limits import RateLimits
from agent.hub.scaidrive.wire import file_id, version_id
from agent.hub.store.blobs import TableBlobs
from agent.hub.store.sql_store import SqlStore
from agent.remotes.http.client import HttpClient
from agent.remotes.protocol import Outgoing
from agent.remotes.scaidrive.adapter import ScaiDriveRemote
from agent.remotes.scaidrive.profile import scaidrive_profile
from hub.fixtures import SECRET, STRANGER, USER, WORKSPACE
from remotes.suite.book import MemoryBook
from remotes.suite.commits import COMMITS
from remotes.suite.world import Clock, World, as_bytes
from strict_raven.transport import HandlerTransport
from strict_raven.wire import Response
from strict_scaidrive.world import LIMITS, FaultyDrive

CHUNK = 8
"""Bytes of a chunk, so that small contents are uploads of several."""
LARGEST = 4096
"""Bytes of the largest file that this hub takes."""


class DriveHubWorld(World):
    """The hub in this process, and machines with the adapter.

    Args:
        batch_files: files of the largest batch; 0 for a hub that takes none.
    """

    commits = COMMITS
    distinguishes_visits = True
    has_ids = True
    echoes_contents = False
    keeps_refused = False
    silent_calls = frozenset({"heartbeat"})

    def __init__(self, batch_files: int = 3) -> None:
        clock = Clock()
        self.store = SqlStore("sqlite://")
        self._hub = Hub(self.store, self._now, tokens=JwtTokens(SECRET))
        numbers = itertools.count(1)
        self.context = DriveContext(
            self.store, TableBlobs(self.store), self._now, lambda: f"00000000-0000-4000-8000-{next(numbers):012d}",
            lambda _: None, lambda *_: None, CHUNK, LARGEST, batch_files,
        )  # fmt: skip
        self._face = DriveFace(self.context, RateLimits(self._now))
        self.clock = clock
        bearer = mint(SECRET, workspace=WORKSPACE, user=USER, now=self._now())
        super().__init__(FaultyDrive(self._handle), clock, bearer)
        self._closing.append(self.store.close)

    def _now(self) -> int:
        return int(self.clock() * 1000)

    def _handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        plain, _, query = path.partition("?")
        found = match(method, unquote(plain))
        assert found is not None, (method, path)
        try:
            caller = self._hub.signed_in(headers)
        except HubError as error:
            answer = self._face.failed(error)
        else:
            answer = self._face.handle(found, caller, query, headers, body, limited=False)
        return Response(answer.status, answer.headers, answer.read())

    def adapter(self, book: MemoryBook) -> ScaiDriveRemote:
        """See ``World``."""
        http = HttpClient(
            "http://127.0.0.1", lambda: self.bearer[0], scaidrive_profile(""), transport=HandlerTransport(self.handle),
            clock=self.clock, ticks=self.clock,
        )  # fmt: skip
        self._closing.append(http.close)
        return ScaiDriveRemote(http, lambda _: book, LIMITS)

    def _writing(self) -> Any:
        return share_writer(self.context, Caller(STRANGER, WORKSPACE), self.source)

    def put(self, path: str, content: str | bytes) -> None:
        """See ``World``."""
        received = received_content(self.context.blobs, self.context.new_id, as_bytes(content))
        with self._writing() as writer:
            writer.transaction.load_heads([path])
            put_content(self.context, writer, path, received, None)

    def remove(self, path: str) -> None:
        """See ``World``."""
        with self._writing() as writer:
            writer.transaction.load_heads([path])
            writer.transaction.delete(path, writer.operation, detail={"by": writer.by})

    def move(self, old: str, new: str) -> None:
        """See ``World``."""
        with self._writing() as writer:
            writer.transaction.load_heads([old, new])
            if writer.transaction.head(old) is None:
                moved_folder(writer, _folder(writer, old), new)
            else:
                folder = posixpath.dirname(new)
                writer.folders.ensure([folder] if folder else [])
                writer.transaction.move(old, new, writer.operation, {"by": writer.by})

    def remove_folder(self, path: str) -> None:
        """Delete a folder with everything below it."""
        with self._writing() as writer:
            writer.folders.delete(_folder(writer, path), writer.operation)

    def _heads(self) -> dict[str, tuple[int, Head]]:
        with self.store.read() as session:
            source = session.source(WORKSPACE, self.source)
            assert source is not None
            listed = session.files_below(source.number, "", "\U0010ffff", 10_000)
            return {each.head.path: (source.number, each.head) for each in listed}

    def held(self) -> dict[str, bytes]:
        """See ``World``."""
        found: dict[str, bytes] = {}
        for path, (_, head) in self._heads().items():
            assert head.hash is not None
            with self.store.read() as session:
                content = session.content_bytes(1, head.hash)
                size = session.known_content(1, head.hash) or 0
            found[path] = b"".join(self.context.blobs.read(1, head.hash, 0, size)) if content is None else content
        return found

    def identity(self, path: str) -> tuple[str | None, str | None]:
        """See ``World``."""
        source, head = self._heads()[path]
        return version_id(source, head.revision), file_id(source, head.identity)

    def refusable(self) -> Outgoing:
        """A file with the name of a folder."""
        self.put("taken/x.md", "x")
        return self.edit("taken", "a file")

    def snapshot(self) -> Any:
        """See ``World``."""
        return self.store.snapshot()

    def restore(self, copy: Any) -> None:
        """See ``World``."""
        self.store.restore(copy)


def _folder(writer: ShareWriter, path: str) -> Any:
    return writer.folders.at([path])[path]
