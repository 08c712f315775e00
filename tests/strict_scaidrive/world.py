"""The strict server as a world of the conformance suite."""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from typing import Any

from agent.remotes.http.client import HttpClient
from agent.remotes.protocol import Outgoing
from agent.remotes.scaidrive.adapter import ScaiDriveRemote
from agent.remotes.scaidrive.calls import Limits
from agent.remotes.scaidrive.profile import scaidrive_profile
from remotes.suite.book import MemoryBook
from remotes.suite.commits import COMMITS, CommitFaults
from remotes.suite.world import Clock, World, as_bytes
from strict_raven.transport import HandlerTransport
from strict_raven.wire import Handler
from strict_scaidrive.api import TOKEN, ScaiDriveApi
from strict_scaidrive.server import StrictScaiDrive
from strict_scaidrive.state import DriveFile, DriveTraps

LIMITS = Limits(inline=16, multipart=16, page=50, walked=20, contents=1 << 20, together=20)
TRAPS = (
    "envelope", "counts_only", "bare_409", "forgets", "no_hash", "child_entries", "no_folder_entry", "publishes",
    "ignores_ranges", "refuses_ranges", "no_metadata",
    "sparse_pages",
)  # fmt: skip
"""Traps in which every promise can be held."""
EVERY_TRAP = replace(DriveTraps(), **dict.fromkeys(TRAPS, True))
_COMMITTING = re.compile(r"/api/v1/(files|files/batch|sync/apply|uploads/[^/]+/complete)")


class FaultyDrive(CommitFaults):
    """Faults that can also be put on every request that makes a version, deletes or moves."""

    def __init__(self, handler: Handler) -> None:
        super().__init__(handler, _COMMITTING)


class ScaiDriveWorld(World):
    """The strict server, its traps, and machines with the adapter."""

    commits = COMMITS
    distinguishes_visits = True
    has_ids = True
    echoes_contents = False
    keeps_refused = False
    silent_calls = frozenset({"heartbeat"})

    def __init__(self, traps: DriveTraps | None = None) -> None:
        clock = Clock()
        self.server = StrictScaiDrive(clock, traps)
        self.api = ScaiDriveApi(self.server)
        super().__init__(FaultyDrive(self.api.handle), clock, TOKEN)

    def adapter(self, book: MemoryBook) -> ScaiDriveRemote:
        """See ``World``."""
        http = HttpClient(
            "http://127.0.0.1", lambda: self.bearer[0], scaidrive_profile(""), transport=HandlerTransport(self.handle),
            clock=self.clock, ticks=self.clock,
        )  # fmt: skip
        self._closing.append(http.close)
        return ScaiDriveRemote(http, lambda _: book, LIMITS)

    def file(self, path: str) -> DriveFile:
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

    def identity(self, path: str) -> tuple[str | None, str | None]:
        """See ``World``."""
        found = self.file(path)
        return found.head.id, found.id

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
