"""One thing that was looked at."""

from __future__ import annotations

import enum
from typing import Any

Row = dict[str, Any]
"""``check`` (its name, stable), ``ok``, ``state``, ``detail`` (one sentence) and ``remedy`` (where it failed)."""


class State(enum.StrEnum):
    """How a check came out."""

    OK = "ok"
    FAILED = "failed"
    NOT_CHECKED = "not_checked"
    """It could not be made, and says why; that is nothing wrong by itself."""


def ok(check: str, detail: str) -> Row:
    """All is well."""
    return _row(check, State.OK, detail, None)


def failed(check: str, detail: str, remedy: str) -> Row:
    """Something is wrong."""
    return _row(check, State.FAILED, detail, remedy)


def unknown(check: str, why: str) -> Row:
    """Nobody can say, for this reason."""
    return _row(check, State.NOT_CHECKED, why, None)


def _row(check: str, state: State, detail: str, remedy: str | None) -> Row:
    return {"check": check, "ok": state is not State.FAILED, "state": state.value, "detail": detail, "remedy": remedy}
