"""files, explain, activity: single files and what happened to them. Nothing is changed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from agent.api.methods.common import (
    chosen_sources,
    file_state,
    hash_of,
    live_conflicts,
    opened_folder,
    path_param,
    raw_bytes,
    raw_path,
    readable,
    row_of,
    stamp,
)
from agent.api.methods.skips import Skip, skips
from agent.api.schema.common import PathParams
from agent.api.schema.status import ActivityDocument, ActivityParams, ExplainDocument, FileDocument, FilesParams
from agent.core.errors import UsageError
from agent.core.model import Presence
from agent.core.reconcile import Step
from agent.index.trees import PathRow
from agent.runtime.agent import Agent
from agent.settings.links import SourceEntry


def files(agent: Agent, params: FilesParams) -> list[FileDocument]:
    """List files and their states, in path order, source by source. What the rules do not select is left out."""
    found: list[FileDocument] = []
    for source in chosen_sources(agent, params):
        left = None if params.limit is None else params.limit - len(found)
        if left is not None and left <= 0:
            break
        found += _files_of(agent, source, params.state, str(params.after or ""), left)
    return found


def _files_of(
    agent: Agent, source: SourceEntry, wanted: str | None, after: str, limit: int | None
) -> list[FileDocument]:
    parked = {conflict.path for conflict in live_conflicts(agent, source) if conflict.parks}
    skipped = {skip.path: skip for skip in skips(agent, source)}
    # Links and names that are not UTF-8 have no row in the trees.
    found = {path: _skipped_file(source, skip) for path, skip in skipped.items() if path > after}

    def read() -> None:
        trees = agent.index.trees
        rows: Iterable[PathRow] = trees.all(source.key, after)
        if wanted == "skipped":
            rows = trees.with_step(source.key, Step.SKIP, Step.UNKNOWN, after=after)
        for row in rows:
            excluded = row.local.presence is Presence.OUT_OF_SCOPE and row.path not in parked
            if row.path in found or excluded:
                continue
            state = file_state(row, parked=row.path in parked)
            if wanted in (None, state):
                found[row.path] = _file(source, row, state)
            if limit is not None and len(found) >= limit + len(skipped):
                return

    agent.control.call(read)
    if wanted not in (None, "skipped"):
        found = {path: document for path, document in found.items() if document.state == wanted}
    ordered = [found[path] for path in sorted(found)]
    return ordered if limit is None else ordered[:limit]


def _file(source: SourceEntry, row: PathRow, state: str) -> FileDocument:
    return FileDocument(
        root=readable(str(source.root)),
        path=row.path,
        state=state,
        size=row.local.size,
        hash=hash_of(row.local),
        base_hash=hash_of(row.base),
        remote_hash=hash_of(row.remote),
    )


def _skipped_file(source: SourceEntry, skip: Skip) -> FileDocument:
    return FileDocument(
        root=readable(str(source.root)),
        path=skip.path,
        path_base64=raw_bytes(skip.raw),
        state="skipped",
        size=skip.size,
        hash=None,
        base_hash=None,
        remote_hash=None,
        reason=skip.reason.value,
        reason_text=skip.text,
    )


def explain(agent: Agent, params: PathParams) -> ExplainDocument:
    """Explain why a path is or is not synced, with the hash each side holds."""
    source, path = agent.source_over(path_param(params.path, params.path_base64))
    with opened_folder(agent, source) as folder:
        verdict = folder.selection.verdict(path)
    shown = readable(path)
    row = row_of(agent, source, shown)
    parked = any(conflict.path == path and conflict.parks for conflict in live_conflicts(agent, source))
    skipped = {skip.path: skip.text for skip in skips(agent, source)}
    if shown in skipped:
        state: str | None = "skipped"
    elif parked:
        state = "conflict"
    elif row.is_empty or not verdict.selected:
        state = None
    else:
        state = file_state(row, parked=False)
    return ExplainDocument(
        path=shown,
        path_base64=raw_path(path),
        synced=verdict.selected and shown not in skipped,
        rule=verdict.rule,
        origin=verdict.origin,
        state=state,
        reason=skipped.get(shown),
        hash=hash_of(row.local),
        base_hash=hash_of(row.base),
        remote_hash=hash_of(row.remote),
    )


def activity(agent: Agent, params: ActivityParams) -> list[ActivityDocument]:
    """List what happened to files, oldest first; of folders that were unlinked since, too."""
    since = _moment(params.since)
    known = {one.source.key: one.source for one in agent.registry.unlinked}
    known |= {source.key: source for source in agent.registry.sources}
    everything = params.folder is None and params.folder_base64 is None
    chosen = set(known) if everything else {source.key for source in chosen_sources(agent, params)}
    only = next(iter(chosen)) if len(chosen) == 1 else None
    limit = 100 if params.limit is None else params.limit
    after = int(params.after or 0)
    lines = agent.control.call(lambda: list(agent.index.activity.entries(only, after, limit)))
    return [
        ActivityDocument(
            id=line.id,
            at=stamp(line.at),
            source_id=known[line.source].source_id,
            root=readable(str(known[line.source].root)),
            path=line.path,
            what=line.what,
            detail=line.detail,
            operation_id=line.operation_id,
        )
        for line in lines
        if line.source in chosen and line.at >= since
    ]


def _moment(text: str | None) -> float:
    if text is None:
        return 0.0
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise UsageError(f"{text!r} is not a time", "for example 2026-03-01T12:00:00Z") from error
