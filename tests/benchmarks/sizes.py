"""How large each figure is made, by environment variables; the defaults make a table in about ten minutes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Final

from benchmarks.tree import Shape

PER_FOLDER: Final = 50
FILE_BYTES: Final = 4096


def _number(name: str, default: int) -> int:
    return int(os.environ.get(f"BENCH_{name}", str(default)))


def _numbers(name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    given = os.environ.get(f"BENCH_{name}")
    return default if given is None else tuple(int(word) for word in given.split(","))


def shape_of(files: int) -> Shape:
    """A tree of so many files; a larger one begins with the same files."""
    return Shape(files=files, folders=max(1, files // PER_FOLDER), size=FILE_BYTES)


@dataclass(frozen=True, slots=True)
class Sizes:
    """What one run measures with; each field is read from ``BENCH_`` and its name in capitals.

    Attributes:
        files: of the large folder.
        middle: of the transfers that are repeated.
        growth: the sizes of the table of growth, on the way to ``files``.
        face_files: of the folder that goes through each of the hub's APIs.
        rounds: samples of what is cheap, of which the median counts.
        saves: single saves whose way is timed.
        edits: made at once.
        idle_seconds: for how long nothing happens.
        agents: how many push at once, one figure each.
        batches: pushed by all agents together, 100 items each.
        waiters: in a long poll for one event.
        versioned: files whose history grows.
        versions: of each of them.
        peer_files: brought by each of the other programs.
        far_files: pushed to a server that is far away.
        far_ms: there and back again.
    """

    files: int = field(default_factory=lambda: _number("FILES", 100_000))
    middle: int = field(default_factory=lambda: _number("MIDDLE", 10_000))
    face_files: int = field(default_factory=lambda: _number("FACE_FILES", 10_000))
    growth: tuple[int, ...] = field(default_factory=lambda: _numbers("GROWTH", (1_000, 10_000)))
    rounds: int = field(default_factory=lambda: _number("ROUNDS", 3))
    saves: int = field(default_factory=lambda: _number("SAVES", 20))
    edits: int = field(default_factory=lambda: _number("EDITS", 1_000))
    idle_seconds: int = field(default_factory=lambda: _number("IDLE_SECONDS", 60))
    agents: tuple[int, ...] = field(default_factory=lambda: _numbers("AGENTS", (1, 10, 100)))
    batches: int = field(default_factory=lambda: _number("BATCHES", 200))
    waiters: int = field(default_factory=lambda: _number("WAITERS", 500))
    versioned: int = field(default_factory=lambda: _number("VERSIONED", 1_000))
    versions: int = field(default_factory=lambda: _number("VERSIONS", 200))
    peer_files: int = field(default_factory=lambda: _number("PEER_FILES", 10_000))
    far_files: int = field(default_factory=lambda: _number("FAR_FILES", 2_000))
    far_ms: int = field(default_factory=lambda: _number("FAR_MS", 100))

    @property
    def steps(self) -> tuple[int, ...]:
        """Every size the growing folder stops at, ascending; half of the last one is where memory is compared."""
        return tuple(sorted({*self.growth, self.files // 2 // PER_FOLDER * PER_FOLDER, self.files}))
