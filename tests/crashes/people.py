"""People who edit while agents die, and somebody who watches that no file is ever half of anything."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from support.processes import Home

LINES_MOST = 300
LOOK_EVERY_SECONDS = 0.04
_MERGED = re.compile(r"merged \d+ of [^\n]+\n")
_SAVING = ".tmp"


def sealed(line: str, count: int) -> str:
    """A text of so many lines that starts with the hash of the rest, so that a part of it is known for one."""
    body = f"{line}\n" * count
    return f"{hashlib.sha256(body.encode()).hexdigest()}\n{body}"


def is_whole(text: str) -> bool:
    """Whether a text is one of ``sealed``, all of it, or a merge made by ``resolve_all``."""
    seal, _, body = text.partition("\n")
    return seal == hashlib.sha256(body.encode()).hexdigest() or _MERGED.fullmatch(text) is not None


class Editor:
    """Works in one machine's folder. Every text is written once, so that it can be told from all others.

    Attributes:
        written: every text.
        dropped: those this person replaced or deleted with his own hands.
    """

    def __init__(self, home: Home, chance: random.Random) -> None:
        self.home = home
        self._chance = chance
        self.written: set[str] = set()
        self.dropped: set[str] = set()

    def act(self) -> None:
        """One random create, edit, rename or delete."""
        paths = sorted(path for path in self.home.files() if path.endswith(".md"))
        path = self._chance.choice(paths) if paths and self._chance.random() < 0.75 else self._new_path()
        target = self.home.folder / path
        verb = self._chance.choice(["write"] * 5 + ["rename", "delete"])
        if verb == "rename":
            other = self.home.folder / self._new_path()
            other.parent.mkdir(parents=True, exist_ok=True)
            self._drop(other)
            with contextlib.suppress(FileNotFoundError):
                target.rename(other)
        elif verb == "delete":
            self._drop(target)
            target.unlink(missing_ok=True)
        else:
            self.save(path)

    def save(self, path: str) -> None:
        """Write a new text the way most editors do: beside the file, then over it."""
        line = f"{self.home.name} wrote text {len(self.written)} to {path}"
        text = sealed(line, self._chance.randint(1, LINES_MOST))
        target = self.home.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(target.name + _SAVING)
        fresh.write_text(text)
        self._drop(target)
        fresh.replace(target)
        self.written.add(text)

    def _drop(self, target: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.dropped.add(target.read_text())

    def _new_path(self) -> str:
        return f"{self._chance.choice(['', 'a/', 'b/c/'])}{self.home.name}-{self._chance.randint(0, 20)}.md"


class Watchman:
    """Reads every file of the folders again and again.

    Attributes:
        looks: files read.
        wrong: what was seen that must never be seen.
    """

    def __init__(self, homes: Sequence[Home]) -> None:
        self._homes = homes
        self._stop = threading.Event()
        self.looks = 0
        self.wrong: list[str] = []

    @contextlib.contextmanager
    def watching(self) -> Iterator[Watchman]:
        """Watches during the block."""
        thread = threading.Thread(target=self._watch, name="watchman")
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_EVERY_SECONDS):
            for home in self._homes:
                for where, _, names in os.walk(home.folder):
                    for name in names:
                        self._look(Path(where) / name)

    def _look(self, file: Path) -> None:
        if file.name.endswith(f".md{_SAVING}"):
            return
        if not file.name.endswith(".md"):
            self.wrong.append(f"{file} is nobody's")
            return
        with contextlib.suppress(FileNotFoundError):
            text = file.read_text()
            self.looks += 1
            if not is_whole(text):
                self.wrong.append(f"{file} held {len(text)} characters that are no whole text: {text[:100]!r}")
