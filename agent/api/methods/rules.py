"""rules: this machine's patterns of a folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from shlex import quote
from typing import Final

from agent.api.methods.common import opened_folder, path_param, readable
from agent.api.methods.selective import wanted_preference
from agent.api.schema.links import IgnoreFileDocument, IgnoreLineDocument, RulesDocument, RulesParams
from agent.core.accepts import TEXT
from agent.core.errors import AgentError, UsageError
from agent.core.scope import WHOLE
from agent.disk.selection.ignore_lines import ignore_lines
from agent.disk.selection.review import refused_patterns, unmatched_patterns
from agent.disk.selection.rules import DEFAULT_INCLUDE
from agent.runtime.agent import Agent
from agent.settings.links import SourceEntry

_IGNORE_LINES: Final = 1000
"""Lines of one ignore file that are listed."""


def checked_patterns(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return the patterns, each once.

    Raises:
        UsageError: one of them can only be a mistake, or they are too many.
    """
    chosen = tuple(dict.fromkeys(patterns))
    for pattern, reason in refused_patterns(chosen):
        raise UsageError(f"the pattern {pattern!r} is refused: {reason}", "for example '**/*.org' (gitignore rules)")
    return chosen


def rules(agent: Agent, params: RulesParams) -> RulesDocument:
    """Show or change this machine's patterns. Names the files that start or stop being synced; deletes none."""
    source = agent.source_for(path_param(params.folder, params.folder_base64, "folder"))
    entry = _changed(source, params)
    new_patterns = (entry.include, entry.exclude) != (source.include, source.exclude)
    preference = wanted_preference(agent, source, params.keep_folder, params.no_folder)
    entry = replace(entry, preference=preference)
    changed = new_patterns or preference != source.preference
    before: set[str] = set()
    after: set[str] = set()
    if changed:
        before, after = _selected(agent, source), _selected(agent, entry)
    if changed and not params.dry_run:
        # Declared patterns would come back with the next start.
        if new_patterns and source.declared is not None:
            raise UsageError(
                f"{source.root} is declared in {source.declared.file}",
                "change its patterns there, then: raven-agent config reload",
            )
        if preference is not None and preference != source.preference:
            agent.preferences.change(source, preference)
        if new_patterns:
            agent.restart_with(entry)
    kept = WHOLE if preference is None else preference.scope
    starts, stops = sorted(after - before), sorted(before - after)
    added = [pattern for pattern in (*params.include, *params.only) if pattern not in source.include]
    idle = _unmatched(agent, entry, added, after) if changed else []
    return RulesDocument(
        changed=changed and not params.dry_run,
        root=readable(str(source.root)),
        include=list(entry.include),
        exclude=list(entry.exclude),
        selected_folders=None if kept.selected is None else list(kept.selected),
        excluded_folders=list(kept.excluded),
        starts=len(starts),
        stops=len(stops),
        started=[readable(path) for path in starts[: params.named]],
        stopped=[readable(path) for path in stops[: params.named]],
        ignore_files=_ignore_files(agent, source, params.under),
        warning=f"no file matches {', '.join(idle)}" if idle else None,
    )


def _changed(source: SourceEntry, params: RulesParams) -> SourceEntry:
    """Return the link with the patterns changed as asked.

    Raises:
        UsageError: a pattern to remove is not there, or one to add can only be a mistake.
    """
    include, exclude = checked_patterns(params.include), checked_patterns(params.exclude)
    only, gone = checked_patterns(params.only), set(params.remove)
    known = source.include or (DEFAULT_INCLUDE if gone & set(DEFAULT_INCLUDE) else ())
    unknown = gone - {*known, *source.exclude}
    if unknown:
        raise UsageError(
            f"{sorted(unknown)[0]!r} is no pattern of {source.root}", f"raven-agent rules {quote(str(source.root))}"
        )
    # Without patterns of their own the defaults hold. An added pattern adds to them; it does not replace them.
    kept = only or known or (DEFAULT_INCLUDE if include else ())
    return replace(
        source,
        include=tuple(dict.fromkeys(g for g in (*kept, *include) if g not in gone)),
        exclude=tuple(dict.fromkeys(g for g in (*source.exclude, *exclude) if g not in gone)),
    )


def _ignore_files(agent: Agent, source: SourceEntry, under: str) -> list[IgnoreFileDocument]:
    """Return the ignore files that count in a folder; none if one cannot be read, which the status reports."""
    try:
        with opened_folder(agent, source) as folder:
            texts = folder.selection.ignore_texts(under.strip("/"))
    except (AgentError, OSError):
        return []
    found = []
    for path, text in texts:
        lines = ignore_lines(text)
        rows = [
            IgnoreLineDocument(number=line.number, text=readable(line.text), kind=line.kind.value)
            for line in lines[:_IGNORE_LINES]
        ]
        found.append(IgnoreFileDocument(path=readable(path), lines=rows, more=max(0, len(lines) - _IGNORE_LINES)))
    return found


def _unmatched(agent: Agent, entry: SourceEntry, added: Sequence[str], selected: set[str]) -> list[str]:
    """Return the added patterns that match no file on disk. One that is synced already, or left out, is a match."""
    idle = unmatched_patterns(added, selected)
    if not idle:
        return []
    return unmatched_patterns(idle, _selected(agent, replace(entry, include=tuple(added), exclude=(), preference=None)))


def _selected(agent: Agent, source: SourceEntry) -> set[str]:
    with opened_folder(agent, source) as folder:
        return {seen.path for batch in folder.scan((), TEXT) for seen in batch.seen}
