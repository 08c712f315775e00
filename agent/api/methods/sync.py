"""sync, retry, pause, resume."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

from msgspec import structs

from agent.api.methods.common import Params, chosen_sources, path_of, stamp
from agent.api.methods.status import failures, named, skips
from agent.core.errors import UsageError
from agent.core.model import SourceState
from agent.engine import messages as m
from agent.engine.config import RunMode
from agent.engine.in_flight import SyncCounters
from agent.runtime.agent import Agent
from agent.runtime.source_runner import SourceRunner
from agent.settings import links as reg
from agent.settings.links import SourceEntry


def sync(agent: Agent, params: Params) -> dict[str, Any]:
    """One full pass over the chosen folders, together."""
    sources = chosen_sources(agent, params)
    if params.get("dry_run"):
        return {"sources": [_would(agent, source) for source in sources]}
    runners = {source.key: _runner(agent, source) for source in sources}
    before = {key: agent.control.call(lambda r=r: structs.replace(r.engine.tally)) for key, r in runners.items()}  # type: ignore[misc]
    began = time.monotonic()
    _pass(runners)
    if params.get("approve_deletes") or params.get("undo_deletes"):
        _decide_deletes(agent, runners, params)
        _pass(runners)
    seconds = time.monotonic() - began
    return {"sources": [_report(agent, s, runners[s.key], before[s.key], seconds) for s in sources]}


def _runner(agent: Agent, source: SourceEntry) -> SourceRunner:
    runner = agent.runner(source.key)
    if runner is not None and runner.config.run_mode is RunMode.DRY_RUN:
        agent.stop_source(source.key)
    return agent.start_source(source)


def _pass(runners: dict[int, SourceRunner]) -> None:
    for future in [runner.pass_once() for runner in runners.values()]:
        future.result()


def _decide_deletes(agent: Agent, runners: dict[int, SourceRunner], params: Params) -> None:
    plan = params.get("approve_deletes")
    held = {key: agent.control.call(lambda r=r: r.engine.held) for key, r in runners.items()}  # type: ignore[misc]
    if plan is not None and not any(h is not None and h.plan == plan for h in held.values()):
        raise UsageError(f"no deletes are held under the plan {plan}", "raven-agent status shows the plan that is")
    for key, runner in runners.items():
        if held[key] is not None:
            runner.deliver(m.UndoDeletes() if plan is None else m.ApproveDeletes(plan))


def _report(
    agent: Agent, source: SourceEntry, runner: SourceRunner, before: SyncCounters, seconds: float
) -> dict[str, Any]:
    view = agent.control.call(runner.view)
    tally = agent.control.call(lambda: structs.replace(runner.engine.tally))
    errors = failures(agent, source)
    if view.trouble is not None:
        errors.append({"path": "", "code": view.trouble.kind.value, "message": view.trouble.message})
    if view.halted:
        errors.append({"path": "", "code": "halted", "message": view.halted})
    if runner.failure:
        errors.append({"path": "", "code": "internal", "message": runner.failure})
    return {
        "id": source.source_id,
        "root": str(source.root),
        "state": (SourceState.ERROR if runner.failure else view.state).value,
        "pushed": tally.pushed - before.pushed,
        "pulled": tally.pulled - before.pulled,
        "deleted_remote": tally.deleted_remote - before.deleted_remote,
        "deleted_local": tally.deleted_local - before.deleted_local,
        "conflicts_opened": tally.conflicts_opened - before.conflicts_opened,
        "conflicts": view.conflicts,
        "held_deletes": {"plan": view.held_plan, "count": view.held_count} if view.held_plan else None,
        "skipped": [{**named(skip), "reason": skip["reason"].value} for skip in skips(agent, source)],
        "errors": errors,
        "seconds": round(seconds, 3),
    }


def _would(agent: Agent, source: SourceEntry) -> dict[str, Any]:
    """What a pass would do: both sides looked at, neither changed."""
    if agent.run_mode is not RunMode.DAEMON:
        agent.stop_source(source.key)
        runner = agent.start_source(source, RunMode.DRY_RUN)
        runner.pass_once().result()
    else:
        runner = agent.start_source(source)
    counts = agent.control.call(lambda: agent.index.trees.work(source.key))
    from agent.core.reconcile import Step

    document = _report(agent, source, runner, agent.control.call(lambda: structs.replace(runner.engine.tally)), 0.0)
    document |= {
        "dry_run": True,
        "pushed": counts.get(Step.PUSH, 0),
        "deleted_remote": counts.get(Step.PUSH_DELETE, 0),
        "pulled": counts.get(Step.PULL, 0),
        "deleted_local": counts.get(Step.PULL_DELETE, 0),
        "conflicts_opened": max(0, counts.get(Step.PARK, 0) - document["conflicts"]),
    }
    return document


def retry(agent: Agent, params: Params) -> dict[str, Any]:
    """Try skipped or failed files again now."""
    if params.get("path") is None and params.get("path_base64") is None:
        for source in agent.registry.sources:
            _retry(agent, source, None)
        return {"changed": bool(agent.registry.sources), "path": None}
    source, path = agent.source_over(path_of(params, "path"))
    _retry(agent, source, (path,) if path != "." else None)
    return {"changed": True, "path": path}


def _retry(agent: Agent, source: SourceEntry, paths: tuple[str, ...] | None) -> None:
    runner = _runner(agent, source)
    runner.deliver(m.Retry(paths))
    runner.pass_once().result()


def pause(agent: Agent, params: Params) -> dict[str, Any]:
    """Stop changing anything, here or everywhere."""
    if params.get("everywhere"):
        return _everywhere(agent, params, "pause")
    seconds = params.get("seconds")
    until = math.inf if seconds is None else agent.clock() + float(seconds)
    return _set_pause(agent, params, until)


def resume(agent: Agent, params: Params) -> dict[str, Any]:
    """Go on, here or everywhere."""
    if params.get("everywhere"):
        return _everywhere(agent, params, "resume")
    return _set_pause(agent, params, None)


def _set_pause(agent: Agent, params: Params, until: float | None) -> dict[str, Any]:
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
                # Which of them are gone, and are gone on without, is known once somebody has looked.
                runner.pass_once().result()
        if runner is not None:
            told = m.Resume() if until is None else m.Pause(until)
            agent.control.call(lambda runner=runner, told=told: runner.tell(told))  # type: ignore[misc]
    return {
        "changed": bool(sources),
        "roots": [str(source.root) for source in sources],
        "paused_until": None if until is None or math.isinf(until) else stamp(until),
    }


def _everywhere(agent: Agent, params: Params, verb: str) -> dict[str, Any]:
    sources = chosen_sources(agent, params)
    for source in sources:
        remote = agent.connection(source.server).remote
        if verb == "pause":
            remote.pause(source.source_id)
        else:
            remote.resume(source.source_id)
    return {"changed": bool(sources), "roots": [str(s.root) for s in sources], "everywhere": True}
