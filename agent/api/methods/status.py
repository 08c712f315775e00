"""status, progress, files, explain, activity: looking, and not touching."""

from __future__ import annotations

import os
from typing import Any

from agent import __version__
from agent.api.context import ApiContext
from agent.api.methods.common import Params, chosen_sources, file_state, hash_of, path_fields, path_of, row_of, stamp
from agent.core.conflict import Conflict
from agent.core.errors import ProblemKind
from agent.core.model import SourceState
from agent.engine.config import RunMode
from agent.engine.status import SourceView
from agent.runtime.agent import Agent
from agent.runtime.server_session import expiry_words
from agent.runtime.source_runner import SourceRunner
from agent.settings.credentials import Token
from agent.settings.errors import CredentialsError
from agent.settings.links import ServerEntry, SourceEntry

SCHEMA = 1


def status(context: ApiContext, params: Params) -> dict[str, Any]:
    """Everything, source by source. Without a daemon the disk is looked at and the server asked first."""
    agent = context.agent
    sources = chosen_sources(agent, params)
    if agent.run_mode is not RunMode.DAEMON:
        passes = [agent.start_source(source, RunMode.DRY_RUN).pass_once() for source in sources]
        for future in passes:
            future.result()
    running = agent.run_mode is RunMode.DAEMON
    return {
        "schema": SCHEMA,
        "version": __version__,
        "checked_at": stamp(agent.clock()),
        "daemon": {
            "running": running,
            "pid": os.getpid() if running else None,
            "since": stamp(agent.since) if running else None,
        },
        "servers": servers(agent, params),
        "sources": [source_status(agent, source) for source in sources],
        "declarations": [outcome.document() for outcome in context.declaration_outcomes()],
    }


def progress(agent: Agent, params: Params) -> dict[str, Any]:
    """The sources as ``status`` has them, as they are at this moment."""
    working = [s for s in chosen_sources(agent, params) if agent.runner(s.key) is not None]
    return {"sources": [source_status(agent, source) for source in working]}


def servers(agent: Agent, _params: Params) -> list[dict[str, Any]]:
    """The accounts, with the state of each."""
    rows = []
    for entry in agent.registry.servers:
        session = agent.server(entry.name)
        token, unreadable = (None, None) if session.is_local_hub else _token_of(agent, entry)
        state = "ok"
        problem = session.problem or _trouble_with(agent, entry.name)
        if not session.is_local_hub and token is None:
            state = "signed_out"
        elif problem is not None:
            state = "signed_out" if problem.kind is ProblemKind.SIGNED_OUT else "offline"
        rows.append(
            {
                "name": entry.name,
                "url": entry.url,
                "workspace": entry.workspace,
                "dialect": entry.dialect,
                "connector_id": entry.connector_id,
                "state": state,
                "token_expires_at": stamp(token.expires_at) if token else None,
                "warning": unreadable or _end_of(agent, entry, token),
                "declared_in": entry.declared_in,
                "remedy": entry.login_hint if state == "signed_out" else None,
            }
        )
    return rows


def _token_of(agent: Agent, entry: ServerEntry) -> tuple[Token | None, str | None]:
    """An account's token, and what keeps it from being read."""
    try:
        return agent.credentials.token_for(entry), None
    except CredentialsError as error:
        return None, error.message


def _end_of(agent: Agent, entry: ServerEntry, token: Token | None) -> str | None:
    if token is None or token.expires_at is None:
        return None
    return expiry_words(entry.name, token.expires_at - agent.clock())


def _trouble_with(agent: Agent, server: str) -> Any:
    for source in agent.registry.sources_of(server):
        runner = agent.runner(source.key)
        if runner is not None:
            trouble = agent.control.call(lambda runner=runner: runner.view().trouble)  # type: ignore[misc]
            if trouble is not None:
                return trouble
    return None


def source_status(agent: Agent, source: SourceEntry) -> dict[str, Any]:
    """One source as ``status`` has it."""
    runner = agent.start_source(source)
    view = agent.control.call(runner.view)
    failed = failures(agent, source)
    return {
        "id": source.source_id,
        "name": source.name,
        "root": str(source.root),
        "declared_in": source.declared.file if source.declared else None,
        "server": source.server,
        "dialect": agent.server_entry(source.server).dialect,
        "mode": source.mode.value,
        "state": (SourceState.ERROR if runner.failure else view.state).value,
        "files": view.files,
        "bytes": view.size,
        "pending_push": view.pending_push,
        "pending_pull": view.pending_pull,
        "conflicts": view.conflicts,
        "skipped": view.skipped,
        "failed": len(failed),
        "held_deletes": {"plan": view.held_plan, "count": view.held_count} if view.held_plan else None,
        "progress": _progress(runner, view),
        "paused_until": None if view.paused_until in (None, float("inf")) else stamp(view.paused_until),
        "cursor": view.cursor,
        "last_sync_at": stamp(view.synced_at),
        "degraded": [runner.degraded] if runner.degraded else [],
        "error": error_of(runner, view, failed),
    }


def error_of(runner: SourceRunner, view: SourceView, failed: list[dict[str, str]]) -> dict[str, str] | None:
    """What is wrong with a source, in one code and one sentence, the graver first."""
    if runner.failure:
        return {"code": "internal", "message": runner.failure}
    if view.halted:
        return {"code": "halted", "message": view.halted}
    if view.held_plan:
        text = f"{view.held_count} deletes are held; sync --approve-deletes {view.held_plan}, or --undo-deletes"
        return {"code": "halted", "message": text}
    if view.trouble:
        return {"code": view.trouble.kind.value, "message": view.trouble.message}
    if failed:
        first = failed[0]
        return {"code": first["code"], "message": f"{first['path']}: {first['message']}"}
    return None


def _progress(runner: SourceRunner, view: SourceView) -> dict[str, Any] | None:
    """How far the work at hand has come; None when there is none."""
    left = view.pending_push + view.pending_pull
    done, seconds = runner.pace(left)
    if not left or view.state is not SourceState.SYNCING:
        return None
    rate = done / seconds if seconds > 0 else 0.0
    total = done + left
    size = view.size
    return {
        "files_done": done,
        "files_total": total,
        "bytes_done": size * done // total,
        "bytes_total": size,
        "eta_seconds": round(left / rate, 1) if rate > 0 else None,
    }


def skips(agent: Agent, source: SourceEntry) -> list[dict[str, Any]]:
    """Every selected path that is not synced: policy or failure, with the reason."""

    def read() -> list[dict[str, Any]]:
        found = {
            row.path: {"path": row.path, "reason": row.local.reason, "text": _words(row.local.reason.value)}
            for row in agent.index.trees.unsendable(source.key)
            if row.local.reason is not None
        }
        for problem in agent.index.problems.all(source.key):
            found[problem.path] = {
                **path_fields(problem.path, problem.raw), "reason": problem.reason, "text": problem.text
            }  # fmt: skip
        return list(found.values())

    return agent.control.call(read)


def failures(agent: Agent, source: SourceEntry) -> list[dict[str, str]]:
    """Paths that are not synced for a reason that is not policy."""
    return [
        {**named(skip), "code": skip["reason"].value, "message": skip["text"]}
        for skip in skips(agent, source)
        if not skip["reason"].is_policy
    ]


def named(skip: dict[str, Any]) -> dict[str, str]:
    """A skip's path, with the true bytes of a name that is not UTF-8."""
    return {field: value for field, value in skip.items() if field in ("path", "path_base64")}


def _words(reason: str) -> str:
    return {
        "too_large": "larger than the server takes",
        "unreadable": "it cannot be read; check its permissions",
        "placeholder": "its bytes are in the cloud, not on this disk",
        "not_utf8": "not UTF-8 text",
        "binary": "not text",
        "refused": "the server refuses it",
        "garbled": "what the server says of it cannot be understood",
    }.get(reason, reason.replace("_", " "))


def live_conflicts(agent: Agent, source: SourceEntry) -> list[Conflict]:
    """The conflicts of a source that are not closed."""
    return agent.control.call(lambda: agent.index.conflicts.live(source.key))


def files(agent: Agent, params: Params) -> list[dict[str, Any]]:
    """Files and their states, in path order."""
    wanted, limit, after = params.get("state"), params.get("limit"), str(params.get("after") or "")
    rows: list[dict[str, Any]] = []
    for source in chosen_sources(agent, params):
        parked = {c.path for c in live_conflicts(agent, source) if c.parks}

        def read(source: SourceEntry = source, parked: set[str] = parked) -> None:
            for row in agent.index.trees.all(source.key, after):
                state = file_state(row, parked=row.path in parked)
                if wanted is not None and state != wanted:
                    continue
                if limit is not None and len(rows) >= int(limit):
                    return
                rows.append(
                    {
                        "path": row.path,
                        "state": state,
                        "size": row.local.size,
                        "hash": hash_of(row.local),
                        "base_hash": hash_of(row.base),
                        "remote_hash": hash_of(row.remote),
                    }
                )

        agent.control.call(read)
    return rows


def explain(agent: Agent, params: Params) -> dict[str, Any]:
    """Why a path is or is not synced, and what each side holds."""
    source, path = agent.source_over(path_of(params, "path"))
    folder = agent.folder(source)
    try:
        verdict = folder.selection.verdict(path)
    finally:
        folder.close()
    row = row_of(agent, source, path)
    parked = any(c.path == path and c.parks for c in live_conflicts(agent, source))
    skipped = {skip["path"]: skip["text"] for skip in skips(agent, source)}
    state = file_state(row, parked=parked) if not row.is_empty or path in skipped else None
    return {
        "path": path,
        "synced": verdict.selected and path not in skipped,
        "rule": verdict.rule,
        "origin": verdict.origin,
        "state": "skipped" if path in skipped else state,
        "reason": skipped.get(path),
        "hash": hash_of(row.local),
        "base_hash": hash_of(row.base),
        "remote_hash": hash_of(row.remote),
    }


def activity(agent: Agent, params: Params) -> list[dict[str, Any]]:
    """What happened to files; ``after`` is the id of the last line already seen."""
    sources = {source.key: source for source in agent.registry.sources}
    chosen = {source.key for source in chosen_sources(agent, params)}
    only = next(iter(chosen)) if len(chosen) == 1 else None
    limit = int(params.get("limit") or 100)
    after = int(params.get("after") or 0)
    lines = agent.control.call(lambda: list(agent.index.activity.entries(only, after, limit)))
    return [
        {
            "id": line.id,
            "at": stamp(line.at),
            "source_id": sources[line.source].source_id,
            "root": str(sources[line.source].root),
            "path": line.path,
            "what": line.what,
            "detail": line.detail,
            "operation_id": line.operation_id,
        }
        for line in lines
        if line.source in chosen
    ]
