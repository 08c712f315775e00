"""One thing that was looked at."""

from __future__ import annotations

import enum
from typing import Any

CheckRow = dict[str, Any]
"""``check`` (its name, stable), ``ok``, ``state``, ``detail`` (one sentence) and ``remedy`` (where it failed)."""


class CheckState(enum.StrEnum):
    """How a check came out."""

    OK = "ok"
    FAILED = "failed"
    NOT_CHECKED = "not_checked"
    """It could not be made, and says why; that is nothing wrong by itself."""


def ok(check: str, detail: str) -> CheckRow:
    """All is well."""
    return _row(check, CheckState.OK, detail, None)


def failed(check: str, detail: str, remedy: str) -> CheckRow:
    """Something is wrong."""
    return _row(check, CheckState.FAILED, detail, remedy)


def unknown(check: str, why: str) -> CheckRow:
    """Nobody can say, for this reason."""
    return _row(check, CheckState.NOT_CHECKED, why, None)


def _row(check: str, state: CheckState, detail: str, remedy: str | None) -> CheckRow:
    return {
        "check": check,
        "ok": state is not CheckState.FAILED,
        "state": state.value,
        "detail": detail,
        "remedy": remedy,
    }
