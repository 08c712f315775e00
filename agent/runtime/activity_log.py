"""Write the activity of a source to the program's log, with the source, the path and the operation's id."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from agent.core.errors import Problem

log = logging.getLogger(__name__)

ActivityLine = tuple[str, str, str | None, str | None]
"""Path ("" for the source as a whole), kind of activity, detail, and the operation's id."""

_LEVELS: Final = {
    **dict.fromkeys(("pushed", "pulled", "settled"), logging.DEBUG),
    **dict.fromkeys(("conflict", "halted", "deletes_held", "overwritten_unseen", "refused"), logging.WARNING),
    "trash_refused": logging.WARNING,
}
"""Log levels by kind; INFO for the others. A first sync moves many files, so single moves are DEBUG; the command
``activity`` shows them all.
"""


_REPORTED: Final = frozenset({"conflict", "halted", "deletes_held", "refused"})
"""Kinds that the answer of a single command names as well. It also names a problem with the server."""


def not_reported(record: logging.LogRecord) -> bool:
    """Filter of a log beside an answer: it leaves out what the answer says."""
    return not hasattr(record, "reported")


class ActivityLogger:
    """Logger of one source. Not safe to use from several threads.

    Args:
        source: the source's name.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._problem: Problem | None = None

    def log(self, activity: Iterable[ActivityLine], problem: Problem | None) -> None:
        """Log new activity, and a problem with the server when it begins and when it ends."""
        for path, kind, detail, operation in activity:
            level = _LEVELS.get(kind, logging.INFO)
            if log.isEnabledFor(level):
                words = kind.replace("_", " ")
                fields = {"source": self._source, "path": path or None, "operation": operation}
                fields |= {"reported": "yes"} if kind in _REPORTED else {}
                log.log(level, "%s", f"{words}: {detail}" if detail else words, extra=fields)
        self._log_problem(problem)

    def _log_problem(self, problem: Problem | None) -> None:
        before, self._problem = self._problem, problem
        if problem is not None and (before is None or before.kind is not problem.kind):
            words = problem.kind.value.replace("_", " ")
            log.warning("%s: %s", words, problem.message, extra={"source": self._source, "reported": "yes"})
        elif problem is None and before is not None:
            log.info("the server answers again", extra={"source": self._source})
