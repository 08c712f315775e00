"""Names for the second content of a conflict, beside the file that it is about."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from datetime import UTC, datetime


def free_sibling(path: str, now: int, is_free: Callable[[str], bool]) -> str:
    """Return a free path beside a file. `now` is in milliseconds since the epoch; its day is in the name."""
    day, number = f"{datetime.fromtimestamp(now // 1000, UTC):%Y-%m-%d}", 1
    while not is_free(wanted := sibling(path, number, day)):
        number += 1
    return wanted


def sibling(path: str, number: int, day: str) -> str:
    """Return a name beside a path for the content of a conflict. `number` counts from 1."""
    folder, name = posixpath.split(path)
    stem, suffix = posixpath.splitext(name)
    mark = f" (conflict {day})" if number == 1 else f" (conflict {day} {number})"
    return posixpath.join(folder, f"{stem}{mark}{suffix}")
