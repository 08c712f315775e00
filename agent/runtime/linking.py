"""Create and remove links between local folders and server sources.

The request handlers of the API and the provisioner both call these functions. Every function here may be called from
any thread but the control thread. Callers that make or change links hold ``agent.links_lock``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Final

from agent.core.conflict import HEAD_IS_LOCAL
from agent.core.errors import AgentError, UsageError
from agent.core.model import Mode
from agent.core.reconcile import Step
from agent.disk.apply.trash_texts import TrashText
from agent.disk.root_marker import write_marker
from agent.engine import messages as m
from agent.engine.engine import Engine
from agent.index.operations import OperationState
from agent.index.trash_outbox import PendingTrashWrite
from agent.remotes.protocol import Remote, RemoteSource
from agent.runtime.agent import Agent
from agent.settings import links as reg
from agent.settings.links import LOCAL_HUB, SourceEntry

log = logging.getLogger(__name__)

_RECENT_SECONDS: Final = 60.0
"""Seconds for which an answer proves that a server can be asked."""
_WRITE_RANK: Final = {Mode.IMPORT_ONLY: 0, Mode.LOCAL_TO_CLOUD: 1, Mode.BIDIRECTIONAL: 2}
"""Modes by how much they write. A link may write less than its source's own mode, never more."""

_KERNEL_FOLDERS: Final = (Path("/proc"), Path("/sys"))
_SYSTEM_FOLDERS: Final = frozenset(
    map(
        Path,
        (
            *("/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/opt", "/run", "/sbin", "/usr", "/var"),
            *("/Applications", "/Library", "/System", "/Users", "/Volumes", "/private"),
        ),
    )
)
"""Folders of Linux and macOS that belong to no single person. Folders inside them can be linked."""


def select_account(agent: Agent, name: str | None) -> str:
    """Choose the account for a request: the named one, else the only one, else the embedded hub.

    Raises:
        UsageError: no account has that name, or several exist and ``name`` is None or empty.
    """
    if name:
        return agent.server_entry(name).name
    names = [server.name for server in agent.registry.servers]
    if not names:
        return LOCAL_HUB
    if len(names) > 1:
        raise UsageError("several servers are known", f"choose one with --server: {', '.join(names)}")
    return names[0]


def missing_folder(root: Path) -> UsageError:
    """Return the error for a folder that does not exist, with the nearest name beside it: mostly a typing mistake."""
    from difflib import get_close_matches

    try:
        beside = [entry.name for entry in root.parent.iterdir() if entry.is_dir()]
    except OSError:
        beside = []
    near = get_close_matches(root.name, beside, n=1, cutoff=0.6)
    hint = f"did you mean {root.parent / near[0]}? " if near else ""
    return UsageError(f"there is no folder {root}", f"{hint}(--create makes it)")


def require_readable(root: Path) -> None:
    """Check that a folder that exists can be listed and entered, before it is linked.

    Raises:
        UsageError: its permissions forbid it.
    """
    if root.is_dir() and not os.access(root, os.R_OK | os.X_OK):
        raise UsageError(f"the folder {root} cannot be read", f"look at its permissions: ls -ld {quote(str(root))}")


def require_linkable(agent: Agent, root: Path) -> None:
    """Check that a folder may become the root of a link.

    Raises:
        UsageError: the root is ``/``, the user's home or a folder of the system, is no folder, overlaps another link,
            or overlaps the agent's state folder.
    """
    if root == Path(root.anchor) or root == Path.home():
        raise UsageError(f"{root} is too much to sync", "link a folder inside it")
    if root in _SYSTEM_FOLDERS or any(root.is_relative_to(top) for top in _KERNEL_FOLDERS):
        raise UsageError(f"{root} is a folder of the system", "link a folder of your own")
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root} is not a folder")
    for source in agent.registry.sources:
        if source.root != root and (source.root in root.parents or root in source.root.parents):
            raise UsageError(f"{root} overlaps {source.root}, which is linked already", "unlink that one first")
    state = agent.home.state_dir
    if root == state or root in state.parents or state in root.parents:
        raise UsageError(f"{root} holds the agent's own state", "link another folder, or set RAVEN_AGENT_HOME")


def find_source(remote: Remote, wanted: str | None) -> RemoteSource | None:
    """Look up a source on the server by id, by name, or by the beginning of its id. None if ``wanted`` is empty.

    Raises:
        UsageError: no source matches, or several do.
        RemoteError: the server cannot list its sources.
    """
    if not wanted:
        return None
    found = remote.sources()
    matches = [s for s in found if wanted in (s.id, s.name)] or [s for s in found if s.id.startswith(wanted)]
    if len(matches) != 1:
        words = "several sources are" if matches else "no source is"
        raise UsageError(f"{words} called {wanted!r}", "raven-agent sources lists them; give the id")
    return matches[0]


def earlier_source(agent: Agent, server: str, root: Path, mode: Mode | None) -> RemoteSource | None:
    """Return the source that a folder was linked with before, if it can go on; None for a first link.

    It must be on the server still, take edits, be linked nowhere here and write as ``mode`` asks. The folder must be
    the same one: a new folder of an old name would be filled with what the old one held.

    Raises:
        RemoteError: the server cannot list its sources.
    """
    before = [u.source for u in agent.registry.unlinked if (u.source.root, u.source.server) == (root, server)]
    if not root.is_dir() or not before:
        return None
    inode = root.stat().st_ino
    linked = {source.source_id for source in agent.registry.sources_of(server)}
    there = {found.id: found for found in agent.server(server).remote().sources()}
    for source in reversed(before):
        found = there.get(source.source_id)
        if found is None or found.archived or found.id in linked or mode not in (None, found.mode):
            continue
        if source.root_inode in (None, inode):
            return found
    return None


def choose_mode(joined: RemoteSource | None, wanted: Mode | None) -> Mode:
    """Choose the mode of a link: ``wanted``, else the joined source's own, else bidirectional.

    Raises:
        UsageError: ``wanted`` would write more than the joined source's own mode, or the source is archived.
    """
    if joined is None:
        return wanted or Mode.BIDIRECTIONAL
    if joined.archived:
        words = f"the source {joined.name!r} is archived, so nothing can be sent to it"
        raise UsageError(words, f"raven-agent sources archive {joined.id} --undo")
    mode = wanted or joined.mode
    if _WRITE_RANK[mode] > _WRITE_RANK[joined.mode]:
        raise UsageError(
            f"the source is {joined.mode.value}; {mode.value} would write more", "choose one that writes less"
        )
    return mode


def clear_index(agent: Agent, key: int) -> None:
    """Delete everything the index holds for a source key, so that a new link starts without a history."""
    agent.control.call(lambda: agent.index.forget_source(key))


def scan_recorder(agent: Agent, draft: SourceEntry) -> Callable[[m.ScanResults], None]:
    """Return a function that writes scan results into the local tree of a link that is not created yet.

    The first scan after linking then reads no unchanged file again. The engine used here runs no effects, so nothing
    is sent or installed. What the index held under this key before is deleted.
    """

    def begin() -> Engine:
        agent.index.forget_source(draft.key)
        return Engine(agent.index, agent.engine_config(draft, agent.run_mode), random.SystemRandom())

    engine = agent.control.call(begin)

    def record(results: m.ScanResults) -> None:
        agent.control.call(partial(engine.step, agent.clock(), results))

    return record


def create_link(agent: Agent, draft: SourceEntry, joined: RemoteSource | None) -> SourceEntry:
    """Create a link: the folder if missing, the source on the server unless one is joined, and the registry entry.

    The index rows of ``draft.key`` must come from ``scan_recorder``, or be cleared before.

    Returns:
        The entry as saved, with its source id and the device and inode of its root.

    Raises:
        UsageError: the source has files in common with one that is linked already.
        RemoteError: the server cannot create the source; no link is made.
        OSError: the folder cannot be created.
    """
    if joined is not None:
        _require_separate_source(agent, draft)
    draft.root.mkdir(parents=True, exist_ok=True)
    connection = agent.connection(draft.server)
    if joined is None:
        created = connection.remote.create_source(
            draft.name, draft.mode, connection.connector_id or "", draft.include, draft.exclude
        )
        draft = replace(draft, source_id=created.id)
        _require_separate_source(agent, draft)
    stat = draft.root.stat()
    write_marker(agent.fs, str(draft.root), str(agent.home.state_dir), draft.source_id)
    entry = replace(draft, root_device=stat.st_dev, root_inode=stat.st_ino)
    agent.change_registry(lambda registry: reg.with_source(registry, entry))
    agent.start_source_if_daemon(entry)
    return entry


def _require_separate_source(agent: Agent, draft: SourceEntry) -> None:
    """Check that the source has no file in common with another linked one: its files would be synced twice."""
    # Imported here: a single command starts sooner without it.
    from agent.remotes.dialects import sources_overlap

    dialect = agent.server_entry(draft.server).dialect
    for linked in agent.registry.sources_of(draft.server):
        if linked.key != draft.key and sources_overlap(dialect, linked.source_id, draft.source_id):
            words = f"the source has files in common with the one that is linked to {linked.root}"
            raise UsageError(words, "link another source, or unlink that one first")


def remove_link(agent: Agent, source: SourceEntry) -> int:
    """Remove a link and its index rows. Deletes no file on either side.

    Returns:
        The number of changes that had not reached the server.
    """
    unsent = count_unsent(agent, source)
    agent.stop_source(source.key)
    _queue_conflict_texts(agent, source)
    write_pending_trash(agent, source)
    agent.change_registry(lambda registry: reg.without_source(registry, source.key, agent.clock()))
    # A status that was being asked for may have started it again before the link was gone.
    agent.stop_source(source.key)
    clear_index(agent, source.key)
    _leave(agent, source)
    return unsent


def _leave(agent: Agent, source: SourceEntry) -> None:
    """Take this machine off the server's list of the source. A server that cannot be reached goes on listing it."""
    if any((one.server, one.source_id) == (source.server, source.source_id) for one in agent.registry.sources):
        return
    with contextlib.suppress(AgentError):
        if agent.server(source.server).check(_RECENT_SECONDS) is not None:
            return
        listing = agent.connection(source.server).remote.machine_list
        if listing is not None:
            listing.leave(source.source_id)


def _queue_conflict_texts(agent: Agent, source: SourceEntry) -> None:
    """Queue for the trash the texts of open conflicts that are neither in the folder nor the server's head.

    The index may hold their only copies, and it forgets the conflicts of an unlinked source.
    """
    index = agent.index

    def queue() -> None:
        queued = {(one.path, one.hash) for one in index.trash_outbox.all(source.key)}
        for conflict in index.conflicts.live(source.key):
            digest = conflict.remote_hash
            if conflict.origin not in HEAD_IS_LOCAL or digest is None or (conflict.path, digest) in queued:
                continue
            if index.texts.has(digest):
                queued.add((conflict.path, digest))
                entry_id = secrets.token_hex(8)
                index.trash_outbox.add(source.key, PendingTrashWrite(entry_id, conflict.path, digest, "conflict"))

    agent.control.call(queue)


def write_pending_trash(agent: Agent, source: SourceEntry) -> None:
    """Write the texts that are still queued for the trash of a source that is stopped or unlinked.

    They may be the only copies. Where the folder or the disk refuses them they stay queued, for the next call.
    """
    outbox, texts = agent.index.trash_outbox, agent.index.texts
    pending = agent.control.call(lambda: [(one, texts.get(one.hash)) for one in outbox.all(source.key)])
    if not pending:
        return
    folder = agent.folder(source)
    try:
        for one, text in pending:
            if text is not None:
                folder.write_to_trash([TrashText(one.path, text, one.reason, one.id)], agent.clock())
            agent.control.call(partial(outbox.mark_written, one.id))
    except (AgentError, OSError) as error:
        log.warning("%s: %d texts wait to be written to the trash: %s", source.root, len(pending), error)
    finally:
        folder.close()


def count_unsent(agent: Agent, source: SourceEntry) -> int:
    """Count the changes of a source that the server has not acknowledged, parked conflicts included."""

    def count() -> int:
        steps = agent.index.trees.work(source.key)
        parked = sum(1 for conflict in agent.index.conflicts.live(source.key) if conflict.parks)
        in_flight = sum(
            1 for entry in agent.index.operations.open(source.key) if entry.state is not OperationState.ACKED
        )
        return max(steps.get(Step.PUSH, 0) + steps.get(Step.PUSH_DELETE, 0), in_flight) + parked

    return agent.control.call(count)


def reconnect_account(agent: Agent, name: str) -> None:
    """Close the session of an account whose address or token changed, and let its sources retry at once."""
    agent.drop_server(name)
    for source in agent.registry.sources_of(name):
        runner = agent.runner(source.key)
        if runner is not None:
            runner.deliver(m.Retry(()))
