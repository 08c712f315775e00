"""drafts, draft, draft_save: a person's merges that no resolution has taken yet."""

from __future__ import annotations

import hashlib
import threading
from typing import Final

from msgspec import UNSET

from agent.api.methods.common import RequestRefused, chosen_sources, readable, stamp
from agent.api.methods.conflicts import Shown, all_shown, find, texts_of
from agent.api.schema.common import FolderParams
from agent.api.schema.conflicts import (
    DraftParams,
    DraftRow,
    DraftSaveDocument,
    DraftSaveParams,
    DraftTextDocument,
)
from agent.core.conflict import Conflict, ConflictState
from agent.core.draft_rebase import MergeSides, rebase_draft
from agent.core.errors import UsageError
from agent.runtime.agent import Agent
from agent.settings.drafts import Draft, Drafts

_SAVING: Final = threading.Lock()


def drafts(agent: Agent, params: FolderParams) -> list[DraftRow]:
    """List the kept merges, oldest first; of all folders also those whose conflict is over."""
    chosen = {source.key: source for source in chosen_sources(agent, params)}
    everything = params.folder is None and params.folder_base64 is None
    rows = []
    for draft in Drafts(agent.home.drafts_dir).list():
        source = chosen.get(draft.source)
        if source is None and not everything:
            continue
        conflict = _conflict_of(agent, draft)
        is_live = conflict is not None and conflict.state is not ConflictState.CLOSED
        rows.append(
            DraftRow(
                id=f"{draft.conflict}.{draft.generation}",
                conflict=conflict.key if conflict is not None and is_live else None,
                root=readable(str(source.root)) if source is not None else None,
                path=conflict.path if conflict is not None else None,
                written_at=stamp(draft.written_at),
                size=draft.file.stat().st_size,
                file=readable(str(draft.file)),
            )
        )
    return rows


def draft(agent: Agent, params: DraftParams) -> DraftTextDocument:
    """Return the kept merge of a conflict, and the same carried over to the sides as they are now.

    Raises:
        UsageError: there is no such conflict, or no merge of it is kept.
    """
    shown = find(all_shown(agent), params.id, params.cwd or "")
    kept = Drafts(agent.home.drafts_dir)
    found = kept.get(shown.source.key, shown.conflict.id)
    if found is None:
        raise UsageError(f"no merge of conflict {shown.conflict.id} is kept", "raven-agent drafts lists them")
    text = found.read()
    has_moved = found.generation != shown.conflict.generation
    rebased = _rebased(agent, shown, kept, found, text) if has_moved else None
    return DraftTextDocument(
        id=f"{found.conflict}.{found.generation}",
        conflict=shown.conflict.key,
        root=readable(str(shown.source.root)),
        path=shown.conflict.path,
        written_at=stamp(found.written_at),
        text=text.decode("utf-8", "replace"),
        hash=hashlib.sha256(text).hexdigest(),
        moved=has_moved,
        rebased=None if rebased is None else rebased.decode("utf-8", "replace"),
    )


def _rebased(agent: Agent, shown: Shown, kept: Drafts, found: Draft, text: bytes) -> bytes | None:
    old = kept.sides(found)
    if old is None:
        return None
    texts = texts_of(agent, shown)
    return rebase_draft(text, MergeSides(*old), MergeSides(texts.local, texts.remote))


def draft_save(agent: Agent, params: DraftSaveParams) -> DraftSaveDocument:
    """Keep a merge durably. It is kept also where a side has moved or the conflict is over: nothing typed is lost.

    Raises:
        RequestRefused: another window or command has changed the draft since; both texts are still there.
        UsageError: the id names no conflict with its generation.
    """
    # One at a time, so that no other save comes between the check and the write.
    with _SAVING:
        return _save(agent, params)


def _save(agent: Agent, params: DraftSaveParams) -> DraftSaveDocument:
    number, generation = _numbers(params.id)
    entry = agent.control.call(lambda: agent.index.conflicts.get(number))
    if entry is None or entry[1].generation < generation:
        raise UsageError(f"no conflict {params.id!r}", "raven-agent conflicts lists them")
    source, conflict = entry
    kept = Drafts(agent.home.drafts_dir)
    text = params.text.encode()
    digest = hashlib.sha256(text).hexdigest()
    if params.replaces is not UNSET and _hash_of(kept.get(source, number)) not in (params.replaces, digest):
        raise RequestRefused(
            "the draft was changed by another window or command since; nothing was replaced",
            f"raven-agent drafts {number} shows it",
        )
    if conflict.generation == generation and conflict.state is not ConflictState.CLOSED:
        _keep_sides(agent, kept, source, conflict)
    draft = kept.put(source, number, generation, text)
    return DraftSaveDocument(
        changed=True,
        id=params.id,
        conflict=conflict.key if conflict.state is not ConflictState.CLOSED else None,
        written_at=stamp(draft.written_at),
        hash=digest,
    )


def _keep_sides(agent: Agent, kept: Drafts, source: int, conflict: Conflict) -> None:
    """Keep the sides beside the draft, so that it can be carried over when one of them moves."""
    if kept.has_sides(source, conflict.id, conflict.generation):
        return
    entry = next((one for one in agent.registry.sources if one.key == source), None)
    if entry is None:
        return
    texts = texts_of(agent, Shown(entry, conflict))
    if texts.local is not None and texts.remote is not None:
        kept.put_sides(source, conflict.id, conflict.generation, texts.local, texts.remote)


def forget_draft(agent: Agent, source: int, conflict: int, text: str) -> None:
    """Delete the draft of a conflict once a resolution with its text is carried out. A draft with other text stays."""
    kept = Drafts(agent.home.drafts_dir)
    found = kept.get(source, conflict)
    if found is not None and found.read() == text.encode():
        kept.delete(source, conflict)


def _conflict_of(agent: Agent, draft: Draft) -> Conflict | None:
    entry = agent.control.call(lambda: agent.index.conflicts.get(draft.conflict))
    return entry[1] if entry is not None and entry[0] == draft.source else None


def _hash_of(draft: Draft | None) -> str | None:
    return None if draft is None else hashlib.sha256(draft.read()).hexdigest()


def _numbers(key: str) -> tuple[int, int]:
    number, _, generation = key.partition(".")
    try:
        return int(number), int(generation)
    except ValueError:
        raise UsageError(f"{key!r} is no conflict id with its generation", "for example 3.1") from None
