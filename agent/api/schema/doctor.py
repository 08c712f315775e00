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


class DrillParams(Struct, frozen=True, kw_only=True):
    """Parameters of drill.

    Attributes:
        server: name of the account; null for the only one.
    """

    server: str | None = None


class PromiseDocument(Struct, frozen=True, kw_only=True):
    """The result for one promise.

    Attributes:
        kept_by: server, agent or neither.
        detail: the evidence, or the reason why it was not kept.
    """

    promise: str
    kept_by: str
    ok: bool
    detail: str


class DrillDocument(Struct, frozen=True, kw_only=True):
    """A drill on one server.

    Attributes:
        ok: every promise was kept and everything was removed.
        left_behind: what could not be removed.
    """

    ok: bool
    server: str
    promises: list[PromiseDocument]
    left_behind: list[str]


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
