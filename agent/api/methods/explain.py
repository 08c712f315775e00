"""explain: the rule that decides about a path, and what people ask about a file or a folder. Nothing is changed."""

from __future__ import annotations

import os
from dataclasses import replace

from msgspec import UNSET, Struct, UnsetType

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
from agent.api.methods.facts import file_facts, folder_facts, was_changed
from agent.api.methods.skips import reason_words, skips
from agent.api.schema.explain import ExplainDocument, ExplainParams, FolderFacts
from agent.core.accepts import TEXT, Accepts
from agent.core.errors import AgentError
from agent.core.model import Reason
from agent.disk.selection.rules import DEFAULT_INCLUDE, Selection, SelectionVerdict
from agent.disk.selection.suggest import file_pattern, folder_pattern
from agent.runtime.agent import Agent
from agent.settings.links import SourceEntry


def explain(agent: Agent, params: ExplainParams) -> ExplainDocument:
    """Explain why a path is or is not synced, with the hash each side holds."""
    source, path = agent.source_over(path_param(params.path, params.path_base64))
    whole = source.root / path
    is_folder = whole.is_dir() and (path == "." or not whole.is_symlink())
    with opened_folder(agent, source) as folder:
        verdict = _verdict(folder.selection, path, is_folder=is_folder)
    shown = readable(path)
    skipped = {skip.path: skip.text for skip in skips(agent, source)}
    if is_folder:
        facts = folder_facts(agent, source) if params.facts and path == "." else UNSET
        return _explained_folder(agent, source, path, verdict, facts, skipped.get(shown))
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
    known = state is not None or not row.is_empty or was_changed(agent, source, path)
    fitting = _fitting(agent, source, path, is_folder=False) if verdict.unmatched else _Fitting()
    return ExplainDocument(
        path=shown,
        path_base64=raw_path(path),
        kind="file",
        synced=verdict.selected and shown not in skipped,
        rule=verdict.rule,
        origin=verdict.origin,
        state=state,
        reason=skipped.get(shown) or _unselected(verdict, source, fitting),
        include=fitting.pattern,
        hash=hash_of(row.local),
        base_hash=hash_of(row.base),
        remote_hash=hash_of(row.remote),
        root=readable(str(source.root)),
        exists=os.path.lexists(whole),
        file=file_facts(agent, source, path) if params.facts and known else UNSET,
    )


def _verdict(rules: Selection, path: str, *, is_folder: bool) -> SelectionVerdict:
    if is_folder:
        return rules.folder_verdict("" if path == "." else path)
    return rules.verdict(path)


def _explained_folder(
    agent: Agent,
    source: SourceEntry,
    path: str,
    verdict: SelectionVerdict,
    facts: FolderFacts | UnsetType,
    skipped: str | None,
) -> ExplainDocument:
    fitting = _fitting(agent, source, path, is_folder=True) if verdict.unmatched else _Fitting()
    return ExplainDocument(
        path=readable(path),
        path_base64=raw_path(path),
        kind="folder",
        synced=verdict.selected and skipped is None,
        rule=verdict.rule,
        origin=verdict.origin,
        state=None if skipped is None else "skipped",
        reason=skipped or _unselected(verdict, source, fitting),
        include=fitting.pattern,
        hash=None,
        base_hash=None,
        remote_hash=None,
        root=readable(str(source.root)),
        folder=facts,
    )


class _Fitting(Struct, frozen=True):
    """The include pattern that would have a path synced.

    Attributes:
        pattern: None if there is none, or if a file of declarations holds the patterns.
        misfit: the reason why the file would be skipped all the same.
    """

    pattern: str | None = None
    misfit: Reason | None = None


def _fitting(agent: Agent, source: SourceEntry, path: str, *, is_folder: bool) -> _Fitting:
    """Find a pattern by trial: the path is judged as if the pattern were there."""
    pattern = folder_pattern(path) if is_folder else file_pattern(path)
    if pattern is None or source.declared is not None:
        return _Fitting()
    entry = replace(source, include=(*(source.include or DEFAULT_INCLUDE), pattern))
    with opened_folder(agent, entry) as folder:
        if not _verdict(folder.selection, path, is_folder=is_folder).selected:
            return _Fitting()
        if is_folder or not os.path.lexists(source.root / path):
            return _Fitting(pattern)
        (seen,) = folder.observe([path], {}, _accepts(agent, source))
    reason = getattr(seen.side, "reason", None)
    return _Fitting(pattern) if reason is None else _Fitting(None, reason)


def _accepts(agent: Agent, source: SourceEntry) -> Accepts:
    try:
        return Accepts(agent.server(source.server).capabilities.text_only)
    except AgentError:
        return TEXT


def _unselected(verdict: SelectionVerdict, source: SourceEntry, fitting: _Fitting) -> str | None:
    """Return the reason in words where no single rule excludes a path, and its rule are the patterns that miss it."""
    if verdict.selected or not verdict.unmatched:
        return None
    words = "no include pattern selects it"
    if source.declared is not None:
        return f"{words}; the patterns are in {source.declared.file}"
    if fitting.misfit is not None:
        return f"{words}, and it would be skipped: {reason_words(fitting.misfit)}"
    return words
