"""Lives of two machines on one share: edits, moves, deletes and failures are drawn from a seed, in every trap.

At the end both folders and the server are equal but for open conflicts, and no text that a machine has seen is lost.
``python -m strict_scaidrive.lives --seeds 0-9999`` lives any range, the traps in turn.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from agent.engine import messages as m
from plain_dialect.household import SOURCE, Household
from strict_raven.faults import Fault, cut_json, drop_answer, drop_request, html, unavailable
from strict_scaidrive.state import DriveTraps
from strict_scaidrive.world import EVERY_TRAP, TRAPS, ScaiDriveWorld

FOLDERS = ("", "d/", "d/e/", "f/")
NAMES = ("a.md", "b.md", "c.md", "large.md")
FAULTS: tuple[Callable[[], Fault], ...] = (drop_request, drop_answer, cut_json, html, unavailable)
ROUNDS = 12
CHOICES = ("none", *TRAPS, "all")
"""The traps that a life may have; it has those of its seed."""


class DriveLife:
    """Two machines, one share, and the seed that decides."""

    def __init__(self, seed: int, traps: DriveTraps, top: Path) -> None:
        self.rng = random.Random(seed)
        self.world = ScaiDriveWorld(replace(traps))
        self.homes: list[Household] = []
        for name in ("one", "two"):
            (top / name).mkdir()
            self.homes.append(Household(self.world, top / name, name))
        self.seen: dict[str, str] = {}
        """sha256 of every text that a machine held when it synced -> where."""
        self.count = 0

    def text(self, path: str) -> str:
        """A text that was never there before; large ones do not fit into one request."""
        self.count += 1
        return f"text {self.count}\n" * (8 if "large" in path else 1)

    def path(self) -> str:
        """One of the few paths, so that machines meet."""
        return self.rng.choice(FOLDERS) + self.rng.choice(NAMES)

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

    def act_remotely(self) -> None:
        """A person changes something on the server."""
        world, held = self.world, sorted(self.world.held())
        folders = sorted({path.rpartition("/")[0] for path in held} - {""})
        match self.rng.randrange(6):
            case 0 if held:
                world.remove(self.rng.choice(held))
            case 1 if held:
                target = self.path()
                if target not in held:
                    world.move(self.rng.choice(held), target)
            case 2 if folders:
                world.move(self.rng.choice(folders), f"g{self.count}")
                self.count += 1
            case 3 if folders and self.rng.random() < 0.3:
                world.remove_folder(self.rng.choice(folders))
            case _:
                path = self.path()
                world.put(path, self.text(path))

    def sync(self, home: Household) -> None:
        """One pass, in which calls may fail."""
        for path, content in home.files().items():
            self.seen[hashlib.sha256(content).hexdigest()] = path
        for _ in range(self.rng.choice((0, 0, 0, 1, 3))):
            self.world.faults.inject(self.rng.choice(FAULTS)(), on=self.rng.choice(("", "", "commits")))
        home.sync()
        self.world.faults.clear()

    def live(self) -> None:
        """Everything that happens."""
        for _ in range(ROUNDS):
            for _ in range(self.rng.randrange(3)):
                self.act_remotely()
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
        lost = {path for digest, path in self.seen.items() if digest not in self.kept()}
        assert not lost, lost

    def close(self) -> None:
        """Give everything back."""
        for home in self.homes:
            home.close()
        self.world.close()


def lived(seed: int, traps: DriveTraps, top: Path) -> None:
    """One life and its judgement."""
    life = DriveLife(seed, traps, top)
    try:
        life.live()
        life.check()
    finally:
        life.close()


def chosen(traps: str) -> DriveTraps:
    """The traps of this name: ``none``, ``all``, or one of them alone."""
    whole = {"none": DriveTraps(), "all": EVERY_TRAP}.get(traps)
    return whole or replace(DriveTraps(), **{traps: True})


def failures(seeds: range) -> list[tuple[int, str, str]]:
    """(seed, traps, last line of the failure) of every life that broke a law."""
    found = []
    for seed in seeds:
        traps = CHOICES[seed % len(CHOICES)]
        with tempfile.TemporaryDirectory() as top:
            try:
                lived(seed, chosen(traps), Path(top))
            except Exception:
                found.append((seed, traps, traceback.format_exc().strip().splitlines()[-1]))
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
