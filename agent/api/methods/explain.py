"""explain: the rule that decides about a path, and what people ask about a file or a folder. Nothing is changed."""

from __future__ import annotations

import os

from msgspec import UNSET, UnsetType

from agent.api.methods.common import (
    file_state,
    hash_of,
    opened_folder,
    parked_paths,
    path_param,
    raw_path,
    readable,
    row_of,
)
from agent.api.methods.facts import file_facts, folder_facts
from agent.api.methods.skips import skips
from agent.api.schema.explain import ExplainDocument, ExplainParams, FolderFacts
from agent.disk.selection.rules import SelectionVerdict
from agent.runtime.agent import Agent
from agent.settings.links import SourceEntry


def explain(agent: Agent, params: ExplainParams) -> ExplainDocument:
    """Explain why a path is or is not synced, with the hash each side holds."""
    source, path = agent.source_over(path_param(params.path, params.path_base64))
    whole = source.root / path
    is_folder = whole.is_dir() and (path == "." or not whole.is_symlink())
    with opened_folder(agent, source) as folder:
        rules = folder.selection
        verdict = rules.folder_verdict("" if path == "." else path) if is_folder else rules.verdict(path)
    shown = readable(path)
    skipped = {skip.path: skip.text for skip in skips(agent, source)}
    if is_folder:
        facts = folder_facts(agent, source) if params.facts and path == "." else UNSET
        return _explained_folder(source, path, verdict, facts, skipped.get(shown))
    row = row_of(agent, source, shown)
    parked = path in parked_paths(agent, source)
    if shown in skipped:
        state: str | None = "skipped"
    elif parked:
        state = "conflict"
    elif row.is_empty or not verdict.selected:
        state = None
    else:
        state = file_state(row, parked=False)
    known = state is not None or not row.is_empty
    return ExplainDocument(
        path=shown,
        path_base64=raw_path(path),
        kind="file",
        synced=verdict.selected and shown not in skipped,
        rule=verdict.rule,
        origin=verdict.origin,
        state=state,
        reason=skipped.get(shown) or _unselected(verdict),
        hash=hash_of(row.local),
        base_hash=hash_of(row.base),
        remote_hash=hash_of(row.remote),
        root=readable(str(source.root)),
        exists=os.path.lexists(whole),
        file=file_facts(agent, source, path) if params.facts and known else UNSET,
    )


def _explained_folder(
    source: SourceEntry, path: str, verdict: SelectionVerdict, facts: FolderFacts | UnsetType, skipped: str | None
) -> ExplainDocument:
    return ExplainDocument(
        path=readable(path),
        path_base64=raw_path(path),
        kind="folder",
        synced=verdict.selected and skipped is None,
        rule=verdict.rule,
        origin=verdict.origin,
        state=None if skipped is None else "skipped",
        reason=skipped or _unselected(verdict),
        hash=None,
        base_hash=None,
        remote_hash=None,
        root=readable(str(source.root)),
        folder=facts,
    )


def _unselected(verdict: SelectionVerdict) -> str | None:
    """Return the reason in words where no single rule excludes a path, and its rule are the patterns that miss it."""
    return "no include pattern selects it" if not verdict.selected and verdict.unmatched else None
