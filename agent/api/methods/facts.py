"""Facts of ``explain`` beside the rule: the answers to the questions that people ask most."""

from __future__ import annotations

from typing import Final

from agent.api.methods.common import live_conflicts, opened_folder, stamp
from agent.api.methods.history import history
from agent.api.methods.machines import source_machines
from agent.api.methods.status import source_status
from agent.api.schema.common import PathParams
from agent.api.schema.explain import ConflictFacts, FileFacts, FolderFacts, LastChange
from agent.core.errors import AgentError
from agent.engine.config import RunMode
from agent.index.activity import ActivityEntry, ActivityKind
from agent.remotes.protocol import Capabilities
from agent.runtime import linking
from agent.runtime.agent import Agent
from agent.settings.links import SourceEntry

SERVER_VERSIONS: Final = 20
"""Versions that the server is asked for. Each comes with its text, and a busy file has thousands."""
NO_HISTORY: Final = "this server keeps no earlier versions"

_HERE: Final = (ActivityKind.PUSHED, ActivityKind.DELETED_REMOTE, ActivityKind.RESTORED)
"""Events of changes that a person made on this machine."""
_ELSEWHERE: Final = (ActivityKind.PULLED, ActivityKind.DELETED_LOCAL)
"""Events of changes that came from the server."""


def file_facts(agent: Agent, source: SourceEntry, path: str) -> FileFacts:
    """Return what people ask about a file. The server is asked for its versions."""
    newest = agent.control.call(lambda: agent.index.activity.newest_of(source.key, path, (*_HERE, *_ELSEWHERE)))
    server, message = None, None
    trash = 0
    try:
        found = history(agent, PathParams(path=str(source.root / path)), server_limit=SERVER_VERSIONS)
    except AgentError as error:
        message = error.message
    else:
        trash = sum(version.where == "trash" for version in found.versions)
        message = found.error.message if found.error is not None else None if found.server_history else NO_HISTORY
        server = len(found.versions) - trash if message is None else None
    conflict = next((one for one in live_conflicts(agent, source) if one.path == path and one.parks), None)
    return FileFacts(
        last_change=None if newest is None else last_change(newest),
        server_versions=server,
        server_has_more=server is not None and server >= SERVER_VERSIONS,
        server_message=message,
        trash_versions=trash,
        conflict=None
        if conflict is None
        else ConflictFacts(
            id=f"{conflict.id}.{conflict.generation}", kind=conflict.kind.value, opened_at=stamp(conflict.opened_at)
        ),
    )


def was_changed(agent: Agent, source: SourceEntry, path: str) -> bool:
    """Return True if the log knows a change of a file, which may be deleted by now."""
    kinds = (*_HERE, *_ELSEWHERE)
    return agent.control.call(lambda: agent.index.activity.newest_of(source.key, path, kinds)) is not None


def last_change(entry: ActivityEntry) -> LastChange:
    """Return the newest change of a file, by this machine or from elsewhere."""
    return LastChange(at=stamp(entry.at), what=entry.what, by="this_machine" if entry.what in _HERE else "elsewhere")


def folder_facts(agent: Agent, source: SourceEntry) -> FolderFacts:
    """Return what people ask about a linked folder. Without a daemon the disk is scanned and the server asked first."""
    runs = agent.run_mode is RunMode.DAEMON
    if not runs:
        agent.stop_source(source.key)
        agent.start_source(source, RunMode.DRY_RUN).pass_once().result()
    session = agent.server(source.server)
    with opened_folder(agent, source) as folder:
        sizes = [entry.size for entry in folder.trash.entries()]
    (machines,) = source_machines(agent, [source])
    rate = session.capabilities.rate
    return FolderFacts(
        source=source_status(agent, source),
        agent_runs=runs,
        unsent=linking.count_unsent(agent, source),
        trash_files=len(sizes),
        trash_bytes=sum(sizes),
        notices=notices(session.capabilities, listening=session.listening),
        calls_a_minute=None if rate is None else rate.a_minute,
        machines=machines,
    )


def notices(can: Capabilities, *, listening: bool) -> str:
    """Return how this machine learns of changes on the server: pushed, waiting, or asking from time to time."""
    if listening:
        return "pushed"
    return "waiting" if can.long_poll else "asking"
