"""sources, link, unlink, move, rules: which folder is kept in step with which source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from msgspec import structs

from agent.api.methods.common import Params, Unsent, path_of, text
from agent.core import paths
from agent.core.errors import UsageError
from agent.core.model import Mode, Side
from agent.disk.root_marker import write_marker
from agent.engine import messages as m
from agent.remotes.protocol import RemoteSource
from agent.runtime import linking
from agent.runtime.agent import Agent
from agent.settings import links as reg
from agent.settings.links import SourceEntry


def sources(agent: Agent, params: Params) -> list[dict[str, Any]]:
    """The server's sources, and where each is linked here."""
    name = linking.select_account(agent, text(params, "server"))
    linked = {source.source_id: source for source in agent.registry.sources_of(name)}
    return [
        {
            "id": found.id,
            "name": found.name,
            "mode": found.mode.value,
            "status": "paused" if found.paused else "active",
            "connector_id": found.connector_id,
            "root": str(linked[found.id].root) if found.id in linked else None,
        }
        for found in agent.server(name).remote().sources()
    ]


def link(agent: Agent, params: Params) -> dict[str, Any]:
    """Keep a folder in step with a source: says what that means for every file, and does it unless told not to."""
    root = Path(path_of(params, "folder"))
    linking.require_linkable(agent, root)
    known = agent.registry.source_at(root)
    if known is not None:
        return _linked_already(agent, known, params)
    name = linking.select_account(agent, text(params, "server"))
    joined = linking.find_source(agent.server(name).remote(), text(params, "source"))
    wanted = text(params, "mode")
    mode = linking.choose_mode(joined, Mode(wanted) if wanted else None)
    include = (*(joined.include if joined else ()), *_globs(params, "include"))
    exclude = (*(joined.exclude if joined else ()), *_globs(params, "exclude"))
    draft = SourceEntry(
        agent.registry.next_key, name, joined.id if joined else "", str(params.get("name") or root.name), root, mode,
        tuple(dict.fromkeys(include)), tuple(dict.fromkeys(exclude)), agent.clock(),
    )  # fmt: skip
    if params.get("dry_run"):
        plan = _plan(agent, draft, joined, lambda _seen: None)
        connector = agent.server_entry(name).connector_id
    else:
        plan = _plan(agent, draft, joined, linking.scan_recorder(agent, draft))
        draft = linking.create_link(agent, draft, joined)
        connector = agent.server_entry(name).connector_id
    return {
        "changed": not params.get("dry_run"),
        "was_linked": False,
        "source_id": draft.source_id or None,
        "connector_id": connector,
        "root": str(root),
        "server": name,
        "mode": mode.value,
        "plan": plan,
    }


def _linked_already(agent: Agent, known: SourceEntry, params: Params) -> dict[str, Any]:
    _refuse_another(agent, known, params)
    changed = False
    globs = {
        "include": [glob for glob in _globs(params, "include") if glob not in known.include],
        "exclude": [glob for glob in _globs(params, "exclude") if glob not in known.exclude],
    }
    if any(globs.values()) and not params.get("dry_run"):
        rules(agent, {"folder": str(known.root), **globs})
        changed = True
    if not params.get("dry_run"):
        agent.start_source_if_daemon(known)
    return {
        "changed": changed,
        "was_linked": True,
        "source_id": known.source_id,
        "connector_id": agent.server_entry(known.server).connector_id,
        "root": str(known.root),
        "server": known.server,
        "mode": known.mode.value,
        "plan": {"upload": 0, "download": 0, "adopt": 0, "park": 0, "skip": 0},
    }


def _refuse_another(agent: Agent, known: SourceEntry, params: Params) -> None:
    """A second link of a folder adds patterns; nothing else that it asks for may be passed over in silence.

    Raises:
        UsageError: it names another server, source, mode or name.
        RemoteError: whether it names another source cannot be found out.
    """
    first = f"raven-agent unlink {known.root} first"
    if params.get("server") not in (None, known.server):
        raise UsageError(f"{known.root} is linked with {known.server}", first)
    if params.get("mode") not in (None, known.mode.value):
        raise UsageError(f"{known.root} is linked {known.mode.value}", first)
    if params.get("name") not in (None, "", known.name):
        raise UsageError(f"{known.root} is linked under the name {known.name!r}", first)
    wanted = text(params, "source")
    if not wanted or known.source_id.startswith(wanted):
        return
    found = linking.find_source(agent.server(known.server).remote(), wanted)
    if found is not None and found.id != known.source_id:
        raise UsageError(f"{known.root} is linked with another source ({known.source_id})", first)


def _globs(params: Params, name: str) -> Sequence[str]:
    return tuple(str(glob) for glob in params.get(name) or ())


def _plan(
    agent: Agent, draft: SourceEntry, joined: RemoteSource | None, tell: Callable[[m.ScanResults], None]
) -> dict[str, int]:
    """What the link would do to every file: the union of two sides, counted; and what the folder holds, told."""
    there = {p: h for p, h in _remote_hashes(agent, draft, joined).items() if paths.check(p) is None}
    counts = dict.fromkeys(("upload", "download", "adopt", "park", "skip"), 0)
    if draft.root.is_dir():
        folder = agent.folder(draft)
        try:
            there = {path: digest for path, digest in there.items() if folder.selection.verdict(path).selected}
            # Counted as it comes: of a large folder nothing is kept.
            for batch in folder.scan((), None):
                for seen in batch.seen:
                    counts[_fate(seen.side, there.get(seen.path))] += 1
                counts["skip"] += len(batch.skipped)
                tell(m.ScanResults(batch.seen, batch.skipped, frozenset(batch.mounts)))
        finally:
            folder.close()
    if draft.mode is Mode.BIDIRECTIONAL:
        counts["download"] = len(there) - counts["adopt"] - counts["park"]
    return counts


def _fate(here: Side, there: str | None) -> str:
    """What the link does to a file of the folder, by what the server holds there."""
    if there is None:
        return "upload" if here.reason is None else "skip"
    return "adopt" if here.hash == there else "park"


def _remote_hashes(agent: Agent, draft: SourceEntry, joined: RemoteSource | None) -> dict[str, str]:
    if joined is None:
        return {}
    remote = agent.server(draft.server).remote()
    return {file.path: file.hash for page in remote.listing(joined.id) for file in page}


def unlink(agent: Agent, params: Params) -> dict[str, Any]:
    """Stop syncing a folder; deletes nothing on either side."""
    source = agent.source_for(path_of(params, "folder"))
    _by_hand(source, "take its [[source]] out there")
    unsent = linking.count_unsent(agent, source)
    if unsent and not params.get("force"):
        raise Unsent(f"{unsent} changes of {source.root} are not on the server yet", "sync first, or unlink --yes")
    return {
        "changed": True,
        "source_id": source.source_id,
        "root": str(source.root),
        "unsent": linking.remove_link(agent, source),
    }


def _by_hand(source: SourceEntry, remedy: str) -> None:
    """Refuse to change what follows a declaration: it would be undone at the next start."""
    if source.declared is not None:
        raise UsageError(
            f"{source.root} is declared in {source.declared.file}", f"{remedy}, then: raven-agent config reload"
        )


def move(agent: Agent, params: Params) -> dict[str, Any]:
    """The folder has moved: the same source, nothing sent again."""
    old, new = Path(path_of(params, "old")), Path(path_of(params, "new"))
    source = agent.source_for(old)
    if old != new:
        _by_hand(source, "change its root there")
    if not new.is_dir():
        raise UsageError(f"{new} is not a folder", "move the folder first, then say so")
    others = replace(agent.registry, sources=tuple(s for s in agent.registry.sources if s.key != source.key))
    for other in others.sources:
        if other.root == new or other.root in new.parents or new in other.root.parents:
            raise UsageError(f"{new} overlaps {other.root}, which is linked already")
    found = new.stat()
    marked = write_marker(agent.fs, str(new), str(agent.home.state_dir), source.source_id)
    agent.stop_source(source.key)
    if marked or (found.st_dev, found.st_ino) != (source.root_device, source.root_inode):
        agent.control.call(lambda: _expect_copy(agent, source.key))
    entry = replace(source, root=new, root_device=found.st_dev, root_inode=found.st_ino)
    agent.change_registry(lambda registry: reg.with_source(registry, entry))
    agent.start_source_if_daemon(entry)
    return {"changed": True, "source_id": entry.source_id, "old": str(old), "root": str(new)}


def _expect_copy(agent: Agent, key: int) -> None:
    """The folder was not renamed but copied, or is another one: what it lacks must not count as deleted."""
    sources = agent.index.sources
    sources.put(key, structs.replace(sources.get(key), moved=True))


def rules(agent: Agent, params: Params) -> dict[str, Any]:
    """Show or change this machine's patterns; says how many files start or stop being synced, and deletes none."""
    source = agent.source_for(path_of(params, "folder"))
    include, exclude = _globs(params, "include"), _globs(params, "exclude")
    gone = set(_globs(params, "remove"))
    unknown = gone - {*source.include, *source.exclude}
    if unknown:
        raise UsageError(f"{sorted(unknown)[0]!r} is no pattern of {source.root}")
    entry = replace(
        source,
        include=tuple(dict.fromkeys(g for g in (*source.include, *include) if g not in gone)),
        exclude=tuple(dict.fromkeys(g for g in (*source.exclude, *exclude) if g not in gone)),
    )
    changed = (entry.include, entry.exclude) != (source.include, source.exclude)
    starts = stops = 0
    if changed:
        before, after = _selected(agent, source), _selected(agent, entry)
        starts, stops = len(after - before), len(before - after)
    if changed and not params.get("dry_run"):
        _by_hand(source, "change its patterns there")
        agent.stop_source(source.key)
        agent.change_registry(lambda registry: reg.with_source(registry, entry))
        agent.start_source_if_daemon(entry)
    return {
        "changed": changed and not params.get("dry_run"),
        "root": str(source.root),
        "include": list(entry.include),
        "exclude": list(entry.exclude),
        "starts": starts,
        "stops": stops,
    }


def _selected(agent: Agent, source: SourceEntry) -> set[str]:
    folder = agent.folder(source)
    try:
        return {seen.path for batch in folder.scan((), None) for seen in batch.seen}
    finally:
        folder.close()
