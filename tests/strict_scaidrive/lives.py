"""Lives of two machines on one share: edits, moves, deletes and failures are drawn from a seed, in every trap.

At the end both folders and the server are equal but for open conflicts, and no text that a machine has seen is lost.
No machine has replaced a version that it had not seen. In a part of the lives people work on the server while a machine
reads it or sends, and decide conflicts. After a first pass without failures a folder holds what the server had.
``python -m strict_scaidrive.lives --seeds 0-9999`` lives any range, the traps in turn.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from agent.core.model import Resolution
from agent.engine import messages as m
from plain_dialect.household import SOURCE, Household
from simulation.mutant import nothing
from strict_raven.faults import Fault, cut_json, drop_answer, drop_request, html, unavailable
from strict_raven.wire import Response
from strict_scaidrive.state import DriveTraps
from strict_scaidrive.world import EVERY_TRAP, TRAPS, ScaiDriveWorld

FOLDERS = ("", "d/", "d/e/", "f/")
NAMES = ("a.md", "b.md", "c.md", "large.md")
FAULTS: tuple[Callable[[], Fault], ...] = (drop_request, drop_answer, cut_json, html, unavailable)
ROUNDS = 12
CHOICES = ("none", *TRAPS, "all")
"""The traps that a life may have; it has those of its seed."""
DECISIONS = (Resolution.KEEP_LOCAL, Resolution.KEEP_RAVEN)


class BusyWorld(ScaiDriveWorld):
    """A world in which something may happen before each request."""

    def __init__(self, traps: DriveTraps) -> None:
        self.meanwhile: Callable[[str, bytes], None] = nothing
        super().__init__(traps)

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """See ``World``."""
        self.meanwhile(path, body)
        return super().handle(method, path, headers, body)


def drawn_path(rng: random.Random) -> str:
    """One of the few paths, so that machines meet."""
    return rng.choice(FOLDERS) + rng.choice(NAMES)


def new_text(path: str, number: int) -> str:
    """A text by its number; large ones do not fit into one request."""
    return f"text {number}\n" * (8 if "large" in path else 1)


def act_on(world: ScaiDriveWorld, rng: random.Random, number: int) -> None:
    """A person changes something on the server. ``number``: of the act, so that its text or folder is a new one."""
    held = sorted(world.held())
    folders = sorted({path.rpartition("/")[0] for path in held} - {""})
    match rng.randrange(6):
        case 0 if held:
            world.remove(rng.choice(held))
        case 1 if held:
            target = drawn_path(rng)
            if target not in held:
                world.move(rng.choice(held), target)
        case 2 if folders:
            world.move(rng.choice(folders), f"g{number}")
        case 3 if folders and rng.random() < 0.3:
            world.remove_folder(rng.choice(folders))
        case _:
            path = drawn_path(rng)
            world.put(path, new_text(path, number))


class DriveLife:
    """Two machines, one share, and the seed that decides."""

    def __init__(self, seed: int, traps: DriveTraps, top: Path) -> None:
        self.rng = random.Random(seed)
        self.world = BusyWorld(replace(traps))
        self.others = random.Random(f"others {seed}")
        self.is_busy = self.others.random() < 0.4
        self.homes: list[Household] = []
        for name in ("one", "two"):
            (top / name).mkdir()
            self.homes.append(Household(self.world, top / name, name))
        self.seen: dict[str, str] = {}
        """sha256 of every text that a machine held when it synced -> where."""
        self.count = 0

    def text(self, path: str) -> str:
        """A text that was never there before."""
        self.count += 1
        return new_text(path, self.count)

    def path(self) -> str:
        """One of the few paths."""
        return drawn_path(self.rng)

    def act_locally(self, home: Household) -> None:
        """A person saves, moves or deletes a file."""
        files = [path for path in home.root.rglob("*.md") if path.is_file()]
        match self.rng.randrange(5):
            case 0 if files:
                self.forget(file := self.rng.choice(files))
                file.unlink()
            case 1 if files:
                target = home.root / self.path()
                if not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    self.rng.choice(files).rename(target)
            case _:
                path = self.path()
                (home.root / path).parent.mkdir(parents=True, exist_ok=True)
                self.forget(home.root / path)
                (home.root / path).write_text(self.text(path))

    def forget(self, file: Path) -> None:
        """A person replaces a text: it need not be kept where it never reached the server."""
        if file.exists():
            self.seen.pop(hashlib.sha256(file.read_bytes()).hexdigest(), None)

    def act_remotely(self, rng: random.Random) -> None:
        """A person changes something on the server."""
        self.count += 1
        act_on(self.world, rng, self.count)

    def act_meanwhile(self, path: str, body: bytes) -> None:
        """A person may change something on the server, between two requests of a machine."""
        if path.endswith("/sync/apply") and self.others.random() < 0.3:
            # Between the upload of a version and its place in the file.
            server = self.world.server
            file = server.state.files.get(json.loads(body)["changes"][0]["resource_id"])
            if file is not None and not file.deleted:
                edited = server.path_of(file)
                self.world.put(edited, self.text(edited))
        elif self.others.random() < 0.06:
            self.act_remotely(self.others)

    def decide(self, home: Household) -> None:
        """A person decides some of the open conflicts."""
        for conflict in list(home.index.conflicts.live(SOURCE)):
            if self.others.random() < 0.5:
                home.deliver(m.Resolve(conflict.id, conflict.generation, self.others.choice(DECISIONS)))

    def sync(self, home: Household) -> None:
        """One pass, in which calls may fail."""
        for path, content in home.files().items():
            self.seen[hashlib.sha256(content).hexdigest()] = path
        for _ in range(self.rng.choice((0, 0, 0, 1, 3))):
            self.world.faults.inject(self.rng.choice(FAULTS)(), on=self.rng.choice(("", "", "commits")))
        if self.is_busy:
            self.decide(home)
            self.world.meanwhile = self.act_meanwhile
        home.sync()
        self.world.meanwhile = nothing
        self.world.faults.clear()

    def live(self) -> None:
        """Everything that happens."""
        for _ in range(ROUNDS):
            for _ in range(self.rng.randrange(3)):
                self.act_remotely(self.rng)
            home = self.rng.choice(self.homes)
            for _ in range(self.rng.randrange(3)):
                self.act_locally(home)
            self.world.clock.now += self.rng.choice((1, 30, 4000))
            if self.rng.random() < 0.2:
                home.restart()
            self.sync(home)
        for _ in range(4):
            for home in self.homes:
                self.world.clock.now += 4000
                for path, content in home.files().items():
                    self.seen[hashlib.sha256(content).hexdigest()] = path
                home.sync()
                held = home.engine.held
                if held is not None:
                    # A person agrees. Later rounds carry out what is still due.
                    home.deliver(m.ApproveDeletes(held.plan))
                    home.sync()

    def kept(self) -> set[str]:
        """sha256 of every text that is on the server, in a folder, in a trash or in an index."""
        state = self.world.server.state
        found = {version.hash for file in state.files.values() for version in file.versions}
        for home in self.homes:
            for path in home.root.parent.rglob("*"):
                if path.is_file() and path.suffix != ".sqlite":
                    found.add(hashlib.sha256(path.read_bytes()).hexdigest())
            found |= {digest for digest in self.seen if home.index.texts.has(digest)}
        return found

    def check(self) -> None:
        """The laws."""
        held = self.world.held()
        for home in self.homes:
            parked = {conflict.path for conflict in home.index.conflicts.live(SOURCE)}
            files = home.files()
            differing = {path for path in held.keys() | files.keys() if held.get(path) != files.get(path)} - parked
            assert not differing, (differing, parked)
        assert not self.world.server.forced, self.world.server.forced
        lost = {path for digest, path in self.seen.items() if digest not in self.kept()}
        assert not lost, lost

    def close(self) -> None:
        """Give everything back."""
        for home in self.homes:
            home.close()
        self.world.close()


def lived(seed: int, traps: DriveTraps, top: Path, *, is_busy: bool | None = None) -> None:
    """One life and its judgement. ``is_busy``: None lets the seed decide."""
    life = DriveLife(seed, traps, top)
    life.is_busy = life.is_busy if is_busy is None else is_busy
    try:
        life.live()
        life.check()
    finally:
        life.close()


def chosen(traps: str) -> DriveTraps:
    """The traps of this name: ``none``, ``all``, or one of them alone."""
    whole = {"none": DriveTraps(), "all": EVERY_TRAP}.get(traps)
    return whole or replace(DriveTraps(), **{traps: True})


def broken_law(seed: int, top: Path, traps: DriveTraps, *, is_busy: bool | None = None) -> str | None:
    """Live one life; returns the law that it broke."""
    try:
        lived(seed, traps, top, is_busy=is_busy)
    except Exception:
        return traceback.format_exc().strip().splitlines()[-1]
    return None


def failures(seeds: range) -> list[tuple[int, str, str]]:
    """(seed, traps, last line of the failure) of every life that broke a law."""
    found = []
    for seed in seeds:
        traps = CHOICES[seed % len(CHOICES)]
        with tempfile.TemporaryDirectory() as top:
            law = broken_law(seed, Path(top), chosen(traps))
        if law is not None:
            found.append((seed, traps, law))
            print(*found[-1], flush=True)
    return found


def main() -> int:
    """Live a range of seeds; 1 if a law was broken."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seeds", required=True, metavar="A-B")
    first, _, last = parser.parse_args().seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    broken = failures(seeds)
    print(f"{len(seeds)} lives, {len(broken)} failures")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
