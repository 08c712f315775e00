"""change_source: rename, archive and delete sources of a server, for all machines."""

from __future__ import annotations

from dataclasses import replace

from agent.api.methods.common import RequestRefused, readable
from agent.api.schema.links import SourceAction, SourceChangeDocument, SourceChangeParams
from agent.core.errors import ProblemKind, RemoteError, UsageError
from agent.remotes.protocol import RemoteSource
from agent.remotes.source_admin import SourceAdmin
from agent.runtime import linking
from agent.runtime.agent import Agent
from agent.settings import links as reg


def change_source(agent: Agent, params: SourceChangeParams) -> SourceChangeDocument:
    """Rename, archive or delete a source of the server, or bring an archived one back. Deletes no file on any machine.

    Raises:
        UsageError: no source is meant, or no new name was given.
        RequestRefused: the server does not offer it.
        RemoteError: the server cannot be reached, or refuses.
    """
    server = linking.select_account(agent, params.server)
    remote = agent.server(server).remote()
    found = linking.find_source(remote, params.source)
    if found is None:
        raise UsageError("a source is needed", "raven-agent sources lists them")
    if remote.source_admin is None:
        raise _not_offered(server)
    try:
        _change(remote.source_admin, found, params)
    except RemoteError as error:
        # An unknown address, not an unknown source.
        if error.problem.kind is ProblemKind.NOT_FOUND and "Cannot POST" in error.message:
            raise _not_offered(server) from error
        raise
    linked = next((one for one in agent.registry.sources_of(server) if one.source_id == found.id), None)
    name = params.name if params.action is SourceAction.RENAME and params.name else found.name
    if linked is not None and name != linked.name:
        renamed = replace(linked, name=name)
        agent.change_registry(lambda registry: reg.with_source(registry, renamed))
    return SourceChangeDocument(
        changed=True,
        id=found.id,
        name=name,
        server=server,
        action=params.action.value,
        root=None if linked is None else readable(str(linked.root)),
    )


def _change(admin: SourceAdmin, found: RemoteSource, params: SourceChangeParams) -> None:
    match params.action:
        case SourceAction.RENAME:
            if not params.name:
                raise UsageError("a new name is needed", "raven-agent sources rename ID NAME")
            admin.rename(found.id, params.name)
        case SourceAction.ARCHIVE:
            admin.archive(found.id, True)
        case SourceAction.RESTORE:
            admin.archive(found.id, False)
        case SourceAction.DELETE:
            admin.delete(found.id)


def _not_offered(server: str) -> RequestRefused:
    return RequestRefused(f"the server of {server} does not let a client change its sources", "use its own page")
