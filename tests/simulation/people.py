"""Texts that users write: each is unique, and sometimes an old one is written again."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from simulation.script import Script
from simulation.user import User, sha

PATHS = ("a.md", "b.txt", "d/a.md", "d/e/b.md", "n.md", "n.md/k.md")
TWINS = ("a.md", "A.md", "d/a.md", "D/a.md", "\u00e9.md", "e\u0301.md", "b.txt")
"""Names that some disks take for one another."""


@dataclass
class People:
    """The writers at every machine and at the server.

    Attributes:
        names: the paths they use.
        texts: every text there ever was, in the order it was first written.
        written: hashes of the texts people saved.
        accepted, refused: hashes of edits on the server that it applied, or parked as conflicts.
        last: what was done last, in words.
        same_text, stale_base: see ``Chances``.
    """

    rng: random.Random
    script: Script
    names: tuple[str, ...] = PATHS
    texts: list[bytes] = field(default_factory=list)
    written: set[str] = field(default_factory=set)
    accepted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    last: str = ""
    same_text: float = 0.12
    stale_base: float = 0.25

    def text(self, before: bytes) -> bytes:
        """A text to save over ``before``: mostly a new one."""
        roll = self.rng.random()
        if roll < self.same_text and self.texts:
            return self.rng.choice(self.texts)
        label = _label(len(self.texts))
        text = (before if roll < self.same_text + 0.18 else b"") + f"{label}\n".encode()
        if roll > 0.98:
            text = b""
        if text not in self.texts:
            self.texts.append(text)
            self.script.names[sha(text)] = label if text else "EMPTY"
        return text

    def name(self, text: bytes) -> str:
        """The letter of a text."""
        return self.script.names.get(sha(text), "?")

    def base(self, head: str) -> str | None:
        """On what an edit on the server is based: the head, nothing, or something older."""
        roll = self.rng.random()
        if roll < 0.85 - self.stale_base or not self.texts:
            return sha(head.encode())
        return None if roll < 1.0 - self.stale_base else sha(self.rng.choice(self.texts))

    def edit(self, user: User) -> list[str]:
        """One act of one person; the paths it touched."""
        rng = self.rng
        there = user.paths()
        path = rng.choice(self.names) if not there or rng.random() < 0.4 else rng.choice(there)
        before = user.read(path) or b""
        kind = rng.choices(["write", "replace", "delete", "rename", "same"], [5, 4, 2, 2, 1])[0]
        if kind in {"write", "replace"} or path not in there:
            text = self.text(before)
            self._save(user, kind, path, text)
            return [path, *self._around(path)]
        if kind == "delete":
            user.delete(path)
            self.last = f"deletes {path}"
            return [path]
        if kind == "same":
            user.write(path, before)
            self.last = f"saves {path} as it is"
            return [path]
        new = rng.choice(self.names)
        user.rename(path, new)
        self.last = f"renames {path} to {new}"
        return [path, new, *self._around(new)]

    def _save(self, user: User, kind: str, path: str, text: bytes) -> None:
        if kind == "replace":
            user.replace(path, text)
        else:
            user.write(path, text)
        self.written.add(sha(text))
        self.last = f"{'replaces' if kind == 'replace' else 'writes'} {path} = {self.name(text)}"

    def _around(self, path: str) -> list[str]:
        """Paths that go when a file or folder gives way to this one."""
        return [other for other in self.names if other.startswith(path + "/") or path.startswith(other + "/")]


def _label(number: int) -> str:
    letters = ""
    while True:
        letters = chr(ord("a") + number % 26) + letters
        number = number // 26 - 1
        if number < 0:
            return letters
