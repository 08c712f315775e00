"""sources, link, unlink, move: which folder is kept in step with which source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from shlex import quote
from typing import Any

from msgspec import structs

from agent.api.methods.common import Unsent, live_conflicts, path_param, readable
from agent.api.methods.link_plan import LinkPlanner
from agent.api.methods.rules import checked_patterns, rules
from agent.api.schema.links import (
    LinkDocument,
    LinkNames,
    LinkParams,
    LinkPlan,
    MoveDocument,
    MoveParams,
    RemoteSourceDocument,
    RulesParams,
    SourcesParams,
    UnlinkDocument,
    UnlinkParams,
)
from agent.core.errors import UsageError
from agent.disk.root_marker import write_marker
from agent.disk.selection.review import oversized_patterns, risky_patterns
from agent.disk.selection.rules import ANY_FILE, Rules
from agent.engine import messages as m
from agent.engine.config import RunMode
from agent.remotes.protocol import Capabilities, RemoteSource
from agent.runtime import linking
from agent.runtime.agent import Agent
from agent.settings.links import SourceEntry


def sources(agent: Agent, params: SourcesParams) -> list[RemoteSourceDocument]:
    """List the sources of an account, or of all, with their patterns, and the folder each is linked to here."""
    if params.server is not None:
        return _sources_of(agent, linking.select_account(agent, params.server))
    # Without an account the list is empty: it must not start the embedded hub and make it one of the accounts.
    return [row for server in agent.registry.servers for row in _sources_of(agent, server.name)]


def _sources_of(agent: Agent, name: str) -> list[RemoteSourceDocument]:
    linked = {source.source_id: source for source in agent.registry.sources_of(name)}
    dialect = agent.server_entry(name).dialect
    return [
        RemoteSourceDocument(
            id=found.id,
            server=name,
            name=found.name,
            mode=found.mode.value,
            status="archived" if found.archived else "paused" if found.paused else "active",
            connector_id=found.connector_id,
            root=readable(str(linked[found.id].root)) if found.id in linked else None,
            include=list(found.include),
            exclude=list(found.exclude),
            dialect=dialect,
        )
        for found in agent.server(name).remote().sources()
    ]


def link(agent: Agent, params: LinkParams) -> LinkDocument:
    """Plan a link, file by file, and make it unless only the plan is wanted.

    Raises:
        UsageError: the folder, the server, the source or a pattern cannot be used.
        RemoteError: the server cannot be asked, or refuses the source.
    """
    root = Path(path_param(params.folder, params.folder_base64, "folder"))
    own_include, own_exclude = checked_patterns(params.include), checked_patterns(params.exclude)
    linking.require_linkable(agent, root)
    known = agent.registry.source_at(root)
    if known is not None:
        return _linked_already(agent, known, params)
    _require_folder(root, params)
    name = linking.select_account(agent, params.server)
    remote = agent.server(name).remote()
    joined = linking.find_source(remote, params.source) or _earlier_source(agent, name, root, params)
    mode = linking.choose_mode(joined, params.mode)
    private = _private_patterns(joined, own_include, params)
    include = _merged(joined.include if joined else (), own_include) or _usual_include(remote.capabilities)
    exclude = _merged(joined.exclude if joined else (), own_exclude)
    draft = SourceEntry(
        agent.registry.next_key, name, joined.id if joined else "", params.name or root.name, root, mode,
        include, exclude, agent.clock(),
    )  # fmt: skip
    twins = () if joined else _unlinked_twins(agent, name, draft.name)
    planner = LinkPlanner(agent, draft, joined)
    planner.run(_discard if params.dry_run else linking.scan_recorder(agent, draft))
    if not params.dry_run:
        draft = linking.create_link(agent, draft, joined)
    return LinkDocument(
        changed=not params.dry_run,
        was_linked=False,
        source_id=draft.source_id or None,
        connector_id=agent.server_entry(name).connector_id,
        root=readable(str(root)),
        server=name,
        mode=mode.value,
        plan=planner.counts,
        skipped=planner.skipped,
        include=list(draft.include),
        exclude=list(draft.exclude),
        private=private,
        twins=list(twins),
        earlier=joined is not None and not params.source,
        minutes=_minutes(remote.capabilities, planner.counts),
        names=planner.names if params.dry_run else LinkNames(),
        **_other_programs(root),
    )


def _earlier_source(agent: Agent, name: str, root: Path, params: LinkParams) -> RemoteSource | None:
    """Return the source that the folder was linked with before. A name asks for a source of its own."""
    return None if params.name else linking.earlier_source(agent, name, root, params.mode)


def _require_folder(root: Path, params: LinkParams) -> None:
    """Check that the folder is there or may be made, and can be read. Raises UsageError."""
    if not (root.is_dir() or params.create or params.source):
        raise linking.missing_folder(root)
    linking.require_readable(root)


def _other_programs(root: Path) -> dict[str, Any]:
    """Return the fields about another program that syncs a folder as well."""
    # Imported here: other commands start sooner without it.
    from agent.doctor.folders import other_tool, unread_ignores

    found = other_tool(root)
    return {"other_tool": None if found is None else found[0].name, "unread_ignores": unread_ignores(root)}


def _discard(_results: m.ScanResults) -> None:
    """Keep nothing of a scan: a dry run only counts."""


def _merged(theirs: Sequence[str], own: Sequence[str]) -> tuple[str, ...]:
    """Return the patterns of the source and the person's own, each once."""
    return tuple(dict.fromkeys((*theirs, *own)))


def _usual_include(can: Capabilities) -> tuple[str, ...]:
    """Return the include patterns of a source without any; empty for those of texts."""
    return () if can.text_only else ANY_FILE


def _minutes(can: Capabilities, plan: LinkPlan) -> int | None:
    """Return the minutes that the server's limit of calls lets a plan take at least; None without a limit."""
    if can.rate is None:
        return None
    return ceil(can.rate.seconds(plan.upload, plan.download) / 60)


def _unlinked_twins(agent: Agent, server: str, name: str) -> tuple[str, ...]:
    """Return the ids of sources of that name which no folder here is linked with."""
    linked = {source.source_id for source in agent.registry.sources_of(server)}
    return tuple(s.id for s in agent.server(server).remote().sources() if s.name == name and s.id not in linked)


def _private_patterns(joined: RemoteSource | None, own: tuple[str, ...], params: LinkParams) -> list[str]:
    """Return the joined source's patterns that select private files and that the person did not write as well.

    Raises:
        UsageError: there are some and the request does not accept them, or the source has patterns that cannot be used.
    """
    if joined is None:
        return []
    oversized = oversized_patterns((*joined.include, *joined.exclude))
    if oversized is not None:
        raise UsageError(f"the source {joined.name!r} cannot be joined: {oversized}", "shorten its patterns")
    private = [pattern for pattern in risky_patterns(Rules(include=tuple(joined.include))) if pattern not in own]
    if private and not (params.dry_run or params.accept_private):
        raise UsageError(
            f"the source {joined.name!r} selects dotfiles or files with secrets: {', '.join(private)}",
            "look at the plan with --dry-run; to accept these patterns: --yes",
        )
    return private


def _linked_already(agent: Agent, known: SourceEntry, params: LinkParams) -> LinkDocument:
    """Add patterns to a link that is there. Everything else that differs is refused rather than ignored."""
    _refuse_another(agent, known, params)
    changed = False
    include = tuple(glob for glob in params.include if glob not in known.include)
    exclude = tuple(glob for glob in params.exclude if glob not in known.exclude)
    if (include or exclude) and not params.dry_run:
        rules(
            agent,
            RulesParams(folder=params.folder, folder_base64=params.folder_base64, include=include, exclude=exclude),
        )
        changed = True
        known = agent.registry.source_at(known.root) or known
    if not params.dry_run:
        agent.start_source_if_daemon(known)
    return LinkDocument(
        changed=changed,
        was_linked=True,
        source_id=known.source_id,
        connector_id=agent.server_entry(known.server).connector_id,
        root=readable(str(known.root)),
        server=known.server,
        mode=known.mode.value,
        plan=LinkPlan(),
        skipped=[],
        include=list(known.include),
        exclude=list(known.exclude),
    )


def _refuse_another(agent: Agent, known: SourceEntry, params: LinkParams) -> None:
    """Refuse a second link of a folder that asks for another server, source, mode or name.

    Raises:
        UsageError: it names another one.
        RemoteError: the named source cannot be looked up.
    """
    first = f"raven-agent unlink {quote(str(known.root))} first"
    if params.server not in (None, known.server):
        raise UsageError(f"{known.root} is linked with {known.server}", first)
    if params.mode not in (None, known.mode):
        raise UsageError(f"{known.root} is linked {known.mode.value}", first)
    if params.name not in (None, "", known.name):
        raise UsageError(f"{known.root} is linked under the name {known.name!r}", first)
    if not params.source or known.source_id.startswith(params.source):
        return
    found = linking.find_source(agent.server(known.server).remote(), params.source)
    if found is not None and found.id != known.source_id:
        raise UsageError(f"{known.root} is linked with another source ({known.source_id})", first)


def unlink(agent: Agent, params: UnlinkParams) -> UnlinkDocument:
    """Stop syncing a folder; no file is deleted on either side.

    Raises:
        Unsent: changes have not reached the server, and the request does not say ``force``.
    """
    source = agent.source_for(path_param(params.folder, params.folder_base64, "folder"))
    refuse_declared(source, "take its [[source]] out there")
    if agent.run_mode is not RunMode.DAEMON and source.root.is_dir():
        # Without a daemon the index is as old as the last command: edits made since would not be counted.
        agent.stop_source(source.key)
        agent.start_source(source, RunMode.DRY_RUN).pass_once().result()
    unsent = linking.count_unsent(agent, source)
    if unsent and not (params.force or params.dry_run):
        words = "1 change" if unsent == 1 else f"{unsent} changes"
        verb = "is" if unsent == 1 else "are"
        raise Unsent(f"{words} of {source.root} {verb} not on the server yet", "sync first, or unlink --yes")
    files, size = agent.control.call(lambda: agent.index.trees.totals(source.key))
    conflicts = len(live_conflicts(agent, source))
    if not params.dry_run:
        linking.remove_link(agent, source)
    return UnlinkDocument(
        changed=not params.dry_run,
        source_id=source.source_id,
        root=readable(str(source.root)),
        unsent=unsent,
        server=source.server,
        name=source.name,
        files=files,
        bytes=size,
        conflicts=conflicts,
        dry_run=params.dry_run,
    )


def refuse_declared(source: SourceEntry, remedy: str) -> None:
    """Refuse to change a link that follows a declaration: the next start would undo the change.

    Raises:
        UsageError: the link is declared.
    """
    if source.declared is not None:
        raise UsageError(
            f"{source.root} is declared in {source.declared.file}", f"{remedy}, then: raven-agent config reload"
        )


def move(agent: Agent, params: MoveParams) -> MoveDocument:
    """Record that a folder has moved: the same source, and nothing is sent again."""
    old = Path(path_param(params.old, params.old_base64, "old"))
    new = Path(path_param(params.new, params.new_base64, "new"))
    source = agent.source_for(old)
    if old != new:
        refuse_declared(source, "change its root there")
    if not new.is_dir():
        raise UsageError(f"{new} is not a folder", "move the folder first, then repeat this")
    for other in agent.registry.sources:
        if other.key != source.key and (other.root == new or other.root in new.parents or new in other.root.parents):
            raise UsageError(f"{new} overlaps {other.root}, which is linked already")
    found = new.stat()
    marked = write_marker(agent.fs, str(new), str(agent.home.state_dir), source.source_id)
    agent.stop_source(source.key)
    if marked or (found.st_dev, found.st_ino) != (source.root_device, source.root_inode):
        agent.control.call(lambda: _expect_copy(agent, source.key))
    entry = replace(source, root=new, root_device=found.st_dev, root_inode=found.st_ino)
    agent.restart_with(entry)
    return MoveDocument(changed=True, source_id=entry.source_id, old=readable(str(old)), root=readable(str(new)))


def _expect_copy(agent: Agent, key: int) -> None:
    """Mark a source whose folder is a copy, or another folder: files missing there must not count as deleted."""
    sources = agent.index.sources
    sources.put(key, structs.replace(sources.get(key), moved=True))
