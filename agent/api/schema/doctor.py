"""doctor and reload."""

from __future__ import annotations

from msgspec import Struct


class CheckDocument(Struct, frozen=True, kw_only=True):
    """One check.

    Attributes:
        check: name of the check.
        state: ok, failed or not_checked.
        remedy: what to do; null where nothing is wrong.
    """

    check: str
    ok: bool
    state: str
    detail: str
    remedy: str | None


class DoctorDocument(Struct, frozen=True, kw_only=True):
    """All checks.

    Attributes:
        version: release of the agent that answers.
    """

    ok: bool
    version: str
    checks: list[CheckDocument]


class ReloadDocument(Struct, frozen=True, kw_only=True):
    """The result of reading settings and declarations again.

    Attributes:
        ok: false if a declaration is refused.
        changed: settings with another value.
        waiting: settings that hold from the next start on.
    """

    ok: bool
    message: str
    changed: list[str]
    waiting: list[str]
