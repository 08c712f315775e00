"""reload: settings and declarations, read again from the files."""

from __future__ import annotations

from agent.api.context import ApiContext
from agent.api.schema.common import NoParams
from agent.api.schema.doctor import ReloadDocument
from agent.core.errors import NotRunning
from agent.provisioning import reload as reloading


def reload(context: ApiContext, _params: NoParams) -> ReloadDocument:
    """Read settings and declarations again. Invalid files change nothing.

    Raises:
        NotRunning: no daemon runs; each command reads the files when it starts.
    """
    if context.provisioner is None:
        raise NotRunning("no agent runs; the next one reads the settings when it starts", "raven-agent run")
    done = reloading.reload(context.agent, context.provisioner)
    return ReloadDocument(ok=done.ok, message=done.message, changed=list(done.changed), waiting=list(done.waiting))
