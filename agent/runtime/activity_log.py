"""What happens to a source, as lines of the program's log: with the source, the path, and the operation's id."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from agent.core.errors import Problem

log = logging.getLogger(__name__)

Happened = tuple[str, str, str | None, str | None]
"""Path ("" for the source as a whole), what happened, more about it, and the operation's id."""

_LEVELS: Final = {
    **dict.fromkeys(("pushed", "pulled", "settled"), logging.DEBUG),
    **dict.fromkeys(("conflict", "halted", "deletes_held", "overwritten_unseen", "refused"), logging.WARNING),
    "trash_refused": logging.WARNING,
}
"""How loud each is; the others are INFO. A first sync moves more files than anybody wants to read of by default, and
``activity`` keeps them all.
"""


class ActivityLogger:
    """Speaks for one source. Not safe for several threads.

    Args:
        source: its name.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._trouble: Problem | None = None

    def tell(self, happened: Iterable[Happened], trouble: Problem | None) -> None:
        """Log what happened, and trouble with the server when it comes and when it has gone."""
        for path, what, detail, operation in happened:
            level = _LEVELS.get(what, logging.INFO)
            if log.isEnabledFor(level):
                words = what.replace("_", " ")
                said = {"source": self._source, "path": path or None, "operation": operation}
                log.log(level, "%s", f"{words}: {detail}" if detail else words, extra=said)
        self._tell_trouble(trouble)

    def _tell_trouble(self, trouble: Problem | None) -> None:
        before, self._trouble = self._trouble, trouble
        if trouble is not None and (before is None or before.kind is not trouble.kind):
            log.warning("%s: %s", trouble.kind.value.replace("_", " "), trouble.message, extra={"source": self._source})
        elif trouble is None and before is not None:
            log.info("the server answers again", extra={"source": self._source})
