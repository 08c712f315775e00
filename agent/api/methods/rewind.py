"""rewind: a whole folder as it was at an earlier time, and the way back from that."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from typing import Final

from agent.api.methods.common import (
    RequestRefused,
    chosen_sources,
    moment_param,
    opened_folder,
    parked_paths,
    path_param,
    readable,
    remote_of,
    row_of,
    stamp,
)
from agent.api.methods.late_writes import remove_file
from agent.api.methods.sync import looking_runner, working_runner
from agent.api.methods.versions import find_version, install_version
from agent.api.schema.history import RewindDocument, RewindParams, RewindRow
from agent.core.delete_guard import plan_id
from agent.core.errors import AgentError, RemoteError, UsageError
from agent.core.humanize import clock_after
from agent.core.reconcile import Step
from agent.core.rewind import KnownChange, KnownVersion, RewindDecision, RewindStep, TrashedVersion, decide_rewind
from agent.index.activity import ActivityKind
from agent.runtime.agent import Agent
from agent.runtime.source_runner import SourceRunner
from agent.settings.links import SourceEntry
from agent.settings.rewinds import Rewinds, RewoundFile

_DELETED: Final = frozenset({ActivityKind.DELETED_LOCAL, ActivityKind.DELETED_REMOTE})
_WRITTEN: Final = frozenset({ActivityKind.PUSHED, ActivityKind.PULLED, ActivityKind.RESTORED})


def rewind(agent: Agent, params: RewindParams) -> RewindDocument:
    """Bring a folder to its state at a time, or undo the last time this was done.

    Unsent edits are sent first, so that the server has them. What a file holds goes to the trash before it is replaced
    or removed. A file with a conflict, and one of which no version of that time is known, stays as it is.

    Raises:
        RemoteError: the server cannot be asked for the versions.
        UsageError: the time lies before the activity log, the folder is not linked, or there is nothing to undo.
    """
    source, below = _scope(agent, params)
    if params.undo == (params.at is not None):
        raise UsageError("exactly one of at and undo is needed")
    if params.dry_run:
        looking_runner(agent, source)
    else:
        working_runner(agent, source).pass_once().result()
    parked = parked_paths(agent, source)
    rows = (
        _undo_rows(agent, source, parked)
        if params.at is None
        else _rows(agent, source, moment_param(params.at), parked)
    )
    rows = [row for row in rows if not below or row.path == below or row.path.startswith(f"{below}/")]
    plan = plan_id("rewind", (f"{row.path}\0{row.step}\0{row.before}\0{row.after}" for row in rows))
    changed = 0
    if not params.dry_run:
        if params.plan not in (None, plan):
            # The person agreed to another list: a file changed since, or an edit was not known before this pass.
            raise RequestRefused("the folder changed since the files were shown", "repeat the command")
        changed = _carry_out(agent, source, rows, undo=params.undo)
    return RewindDocument(
        changed=changed > 0,
        plan=plan,
        root=readable(str(source.root)),
        at=params.at,
        dry_run=params.dry_run,
        files=rows,
    )


def _scope(agent: Agent, params: RewindParams) -> tuple[SourceEntry, str]:
    """Return the source, and the readable path of the folder or file in it that is meant; empty for all of it."""
    if params.folder is None and params.folder_base64 is None:
        (source,) = chosen_sources(agent, params)
        return source, ""
    source, below = agent.source_over(path_param(params.folder, params.folder_base64, "folder"))
    return source, "" if below == "." else readable(below)


def _records(agent: Agent) -> Rewinds:
    return Rewinds(agent.home.rewinds_dir)


def _rows(agent: Agent, source: SourceEntry, at: float, parked: set[str]) -> list[RewindRow]:
    """Return one row for each file that changed since ``at`` and is not as it was then."""
    changes = _changes(agent, source, at)
    trashed: dict[str, list[TrashedVersion]] = defaultdict(list)
    with opened_folder(agent, source) as folder:
        for entry in folder.trash.entries():
            trashed[entry.path].append(TrashedVersion(entry.hash, entry.moved_at))
    moved = {path for path, versions in trashed.items() if any(one.at > at for one in versions)}
    rows = []
    for path in sorted({path for path, found in changes.items() if found[-1].at > at} | moved):
        present = row_of(agent, source, path).local.hash
        if path in parked:
            rows.append(_row(path, present, RewindDecision(RewindStep.UNKNOWN), "it has an open conflict"))
            continue
        decision = decide_rewind(
            at, present, _versions(agent, source, path), changes.get(path, ()), trashed.get(path, ())
        )
        if decision.step is not RewindStep.KEEP:
            why = "no version of that time is known" if decision.step is RewindStep.UNKNOWN else None
            rows.append(_row(path, present, decision, why))
    return rows


def _row(path: str, present: str | None, decision: RewindDecision, message: str | None = None) -> RewindRow:
    return RewindRow(
        path=readable(path), step=decision.step.value, before=present, after=decision.hash, message=message
    )


def _changes(agent: Agent, source: SourceEntry, at: float) -> dict[str, list[KnownChange]]:
    """Return the activity of each path, oldest first. Raises UsageError if the log begins after ``at``."""
    lines = agent.control.call(lambda: list(agent.index.activity.entries([source.key], 0, -1)))
    if not lines or lines[0].at > at:
        first = f"it begins at {clock_after(stamp(lines[0].at), stamp(at))}" if lines else "it is empty"
        raise UsageError(
            f"what happened in {source.root} is not known that far back: {first}", "raven-agent activity FOLDER"
        )
    found: dict[str, list[KnownChange]] = defaultdict(list)
    for line in lines:
        if line.path and (line.what in _DELETED or line.what in _WRITTEN):
            found[line.path].append(KnownChange(line.at, line.what in _DELETED))
    unsent = agent.control.call(lambda: agent.index.trees.with_step(source.key, Step.PUSH, Step.PUSH_DELETE))
    for row in unsent:
        # The log has a change only once it was sent.
        found[row.path].append(KnownChange(agent.clock(), row.local.hash is None))
    return found


def _versions(agent: Agent, source: SourceEntry, path: str) -> list[KnownVersion]:
    try:
        found = remote_of(agent, source).history(source.source_id, path)
    except RemoteError as error:
        if error.code != "not_found":
            raise
        return []
    return [KnownVersion(v.hash, dt.datetime.fromisoformat(v.recorded_at).timestamp()) for v in found if v.recorded_at]


def _undo_rows(agent: Agent, source: SourceEntry, parked: set[str]) -> list[RewindRow]:
    record = _records(agent).get(source.key)
    if not record:
        raise UsageError(f"no rewind of {source.root} can be undone", "raven-agent restore FOLDER --at TIME")
    rows = []
    for file in record:
        present = row_of(agent, source, file.path).local.hash
        step = RewindStep.REMOVE if file.before is None else RewindStep.RESTORE
        if present == file.before:
            continue
        if file.path in parked or present != file.after:
            why = "it has an open conflict" if file.path in parked else "it changed after the rewind"
            rows.append(_row(file.path, present, RewindDecision(RewindStep.UNKNOWN), why))
        else:
            rows.append(_row(file.path, present, RewindDecision(step, file.before)))
    return rows


def _carry_out(agent: Agent, source: SourceEntry, rows: list[RewindRow], *, undo: bool) -> int:
    """Change the files, and return their number.

    The record of a rewind is durable before the first change. An undo keeps it until every file is back, so that an
    undo that was cut off can be repeated.
    """
    due = [row for row in rows if row.step != RewindStep.UNKNOWN]
    if due and not undo:
        _records(agent).put(source.key, [RewoundFile(row.path, row.before, row.after) for row in due])
    runner = working_runner(agent, source)
    changed = 0
    for row in due:
        try:
            _change(agent, runner, source, row)
            changed += 1
        except (RequestRefused, RemoteError, UsageError) as error:
            # One file that cannot be changed now keeps none of the others as they are.
            row.step, row.message = RewindStep.UNKNOWN.value, error.message
    if undo and all(row.step != RewindStep.UNKNOWN for row in rows):
        _records(agent).delete(source.key)
    if due:
        try:
            runner.pass_once().result()
        except AgentError as error:
            raise RequestRefused(f"changed here, and not sent yet: {error.message}", error.hint) from error
    return changed


def _change(agent: Agent, runner: SourceRunner, source: SourceEntry, row: RewindRow) -> None:
    if row_of(agent, source, row.path).local.hash != row.before:
        raise RequestRefused(f"{row.path} changed meanwhile")
    if row.after is None:
        remove_file(agent, runner, source, row.path, row.before)
    else:
        found = find_version(agent, source, row.path, row.after)
        install_version(agent, runner, source, row.path, found)
