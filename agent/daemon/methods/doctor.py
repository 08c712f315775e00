"""doctor: what could keep the agent from doing its work, each with what to do about it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agent.core.errors import AgentError, RemoteError
from agent.daemon.agent import Agent
from agent.daemon.methods.common import Params
from agent.registry import ServerEntry, SourceEntry

_LEAST_FREE = 256 << 20


def doctor(agent: Agent, _params: Params) -> dict[str, Any]:
    """Every check."""
    checks = [*_home(agent), *_index(agent)]
    for server in agent.registry.servers:
        checks.append(_server(agent, server))
    for source in agent.registry.sources:
        checks += list(_source(agent, source))
    checks.append(_watches())
    return {"ok": all(check["ok"] for check in checks), "checks": checks}


def _check(name: str, *, ok: bool, detail: str, remedy: str | None = None) -> dict[str, Any]:
    return {"check": name, "ok": ok, "detail": detail, "remedy": None if ok else remedy}


def _home(agent: Agent) -> Iterator[dict[str, Any]]:
    state = agent.home.state_dir
    mode = state.stat().st_mode & 0o777
    yield _check("home", ok=mode & 0o077 == 0, detail=f"{state} ({mode:o})", remedy=f"chmod 700 {state}")
    free = shutil.disk_usage(state).free
    yield _check("free space", ok=free > _LEAST_FREE, detail=f"{free >> 20} MiB free", remedy="make room on the disk")


def _index(agent: Agent) -> Iterator[dict[str, Any]]:
    complaint = agent.control.call(agent.index.check)
    yield _check(
        "index", ok=complaint is None, detail=complaint or "sound",
        remedy="stop the agent and move the index away: it is rebuilt as a union, nothing is deleted",
    )  # fmt: skip


def _server(agent: Agent, entry: ServerEntry) -> dict[str, Any]:
    def ask() -> str:
        line = agent.line(entry.name)
        found = line.remote.capabilities
        words = "answers each item, waits on the server" if found.item_results else "a plain Raven server"
        return f"{entry.url}: {words}"

    return _tried(f"server {entry.name}", ask, f"raven-agent login {entry.url}, or check the network")


def _source(agent: Agent, source: SourceEntry) -> Iterator[dict[str, Any]]:
    def look() -> str:
        folder = agent.folder(source)
        try:
            primitive = source.root and folder.root.fs.swap_primitive(folder.trash.slots)
            return f"{source.root}: files are put in place by {primitive}"
        finally:
            folder.close()

    yield _tried(f"folder {source.name}", look, "raven-agent move OLD NEW if it moved, else put it back")
    writable = os.access(source.root, os.W_OK | os.X_OK)
    yield _check(
        f"permissions {source.name}", ok=writable, detail=f"{source.root} can be written" if writable else "read-only",
        remedy=f"chmod u+rwx {source.root}",
    )  # fmt: skip


def _tried(name: str, work: Callable[[], str], remedy: str) -> dict[str, Any]:
    try:
        return _check(name, ok=True, detail=work())
    except RemoteError as error:
        return _check(name, ok=False, detail=error.message, remedy=error.hint or remedy)
    except (AgentError, OSError) as error:
        return _check(name, ok=False, detail=str(error), remedy=remedy)


def _watches() -> dict[str, Any]:
    limit = Path("/proc/sys/fs/inotify/max_user_watches")
    if not limit.exists():
        return _check("watches", ok=True, detail="the platform has no limit to speak of")
    most = int(limit.read_text().strip())
    return _check(
        "watches", ok=most >= 8192, detail=f"up to {most} folders can be watched",
        remedy="sudo sysctl fs.inotify.max_user_watches=524288",
    )  # fmt: skip
