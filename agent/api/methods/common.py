"""What several methods need: times and paths as the contract writes them, and rows read on the control thread."""

from __future__ import annotations

import base64
import datetime as dt
import os
from collections.abc import Mapping
from typing import Any

from agent.core.errors import AgentError, UsageError
from agent.core.model import Presence, Side
from agent.core.reconcile import Step
from agent.index.trees import PathRow
from agent.runtime.agent import Agent
from agent.settings.links import SourceEntry

Params = Mapping[str, Any]


class Unsent(AgentError):
    """Something on this side has not reached the server."""

    code = "unsent"


class RequestRefused(AgentError):
    """The request is understood and cannot be granted as things stand."""

    code = "refused"


def stamp(moment: float | None) -> str | None:
    """RFC 3339 UTC."""
    if moment is None:
        return None
    return dt.datetime.fromtimestamp(moment, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def text(params: Params, name: str) -> str | None:
    """An optional text parameter; None if it is missing or empty."""
    value = params.get(name)
    return value if isinstance(value, str) and value else None


def path_of(params: Params, name: str) -> str:
    """A path parameter; the true bytes win over the readable form.

    Raises:
        UsageError: it is missing.
    """
    raw = params.get(f"{name}_base64")
    if isinstance(raw, str):
        return os.fsdecode(base64.b64decode(raw))
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise UsageError(f"{name} is needed")
    return value


def path_fields(path: str, raw: bytes | None) -> dict[str, str]:
    """A path as the contract writes it: the readable form, and the true bytes of one that is not UTF-8."""
    encoded = {} if raw is None else {"path_base64": base64.b64encode(raw).decode("ascii")}
    return {"path": path, **encoded}


def chosen_sources(agent: Agent, params: Params) -> list[SourceEntry]:
    """The source of ``folder``, or all of them."""
    if params.get("folder") is None and params.get("folder_base64") is None:
        return list(agent.registry.sources)
    return [agent.source_for(path_of(params, "folder"))]


def window(rows: list[Any], params: Params, key: str) -> list[Any]:
    """``limit`` rows after the one whose ``key`` is ``after``."""
    after, limit = params.get("after"), params.get("limit")
    if after is not None:
        rows = [row for row in rows if str(row[key]) > str(after)]
    return rows if limit is None else rows[: int(limit)]


def row_of(agent: Agent, source: SourceEntry, path: str) -> PathRow:
    """The trees of one path."""
    return agent.control.call(lambda: agent.index.trees.get(source.key, [path])[path])


def file_state(row: PathRow, *, parked: bool) -> str:
    """A file's state as ``files`` shows it."""
    if parked:
        return "conflict"
    if row.step in (Step.SKIP, Step.UNKNOWN) or row.local.presence is Presence.UNKNOWN:
        return "skipped"
    if row.step in (Step.PUSH, Step.PUSH_DELETE):
        return "pending_push"
    if row.step in (Step.PULL, Step.PULL_DELETE):
        return "pending_pull"
    return "conflict" if row.step is Step.PARK else "ok"


def hash_of(side: Side) -> str | None:
    """A side's hash; None is "no such file"."""
    return side.hash if side.is_file else None


def remote_of(agent: Agent, source: SourceEntry) -> Any:
    """The adapter of a source's server. Raises RemoteError."""
    return agent.connection(source.server).remote
