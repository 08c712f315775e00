"""The plain server as a world of the conformance suite."""

from __future__ import annotations

import posixpath
from typing import Any

from agent.remotes.http.client import HttpClient
from agent.remotes.protocol import Outgoing
from plain_dialect.adapter import PlainRemote, plain_profile
from plain_dialect.api import TOKEN, PlainApi
from plain_dialect.server import PlainServer
from plain_dialect.state import StoredFile, Traps
from remotes.suite.book import MemoryBook
from remotes.suite.world import Clock, World, as_bytes
from strict_raven.faults import Faulty
from strict_raven.transport import HandlerTransport


class PlainWorld(World):
    """The plain server, its traps, and machines with its adapter."""

    commits = "commits"
    distinguishes_visits = True
    has_ids = True

    def __init__(self, traps: Traps | None = None) -> None:
        clock = Clock()
        self.server = PlainServer(clock, traps)
        self.api = PlainApi(self.server)
        super().__init__(Faulty(self.api.handle, wait=lambda _: None), clock, TOKEN)

    def adapter(self, book: MemoryBook) -> PlainRemote:
        """See ``World``."""
        http = HttpClient(
            "http://127.0.0.1", lambda: self.bearer[0], plain_profile(""), transport=HandlerTransport(self.handle),
            clock=self.clock, ticks=self.clock,
        )  # fmt: skip
        self._closing.append(http.close)
        return PlainRemote(http, lambda _: book)

    def file(self, path: str) -> StoredFile:
        """The live file at a path."""
        found = self.server.find(self.source, path)
        assert found is not None, path
        return found

    def put(self, path: str, content: str | bytes) -> None:
        """See ``World``."""
        self.server.put(self.source, path, as_bytes(content))

    def remove(self, path: str) -> None:
        """See ``World``."""
        self.server.remove(self.file(path))

    def move(self, old: str, new: str) -> None:
        """See ``World``."""
        folder, name = posixpath.split(new)
        parent = self.server.ensure_folder(self.source, folder)
        found = self.server.find(self.source, old)
        if found is not None:
            self.server.move(found, parent, name)
            return
        moved = self.server.ensure_folder(self.source, old)
        assert moved is not None
        self.server.move_folder(moved, parent, name)

    def remove_folder(self, path: str) -> None:
        """Delete a folder with everything below it."""
        folder = self.server.ensure_folder(self.source, path)
        assert folder is not None
        self.server.delete_folder(folder)

    def held(self) -> dict[str, bytes]:
        """See ``World``."""
        return self.server.heads(self.source)

    def lose_position(self) -> bool:
        """See ``World``."""
        self.server.cut_log()
        return True

    def identity(self, path: str) -> tuple[str | None, str | None]:
        """See ``World``."""
        found = self.file(path)
        return found.head.rev, found.id

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
