"""Two machines work on one source at the same time, and nothing that was at rest is lost."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest

from scenarios.conftest import Machines, on_both
from support.eventually import eventually
from support.processes import Daemon, Home
from support.servers import Server
from support.wait_idle import assert_equal, in_step, lost, resolve_all, settle

OPERATIONS = 200
A_ROUND = 20


class User:
    """Works in one machine's folder. Every text is written once, so that it can be told from all others.

    Attributes:
        written: every text.
        dropped: those this user replaced or deleted with his own hands.
    """

    def __init__(self, home: Home, chance: random.Random) -> None:
        self.home = home
        self.chance = chance
        self.written: set[str] = set()
        self.dropped: set[str] = set()

    def act(self, shared: str | None) -> None:
        """One random create, edit, rename or delete; on ``shared`` if it is given."""
        paths = sorted(self.home.files())
        path = shared or (self.chance.choice(paths) if paths and self.chance.random() < 0.7 else self._new_path())
        target = self.home.folder / path
        verb = self.chance.choice(["write", "write", "write", "rename", "delete"])
        if verb == "rename" and target.exists():
            other = self.home.folder / self._new_path()
            other.parent.mkdir(parents=True, exist_ok=True)
            self._drop(other)
            with contextlib.suppress(FileNotFoundError):
                target.rename(other)
        elif verb == "delete" and target.exists():
            self._drop(target)
            target.unlink(missing_ok=True)
        else:
            self._save(target, path)

    def _save(self, target: Path, path: str) -> None:
        text = f"{self.home.name} wrote {len(self.written)} to {path}\n" * self.chance.randint(1, 4)
        fresh = target.with_name(target.name + ".tmp")
        target.parent.mkdir(parents=True, exist_ok=True)
        # As most editors save; so no half-written text ever stands there.
        fresh.write_text(text)
        self._drop(target)
        fresh.replace(target)
        self.written.add(text)

    def _drop(self, target: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.dropped.add(target.read_text())

    def _new_path(self) -> str:
        return f"{self.chance.choice(['', 'a/', 'b/c/'])}{self.home.name}-{self.chance.randint(0, 30)}.md"


def _shared_paths(homes: list[Home]) -> list[str]:
    return sorted(homes[0].files().keys() & homes[1].files().keys())


@on_both
@pytest.mark.parametrize("seed", [1])
def test_two_homes_end_equal_and_lose_nothing(machine: Machines, server: Server, seed: int) -> None:
    """200 random changes, half of them on files both change at once: both folders equal the server in the end, and
    every text that stood at rest is current, in history, in a conflict or in a trash.
    """
    chance = random.Random(seed)
    homes = [machine("left"), machine("right")]
    for home in homes:
        home.login(server)
    for number in range(20):
        homes[0].write(f"shared-{number}.md", f"the first text of {number}\n")
    source = homes[0].link()
    homes[1].link("--source", source)
    users = [User(home, chance) for home in homes]
    rested: set[str] = set(homes[0].texts().values())
    with homes[0].daemon() as left, homes[1].daemon() as right:
        for _ in range(OPERATIONS // A_ROUND):
            for _ in range(A_ROUND // 4):
                shared = chance.choice(_shared_paths(homes) or ["shared-0.md"])
                for user in users:
                    user.act(shared)
                for user in users:
                    user.act(None)
            settle([left, right])
            rested |= _in_step(homes[0], left) | _in_step(homes[1], right)
        opened = resolve_all([left, right], chance)
        settle([left, right])
        eventually(lambda: in_step([left, right]), what="both are in step")
    assert opened > 0
    assert_equal(source, server, homes)
    owed = rested.union(*(user.written - user.dropped for user in users))
    assert lost(owed, source, server, homes) == set()


def _in_step(home: Home, daemon: Daemon) -> set[str]:
    """The texts that stand at rest: those of the files that are in step with the server."""
    texts = home.texts()
    return {texts[row["path"]] for row in daemon.call("files") if row["state"] == "ok" and row["path"] in texts}
