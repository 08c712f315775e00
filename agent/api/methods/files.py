"""files, tree, activity: single files and what happened to them. Nothing is changed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from agent.api.methods.common import (
    chosen_or_unlinked,
    chosen_sources,
    file_state,
    hash_of,
    moment_param,
    parked_paths,
    path_param,
    raw_bytes,
    readable,
    stamp,
)
from agent.api.methods.skips import Skip, skips
from agent.api.schema.common import ListOrder
from agent.api.schema.status import (
    ActivityCount,
    ActivityCountsParams,
    ActivityDocument,
    ActivityParams,
    FileDocument,
    FilesParams,
    SpanLength,
    TreeDocument,
    TreeParams,
)
from agent.core.errors import UsageError
from agent.core.model import Presence
from agent.core.reconcile import Step
from agent.index.activity import ActivityFilter, ActivityKind
from agent.index.trees import PathRow
from agent.runtime.agent import Agent
from agent.settings.links import SourceEntry

_TREE_ROWS: Final = 1000
_NEWEST: Final = 100
"""Entries of the activity log that are listed if neither a limit nor a time is given."""


def files(agent: Agent, params: FilesParams) -> list[FileDocument]:
    """List files and their states, in path order, source by source. What the rules do not select is left out."""
    found: list[FileDocument] = []
    chosen, after = _behind(chosen_sources(agent, params), str(params.after or ""))
    for source in chosen:
        left = None if params.limit is None else params.limit - len(found)
        if left is not None and left <= 0:
            break
        found += _files_of(agent, source, params, after if source is chosen[0] else "", left)
    return found


def _behind(chosen: list[SourceEntry], after: str) -> tuple[list[SourceEntry], str]:
    """Return the folders from that of the mark ``after`` on, and the mark relative to the first of them.

    Raises:
        UsageError: the mark names no listed folder, or does not say which of several.
    """
    if not after:
        return chosen, after
    if not after.startswith("/"):
        if len(chosen) > 1:
            raise UsageError(
                f"several folders are listed, and {after!r} can be in each", "give FOLDER, or the whole path as --after"
            )
        return chosen, after
    for place, source in enumerate(chosen):
        if Path(after).is_relative_to(readable(str(source.root))):
            return chosen[place:], Path(after).relative_to(readable(str(source.root))).as_posix()
    raise UsageError(f"{after} lies in no listed folder", "raven-agent status lists them")


_STEPS: Final = {
    "pending_push": (Step.PUSH, Step.PUSH_DELETE),
    "pending_pull": (Step.PULL, Step.PULL_DELETE),
    "skipped": (Step.SKIP, Step.UNKNOWN),
}
"""Steps of the files in a state. A list of these reads no other rows."""


def _files_of(
    agent: Agent, source: SourceEntry, params: FilesParams, after: str, limit: int | None
) -> list[FileDocument]:
    wanted = params.state
    parked = parked_paths(agent, source)
    skipped = {skip.path: skip for skip in skips(agent, source)}
    # Links and names that are not UTF-8 have no row in the trees.
    found = {
        path: _skipped_file(source, skip)
        for path, skip in skipped.items()
        if path > after and path_matches(path, params.match)
    }

    def read() -> None:
        for row in _candidates(agent, source, params, after, parked):
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


def _candidates(
    agent: Agent, source: SourceEntry, params: FilesParams, after: str, parked: set[str]
) -> Iterable[PathRow]:
    """Return rows that can be in the wanted state, in path order. Runs on the control thread."""
    trees = agent.index.trees
    if params.state in _STEPS:
        rows: Iterable[PathRow] = trees.with_step(source.key, *_STEPS[params.state], after=after)
    elif params.state == "conflict":
        chosen = {row.path: row for row in trees.with_step(source.key, Step.PARK, after=after)}
        chosen |= trees.get(source.key, [path for path in parked if path > after])
        rows = [chosen[path] for path in sorted(chosen)]
    elif params.match:
        return trees.matching(source.key, params.match, after)
    else:
        return trees.all(source.key, after)
    return (row for row in rows if path_matches(row.path, params.match))


def path_matches(path: str, pattern: str | None) -> bool:
    """Return True if a path has this part or fits this pattern, as ``Trees.matching`` decides; also for no pattern."""
    if not pattern:
        return True
    if any(sign in pattern for sign in "*?["):
        return fnmatchcase(path.lower(), pattern.lower())
    return pattern.lower() in path.lower()


def tree(agent: Agent, params: TreeParams) -> list[TreeDocument]:
    """List the folders and files directly in one folder, in path order.

    Raises:
        UsageError: no folder is named, or it is not linked.
    """
    source = agent.source_for(path_param(params.folder, params.folder_base64, "folder"))
    under, after, limit = params.under.strip("/"), str(params.after or ""), params.limit or _TREE_ROWS
    parked = parked_paths(agent, source)
    names = agent.control.call(lambda: agent.index.trees.names_in(source.key, under, after, limit))
    return [
        TreeDocument(
            path=path,
            kind="folder" if row is None else "file",
            state=None if row is None else file_state(row, parked=path in parked),
            size=None if row is None else row.local.size,
        )
        for path, row in names
        if row is None or path in parked or row.local.presence is not Presence.OUT_OF_SCOPE
    ]


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


def activity(agent: Agent, params: ActivityParams) -> list[ActivityDocument]:
    """List what happened to files; of folders that were unlinked since, too. Without an order the oldest first.

    Raises:
        UsageError: the kind, the time or ``after`` is none, or the folder neither is nor was linked.
    """
    if params.kind is not None and params.kind not in set(ActivityKind):
        raise UsageError(f"there is no kind {params.kind!r}", f"one of {', '.join(ActivityKind)}")
    wanted = ActivityFilter(moment_param(params.since), params.kind or "", params.match or "")
    chosen = {source.key: source for source in chosen_or_unlinked(agent, params)}
    limit = params.limit if params.limit is not None else _NEWEST if params.since is None else -1
    after = _entry_id(params.after)
    log = agent.index.activity
    read = log.before if params.order is ListOrder.NEWEST else log.entries
    lines = agent.control.call(lambda: list(read(chosen, after, limit, wanted)))
    return [
        ActivityDocument(
            id=line.id,
            at=stamp(line.at),
            source_id=chosen[line.source].source_id,
            root=readable(str(chosen[line.source].root)),
            path=line.path,
            what=line.what,
            detail=line.detail,
            operation_id=line.operation_id,
        )
        for line in lines
    ]


def activity_counts(agent: Agent, params: ActivityCountsParams) -> list[ActivityCount]:
    """Count what happened to files by hour or by day, oldest first."""
    since = moment_param(params.since)
    chosen = [source.key for source in chosen_or_unlinked(agent, params)]
    seconds = 3600 if params.by is SpanLength.HOUR else 86400
    here = dt.datetime.fromtimestamp(agent.clock()).astimezone().utcoffset() or dt.timedelta()
    offset = int(here.total_seconds())
    found = agent.control.call(lambda: agent.index.activity.counts(chosen, since, seconds, offset))
    return [ActivityCount(at=stamp(start), entries=entries, files=files) for start, entries, files in found]


def _entry_id(mark: str | int | None) -> int:
    try:
        return int(mark or 0)
    except ValueError:
        raise UsageError(f"{mark!r} is no id of an entry", "raven-agent activity --json shows the ids") from None
