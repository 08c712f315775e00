"""Pinakes servers in the simulation: no history, no ids, contents by hash, everything in pieces.

Their inline limit is 16 bytes and their chunks have 8, so that ordinary texts are large. ``PinakesFace`` has what both
of them share; ``StrictPinakesFace`` is the strict server, and ``hub_pinakes_face`` has the hub's third API.
"""

from __future__ import annotations

import abc
import contextlib
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from agent.index.store import Index
from agent.remotes.http.client import HttpClient
from agent.remotes.issued_tokens import MemorySecret
from agent.remotes.pinakes.adapter import PinakesRemote
from agent.remotes.pinakes.calls import PinakesLimits
from agent.remotes.pinakes.profile import pinakes_profile
from agent.runtime.index_book import IndexBook
from simulation.indexes import SOURCE
from simulation.plain_face import NAMES
from simulation.revisions import WrongRevision
from simulation.servers import Evidence
from simulation.user import sha
from strict_pinakes.api import PinakesApi
from strict_pinakes.server import PinError, StrictPinakes
from strict_pinakes.state import PinState, PinTraps
from strict_raven.wire import Response

if TYPE_CHECKING:
    from simulation.machine import Machine
    from simulation.world import World

LIMITS = PinakesLimits(inline=16, page=40, contents=200, together=10)
_TOP = "notes/"
_WRITES = ("/report", "/complete", "/resolve")
YEARS = 20 * 365 * 86_400.0
"""Seconds of a session that no run outlives."""


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the account's changes.

    Attributes:
        hash: the server's; None for a delete.
        by: the connector of the machine that made it, "" if none did.
    """

    sequence: int
    path: str
    old_path: str | None
    hash: str | None
    by: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """One conflict, in the server's hashes. ``by``: as in ``Change``."""

    id: str
    path: str
    local: str | None
    server: str | None
    by: str
    is_open: bool


class PinakesFace(abc.ABC):
    """``Server`` over a server that speaks Pinakes' API.

    Args:
        algorithm: of its content hashes.
        prefix: of the paths of its API.

    Attributes:
        bearer: a session that no run outlives.
    """

    bearer: str

    def __init__(self, algorithm: str, prefix: str = "") -> None:
        self.algorithm = algorithm
        self.source = f"folder:{_TOP.rstrip('/')}"
        self._prefix = prefix
        self._secrets: dict[str, MemorySecret] = {}
        """The stored secret of each machine: it outlives its processes."""
        self._hashes: dict[str, str] = {}
        """Server's hash -> sha256, of every text that there ever was."""
        self._world: World | None = None
        self._earlier: set[str] = set()
        """sha256 of what the server's own people replaced, moved away or deleted."""

    # The server

    @abc.abstractmethod
    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Answer one request."""

    @abc.abstractmethod
    def snapshot(self) -> Any:
        """A copy of all it holds."""

    @abc.abstractmethod
    def restore(self, copy: Any) -> None:
        """Hold what a backup holds."""

    @abc.abstractmethod
    def hash(self, content: bytes) -> str:
        """Its hash of a content."""

    @abc.abstractmethod
    def contents(self) -> dict[str, bytes]:
        """Path in the account -> content of every file."""

    @abc.abstractmethod
    def changes(self) -> Iterable[Change]:
        """Every change, in order."""

    @abc.abstractmethod
    def refusals(self) -> Iterable[Refusal]:
        """Every conflict, closed ones too."""

    @abc.abstractmethod
    def put(self, path: str, content: bytes) -> bool:
        """Have somebody create or replace a file; False if that is refused."""

    @abc.abstractmethod
    def move(self, old: str, new: str) -> bool:
        """Have somebody move a file; False if that is refused."""

    @abc.abstractmethod
    def remove(self, path: str) -> bool:
        """Have somebody delete a file; False if that is refused."""

    @abc.abstractmethod
    def close(self) -> None:
        """Nobody asks it any more."""

    # What every client sees

    def create_source(self) -> str:
        """The id of the source that all machines share."""
        return self.source

    def is_write(self, method: str, path: str) -> bool:
        """Whether a request may change what every client sees."""
        return method == "POST" and path.endswith(_WRITES)

    def heads(self, source: str) -> dict[str, str]:
        """Path -> text of every file."""
        found = self.contents().items()
        return {path.removeprefix(_TOP): content.decode() for path, content in found if path.startswith(_TOP)}

    def log(self, source: str) -> list[tuple[int, str, str | None]]:
        """As in ``Server``."""
        return [
            (event["cursor"], event["relativePath"], event["payload"]["hash"])
            for event in self.told()
            if event["type"].startswith("file.")
        ]

    def sha_of(self, digest: str | None) -> str | None:
        """The sha256 behind a hash of the server; its own hash of a text that no person wrote."""
        if digest is None:
            return None
        if digest not in self._hashes and self._world is not None:
            self._hashes.update({self.hash(text): sha(text) for text in self._world.people.texts})
        return self._hashes.get(digest, digest)

    def evidence(self, source: str) -> Evidence:
        """What it shows: heads only. A text that a person gave up, here or on a machine, need not be anywhere."""
        heads = self.heads(source)
        told = frozenset((path, digest) for _, path, digest in self.log(source) if digest)
        ever = {digest for _, digest in told} | self._earlier
        given_up = set() if self._world is None else {d for m in self._world.machines for d in m.user.given_up}
        kept = {sha(text.encode()) for text in heads.values()} | self._earlier | (ever & given_up)
        return Evidence(heads, frozenset(kept), sum(each.is_open for each in self.refusals()), {}, told)

    def folder_moves(self) -> list[tuple[str, str | None]]:
        """Old and new path of each folder that was moved or deleted: there are no folders here."""
        return []

    def told(self) -> list[dict[str, Any]]:
        """What happened, in the form of a Raven feed: a move is a delete and an upsert of the same device."""
        found: list[dict[str, Any]] = []

        def add(kind: str, at: int, path: str, **payload: Any) -> None:
            found.append({"type": kind, "cursor": at, "relativePath": path.removeprefix(_TOP), "payload": payload})

        for entry in self.changes():
            if entry.old_path is not None:
                add("file.delete", entry.sequence, entry.old_path, hash=None, device=entry.by)
            kind = "file.delete" if entry.hash is None else "file.upsert"
            add(kind, entry.sequence, entry.path, hash=self.sha_of(entry.hash), device=entry.by)
        for each in self.refusals():
            hashes = {"localHash": self.sha_of(each.local), "remoteHash": self.sha_of(each.server)}
            add("conflict.opened", 0, each.path, **hashes, conflictId=each.id)
        return found

    def open_conflicts(self) -> dict[str, tuple[str, str, str | None]]:
        """Id of each open conflict -> (device, path, hash of its text), but for those whose sides are equal."""
        return {
            each.id: (each.by, each.path.removeprefix(_TOP), self.sha_of(each.local))
            for each in self.refusals()
            if each.is_open and each.local != each.server
        }

    # Acts of the server's own people

    def act(self, world: World) -> None:
        """Somebody edits, moves or deletes a file."""
        rng, files = world.rng, self.heads(self.source)
        path = rng.choice(sorted(files)) if files and rng.random() < 0.8 else rng.choice(NAMES)
        kind = rng.choices(["edit", "move", "delete"], [6, 4, 2])[0]
        before = files.get(path)
        if kind == "edit" or before is None:
            text = world.people.text((before or "").encode())
            if self.put(_TOP + path, text):
                self._replaced(before)
                world.people.accepted.add(sha(text))
                world.note("server", f"edit {path} = {world.people.name(text)}")
        elif kind == "move":
            new = rng.choice(NAMES)
            if self.move(_TOP + path, _TOP + new):
                world.note("server", f"moves {path} to {new}")
        elif self.remove(_TOP + path):
            self._replaced(before)
            world.note("server", f"deletes {path}")

    def _replaced(self, text: str | None) -> None:
        if text is not None:
            self._earlier.add(sha(text.encode()))

    # A machine's way to it

    def connect(
        self, world: World, machine: Machine, transport: httpx.BaseTransport
    ) -> tuple[HttpClient, PinakesRemote]:
        """A connection and the adapter over it, which reads the machine's index."""
        self._world = world
        http = HttpClient(
            f"http://127.0.0.1{self._prefix}", lambda: world.bearer, pinakes_profile(""), transport=transport,
            clock=machine.clock, ticks=world.clock,
        )  # fmt: skip

        def reading() -> contextlib.AbstractContextManager[Index]:
            return contextlib.nullcontext(machine.index)

        secret = self._secrets.setdefault(machine.name, MemorySecret())
        book = IndexBook(reading, SOURCE)
        return http, PinakesRemote(http, lambda _: book, algorithm=self.algorithm, secret=secret, limits=LIMITS)

    def check_revisions(self, index: Index, source: int, table: str) -> None:
        """Compare every revision in the trees with the server's hash of its content. Raises WrongRevision."""
        if table != "files":
            return
        for row in index.trees.all(source):
            for what, side in (("base", row.base), ("remote side", row.remote)):
                if side.rev is not None and self.sha_of(side.rev) != side.hash:
                    raise WrongRevision(f"{what} of {row.path}: the content {side.hash} has the revision {side.rev}")

    def complaints(self, world: World) -> list[str]:
        """At rest, each machine knows the revision of every file it has in common with the server."""
        heads = {path: self.hash(content) for path, content in self.contents().items()}
        outside = sorted(path for path in heads if not path.startswith(_TOP))
        found = [f"law 2: {path} stands outside the source" for path in outside]
        for machine in world.machines:
            for row in machine.index.trees.all(SOURCE):
                head = heads.get(_TOP + row.path)
                if head is not None and row.remote.hash == self.sha_of(head) and row.remote.rev not in (head, None):
                    found.append(f"revisions: {machine.name} has {row.remote.rev} at {row.path}, not {head}")
        return found


def connector_of(os_info: str) -> str:
    """The connector of a machine, from the text that it registered its device with."""
    return os_info.rpartition(" ")[2]


class StrictPinakesFace(PinakesFace):
    """The strict server, with some of its traps and one of its hashes, drawn by the seed."""

    def __init__(self, seed: int, clock: Callable[[], float]) -> None:
        rng = random.Random(f"traps {seed}")
        traps = _traps(rng)
        super().__init__("blake3" if rng.random() < 0.3 else "sha256")
        self.server = StrictPinakes(clock, traps, self.algorithm)
        self._api = PinakesApi(self.server)
        self.bearer = self.server.log_in(YEARS)

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """As in ``Server``."""
        return self._api.handle(method, path, headers, body)

    def snapshot(self) -> PinState:
        """As in ``Server``."""
        return self.server.snapshot()

    def restore(self, copy: PinState) -> None:
        """As in ``Server``."""
        now = self.server.state
        self.server.restore_backup(copy)
        # Devices and sessions are of the account, not of its files.
        self.server.state.devices.update(now.devices)
        self.server.state.logins.update(now.logins)

    def hash(self, content: bytes) -> str:
        """As in ``PinakesFace``."""
        return self.server.hash(content)

    def contents(self) -> dict[str, bytes]:
        """As in ``PinakesFace``."""
        return self.server.heads()

    def changes(self) -> Iterable[Change]:
        """As in ``PinakesFace``."""
        for each in self.server.state.log:
            yield Change(each.sequence, each.path, each.old_path, each.hash, self._connector(each.by))

    def refusals(self) -> Iterable[Refusal]:
        """As in ``PinakesFace``."""
        for each in self.server.state.conflicts.values():
            by, is_open = self._connector(each.device), each.resolution is None
            yield Refusal(each.id, each.path, each.local, each.server, by, is_open)

    def _connector(self, device: str | None) -> str:
        found = self.server.state.devices.get(device or "")
        return "" if found is None else connector_of(found.os_info)

    def put(self, path: str, content: bytes) -> bool:
        """As in ``PinakesFace``."""
        return _done(lambda: self.server.put(path, content))

    def move(self, old: str, new: str) -> bool:
        """As in ``PinakesFace``."""
        return _done(lambda: self.server.move(old, new))

    def remove(self, path: str) -> bool:
        """As in ``PinakesFace``."""
        return _done(lambda: self.server.remove(path))

    def close(self) -> None:
        """As in ``Server``: nothing is kept."""


def _done(act: Callable[[], None]) -> bool:
    try:
        act()
    except PinError:
        return False
    return True


def _traps(rng: random.Random) -> PinTraps:
    """The faults of one server. The first draw decides if it has any."""
    if rng.random() < 0.3:
        return PinTraps()
    chances: Mapping[str, float] = {
        "silent_400": 0.3, "ignores_ranges": 0.2, "wrong_etag": 0.2, "ack_ahead": 0.3, "only_versioned": 0.2,
        "knows_contents": 0.3, "complete_once": 0.3, "forgets": 0.2, "forgets_uploads": 0.2,
        "sparse_pages": 0.3, "slashes": 0.2,
    }  # fmt: skip
    return PinTraps(**{name: rng.random() < chance for name, chance in chances.items()})
