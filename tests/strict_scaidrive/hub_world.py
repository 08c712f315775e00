"""The hub's ScaiDrive API as a world of the conformance suite, in this process and in memory."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from agent.hub.domain.model import Caller
from agent.hub.scaidrive.face import match
from agent.hub.store.sql_store import SqlStore
from agent.remotes.http.client import HttpClient
from agent.remotes.protocol import Outgoing
from agent.remotes.scaidrive.adapter import ScaiDriveRemote
from agent.remotes.scaidrive.calls import Limits
from agent.remotes.scaidrive.profile import scaidrive_profile
from hub.drive import Drive, deleted, moved
from hub.fixtures import USER, WORKSPACE, InProcess
from remotes.suite.book import MemoryBook
from remotes.suite.world import Clock, World, as_bytes
from strict_raven.transport import HandlerTransport
from strict_raven.wire import Response
from strict_scaidrive.world import COMMITS, FaultyDrive
from support.closing import closed_after_test

LIMITS = Limits(inline=16, multipart=16, page=50, walked=20)
TOKEN = "hub-drive-token"
COLLEAGUE = "colleague"


class HubDriveWorld(World):
    """The hub, and machines with the adapter. A colleague's device edits beside them."""

    commits = COMMITS
    distinguishes_visits = True
    has_ids = True
    echoes_contents = False
    keeps_refused = False
    silent_calls = frozenset({"heartbeat"})
    shows_deleted = False
    takes_any_size = True

    def __init__(self) -> None:
        clock = Clock()
        self.store = closed_after_test(SqlStore("sqlite://"))
        raven = InProcess(self.store)
        raven.wall.now = int(clock.now * 1000)
        self.drive = Drive(raven)
        self.caller = Caller(USER, WORKSPACE)
        self.colleague = Drive(raven, user=COLLEAGUE, device="their-device")
        self.colleague.context = self.drive.context
        self.colleague.face = self.drive.face
        super().__init__(FaultyDrive(self.answer), clock, TOKEN)
        self.colleague.share = self.source
        self.colleague.ok("POST", "sync/devices", {
            "device_id": "their-device", "device_name": "x", "platform": "linux", "client_version": "1",
        })  # fmt: skip

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """One request of a machine, past every fault."""
        self.tick()
        if headers.get("authorization") != f"Bearer {TOKEN}":
            return Response(401, {"content-type": "application/json"}, b'{"detail":"no"}')
        split = urlsplit(path)
        found = match(method, split.path)
        if found is None:
            return Response(404, {"content-type": "application/json"}, b'{"detail":"Not Found"}')
        made = self.drive.face.handle(found, self.caller, split.query, headers, body, limited=False)
        return Response(made.status, dict(made.headers), made.read())

    def adapter(self, book: MemoryBook) -> ScaiDriveRemote:
        """See ``World``."""
        http = HttpClient(
            "http://127.0.0.1", lambda: self.bearer[0], scaidrive_profile(""), transport=HandlerTransport(self.handle),
            clock=self.clock, ticks=self.clock,
        )  # fmt: skip
        self._closing.append(http.close)
        return ScaiDriveRemote(http, lambda _: book, LIMITS)

    # The server

    def tick(self) -> None:
        """Set the hub's clock."""
        self.drive.raven.wall.now = int(self.clock.now * 1000)

    def entry(self, path: str) -> Any:
        """The listed entry at a path; None if there is none."""
        self.tick()
        folder, entry = "root", None
        for name in path.split("/"):
            listed = self.colleague.ok("GET", f"folders/{folder}/children", share_id=self.source)["items"]
            entry = next((each for each in listed if each["name"] == name), None)
            if entry is None:
                return None
            folder = entry["id"]
        return entry

    def folder(self, path: str) -> str | None:
        """The id of a folder, made if it is missing; None for the top."""
        if not path:
            return None
        known = self.entry(path)
        if known is not None:
            return str(known["id"])
        parent, name = posixpath.split(path)
        above = self.folder(parent)
        body = {"share_id": self.source, "name": name, **({} if above is None else {"parent_id": above})}
        return str(self.colleague.ok("POST", "folders", body)["id"])

    def head(self, path: str) -> tuple[str, str]:
        """File id and head version of a path."""
        entry = self.entry(path)
        assert entry is not None, path
        return entry["id"], self.colleague.versions(entry["id"])[0]["id"]

    def put(self, path: str, content: str | bytes) -> None:
        """See ``World``."""
        data, entry = as_bytes(content), self.entry(path)
        if entry is None:
            self.colleague.create(posixpath.basename(path), data, self.folder(posixpath.dirname(path)))
            return
        identifier, base = self.head(path)
        assert not self.colleague.update(identifier, base, data)["conflicts"]

    def remove(self, path: str) -> None:
        """See ``World``."""
        self.colleague.apply(deleted(*self.head(path)))

    def move(self, old: str, new: str) -> None:
        """See ``World``."""
        entry = self.entry(old)
        self.folder(posixpath.dirname(new))
        is_folder = entry["type"] == "folder"
        base = None if is_folder else self.head(old)[1]
        answer = self.colleague.apply(moved(entry["id"], f"/{new}", base, entry["type"]))
        assert not answer["conflicts"], answer

    def held(self) -> dict[str, bytes]:
        """See ``World``."""
        return {path.removeprefix("/"): content for path, content in self.colleague.tree().items()}

    def identity(self, path: str) -> tuple[str | None, str | None]:
        """See ``World``."""
        identifier, rev = self.head(path)
        return rev, identifier

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
