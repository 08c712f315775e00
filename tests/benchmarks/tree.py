"""Folders of Markdown to measure with: the same bytes for the same seed, on every machine."""

from __future__ import annotations

import functools
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_WORDS = (
    *("archive", "base", "branch", "cursor", "delta", "draft", "edge", "echo", "figure", "folder", "hash"),
    *("index", "ledger", "margin", "note", "outline", "page", "paragraph", "passage", "proof", "reader"),
    *("record", "review", "scribe", "section", "source", "table", "thread", "trace", "volume", "witness"),
)
_LINE_WORDS: Final = 12
_POOL_BYTES: Final = 1 << 22
_FAN: Final = 8
_IGNORING: Final = 100
"""One folder in so many has an ignore file of its own."""
_STAMP: Final = 1_700_000_000

_IGNORED_BELOW_ROOT: Final = (
    "# What nobody syncs\n*.tmp\nbuild/\n/private/**\n*.draft.md\n!kept.draft.md\ncache-[0-9]*/\n"
)
_IGNORED_HERE: Final = "scratch-*.md\nattic/\n"


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a tree is.

    Attributes:
        files: how many, the same number in each folder.
        folders: how many, nested eight wide.
        size: bytes of each file.
    """

    files: int
    folders: int
    size: int

    def path(self, number: int) -> str:
        """The path of a file by its number, from 0; shapes with as many files a folder agree on it."""
        return f"{folder(number // max(1, self.files // self.folders))}/note-{number:06}.md"


@functools.cache
def folder(number: int) -> str:
    """The path of a folder by its number, from 0."""
    name = f"part-{number:04}"
    return name if number < _FAN else f"{folder(number // _FAN - 1)}/{name}"


@functools.cache
def _pool() -> str:
    """Markdown to cut texts from."""
    chance = random.Random(1)
    lines = []
    length = 0
    while length < _POOL_BYTES:
        lines.append(" ".join(chance.choices(_WORDS, k=_LINE_WORDS)) + ".\n")
        length += len(lines[-1])
    return "".join(lines)


def text(number: int, size: int, seed: int) -> str:
    """Markdown of exactly ``size`` bytes that no other number or seed has."""
    head = f"# Note {number} of {seed}\n"
    start = (number * 104_729 + seed * 1_299_709) % (_POOL_BYTES - size)
    return (head + _pool()[start : start + size])[: size - 1] + "\n"


def texts(shape: Shape, seed: int) -> dict[str, str]:
    """Every path of the tree with its text."""
    return {shape.path(number): text(number, shape.size, seed) for number in range(shape.files)}


def plant(folder: Path, content: dict[str, str]) -> None:
    """Write the texts below a folder, in place."""
    for parent in {(folder / path).parent for path in content}:
        parent.mkdir(parents=True, exist_ok=True)
    for path, written in content.items():
        (folder / path).write_text(written, encoding="utf-8")


def grow(root: Path, shape: Shape, start: int = 0, seed: int = 1) -> None:
    """Write the files of a tree from number ``start`` on, with time stamps long past, and ignore files among them."""
    root.mkdir(parents=True, exist_ok=True)
    made = set()
    for number in range(start, shape.files):
        target = f"{root}/{shape.path(number)}"
        parent = target.rpartition("/")[0]
        if parent not in made:
            os.makedirs(parent, exist_ok=True)
            made.add(parent)
        with open(target, "wb") as file:
            file.write(text(number, shape.size, seed).encode())
        os.utime(target, (_STAMP, _STAMP + number))
    (root / ".gitignore").write_text(_IGNORED_BELOW_ROOT)
    for number in range(0, shape.folders, _IGNORING):
        (root / folder(number) / ".gitignore").write_text(_IGNORED_HERE)
        (root / folder(number) / "later.draft.md").write_text("# Not yet\n")
