"""The program's log in its files: the last lines, new lines as they are written, and the choice of records."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.cli.humanize import moment_before, parse_time
from agent.process.log_files import last_file_lines

TAIL_SECONDS: Final = 0.25
LEVELS: Final = ("debug", "info", "warning", "error")

_RECORD: Final = re.compile(
    r'(?:\{"at": ")?(?P<at>\d{4}-\S+?)(?:", "level": "| )(?P<level>debug|info|warning|error|critical)\b', re.IGNORECASE
)
"""Beginning of a record, as text and as JSON."""


_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\dT\S+(?:Z|\+00:00))(?= )")
"""The time of a record as text, in UTC. The journal has local times already."""


def in_local_time(line: str) -> str:
    """Return a line for a person: the time at its beginning is that of the clock here."""
    found = _STAMP.match(line)
    written = None if found is None else parse_time(found[1])
    if found is None or written is None:
        return line
    return f"{written.astimezone().replace(tzinfo=None).isoformat(' ', 'milliseconds')}{line[found.end() :]}"


@dataclass(frozen=True, slots=True)
class LogFilter:
    """The records to show.

    Attributes:
        since: only records of this time and later; None for all.
        level: only records of this level and above; None for all.
    """

    since: dt.datetime | None = None
    level: str | None = None

    @classmethod
    def of(cls, since: str | None, level: str | None) -> LogFilter:
        """Return the filter for the options of ``logs``. Raises UsageError."""
        return cls(None if since is None else moment_before(since), level)

    def choose(self, lines: Iterable[str]) -> Iterator[str]:
        """Yield the lines of the records to show. A line that begins no record belongs to the one before it."""
        chosen = True
        for line in lines:
            found = _RECORD.match(line)
            if found is not None:
                chosen = self._takes(found["at"], found["level"].lower())
            if chosen:
                yield line

    def _takes(self, at: str, level: str) -> bool:
        written = parse_time(at)
        if self.since is not None and written is not None and written < self.since:
            return False
        # A critical record has a level above all that can be asked for.
        return self.level is None or level not in LEVELS or LEVELS.index(level) >= LEVELS.index(self.level)


def last_lines(file: Path, count: int, wanted: LogFilter | None = None) -> list[str]:
    """Return the last ``count`` lines of the wanted records, from older files too if needed; none without a file."""
    return last_file_lines(file, count, (wanted or LogFilter()).choose)


def follow(file: Path, count: int, wanted: LogFilter) -> Iterator[str]:
    """Yield the last ``count`` lines of the wanted records, then each wanted line as it is written, for ever."""
    start = file.stat().st_size if file.exists() else 0
    yield from last_lines(file, count, wanted)
    yield from wanted.choose(tail(file, start))


def tail(file: Path, position: int) -> Iterator[str]:
    """Yield whole lines as they are written from byte ``position`` on, for ever, also after a rotation."""
    inode, rest = _inode(file), b""
    while True:
        try:
            if _inode(file) != inode or file.stat().st_size < position:
                inode, position, rest = _inode(file), 0, b""
            with file.open("rb") as log:
                log.seek(position)
                fresh = log.read()
        except FileNotFoundError:
            fresh = b""
        position += len(fresh)
        *whole, rest = (rest + fresh).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in whole)
        if not fresh:
            time.sleep(TAIL_SECONDS)


def _inode(file: Path) -> int | None:
    try:
        return file.stat().st_ino
    except FileNotFoundError:
        return None
