"""sync, retry, pause, resume: passes that a person asks for, and the pauses between them."""

from __future__ import annotations

import contextlib
import math
import os
import time
from dataclasses import replace
from functools import partial
from shlex import quote
from typing import Final

from msgspec import UNSET, structs

from agent.api.methods.common import (
    chosen_sources,
    held_message,
    opened_folder,
    path_param,
    paused_by,
    paused_until,
    readable,
    row_of,
    stamp,
)
from agent.api.methods.late_writes import rescue_quietly
from agent.api.methods.skips import failures, not_sent, skips
from agent.api.schema.common import FileError, HeldDeletesDocument
from agent.api.schema.sync import (
    HaltedFolder,
    PauseDocument,
    PauseParams,
    ResumeParams,
    RetryDocument,
    RetryParams,
    SourceResult,
    SyncDocument,
    SyncParams,
    UndoneFile,
)
from agent.core.errors import Problem, ProblemKind, RemoteError, RootError, UsageError
from agent.core.model import SourceState
from agent.core.reconcile import Step
from agent.core.undo import UndoPlan
from agent.engine import messages as m
from agent.engine.config import RunMode
from agent.engine.in_flight import HeldDeletes, SyncCounters
from agent.engine.status import SourceView
from agent.runtime.agent import Agent
from agent.runtime.source_runner import SourceRunner
from agent.settings import links as reg
from agent.settings.links import SourceEntry, has_preferences

_UNDONE_NAMED: Final = 200
"""Files that come back and are named, of each kind for each source; the others are only counted."""


def sync(agent: Agent, params: SyncParams) -> SyncDocument:
    """Make one full pass over the chosen folders, together."""
    sources = chosen_sources(agent, params)
    if agent.run_mode is not RunMode.DAEMON:
        sources = _with_preferences(agent, sources)
    if params.dry_run:
        return SyncDocument([_would(agent, source) for source in sources])
    runners = {source.key: working_runner(agent, source) for source in sources}
    for source in sources:
        rescue_quietly(agent, source)
    before = {key: _counters(agent, runner) for key, runner in runners.items()}
    began = time.monotonic()
    views = _pass(runners)
    undone: dict[int, UndoPlan] | None = None
    if params.approve_deletes is not None:
        _approve_deletes(agent, runners, params.approve_deletes)
        views = _pass(runners)
    elif params.undo_deletes:
        undone = _undo_deletes(agent, runners)
        views = _pass(runners)
    seconds = time.monotonic() - began
    results = [_report(agent, s, runners[s.key], before[s.key], seconds, views[s.key]) for s in sources]
    if undone is None:
        return SyncDocument(results)
    return SyncDocument(
        results,
        sum(len(plan.held) for plan in undone.values()),
        sum(len(plan.before) for plan in undone.values()),
        [row for source in sources if source.key in undone for row in _undone_files(source, undone[source.key])],
    )


def _with_preferences(agent: Agent, sources: list[SourceEntry]) -> list[SourceEntry]:
    """Return the sources with the server's preferences as they are now; a daemon hears of each change."""
    for server in sorted({source.server for source in sources}):
        if has_preferences(agent.server_entry(server).dialect):
            # The pass itself will say that the server cannot be reached. The preferences read last stay in force.
            with contextlib.suppress(RemoteError):
                agent.preferences.refresh(server)
    keys = {source.key for source in sources}
    return [source for source in agent.registry.sources if source.key in keys]


def working_runner(agent: Agent, source: SourceEntry) -> SourceRunner:
    """Return a runner of this source that may change both sides; one of a dry run is stopped first."""
    runner = agent.runner(source.key)
    if runner is not None and runner.config.run_mode is RunMode.DRY_RUN:
        agent.stop_source(source.key)
    return agent.start_source(source)


def _counters(agent: Agent, runner: SourceRunner) -> SyncCounters:
    return agent.control.call(lambda: structs.replace(runner.engine.tally))


def _pass(runners: dict[int, SourceRunner]) -> dict[int, SourceView | None]:
    """Make a pass over all of them at once; return the status of each at the end of its pass."""
    futures = {key: runner.pass_once() for key, runner in runners.items()}
    return {key: future.result() for key, future in futures.items()}


def _approve_deletes(agent: Agent, runners: dict[int, SourceRunner], plan: str) -> None:
    """Approve the held deletes of a plan.

    Raises:
        UsageError: no deletes are held under the plan.
    """
    held = {key: agent.control.call(partial(_held, runner)) for key, runner in runners.items()}
    if all(one is None or one.plan != plan for one in held.values()):
        raise UsageError(f"no deletes are held under the plan {plan}", "raven-agent status shows the plan of held ones")
    for key, runner in runners.items():
        if held[key] is not None:
            runner.deliver(m.ApproveDeletes(plan))


def _undo_deletes(agent: Agent, runners: dict[int, SourceRunner]) -> dict[int, UndoPlan]:
    """Undo the held deletes, and return those of each source that holds some."""

    def undo(runner: SourceRunner) -> UndoPlan | None:
        plan = runner.engine.undo_plan()
        if plan is not None:
            runner.tell(m.UndoDeletes())
        return plan

    found = {key: agent.control.call(partial(undo, runner)) for key, runner in runners.items()}
    return {key: plan for key, plan in found.items() if plan is not None}


def _undone_files(source: SourceEntry, plan: UndoPlan) -> list[UndoneFile]:
    root = readable(str(source.root))
    kinds = ((plan.held, False), (plan.before, True))
    return [
        UndoneFile(root, readable(path), before) for files, before in kinds for path, _ in sorted(files)[:_UNDONE_NAMED]
    ]


def _held(runner: SourceRunner) -> HeldDeletes | None:
    return runner.engine.held


def _trouble_words(agent: Agent, source: SourceEntry, trouble: Problem) -> str:
    """Return the message of a problem with the server; signed out, with the command that helps."""
    if trouble.kind is not ProblemKind.SIGNED_OUT:
        return trouble.message
    return f"{trouble.message}; sign in again: {agent.server_entry(source.server).login_hint}"


def _report(
    agent: Agent, source: SourceEntry, runner: SourceRunner, before: SyncCounters, seconds: float,
    at_end: SourceView | None = None,
) -> SourceResult:  # fmt: skip
    """Report a source after a pass.

    Args:
        at_end: its status at the end of the pass; None for that of now.
    """
    view = at_end or agent.control.call(runner.view)
    done = _counters(agent, runner)
    skipped = skips(agent, source)
    errors = failures(skipped)
    if view.trouble is not None:
        errors.append(
            FileError(path="", code=view.trouble.kind.value, message=_trouble_words(agent, source, view.trouble))
        )
    errors += [FileError(path=path, code="not_sent", message=not_sent([path])) for path in view.failed_tries]
    if view.halted:
        errors.append(FileError(path="", code="halted", message=view.halted))
    if runner.failure:
        errors.append(FileError(path="", code="internal", message=runner.failure))
    return SourceResult(
        id=source.source_id,
        root=readable(str(source.root)),
        state=(SourceState.ERROR if runner.failure else view.state).value,
        pushed=done.pushed - before.pushed,
        pulled=done.pulled - before.pulled,
        deleted_remote=done.deleted_remote - before.deleted_remote,
        deleted_local=done.deleted_local - before.deleted_local,
        conflicts_opened=done.conflicts_opened - before.conflicts_opened,
        conflicts=view.conflicts,
        pending=view.pending_push + view.pending_pull,
        held_deletes=HeldDeletesDocument(view.held_plan, view.held_count) if view.held_plan else None,
        skipped=[skip.document() for skip in skipped],
        errors=errors,
        seconds=round(seconds, 3),
        paused_until=paused_until(view),
        paused_by=paused_by(source, view),
    )


def looking_runner(agent: Agent, source: SourceEntry) -> SourceRunner:
    """Return a runner that has looked at both sides and changed neither; in a daemon the one that works anyway."""
    if agent.run_mode is RunMode.DAEMON:
        return agent.start_source(source)
    agent.stop_source(source.key)
    runner = agent.start_source(source, RunMode.DRY_RUN)
    runner.pass_once().result()
    return runner


def _would(agent: Agent, source: SourceEntry) -> SourceResult:
    """Report what a pass would do."""
    runner = looking_runner(agent, source)
    counts = agent.control.call(lambda: agent.index.trees.work(source.key))
    result = _report(agent, source, runner, _counters(agent, runner), 0.0)
    return structs.replace(
        result,
        dry_run=True,
        pushed=counts.get(Step.PUSH, 0),
        deleted_remote=counts.get(Step.PUSH_DELETE, 0),
        pulled=counts.get(Step.PULL, 0),
        deleted_local=counts.get(Step.PULL_DELETE, 0),
        conflicts_opened=max(0, counts.get(Step.PARK, 0) - result.conflicts),
        pending=0,
    )


def retry(agent: Agent, params: RetryParams) -> RetryDocument:
    """Try skipped or failed files again now, and report those that still fail."""
    if params.path is None and params.path_base64 is None:
        results = [_retry(agent, source, None) for source in agent.registry.sources]
        errors = [error for result in results for error in result.errors]
        return RetryDocument(changed=bool(results), path=None, sources=results, errors=errors)
    source, path = agent.source_over(path_param(params.path, params.path_base64))
    whole = path == "."
    if not whole and not _is_known(agent, source, path):
        raise UsageError(
            f"there is no file {readable(path)} in {source.root}, here or on the server",
            f"raven-agent files {quote(str(source.root))} lists them",
        )
    result = _retry(agent, source, None if whole else (path,))
    # A folder's own error (offline, halted) concerns each of its files.
    errors = [error for error in result.errors if whole or error.path in ("", readable(path))]
    return RetryDocument(changed=True, path=readable(path), sources=[result], errors=errors)


def _is_known(agent: Agent, source: SourceEntry, path: str) -> bool:
    """Return True if a path exists on this disk, in the trees, or among those that cannot be synced."""
    shown = readable(path)
    if os.path.lexists(source.root / path) or not row_of(agent, source, shown).is_empty:
        return True
    # A folder's files count for the folder.
    return any(skip.path == shown or skip.path.startswith(f"{shown}/") for skip in skips(agent, source))


def _retry(agent: Agent, source: SourceEntry, paths: tuple[str, ...] | None) -> SourceResult:
    runner = working_runner(agent, source)
    before, began = _counters(agent, runner), time.monotonic()
    runner.deliver(m.Retry(paths))
    view = runner.pass_once().result()
    return _report(agent, source, runner, before, time.monotonic() - began, view)


def pause(agent: Agent, params: PauseParams) -> PauseDocument:
    """Stop changing anything, on this machine or, with ``everywhere``, on the server for all machines."""
    if params.everywhere:
        return _everywhere(agent, params, pause=True)
    until = math.inf if params.seconds is None else agent.clock() + params.seconds
    return _set_pause(agent, params, until)


def resume(agent: Agent, params: ResumeParams) -> PauseDocument:
    """Continue after a pause, on this machine or on the server, and report folders that are still stopped."""
    if params.everywhere:
        return _everywhere(agent, params, pause=False)
    for source in chosen_sources(agent, params):
        if source.preference is not None and not source.preference.enabled:
            # The pause is the server's preference for this machine: without a change there it would come back.
            agent.preferences.change(source, structs.replace(source.preference, enabled=True))
    sources = chosen_sources(agent, params)
    document = _set_pause(agent, params, None)
    halted, on_server = [], []
    for source in sources:
        reason, is_paused = _still_stopped(agent, source)
        if reason:
            halted.append(HaltedFolder(readable(str(source.root)), reason))
        elif is_paused:
            on_server.append(readable(str(source.root)))
    return structs.replace(document, halted=halted or UNSET, paused_on_server=on_server or UNSET)


def _still_stopped(agent: Agent, source: SourceEntry) -> tuple[str | None, bool]:
    """Look again after a resume: return the cause of a halt that is still there, and if the source is still paused."""
    runner = agent.runner(source.key) or agent.start_source(source, RunMode.DRY_RUN)
    alone = agent.run_mode is not RunMode.DAEMON
    if alone:
        runner.pass_once().result()
    view = agent.control.call(runner.view)
    # A daemon's view is as old as its last scan, and the folder may have come back since.
    reason = (view.halted if alone else _root_error(agent, source)) or held_message(view)
    # The pause of this machine is over, so one that is left is the server's.
    return reason, view.state is SourceState.PAUSED


def _root_error(agent: Agent, source: SourceEntry) -> str | None:
    with opened_folder(agent, source) as folder:
        try:
            folder.root.verify()
        except RootError as error:
            return error.message
    return None


def _set_pause(agent: Agent, params: PauseParams | ResumeParams, until: float | None) -> PauseDocument:
    sources = chosen_sources(agent, params)
    for source in sources:
        agent.change_registry(
            lambda registry, key=source.key: reg.with_source(  # type: ignore[misc]
                registry, replace(next(s for s in registry.sources if s.key == key), paused_until=until)
            )
        )
        runner = agent.runner(source.key)
        if runner is None and until is None:
            runner = agent.start_source(source, RunMode.DRY_RUN)
            if agent.control.call(lambda key=source.key: agent.index.sources.get(key).mounts):  # type: ignore[misc]
                # Only a scan finds which mounts are missing, so that the resume can go on without them.
                runner.pass_once().result()
        if runner is not None:
            message = m.Resume() if until is None else m.Pause(until)
            agent.control.call(partial(runner.tell, message))
    return PauseDocument(
        changed=bool(sources),
        roots=[readable(str(source.root)) for source in sources],
        paused_until=None if until is None or math.isinf(until) else stamp(until),
    )


def _everywhere(agent: Agent, params: PauseParams | ResumeParams, *, pause: bool) -> PauseDocument:
    sources = chosen_sources(agent, params)
    remotes = {source.server: agent.connection(source.server).remote for source in sources}
    cannot = [name for name, remote in remotes.items() if not remote.capabilities.server_pause]
    if cannot:
        raise UsageError(
            f"the server of {', '.join(cannot)} cannot pause a source for all machines", "pause it on each machine"
        )
    for source in sources:
        remote = remotes[source.server]
        if pause:
            remote.pause(source.source_id)
        else:
            remote.resume(source.source_id)
    return PauseDocument(
        changed=bool(sources), roots=[readable(str(source.root)) for source in sources], everywhere=True
    )
