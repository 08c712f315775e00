"""conflicts, diff, resolve: what is parked, and what a person decides about it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pathspec
from msgspec import Struct

from agent.api.methods.common import Params, chosen_sources, remote_of, stamp, window
from agent.api.methods.status import live_conflicts
from agent.core.conflict import Conflict, ConflictState
from agent.core.diff import diff_lines
from agent.core.errors import AgentError, RemoteError, UsageError
from agent.core.merge import Proposal, propose
from agent.core.model import Resolution
from agent.engine import messages as m
from agent.engine.config import RunMode
from agent.runtime.agent import Agent
from agent.runtime.source_runner import SourceRunner
from agent.settings.links import SourceEntry

_WAIT_SECONDS = 20.0


class _Shown(Struct, frozen=True):
    """A conflict with the source it belongs to."""

    source: SourceEntry
    conflict: Conflict

    def document(self) -> dict[str, Any]:
        conflict = self.conflict
        return {
            "id": conflict.key,
            "source_id": self.source.source_id,
            "root": str(self.source.root),
            "path": conflict.path,
            "kind": conflict.kind.value,
            "base_hash": conflict.base_hash,
            "local_hash": conflict.local_hash,
            "remote_hash": conflict.remote_hash,
            "opened_at": stamp(conflict.opened_at),
            "state": conflict.state.value,
            "mine": conflict.mine,
            "origin": conflict.origin.value,
            "note": conflict.note,
        }


def conflicts(agent: Agent, params: Params) -> list[dict[str, Any]]:
    """Parked conflicts, oldest first."""
    shown = [_Shown(s, c).document() for s in chosen_sources(agent, params) for c in live_conflicts(agent, s)]
    after = params.get("after")
    if after is not None:
        shown = [row for row in shown if _number(row["id"]) > _number(str(after))]
    return window(shown, {"limit": params.get("limit")}, "id")


def _number(key: str) -> int:
    try:
        return int(key.split(".", maxsplit=1)[0])
    except ValueError:
        raise UsageError(f"{key!r} is no conflict id", "raven-agent conflicts lists them") from None


def _find(agent: Agent, wanted: str, cwd: str) -> _Shown:
    """The conflict of an id, with or without its generation, or of a file's path.

    Raises:
        UsageError: there is none, or it is another machine's.
    """
    everything = [_Shown(s, c) for s in agent.registry.sources for c in live_conflicts(agent, s)]
    path = Path(os.path.normpath(Path(cwd) / wanted)) if cwd else Path(wanted)
    by_id = [s for s in everything if str(s.conflict.id) == wanted.split(".", maxsplit=1)[0]]
    by_path = [s for s in everything if s.source.root / s.conflict.path == path]
    by_path.sort(key=lambda shown: not shown.conflict.mine)
    found = by_id or by_path
    if not found:
        raise UsageError(f"no open conflict {wanted!r}", "raven-agent conflicts lists them")
    return found[0]


def diff(agent: Agent, params: Params) -> dict[str, Any]:
    """One conflict: base, both sides, and the proposed merge."""
    shown = _find(agent, str(params["id"]), str(params.get("cwd") or ""))
    texts = _Texts.of(agent, shown)
    proposal = texts.proposal()
    preview, cut = _preview(texts)
    return {
        **shown.document(),
        "base": _decoded(texts.base),
        "local": _decoded(texts.local),
        "remote": _decoded(texts.remote),
        "merged": _decoded(proposal.text) if proposal else None,
        "merge_clean": proposal.clean if proposal else False,
        "preview": preview,
        "cut": cut or (proposal is not None and proposal.cut),
    }


def _preview(texts: _Texts) -> tuple[list[dict[str, Any]], bool]:
    """The differing regions, and True if the work bound made one of them coarser than it could be."""
    ours = (texts.local or b"").decode("utf-8", "replace").splitlines()
    theirs = (texts.remote or b"").decode("utf-8", "replace").splitlines()
    found = diff_lines(ours, theirs)
    rows = []
    for equal, a, b, c, d in found.blocks:
        if not equal:
            rows.append({"line": a + 1, "local": "\n".join(ours[a:b]), "remote": "\n".join(theirs[c:d])})
    return rows, found.cut


def _decoded(text: bytes | None) -> str | None:
    return None if text is None else text.decode("utf-8", "replace")


class _Texts(Struct, frozen=True):
    """The three texts of a conflict; None where a side holds no file."""

    base: bytes | None
    local: bytes | None
    remote: bytes | None

    @classmethod
    def of(cls, agent: Agent, shown: _Shown) -> _Texts:
        conflict, source = shown.conflict, shown.source
        return cls(
            _version(agent, source, conflict.path, conflict.base_hash),
            _local_text(agent, source, conflict),
            _version(agent, source, conflict.path, conflict.remote_hash),
        )

    def proposal(self) -> Proposal | None:
        return propose(self.base, self.local, self.remote)


def _local_text(agent: Agent, source: SourceEntry, conflict: Conflict) -> bytes | None:
    """The local side as it stands in the folder, if it is still the one the conflict shows."""
    if conflict.local_hash is None:
        return None
    folder = agent.folder(source)
    try:
        seen = folder.observe([conflict.path], {}, None)[0]
        if seen.side.hash == conflict.local_hash and seen.side.size is not None:
            with folder.reader() as reader:
                return reader.read(conflict.path, conflict.local_hash, seen.side.size)
    except AgentError:
        return None
    finally:
        folder.close()
    return None


def _version(agent: Agent, source: SourceEntry, path: str, digest: str | None) -> bytes | None:
    """A text by its hash: kept here, in the local trash, or in the server's history."""
    if digest is None:
        return None
    kept = agent.control.call(lambda: agent.index.texts.get(digest))
    if kept is not None:
        return kept
    try:
        head = remote_of(agent, source).head(source.source_id, path)
        if head is not None and head.hash == digest:
            return bytes(head.content)
        for version in remote_of(agent, source).history(source.source_id, path):
            if version.hash == digest and version.content is not None:
                return bytes(version.content)
    except RemoteError:
        pass
    folder = agent.folder(source)
    try:
        entry = next((e for e in folder.trash.entries() if e.hash == digest), None)
        return folder.trash.read(entry.id) if entry else None
    except AgentError:
        return None
    finally:
        folder.close()


def resolve(agent: Agent, params: Params) -> dict[str, Any]:
    """Decide conflicts: queued at once, carried out as far as the server can be reached."""
    choice = Resolution(str(params["choice"]))
    chosen = _chosen(agent, params)
    results = [_decide(agent, shown, wanted, choice, params) for shown, wanted in chosen]
    if not params.get("dry_run"):
        _carry_out(agent, [r for r in results if r["state"] == "queued"])
    for row in results:
        row.pop("_key", None)
        row.pop("_source", None)
    return {"resolved": results}


def _chosen(agent: Agent, params: Params) -> list[tuple[_Shown, str | None]]:
    """The conflicts meant, each with the generation that was named, if one was."""
    if params.get("ids"):
        cwd = str(params.get("cwd") or "")
        return [(_find(agent, str(i), cwd), str(i)) for i in params["ids"]]
    mine = [_Shown(s, c) for s in agent.registry.sources for c in live_conflicts(agent, s) if c.parks]
    glob = params.get("path_glob")
    if glob is not None:
        spec = pathspec.GitIgnoreSpec.from_lines([str(glob)])
        mine = [shown for shown in mine if spec.match_file(shown.conflict.path)]
    return [(shown, None) for shown in mine]


def _decide(agent: Agent, shown: _Shown, named: str | None, choice: Resolution, params: Params) -> dict[str, Any]:
    conflict, source = shown.conflict, shown.source
    row: dict[str, Any] = {
        "id": conflict.key, "path": conflict.path, "choice": choice.value, "state": "refused", "message": None,
        "_key": conflict.id, "_source": source.key,
    }  # fmt: skip
    if not conflict.mine:
        return {**row, "message": "this is another machine's conflict; it is resolved there"}
    if named and "." in named and named != conflict.key and named.split(".")[0] == str(conflict.id):
        return {**row, "message": "the file or the server's version changed since; please look again"}
    text: bytes | None = None
    if choice is Resolution.KEEP_LOCAL and conflict.local_hash is not None:
        text = _local_text(agent, source, conflict)
        if text is None:
            return {**row, "message": "the file changed since; please look again"}
    elif choice is Resolution.MANUAL_MERGE:
        text = _merged_text(agent, shown, params)
        if text is None:
            return {**row, "message": "the proposed merge is not clean; finish it with --edit or --file"}
    if params.get("dry_run"):
        return {**row, "state": "would_resolve"}
    runner = _working(agent, source)
    refusal = agent.control.call(lambda: runner.decide(m.Resolve(conflict.id, conflict.generation, choice, text)))
    return {**row, "message": refusal} if refusal else {**row, "state": "queued"}


def _merged_text(agent: Agent, shown: _Shown, params: Params) -> bytes | None:
    if params.get("proposed"):
        proposal = _Texts.of(agent, shown).proposal()
        return proposal.text if proposal and proposal.clean else None
    return str(params.get("text") or "").encode()


def _working(agent: Agent, source: SourceEntry) -> SourceRunner:
    runner = agent.runner(source.key)
    if runner is not None and runner.config.run_mode is RunMode.DRY_RUN:
        agent.stop_source(source.key)
    return agent.start_source(source)


def _carry_out(agent: Agent, queued: list[dict[str, Any]]) -> None:
    """Wait until every decision is carried out, or cannot be for now."""
    keys = {row["_source"] for row in queued}
    runners = {key: runner for key in keys if (runner := agent.runner(key)) is not None}
    if agent.run_mode is not RunMode.DAEMON:
        for future in [runner.pass_once() for runner in runners.values()]:
            future.result()
    deadline = time.monotonic() + _WAIT_SECONDS
    left = list(queued)
    while left and time.monotonic() < deadline:
        left = [row for row in left if not _settled(agent, row, runners)]
        if left:
            time.sleep(0.02)


def _settled(agent: Agent, row: dict[str, Any], runners: dict[int, SourceRunner]) -> bool:
    found = agent.control.call(lambda: agent.index.conflicts.get(row["_key"]))
    conflict = found[1] if found else None
    if conflict is None or conflict.state is ConflictState.CLOSED:
        row["state"] = "resolved"
    elif conflict.state is ConflictState.OPEN:
        row.update(state="refused", message=conflict.note, id=conflict.key)
    else:
        runner = runners[row["_source"]]
        view = agent.control.call(runner.view)
        waiting = view.trouble is not None or view.paused_until is not None or view.halted is not None
        if not waiting and agent.run_mode is RunMode.DAEMON:
            return False
        row["message"] = view.trouble.message if view.trouble else "it is carried out as soon as that is possible"
    return True
