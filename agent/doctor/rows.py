"""Rows of the doctor's answer."""

from __future__ import annotations

import enum
from typing import Any

CheckRow = dict[str, Any]
"""``check`` (its name, stable), ``ok``, ``state``, ``detail`` (one sentence) and ``remedy`` (where it failed)."""


class CheckState(enum.StrEnum):
    """The result of a check."""

    OK = "ok"
    FAILED = "failed"
    NOT_CHECKED = "not_checked"
    """The check was not possible; its detail gives the reason. This is no failure."""


def ok(check: str, detail: str) -> CheckRow:
    """Return the row of a check that passed."""
    return check_row(check, CheckState.OK, detail, None)


def failed(check: str, detail: str, remedy: str) -> CheckRow:
    """Return the row of a check that failed."""
    return check_row(check, CheckState.FAILED, detail, remedy)


def unknown(check: str, why: str) -> CheckRow:
    """Return the row of a check that was not possible, with the reason."""
    return check_row(check, CheckState.NOT_CHECKED, why, None)


def check_row(check: str, state: CheckState, detail: str, remedy: str | None) -> CheckRow:
    """Return one row of the doctor's document."""
    return {
        "check": check,
        "ok": state is not CheckState.FAILED,
        "state": state.value,
        "detail": detail,
        "remedy": remedy,
    }
