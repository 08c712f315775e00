"""Folders of Markdown to measure with: the same bytes for the same seed, on every machine."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

_WORDS = (
    *("archive", "base", "branch", "cursor", "delta", "draft", "edge", "echo", "figure", "folder", "hash"),
    *("index", "ledger", "margin", "note", "outline", "page", "paragraph", "passage", "proof", "reader"),
    *("record", "review", "scribe", "section", "source", "table", "thread", "trace", "volume", "witness"),
)
_LINE_WORDS = 12


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a tree is.

    Attributes:
        files: how many, spread evenly over ``folders``.
        size: bytes of each.
    """

    files: int
    folders: int
    size: int

    def path(self, number: int) -> str:
        """The path of a file by its number, from 0."""
        return f"part-{number % self.folders:03}/note-{number:05}.md"


def text(number: int, size: int, seed: int) -> str:
    """Markdown of exactly ``size`` bytes that no other number or seed has."""
    chance = random.Random(f"{seed}/{number}")
    lines = [f"# Note {number} of {seed}\n"]
    length = len(lines[0])
    while length < size:
        lines.append(" ".join(chance.choices(_WORDS, k=_LINE_WORDS)) + ".\n")
        length += len(lines[-1])
    return "".join(lines)[: size - 1] + "\n"


def texts(shape: Shape, seed: int) -> dict[str, str]:
    """Every path of the tree with its text."""
    return {shape.path(number): text(number, shape.size, seed) for number in range(shape.files)}


def plant(folder: Path, content: dict[str, str]) -> None:
    """Write the texts below a folder, in place."""
    for parent in {(folder / path).parent for path in content}:
        parent.mkdir(parents=True, exist_ok=True)
    for path, written in content.items():
        (folder / path).write_text(written, encoding="utf-8")
