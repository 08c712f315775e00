"""trash: what was replaced or removed in the folders, and the end of what is past its time."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from agent.api.methods.common import (
    chosen_or_unlinked,
    first_rows,
    live_conflicts,
    opened_folder,
    raw_path,
    readable,
    rows_after,
    stamp,
)
from agent.api.methods.history import is_unlinked
from agent.api.methods.late_writes import rescue_quietly
from agent.api.schema.common import ListOrder, NoParams, TimedListParams
from agent.api.schema.history import PruneDocument, TrashDocument
from agent.core.errors import AgentError
from agent.disk.apply.trash import TrashEntry
from agent.disk.apply.trash_names import TrashName
from agent.runtime import linking
from agent.runtime.agent import Agent
from agent.settings import links as reg
from agent.settings.drafts import Drafts
from agent.settings.links import SourceEntry


def trash(agent: Agent, params: TimedListParams) -> list[TrashDocument]:
    """List what was replaced or removed here; of folders that were unlinked since, too.

    Only names are read to find the rows of a page. Without an order the oldest are first.
    """
    found: list[tuple[TrashName, SourceEntry]] = []
    for source in chosen_or_unlinked(agent, params):
        try:
            found += [(name, source) for name in _names(agent, source)]
        except AgentError:
            # An unlinked folder may be gone for good; of a linked one the error is worth showing.
            if not is_unlinked(agent, source):
                raise
    found.sort(key=lambda one: one[0].stamp)
    if params.order is ListOrder.NEWEST:
        found.reverse()
    rows = rows_after(found, [name.id for name, _ in found], params.after)
    return _documents(agent, first_rows(rows, params.limit))


def _names(agent: Agent, source: SourceEntry) -> list[TrashName]:
    if is_unlinked(agent, source):
        # A folder that was away at the unlink has texts that were not written to its trash then.
        linking.write_pending_trash(agent, source)
    rescue_quietly(agent, source)
    with opened_folder(agent, source) as folder:
        return folder.trash.names()


def _documents(agent: Agent, rows: Sequence[tuple[TrashName, SourceEntry]]) -> list[TrashDocument]:
    """Return the documents of entries, in their order. An entry that is gone by now is left out."""
    found: dict[tuple[int, str], TrashDocument] = {}
    for source in {source.key: source for _, source in rows}.values():
        with opened_folder(agent, source) as folder:
            read = [folder.trash.entry(name) for name, owner in rows if owner.key == source.key]
        entries = [entry for entry in read if entry is not None]
        unlinked = is_unlinked(agent, source)
        known = set() if unlinked else _heads_among(agent, source, [entry.hash for entry in entries])
        for entry in entries:
            found[(source.key, entry.name)] = _document(source, entry, known, unlinked=unlinked)
    ordered = (found.get((source.key, name.name)) for name, source in rows)
    return [document for document in ordered if document is not None]


def _document(source: SourceEntry, entry: TrashEntry, known: set[str], *, unlinked: bool) -> TrashDocument:
    return TrashDocument(
        id=entry.id,
        path=readable(entry.path),
        path_base64=raw_path(entry.path),
        hash=entry.hash,
        size=entry.size,
        reason=entry.reason,
        moved_at=stamp(entry.moved_at),
        on_server=entry.hash in known,
        root=readable(str(source.root)),
        unlinked=unlinked,
    )


def _heads_among(agent: Agent, source: SourceEntry, hashes: Sequence[str]) -> set[str]:
    return agent.control.call(lambda: agent.index.trees.remote_hashes_among(source.key, hashes))


def _prune(agent: Agent, source: SourceEntry) -> list[TrashEntry]:
    settings = agent.settings
    rescue_quietly(agent, source)

    @functools.cache
    def known() -> set[str]:
        # A large set, and every start prunes: it is read only if a trash over its size asks for it.
        return agent.control.call(lambda: agent.index.trees.remote_hashes(source.key))

    with opened_folder(agent, source) as folder:
        return folder.trash.prune(
            agent.clock(), settings.trash_days * 86400.0, settings.trash_max_bytes, lambda digest: digest in known()
        )


def trash_prune(agent: Agent, _params: NoParams) -> PruneDocument:
    """Delete trash entries that are past their time, and drafts as old whose conflict is over."""
    removed, size = 0, 0
    for source in agent.registry.sources:
        gone = _prune(agent, source)
        removed += len(gone)
        size += sum(entry.size for entry in gone)
    empty: list[int] = []
    for one in agent.registry.unlinked:
        try:
            gone = _prune(agent, one.source)
            # A later link of the folder finds its source here.
            if one.at < agent.clock() - agent.settings.trash_days * 86400.0 and not _names(agent, one.source):
                empty.append(one.source.key)
        except AgentError:
            continue
        removed += len(gone)
        size += sum(entry.size for entry in gone)
    if empty:
        agent.change_registry(lambda registry: reg.without_unlinked(registry, empty))
    _prune_drafts(agent)
    return PruneDocument(changed=removed > 0, removed=removed, bytes=size)


def _prune_drafts(agent: Agent) -> None:
    oldest = agent.clock() - agent.settings.trash_days * 86400.0
    drafts = Drafts(agent.home.drafts_dir)
    live = {(source.key, c.id) for source in agent.registry.sources for c in live_conflicts(agent, source)}
    for draft in drafts.list():
        if draft.written_at < oldest and (draft.source, draft.conflict) not in live:
            drafts.delete(draft.source, draft.conflict)
