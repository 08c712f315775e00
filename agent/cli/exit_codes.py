"""The table from results and errors to exit codes. It is the only one."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from agent.core.states import Reason, SourceState


class ExitCode(enum.IntEnum):
    """Exit codes, public: scripts rely on them."""

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


PRECEDENCE: Final = (
    ExitCode.HALTED,
    ExitCode.SIGNED_OUT,
    ExitCode.OFFLINE,
    ExitCode.AGENT,
    ExitCode.FAILED,
    ExitCode.CONFLICTS,
)

ERROR_CODES: Final[Mapping[str, ExitCode]] = {
    "usage": ExitCode.USAGE,
    "config": ExitCode.USAGE,
    "unsent": ExitCode.USAGE,
    "signed_out": ExitCode.SIGNED_OUT,
    "offline": ExitCode.OFFLINE,
    "busy": ExitCode.OFFLINE,
    "garbled": ExitCode.OFFLINE,
    "root": ExitCode.HALTED,
    "halted": ExitCode.HALTED,
    "locked": ExitCode.AGENT,
    "not_running": ExitCode.AGENT,
    "interrupted": ExitCode.INTERRUPTED,
}
"""Error codes with an exit code of their own; every other error is FAILED."""

STATES: Final[Mapping[str, ExitCode]] = {
    SourceState.SIGNED_OUT: ExitCode.SIGNED_OUT,
    SourceState.HALTED: ExitCode.HALTED,
    SourceState.ERROR: ExitCode.FAILED,
    SourceState.OFFLINE: ExitCode.OFFLINE,
    SourceState.PAUSED: ExitCode.DONE,
    SourceState.CONFLICT: ExitCode.CONFLICTS,
    SourceState.SYNCING: ExitCode.DONE,
    SourceState.UP_TO_DATE: ExitCode.DONE,
}

_POLICY: Final = frozenset(r.value for r in Reason if r.is_policy)

RESOLUTIONS: Final[Mapping[str, ExitCode]] = {
    "refused": ExitCode.FAILED,
    "failed": ExitCode.FAILED,
}
"""States of a resolution that are failures. A queued one has the code of what it waits for."""


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the most important of several codes."""
    found = set(codes)
    return next((code for code in PRECEDENCE if code in found), ExitCode.DONE)


def for_error(code: str) -> ExitCode:
    """Return the exit code of an error code."""
    return ERROR_CODES.get(code, ExitCode.FAILED)


def for_sync(document: Mapping[str, Any]) -> ExitCode:
    """Return the exit code of a pass: of every source's state, errors, skipped files, conflicts and undone changes."""
    sources = document["sources"]
    return worst([*(code for source in sources for code in _of_pass(source)), _of_participation(sources)])


def _of_participation(sources: Sequence[Mapping[str, Any]]) -> ExitCode:
    """Return FAILED if no folder takes part in a pass: none is linked, or all that were chosen are paused.

    A pass over others leaves out a paused folder, as the person wished.
    """
    taking_part = [one for one in sources if one["state"] != SourceState.PAUSED or one.get("dry_run")]
    return ExitCode.DONE if taking_part else ExitCode.FAILED


def for_chosen(document: Mapping[str, Any]) -> ExitCode:
    """Return FAILED if a command for all folders found none."""
    return ExitCode.DONE if document.get("roots", True) else ExitCode.FAILED


def _of_source(source: Mapping[str, Any]) -> Iterable[ExitCode]:
    yield STATES.get(source["state"], ExitCode.FAILED)
    if source.get("held_deletes"):
        yield ExitCode.HALTED
    if source.get("conflicts"):
        yield ExitCode.CONFLICTS


def _of_pass(source: Mapping[str, Any]) -> Iterable[ExitCode]:
    yield from _of_source(source)
    yield from (for_error(error["code"]) for error in source.get("errors", ()))
    if any(skipped["reason"] not in _POLICY for skipped in source.get("skipped", ())):
        yield ExitCode.FAILED
    # A disk or a mount may be away. What a paused folder has left is not counted, as long as others take part.
    if source.get("pending") and not source.get("dry_run") and source["state"] != SourceState.PAUSED:
        yield ExitCode.FAILED


def for_retry(document: Mapping[str, Any]) -> ExitCode:
    """Return the exit code of a retry: of files that still cannot be synced, of their folders' errors, of no folder."""
    found = ExitCode.DONE if document.get("changed", True) else ExitCode.FAILED
    return worst([found, *(for_error(error["code"]) for error in document.get("errors", ()))])


def for_history(document: Any) -> ExitCode:
    """Return the exit code of a list of versions: of the error, where the server could not be asked."""
    error = document.get("error") if isinstance(document, Mapping) else None
    return for_error(error["code"]) if error else ExitCode.DONE


def for_status(document: Mapping[str, Any]) -> ExitCode:
    """Return the exit code that ``sync`` would have, judged from the status; AGENT if only an agent is missing."""
    declared = (row["error"]["code"] for row in document.get("declarations", ()) if row.get("error"))
    runs = document["daemon"]["running"]
    codes = (code for source in document["sources"] for code in _of_status(source, agent_runs=runs))
    return worst([*codes, *map(for_error, declared), _of_participation(document["sources"])])


def _of_status(source: Mapping[str, Any], *, agent_runs: bool) -> Iterable[ExitCode]:
    yield from _of_source(source)
    # A running agent is at work on them. Every state but these names a cause of its own, or is a person's wish.
    waits = source.get("pending_push") or source.get("pending_pull")
    if waits and not agent_runs and source["state"] in (SourceState.SYNCING, SourceState.UP_TO_DATE):
        yield ExitCode.AGENT
    if source.get("error"):
        yield for_error(source["error"]["code"])
    # ``failed`` counts the skipped files that are not left out by policy.
    if source.get("failed"):
        yield ExitCode.FAILED


def for_resolutions(document: Mapping[str, Any]) -> ExitCode:
    """Return the exit code of several resolutions: a refused one does not hide one that waits for the server."""
    return worst(
        for_error(row.get("code") or "offline")
        if row["state"] == "queued"
        else RESOLUTIONS.get(row["state"], ExitCode.DONE)
        for row in document["resolved"]
    )
