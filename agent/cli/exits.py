"""The one table from what happened to the exit code."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any, Final

from agent.core.states import Reason, SourceState


class Exit(enum.IntEnum):
    """What a script may rely on."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CONFLICTS = 3
    SIGNED_OUT = 4
    OFFLINE = 5
    HALTED = 6
    AGENT = 7
    """Another agent holds this home, or none runs where one is needed."""
    INTERRUPTED = 130


PRECEDENCE: Final = (Exit.HALTED, Exit.SIGNED_OUT, Exit.OFFLINE, Exit.AGENT, Exit.FAILED, Exit.CONFLICTS)

ERROR_CODES: Final[Mapping[str, Exit]] = {
    "usage": Exit.USAGE,
    "config": Exit.USAGE,
    "unsent": Exit.USAGE,
    "signed_out": Exit.SIGNED_OUT,
    "offline": Exit.OFFLINE,
    "busy": Exit.OFFLINE,
    "garbled": Exit.OFFLINE,
    "root": Exit.HALTED,
    "halted": Exit.HALTED,
    "locked": Exit.AGENT,
    "not_running": Exit.AGENT,
    "interrupted": Exit.INTERRUPTED,
}
"""Error codes with an exit code of their own; every other error is FAILED."""

STATES: Final[Mapping[str, Exit]] = {
    SourceState.SIGNED_OUT: Exit.SIGNED_OUT,
    SourceState.HALTED: Exit.HALTED,
    SourceState.ERROR: Exit.FAILED,
    SourceState.OFFLINE: Exit.OFFLINE,
    SourceState.PAUSED: Exit.DONE,
    SourceState.CONFLICT: Exit.CONFLICTS,
    SourceState.SYNCING: Exit.DONE,
    SourceState.UP_TO_DATE: Exit.DONE,
}

_POLICY: Final = frozenset(r.value for r in Reason if r.is_policy)

RESOLUTIONS: Final[Mapping[str, Exit]] = {"queued": Exit.OFFLINE, "refused": Exit.FAILED, "failed": Exit.FAILED}
"""What became of one resolution; other states are fine."""


def worst(codes: Iterable[Exit]) -> Exit:
    """The one that wins when several apply."""
    found = set(codes)
    return next((code for code in PRECEDENCE if code in found), Exit.DONE)


def for_error(code: str) -> Exit:
    """The exit code of an error's own code."""
    return ERROR_CODES.get(code, Exit.FAILED)


def for_sync(document: Mapping[str, Any]) -> Exit:
    """The exit code of a pass: of every source, its state, errors, skipped files and conflicts."""
    return worst(code for source in document["sources"] for code in _of_pass(source))


def _of_pass(source: Mapping[str, Any]) -> Iterable[Exit]:
    yield STATES.get(source["state"], Exit.FAILED)
    if source.get("held_deletes"):
        yield Exit.HALTED
    if source.get("conflicts"):
        yield Exit.CONFLICTS
    yield from (for_error(error["code"]) for error in source.get("errors", ()))
    if any(skipped["reason"] not in _POLICY for skipped in source.get("skipped", ())):
        yield Exit.FAILED


def for_status(document: Mapping[str, Any]) -> Exit:
    """What ``sync`` would exit with, told from the status."""
    declared = (row["error"]["code"] for row in document.get("declarations", ()) if row.get("error"))
    return worst([*(code for s in document["sources"] for code in _of_status(s)), *map(for_error, declared)])


def _of_status(source: Mapping[str, Any]) -> Iterable[Exit]:
    yield STATES.get(source["state"], Exit.FAILED)
    if source.get("held_deletes"):
        yield Exit.HALTED
    if source.get("conflicts"):
        yield Exit.CONFLICTS
    if source.get("error"):
        yield for_error(source["error"]["code"])
    # ``failed`` counts the skipped files that are no policy.
    if source.get("failed"):
        yield Exit.FAILED


def for_resolutions(document: Mapping[str, Any]) -> Exit:
    """The exit code of several resolutions: one that was refused does not hide one that was queued."""
    return worst(RESOLUTIONS.get(row["state"], Exit.DONE) for row in document["resolved"])
