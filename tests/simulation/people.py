"""Texts that users write: each is unique, and sometimes an old one is written again."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from simulation.script import Script
from simulation.user import User, sha

PATHS = ("a.md", "b.txt", "d/a.md", "d/e/b.md", "n.md", "n.md/k.md")
MANY = (*PATHS, *(f"m{number}.md" for number in range(8)))
"""More names, where it is about the number of files."""
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
    fillers: tuple[int, ...] = ()
    """Bytes by which a new text may be longer than its label; empty: by none."""

    def text(self, before: bytes) -> bytes:
        """A text to save over ``before``: mostly a new one."""
        roll = self.rng.random()
        if roll < self.same_text and self.texts:
            return self.rng.choice(self.texts)
        label = _label(len(self.texts))
        filler = "." * self.rng.choice(self.fillers) if self.fillers else ""
        text = (before if roll < self.same_text + 0.18 else b"") + f"{label}{filler}\n".encode()
        if roll > 0.98:
            text = b""
        return self.add(text)

    def add(self, text: bytes) -> bytes:
        """Know a text that somebody wrote, under a name of its own if it is new."""
        if text not in self.texts:
            label = _label(len(self.texts))
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

    def save(self, user: User, path: str, text: bytes | None = None) -> list[str]:
        """Save a text at this path, by default a new one of the same length, if it can have that; the paths touched."""
        if text is None:
            label = _label(len(self.texts))
            filler = "." * (len(user.read(path) or b"") - len(label) - 1)
            text = self.add(f"{label}{filler}\n".encode())
        self._save(user, self.rng.choice(["write", "replace"]), path, text)
        return [path, *self._around(path)]

    def move_by_copy(self, user: User, copied: str | None) -> str | None:
        """Copy a file to a free name, or delete the one that was copied before; the file copied now."""
        there = user.paths()
        if copied is not None:
            user.delete(copied)
            self.last = f"deletes {copied}, of which there is a copy"
            return None
        free = [path for path in self.names if path not in there and not set(self._around(path)) & set(there)]
        if not there or not free:
            self.last = "finds nothing to copy"
            return None
        old, new = self.rng.choice(there), self.rng.choice(free)
        self._save(user, "write", new, user.read(old) or b"")
        self.last = f"copies {old} to {new}"
        return old

    def stock(self, user: User) -> None:
        """Fill a folder: a text of its own under every name that is free."""
        for path in self.names:
            if user.find(path.split("/")[0]) is None:
                self._save(user, "write", path, self.text(b""))
        self.last = "fills the folder"

    def churn(self, user: User) -> list[str]:
        """A person tidies up: deletes or renames a file, deletes several, or has a program make others instead."""
        rng, there = self.rng, user.paths()
        kind = rng.choice(["one", "rename", "several", "others"])
        free = [path for path in self.names if path not in there and not set(self._around(path)) & set(there)]
        if kind == "rename" and free:
            old, new = rng.choice(there), rng.choice(free)
            user.rename(old, new)
            self.last = f"tidies up: renames {old} to {new}"
            return [old, new]
        gone = rng.sample(there, 1 if kind == "one" else min(len(there), rng.choice([2, 3])))
        made = rng.sample(free, min(len(free), len(gone))) if kind == "others" else []
        for path in gone:
            user.delete(path)
        for path in made:
            self._save(user, "write", path, self.text(b""))
        self.last = f"tidies up: deletes {gone} and makes {made}"
        return [*gone, *made]

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
