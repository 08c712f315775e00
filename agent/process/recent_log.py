"""The newest lines of the program's log in memory, wherever the log itself is written."""

from __future__ import annotations

import datetime as dt
import logging
from collections import deque
from typing import Final

from agent.core.scrub import scrub

_KEPT: Final = 1000


class RecentLog(logging.Handler):
    """Keeps the newest records as lines, without tokens."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[tuple[int, str]] = deque(maxlen=_KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        at = dt.datetime.fromtimestamp(record.created).astimezone()
        words = record.getMessage().replace("\n", "\\n").replace("\r", "\\r")
        line = f"{at:%Y-%m-%d %H:%M:%S} {record.levelname.lower()} {record.name}: {words}"
        self._lines.append((record.levelno, scrub(line)))

    def lines(self, count: int, level: str | None = None) -> list[str]:
        """Return the newest ``count`` lines of this level and above, oldest first; of all levels for None."""
        least = logging.NOTSET if level is None else logging.getLevelNamesMapping()[level.upper()]
        chosen = [line for number, line in list(self._lines) if number >= least]
        return chosen[-count:] if count > 0 else []
