"""Two machines work on one source at the same time, and nothing that was at rest is lost."""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from scenarios.conftest import Machines, on_both
from support.eventually import eventually
from support.processes import Daemon, Home
from support.servers import Server
from support.wait_idle import assert_equal, in_step, lost, own_conflicts, resolve, resolve_all, settle


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


class Reader:
    """Edits pages on the server, often from a version that was shown a while ago.

    Attributes:
        written: every text the server took, as the file's or as a refused one in a conflict.
    """

    def __init__(self, server: Server, source: str, chance: random.Random) -> None:
        self.written: set[str] = set()
        self._server = server
        self._source = source
        self._chance = chance
        self._shown: dict[str, list[str]] = {}

    def look(self) -> None:
        """Open every page."""
        for path, digest in self._server.hashes(self._source).items():
            self._shown.setdefault(path, []).append(digest)

    def act(self) -> None:
        """Save one page, on any version of it that was shown."""
        there = sorted(self._server.hashes(self._source).keys() & self._shown.keys())
        if not there:
            return
        path = self._chance.choice(there)
        text = f"the page of {path}, edit {len(self.written)}\n"
        body = {"relativePath": path, "content": text, "baseHash": self._chance.choice(self._shown[path])}
        status, _ = self._server.client.ask("sources/file/update", {"sourceId": self._source, **body})
        # 404: a machine deleted it in this moment.
        assert status in (200, 404)
        if status == 200:
            self.written.add(text)


def _shared_paths(homes: list[Home]) -> list[str]:
    return sorted(homes[0].files().keys() & homes[1].files().keys())


@dataclass(frozen=True)
class Course:
    """What happens in a run.

    Attributes:
        operations: changes that both users make together.
        a_round: of them between two rests.
        resolves: after each rest, each user resolves about half of the conflicts.
        pages: edits on the server in each round.
    """

    operations: int
    a_round: int
    resolves: bool = False
    pages: int = 0


COURSES = {
    "everything": Course(80, 20, resolves=True, pages=2),
    "a-thousand": Course(1000, 20),
    "a-thousand-resolved": Course(1000, 20, resolves=True),
    "a-thousand-with-pages": Course(1000, 20, resolves=True, pages=4),
}
"""By name. All but the first are for the long run."""


@on_both
@pytest.mark.parametrize("seed", [1])
@pytest.mark.parametrize(
    "course",
    [pytest.param(c, id=name, marks=() if name == "everything" else pytest.mark.long) for name, c in COURSES.items()],
)
def test_two_homes_end_equal_and_lose_nothing(machine: Machines, server: Server, course: Course, seed: int) -> None:
    """Random changes, half of them on files both change at once, random decisions and page edits on stale bases.

    Both folders equal the server in the end, and every text that stood at rest is current, in history, in a conflict
    or in a trash.
    """
    chance = random.Random(seed)
    homes = [machine("left"), machine("right")]
    for home in homes:
        home.login(server)
    for number in range(20):
        homes[0].write(f"shared-{number}.md", f"the first text of {number}\n")
    source = homes[0].link()
    homes[1].link("--source", source)
    users, reader = [User(home, chance) for home in homes], Reader(server, source, chance)
    rested: set[str] = set(homes[0].texts().values())
    with homes[0].daemon() as left, homes[1].daemon() as right:
        opened = 0
        for _ in range(course.operations // course.a_round):
            reader.look()
            _change(homes, users, course, chance)
            for _ in range(course.pages):
                reader.act()
            settle([left, right])
            rested |= _in_step(homes[0], left) | _in_step(homes[1], right)
            for daemon in (left, right) if course.resolves else ():
                some = [row for row in own_conflicts(daemon) if chance.random() < 0.5]
                opened += resolve(daemon, some, chance, opened)
        opened += resolve_all([left, right], chance, opened)
        settle([left, right])
        eventually(lambda: in_step([left, right]), what="both are in step")
    assert opened > 0
    assert_equal(source, server, homes)
    owed = rested.union(reader.written, *(user.written - user.dropped for user in users))
    assert lost(owed, source, server, homes) == set()


def _change(homes: list[Home], users: list[User], course: Course, chance: random.Random) -> None:
    for _ in range(course.a_round // 4):
        shared = chance.choice(_shared_paths(homes) or ["shared-0.md"])
        for user in users:
            user.act(shared)
        for user in users:
            user.act(None)


def _in_step(home: Home, daemon: Daemon) -> set[str]:
    """The texts that stand at rest: those of the files that are in step with the server."""
    texts = home.texts()
    return {texts[row["path"]] for row in daemon.call("files") if row["state"] == "ok" and row["path"] in texts}
