"""history, restore, trash: what was there before, and bringing it back."""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.api.methods.common import Params, RequestRefused, chosen_sources, path_of, remote_of, stamp, window
from agent.api.methods.status import live_conflicts
from agent.core.errors import RemoteError, UsageError
from agent.engine import messages as m
from agent.runtime.agent import Agent
from agent.settings.links import SourceEntry

if TYPE_CHECKING:
    from agent.disk.apply.trash import TrashEntry

_WAIT_SECONDS = 30.0


def history(agent: Agent, params: Params) -> list[dict[str, Any]]:
    """Versions of a file on the server and in the local trash, newest first."""
    source, path = agent.source_over(path_of(params, "path"))
    rows: list[dict[str, Any]] = []
    try:
        for version in remote_of(agent, source).history(source.source_id, path):
            size = version.size if version.size is not None else len(version.content or b"")
            rows.append(
                {"hash": version.hash, "size": size, "recorded_at": version.recorded_at, "origin": version.origin,
                 "where": "server"}
            )  # fmt: skip
    except RemoteError as error:
        if error.code not in ("offline", "busy", "not_found"):
            raise
    folder = agent.folder(source)
    try:
        for entry in folder.trash.entries():
            if entry.path == path:
                rows.append(
                    {"hash": entry.hash, "size": entry.size, "recorded_at": stamp(entry.moved_at),
                     "origin": entry.reason, "where": "trash", "trash_id": entry.id}
                )  # fmt: skip
    finally:
        folder.close()
    rows.sort(key=lambda row: row["recorded_at"] or "", reverse=True)
    return window(rows, {"limit": params.get("limit")}, "hash")


def restore(agent: Agent, params: Params) -> dict[str, Any]:
    """Bring a version back; what stands there goes to the trash first."""
    source, path = agent.source_over(path_of(params, "path"))
    content = _wanted(agent, source, path, params)
    if params.get("to") is not None or params.get("to_base64") is not None:
        target = Path(path_of(params, "to"))
        if agent.registry.source_over(target) is None:
            return _write_outside(target, content)
        source, path = agent.source_over(str(target))
    if any(c.path == path and c.parks for c in live_conflicts(agent, source)):
        raise RequestRefused(f"{path} is parked by a conflict", "raven-agent resolve it first")
    runner = agent.start_source(source)
    runner.pass_once().result()
    runner.deliver(m.Restore(path, content))
    _wait_for(source.root / path, content)
    runner.pass_once().result()
    return {"changed": True, "path": path, "root": str(source.root), "size": len(content)}


def _wanted(agent: Agent, source: SourceEntry, path: str, params: Params) -> bytes:
    folder = agent.folder(source)
    try:
        if params.get("trash_id"):
            wanted = str(params["trash_id"])
            found = [e for e in folder.trash.entries() if e.id.startswith(wanted)]
            if len(found) != 1:
                raise UsageError(f"{'several trash entries start' if found else 'no trash entry starts'} with {wanted}")
            return folder.trash.read(found[0].id)
        wanted = str(params.get("version") or "")
        for entry in folder.trash.entries():
            if wanted and entry.path == path and entry.hash.startswith(wanted):
                return folder.trash.read(entry.id)
    finally:
        folder.close()
    versions = [v for v in remote_of(agent, source).history(source.source_id, path) if v.hash.startswith(wanted)]
    if not wanted or not versions or len({v.hash for v in versions}) > 1 or versions[0].content is None:
        raise UsageError(f"no single version {wanted!r} of {path}", "raven-agent history lists them")
    return bytes(versions[0].content)


def _write_outside(target: Path, content: bytes) -> dict[str, Any]:
    """A new file outside every linked folder; an existing one is never replaced."""
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise RequestRefused(f"{target} cannot be written: {error.strerror}", "choose another --to") from error
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        os.fsync(out.fileno())
    return {"changed": True, "path": str(target), "root": None, "size": len(content)}


def _wait_for(target: Path, content: bytes) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            if target.read_bytes() == content:
                return
        except OSError:
            pass
        time.sleep(0.02)
    raise RequestRefused(f"{target} could not be restored", "raven-agent explain says how the file stands")


def trash(agent: Agent, params: Params) -> list[dict[str, Any]]:
    """What was replaced or removed here, oldest first."""
    rows = []
    for source in chosen_sources(agent, params):
        known = _on_server(agent, source)
        folder = agent.folder(source)
        try:
            rows += [
                {"id": e.id, "path": e.path, "hash": e.hash, "size": e.size, "reason": e.reason,
                 "moved_at": stamp(e.moved_at), "on_server": e.hash in known, "root": str(source.root)}
                for e in folder.trash.entries()
            ]  # fmt: skip
        finally:
            folder.close()
    after = params.get("after")
    if after is not None:
        ids = [row["id"] for row in rows]
        rows = rows[ids.index(after) + 1 :] if after in ids else rows
    return window(rows, {"limit": params.get("limit")}, "id")


def _on_server(agent: Agent, source: SourceEntry) -> set[str]:
    return agent.control.call(lambda: agent.index.trees.remote_hashes(source.key))


def _prune(agent: Agent, source: SourceEntry) -> list[TrashEntry]:
    settings = agent.settings

    @functools.cache
    def known() -> set[str]:
        # Of a large folder these are many, and every start prunes: only a trash that is over its size asks for them.
        return _on_server(agent, source)

    folder = agent.folder(source)
    try:
        return folder.trash.prune(
            agent.clock(), settings.trash_days * 86400.0, settings.trash_max_bytes, lambda digest: digest in known()
        )
    finally:
        folder.close()


def trash_prune(agent: Agent, _params: Params) -> dict[str, Any]:
    """Drop what is past its time."""
    removed, size = 0, 0
    for source in agent.registry.sources:
        gone = _prune(agent, source)
        removed += len(gone)
        size += sum(entry.size for entry in gone)
    return {"changed": removed > 0, "removed": removed, "bytes": size}
