"""The files of the program's log: the newest one, and the older ones that a rotation left."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

FILES: Final = 5
"""Number of files, the newest one included."""

Chooser = Callable[[Iterable[str]], Iterable[str]]
"""Leaves out lines of one file."""


def last_file_lines(file: Path, count: int, choose: Chooser = iter) -> list[str]:
    """Return the last ``count`` chosen lines, from older files too if needed; none without a file."""
    found: deque[str] = deque()
    for part in (file, *(file.with_name(f"{file.name}.{number}") for number in range(1, FILES))):
        try:
            with part.open(encoding="utf-8", errors="replace") as lines:
                # A rotation falls between two records, so each file begins with one.
                rest = deque(choose(line.rstrip("\n") for line in lines), maxlen=count - len(found))
        except FileNotFoundError:
            break
        found.extendleft(reversed(rest))
        if len(found) >= count:
            break
    return list(found)
