"""status, progress, servers: the state of accounts and sources. Nothing is changed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from msgspec import UNSET

from agent import __version__
from agent.api.context import ApiContext
from agent.api.methods.common import (
    chosen_sources,
    held_message,
    paused_by,
    paused_until,
    readable,
    stamp,
    stamp_or_none,
)
from agent.api.methods.files import activity
from agent.api.methods.machines import source_machines
from agent.api.methods.skips import failures, not_sent, skips
from agent.api.schema.common import ErrorDocument, FileError, FolderParams, HeldDeletesDocument, NoParams
from agent.api.schema.status import (
    ActivityDocument,
    ActivityParams,
    DaemonDocument,
    DeclarationDocument,
    Progress,
    ProgressDocument,
    ServerDocument,
    SourceDocument,
    StatusDocument,
    StatusParams,
)
from agent.core.errors import Problem, ProblemKind, UsageError
from agent.core.model import SourceState
from agent.core.reconcile import Step
from agent.engine.config import RunMode
from agent.engine.status import SourceView
from agent.runtime.agent import Agent
from agent.runtime.server_session import token_warning
from agent.runtime.source_runner import SourceRunner
from agent.settings.credentials import Token
from agent.settings.errors import CredentialsError
from agent.settings.links import ServerEntry, SourceEntry

SCHEMA: Final = 1

_ASKED_AT_ONCE: Final = 8
"""Servers asked at the same time, so that one that does not answer delays no other."""
_RECENT_SECONDS: Final = 60.0
"""Seconds for which an answer proves, for the status of a single command, that a server works."""
_COUNTED_ROWS: Final = 5000
"""Pending files whose bytes are added up; with more, the source's average is taken, so that a status stays cheap."""


def status(context: ApiContext, params: StatusParams) -> StatusDocument:
    """Report everything, source by source. Without a daemon the disk is scanned and the server asked first."""
    agent = context.agent
    sources = chosen_sources(agent, params)
    running = agent.run_mode is RunMode.DAEMON
    if not running:
        passes = [agent.start_source(source, RunMode.DRY_RUN).pass_once() for source in sources]
        for future in passes:
            future.result()
    return StatusDocument(
        schema=SCHEMA,
        version=__version__,
        checked_at=stamp(agent.clock()),
        daemon=DaemonDocument(
            running=running,
            pid=os.getpid() if running else None,
            since=stamp(agent.since) if running else None,
        ),
        servers=_known_servers(agent),
        sources=_reports(agent, sources),
        last_event=_last_event(agent, params),
        declarations=[_declaration(outcome.document()) for outcome in context.declaration_outcomes()],
        machines=source_machines(agent, sources) if params.machines else UNSET,
    )


def _reports(agent: Agent, sources: Sequence[SourceEntry]) -> list[SourceDocument]:
    """Report these sources. One that is unlinked meanwhile is left out, so that the others are still reported."""
    reports = []
    for source in sources:
        try:
            reports.append(source_status(agent, source))
        except UsageError:
            if any(one.key == source.key for one in agent.registry.sources):
                raise
    return reports


def _last_event(agent: Agent, params: FolderParams) -> ActivityDocument | None:
    newest = ActivityParams(folder=params.folder, folder_base64=params.folder_base64, limit=1)
    return next(iter(activity(agent, newest)), None)


def _declaration(document: dict[str, object]) -> DeclarationDocument:
    import msgspec

    return msgspec.convert(document, DeclarationDocument)


def progress(agent: Agent, params: FolderParams) -> ProgressDocument:
    """Report the sources that are at work, as they are at this moment."""
    working = [source for source in chosen_sources(agent, params) if agent.runner(source.key) is not None]
    return ProgressDocument(_reports(agent, working))


def servers(agent: Agent, _params: NoParams) -> list[ServerDocument]:
    """List the accounts. Each server is asked first, so that its state is not a guess."""
    entries = agent.registry.servers
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        problems = list(pool.map(lambda entry: agent.server(entry.name).check(), entries))
    # A server may answer this question and refuse the token for another one, as its sources know.
    return [
        _server(agent, entry, problem or _refused_token(agent, entry.name))
        for entry, problem in zip(entries, problems, strict=True)
    ]


def _refused_token(agent: Agent, server: str) -> Problem | None:
    problem = _source_problem(agent, server)
    return problem if problem is not None and problem.kind is ProblemKind.SIGNED_OUT else None


def _known_servers(agent: Agent) -> list[ServerDocument]:
    """List the accounts as their sources last found them. A daemon asks no server for a status."""
    found = []
    for entry in agent.registry.servers:
        problem = _source_problem(agent, entry.name)
        session = agent.server(entry.name)
        if problem is None and agent.run_mode is not RunMode.DAEMON:
            problem = session.check(_RECENT_SECONDS)
        elif problem is None and not any(agent.runner(s.key) for s in agent.registry.sources_of(entry.name)):
            # Without a source only the heartbeat has asked the server.
            problem = session.problem
        found.append(_server(agent, entry, problem))
    return found


def _server(agent: Agent, entry: ServerEntry, problem: Problem | None) -> ServerDocument:
    session = agent.server(entry.name)
    token, unreadable = (None, None) if session.is_local_hub else _token_of(agent, entry)
    state = "ok"
    if not session.is_local_hub and token is None:
        state = "signed_out"
    elif problem is not None:
        state = "signed_out" if problem.kind is ProblemKind.SIGNED_OUT else "offline"
    return ServerDocument(
        name=entry.name,
        url=entry.url,
        workspace=entry.workspace,
        dialect=entry.dialect,
        connector_id=entry.connector_id,
        state=state,
        token_expires_at=stamp_or_none(token.expires_at) if token else None,
        warning=unreadable or (token_warning(entry.name, token, agent.clock()) if token else None),
        declared_in=entry.declared_in,
        remedy=entry.login_hint if state == "signed_out" else None,
        message=problem.message if problem is not None else None,
    )


def _token_of(agent: Agent, entry: ServerEntry) -> tuple[Token | None, str | None]:
    """Return an account's token, and the reason it cannot be read."""
    try:
        return agent.credentials.token_for(entry), None
    except CredentialsError as error:
        return None, error.message


def _source_problem(agent: Agent, server: str) -> Problem | None:
    """Return the problem that a source of this account has with its server."""
    for source in agent.registry.sources_of(server):
        runner = agent.runner(source.key)
        if runner is not None:
            problem = agent.control.call(partial(_problem_of, runner))
            if problem is not None:
                return problem
    return None


def _problem_of(runner: SourceRunner) -> Problem | None:
    return runner.engine.trouble


def source_status(agent: Agent, source: SourceEntry) -> SourceDocument:
    """Report one source."""
    runner = agent.start_source(source)
    view, resolving = agent.control.call(lambda: (runner.view(), len(runner.engine.resolving())))
    skipped = skips(agent, source)
    failed = failures(skipped)
    return SourceDocument(
        id=source.source_id,
        name=source.name,
        root=readable(str(source.root)),
        declared_in=source.declared.file if source.declared else None,
        server=source.server,
        dialect=agent.server_entry(source.server).dialect,
        mode=source.mode.value,
        state=(SourceState.ERROR if runner.failure else view.state).value,
        files=view.files,
        bytes=view.size,
        pending_push=view.pending_push,
        pending_pull=view.pending_pull,
        conflicts=view.conflicts,
        resolving=resolving,
        skipped=len(skipped),
        failed=len(failed),
        held_deletes=HeldDeletesDocument(view.held_plan, view.held_count) if view.held_plan else None,
        progress=_progress(agent, source, runner, view),
        paused_until=paused_until(view),
        paused_by=paused_by(source, view),
        cursor=view.cursor,
        last_sync_at=stamp_or_none(view.synced_at),
        degraded=[runner.degraded] if runner.degraded else [],
        error=_error_of(runner, view, failed),
    )


def _error_of(runner: SourceRunner, view: SourceView, failed: list[FileError]) -> ErrorDocument | None:
    """Return the most serious problem of a source as one code and one sentence."""
    if runner.failure:
        return ErrorDocument("internal", runner.failure)
    if view.halted:
        return ErrorDocument("halted", view.halted)
    if held := held_message(view):
        return ErrorDocument("halted", held)
    if view.trouble:
        return ErrorDocument(view.trouble.kind.value, view.trouble.message)
    if failed:
        first = failed[0]
        words = f"{first.path}: {first.message}"
        if len(failed) > 1:
            words = f"{len(failed)} files cannot be synced: raven-agent files --state skipped. The first is {words}"
        return ErrorDocument(first.code, words)
    if view.failed_tries:
        return ErrorDocument("not_sent", not_sent(view.failed_tries))
    return None


def _progress(agent: Agent, source: SourceEntry, runner: SourceRunner, view: SourceView) -> Progress | None:
    """Return the progress of the work under way; None when there is none. Bytes are those of the files at work."""
    left = view.pending_push + view.pending_pull
    done, seconds = runner.pace(left)
    if not left or view.state is not SourceState.SYNCING:
        return None
    if left <= _COUNTED_ROWS:
        size, arrived = agent.control.call(lambda: (_bytes_left(agent, source), runner.engine.bytes_downloaded))
    else:
        size, arrived = view.size * left // max(1, view.files), 0
    return progress_of(done, left, seconds, size, arrived)


def progress_of(done: int, left: int, seconds: float, bytes_left: int, arrived: int) -> Progress:
    """Return the progress of some work.

    Args:
        done, left: files that are done, and files that are not, at least one.
        seconds: time that those took.
        bytes_left: bytes of the files that are not done.
        arrived: bytes of these that were downloaded already.
    """
    rate = done / seconds if seconds > 0 else 0.0
    # Sizes of files that are done are not kept; they are taken to be as large as the others.
    bytes_done = bytes_left * done // left
    return Progress(
        files_done=done,
        files_total=done + left,
        bytes_done=bytes_done + min(arrived, bytes_left),
        bytes_total=bytes_done + bytes_left,
        eta_seconds=round(left / rate, 1) if rate > 0 else None,
    )


def _bytes_left(agent: Agent, source: SourceEntry) -> int:
    rows = agent.index.trees.with_step(source.key, Step.PUSH, Step.PULL)
    return sum((row.local.size if row.step is Step.PUSH else row.remote.size) or 0 for row in rows)
