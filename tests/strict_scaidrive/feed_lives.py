"""Lives of one reader of a share's feed, while people work on the server between its requests.

A whole agent also compares its files with a listing, which would hide a feed that leaves something out. Here the feed
alone must end where the server ends.
"""

from __future__ import annotations

import random
from pathlib import Path

from remotes.suite.world import Machine
from simulation.mutant import nothing
from strict_scaidrive.lives import BusyWorld, act_on
from strict_scaidrive.state import DriveTraps

BEFORE = 12
"""Acts before the reader begins."""
ROUNDS = 6


class FeedLife:
    """One share, one reader, and the seed that decides."""

    def __init__(self, seed: int, traps: DriveTraps) -> None:
        self.rng = random.Random(seed)
        self.world = BusyWorld(traps)
        self.count = 0
        for _ in range(BEFORE):
            self.act()
        self.reader: Machine = self.world.other("reader")
        self.state: str | None = None

    def act(self) -> None:
        """A person changes something on the server."""
        self.count += 1
        act_on(self.world, self.rng, self.count)

    def act_sometimes(self, _path: str, _body: bytes) -> None:
        """A person may change something on the server, between two requests of the reader."""
        if self.rng.random() < 0.15:
            self.act()

    def read(self) -> None:
        """Pull until there is no more."""
        more = True
        while more:
            page = self.reader.remote.pull(self.world.source, self.state, 0.0, self.world.clock.now)
            self.reader.book.commit_page(page)
            self.state, more = page.state, page.more

    def live(self) -> None:
        """Everything that happens."""
        for _ in range(ROUNDS):
            self.world.meanwhile = self.act_sometimes
            self.read()
            self.world.meanwhile = nothing
            self.act()
        self.read()

    def differing(self) -> list[str]:
        """Paths at which the reader holds something else than the server."""
        held = {path: self.world.file(path).head.hash for path in self.world.held()}
        read = {path: entry.hash for path, entry in self.reader.book.files.items()}
        return sorted(path for path in held.keys() | read.keys() if held.get(path) != read.get(path))


def broken_law(seed: int, _top: Path, traps: DriveTraps | None = None) -> str | None:
    """Live one life; returns the law that it broke."""
    life = FeedLife(seed, traps or DriveTraps())
    try:
        life.live()
        differing = life.differing()
    finally:
        life.world.close()
    return f"the feed left out {differing}" if differing else None
