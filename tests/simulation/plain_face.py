"""The plain dialect as a server of the simulation: ids, revisions, moves, folders, and contents that travel in pieces.

Its inline limit is 16 bytes and its chunks have 8, so that ordinary texts are large.
"""

from __future__ import annotations

import contextlib
import posixpath
import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import httpx

from agent.index.store import Index
from agent.remotes.http.client import HttpClient
from agent.runtime.index_book import IndexBook
from plain_dialect.adapter import PlainRemote, plain_profile
from plain_dialect.api import TOKEN, PlainApi
from plain_dialect.server import PlainServer
from plain_dialect.state import ApiError, State, StoredConflict, StoredFile, Traps
from simulation.indexes import SOURCE
from simulation.revisions import WrongRevision
from simulation.servers import Evidence
from simulation.user import sha

if TYPE_CHECKING:
    from simulation.machine import Machine
    from simulation.world import World

NAMES = ("a.md", "b.txt", "d/a.md", "d/e/b.md", "g/c.md")
"""No name is a file and a folder: the server holds one of them only, and its empty folders stay."""
FILLERS = (0, 0, 20, 34)
"""Bytes by which texts are longer than their label: half of them are over the inline limit."""
_WRITES = ("/commits", "/close", "/folders")


class PlainFace:
    """``Server`` over the plain server, with some of its traps, drawn by the seed."""

    def __init__(self, seed: int, clock: Callable[[], float]) -> None:
        self.server = PlainServer(clock, _traps(random.Random(f"traps {seed}")))
        self._api = PlainApi(self.server)
        self.bearer = TOKEN
        self.handle = self._api.handle
        self.source = self.server.add_share("notes").id
        self.revisions: dict[str, str | None] = {}
        """Revision to sha256, of every revision that there ever was."""

    def create_source(self) -> str:
        """The id of the source that all machines share."""
        return self.source

    def is_write(self, method: str, path: str) -> bool:
        """Whether a request may change what every client sees."""
        return method == "POST" and path.endswith(_WRITES)

    def snapshot(self) -> State:
        """A copy of all it holds."""
        return self.server.snapshot()

    def restore(self, copy: State) -> None:
        """Hold what a backup holds."""
        self.note_revisions()
        devices = self.server.state.devices
        self.server.restore_backup(copy)
        # Devices are of the account, not of the source.
        self.server.state.devices.update(devices)

    def note_revisions(self) -> None:
        """Remember every revision there is."""
        for file in self.server.state.files.values():
            self.revisions.update((each.rev, each.hash) for each in file.revisions)

    def heads(self, source: str) -> dict[str, str]:
        """Path -> text of every file."""
        return {path: content.decode() for path, content in self.server.heads(source).items()}

    def log(self, source: str) -> list[tuple[int, str, str | None]]:
        """As in ``Server``."""
        return [
            (event["cursor"], event["relativePath"], event["payload"]["hash"])
            for event in self.told()
            if event["type"].startswith("file.")
        ]

    def evidence(self, source: str) -> Evidence:
        """What it shows: revisions and open conflicts keep their contents."""
        state = self.server.state
        kept = {each.hash for file in state.files.values() for each in file.revisions if each.hash}
        conflicts = [conflict for conflict in state.conflicts.values() if conflict.open]
        kept |= {conflict.hash for conflict in conflicts if conflict.hash}
        told = frozenset((path, digest) for _, path, digest in self.log(source) if digest)
        return Evidence(self.heads(source), frozenset(kept), len(conflicts), {}, told)

    def folder_moves(self) -> list[tuple[str, str | None]]:
        """Old and new path of each folder that was moved or deleted."""
        log = self.server.state.log
        return [(entry.old_path, entry.new_path) for entry in log if entry.resource == "folder" and entry.old_path]

    def told(self) -> list[dict[str, Any]]:
        """What happened, in the form of a Raven feed: a move is a delete and an upsert of the same device."""
        found: list[dict[str, Any]] = []

        def add(kind: str, at: int, path: str, **payload: Any) -> None:
            found.append({"type": kind, "cursor": at, "relativePath": path, "payload": payload})

        held: dict[str, str | None] = {}
        for entry in self.server.state.log:
            moved = {entry.old_path: (entry.new_path, entry.hash)}
            if entry.resource == "folder":
                # What is below it goes along; an entry for each file that follows says the same again.
                below = f"{entry.old_path}/" if entry.old_path else "/"
                under = [path for path in held if path.startswith(below)]
                moved = {p: (entry.new_path and f"{entry.new_path}/{p[len(below) :]}", held[p]) for p in under}
            for old, (new, digest) in moved.items():
                if old is not None and old != new and old in held:
                    del held[old]
                    add("file.delete", entry.position, old, hash=None, device=entry.by)
                if new is not None and not (entry.kind == "moved" and held.get(new) == digest):
                    held[new] = digest
                    add("file.upsert", entry.position, new, hash=digest, device=entry.by)
        for each in self.server.state.conflicts.values():
            payload = {"localHash": each.hash, "remoteHash": each.server_hash, "conflictId": each.id}
            add("conflict.opened", 0, each.path, **payload)
        return found

    def open_conflicts(self) -> dict[str, tuple[str, str, str | None]]:
        """Id of each open conflict -> (device, path, hash of its text), but for those of a commit that came twice.

        Its first copy was applied, so both texts are equal, or opened an equal conflict, which is closed by now.
        """
        found = self.server.state.conflicts.values()
        closed = {_refusal(each) for each in found if not each.open}
        return {
            each.id: (each.device, each.path, each.hash)
            for each in found
            if each.open and each.hash != each.server_hash and _refusal(each) not in closed
        }

    def close(self) -> None:
        """Nothing is kept."""

    # Acts of the server's own people

    def act(self, world: World) -> None:
        """Somebody edits, moves or deletes a file, or moves a folder."""
        rng, files = world.rng, self._files()
        path = rng.choice(sorted(files)) if files and rng.random() < 0.8 else rng.choice(NAMES)
        kind = rng.choices(["edit", "move", "folder", "delete"], [6, 4, 1, 2])[0]
        if world.chances.page_moves and rng.random() < world.chances.page_moves:
            kind = "move"
        with contextlib.suppress(ApiError):
            if kind == "edit" or path not in files:
                self._edit(world, path, files.get(path))
            elif kind == "move":
                free = [name for name in NAMES if name not in files]
                new = rng.choice(free if free and world.chances.page_moves else NAMES)
                if new not in files:
                    folder, name = posixpath.split(new)
                    self.server.move(files[path], self.server.ensure_folder(self.source, folder), name)
                    world.note("server", f"moves {path} to {new}")
            elif kind == "delete":
                self.server.remove(files[path])
                world.note("server", f"deletes {path}")
            else:
                self._move_folder(world)
        self.note_revisions()

    def _files(self) -> dict[str, StoredFile]:
        live = (f for f in self.server.state.files.values() if f.source == self.source and not f.deleted)
        return {self.server.path_of(file): file for file in live}

    def _edit(self, world: World, path: str, file: StoredFile | None) -> None:
        before = b"" if file is None else self.server.state.contents[file.head.hash or ""]
        text = world.people.text(before)
        self.server.put(self.source, path, text)
        world.people.accepted.add(sha(text))
        world.note("server", f"edit {path} = {world.people.name(text)}")

    def _move_folder(self, world: World) -> None:
        folders, _ = self.server.in_folder(self.source, None)
        if not folders:
            return
        folder = world.rng.choice(folders)
        name = world.rng.choice(["d", "g", "h"])
        if name not in {each.name for each in folders}:
            self.server.move_folder(folder.id, None, name)
            world.note("server", f"moves the folder {folder.name} to {name}")

    # A machine's way to it

    def connect(self, world: World, machine: Machine, transport: httpx.BaseTransport) -> tuple[HttpClient, PlainRemote]:
        """A connection and the adapter over it, which reads the machine's index."""
        profile = plain_profile("")
        http = HttpClient(
            "http://127.0.0.1", lambda: world.bearer, profile, transport=transport, clock=machine.clock,
            ticks=world.clock,
        )  # fmt: skip

        def reading() -> contextlib.AbstractContextManager[Index]:
            return contextlib.nullcontext(machine.index)

        remote = PlainRemote(http, lambda _: IndexBook(reading, SOURCE), conflict_events=not world.plan.lists_conflicts)
        return http, remote

    def check_revisions(self, index: Index, source: int, table: str) -> None:
        """Compare every revision in the trees with the server's. Raises WrongRevision."""
        if table != "files":
            return
        self.note_revisions()
        for row in index.trees.all(source):
            for what, side in (("base", row.base), ("remote side", row.remote)):
                if side.rev is not None and self.revisions.get(side.rev, side.hash) != side.hash:
                    raise WrongRevision(f"{what} of {row.path}: the content {side.hash} has the revision {side.rev}")

    def complaints(self, world: World) -> list[str]:
        """At rest, each machine knows the id and the revision of every file it has in common with the server."""
        found, files = [], self._files()
        for machine in world.machines:
            for row in machine.index.trees.all(SOURCE):
                file = files.get(row.path)
                if file is None or row.remote.hash != file.head.hash:
                    continue
                if (row.remote.rev, row.remote.remote_id) != (file.head.rev, file.id):
                    known = f"{row.remote.rev} of {row.remote.remote_id}"
                    found.append(
                        f"revisions: {machine.name} has {known} at {row.path}, not {file.head.rev} of {file.id}"
                    )
        return found


def _refusal(found: StoredConflict) -> tuple[str | None, ...]:
    """What was refused: equal for the copies of one commit."""
    return found.device, found.path, found.base_rev, found.hash, found.server_rev


def _traps(rng: random.Random) -> Traps:
    """The faults of one server. The first draw decides if it has any."""
    if rng.random() < 0.3:
        return Traps()
    chances: Mapping[str, float] = {
        "envelope": 0.3, "counts_only": 0.15, "bare_409": 0.15, "forgets": 0.2, "no_hash": 0.3, "child_entries": 0.4,
        "ignores_ranges": 0.2, "refuses_ranges": 0.15,
    }  # fmt: skip
    return Traps(**{name: rng.random() < chance for name, chance in chances.items()})
