"""The machines of each source, asked of the servers: how far each of them has come."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from agent.api.methods.common import readable
from agent.api.schema.machines import MachineDocument, SourceMachinesDocument
from agent.core.errors import AgentError, ProblemKind, RemoteError
from agent.core.model import SourceState
from agent.remotes.machine_list import RemoteMachine
from agent.runtime.agent import Agent
from agent.settings.links import SourceEntry

NO_LISTING: Final = "this server does not tell how far other machines have come"
_ASKED_AT_ONCE: Final = 8
"""Sources asked about at the same time, so that a server that does not answer delays no other."""


def source_machines(agent: Agent, sources: Sequence[SourceEntry]) -> list[SourceMachinesDocument]:
    """List the machines of each source, with this machine first."""
    if not sources:
        return []
    with ThreadPoolExecutor(min(_ASKED_AT_ONCE, len(sources))) as pool:
        return list(pool.map(lambda source: _asked(agent, source), sources))


def _asked(agent: Agent, source: SourceEntry) -> SourceMachinesDocument:
    try:
        listing = agent.connection(source.server).remote.machine_list
        found = None if listing is None else listing.machines(source.source_id)
    except RemoteError as error:
        if error.problem.kind is ProblemKind.NOT_FOUND:
            return _document(source, None, NO_LISTING)
        return _document(source, None, error.message)
    except AgentError as error:
        return _document(source, None, error.message)
    if found is None:
        return _document(source, None, NO_LISTING)
    view = agent.control.call(agent.start_source(source).view)
    own = True if view.state is SourceState.UP_TO_DATE else False if view.pending_pull else None
    return _document(source, ordered(found, this_is_current=own), None)


def ordered(found: Sequence[RemoteMachine], *, this_is_current: bool | None) -> list[MachineDocument]:
    """Return this machine first, then the others by the time they were last seen, newest first.

    Args:
        this_is_current: this machine knows itself that it is in sync, or that it has changes left to apply; None if it
            knows neither. A server may learn it a minute later.
    """
    newest = sorted(found, key=lambda machine: machine.seen_at or "", reverse=True)
    return [
        machine_document(machine, known_current=this_is_current if machine.is_this else None)
        for machine in sorted(newest, key=lambda machine: not machine.is_this)
    ]


def machine_document(machine: RemoteMachine, *, known_current: bool | None) -> MachineDocument:
    """Return one machine. ``known_current``, unless it is None, overrides the server's word."""
    is_current = machine.is_current if known_current is None else known_current
    state = "unknown" if is_current is None else "up_to_date" if is_current else "behind"
    return MachineDocument(
        id=machine.id,
        name=machine.name,
        platform=machine.platform,
        version=machine.version,
        this_machine=machine.is_this,
        state=state,
        behind=0 if is_current else machine.behind or None,
        seen_at=machine.seen_at,
        reached_at=machine.reached_at,
    )


def _document(
    source: SourceEntry, machines: list[MachineDocument] | None, message: str | None
) -> SourceMachinesDocument:
    return SourceMachinesDocument(
        source_id=source.source_id,
        name=source.name,
        root=readable(str(source.root)),
        server=source.server,
        known=machines is not None,
        message=message,
        machines=machines or [],
    )
