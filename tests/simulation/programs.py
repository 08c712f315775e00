"""Programs that keep files open for writing, and files with several names."""

from __future__ import annotations

import random

from simulation.memory_fs import Node
from simulation.people import People
from simulation.user import User, sha


class Programs:
    """Those of one machine.

    Attributes:
        last: what was done last, in words.
    """

    def __init__(self, user: User, rng: random.Random, people: People) -> None:
        self._user, self._rng, self._people = user, rng, people
        self.last = ""

    def act(self) -> list[str]:
        """Open, write, close, or make a second name; the paths that were touched."""
        user, rng = self._user, self._rng
        there = user.paths()
        kind = rng.choice(["open", "write", "write", "write", "close", "link", "link"])
        linked = [node for _, node in user.fs.files(user.home) if node.linked]
        if kind == "write" and (user.open_files or linked):
            return self._write(rng.choice([*user.open_files, *linked]))
        if kind == "close" and user.open_files:
            user.close(user.open_files[0])
            self.last = "a program closes a file"
        elif kind == "link" and there:
            path, new = rng.choice(there), rng.choice(self._people.names)
            user.hard_link(path, new)
            self.last = f"makes {new} another name of {path}"
            return [path, new]
        elif there:
            path = rng.choice(there)
            user.open(path)
            self.last = f"a program opens {path}"
        return []

    def _write(self, node: Node) -> list[str]:
        user = self._user
        named = any(other is node for _, other in user.fs.files())
        text = self._people.text(node.data)
        user.write_open(node, text)
        if named:
            self._people.written.add(sha(text))
        self.last = f"a program writes {self._people.name(text)} to a file that it has open or that is linked"
        return [path for path, other in user.fs.files(user.home) if other is node]

    def close_all(self) -> None:
        """Every program ends."""
        for node in list(self._user.open_files):
            self._user.close(node)
        self.last = "every program ends"
