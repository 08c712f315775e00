"""reload: the settings and declarations as they stand in the files now."""

from __future__ import annotations

from typing import Any

from agent.api.context import ApiContext
from agent.api.methods.common import Params
from agent.core.errors import NotRunning
from agent.provisioning import reload as reloading


def reload(context: ApiContext, _params: Params) -> dict[str, Any]:
    """Read settings and declarations anew; what makes no sense changes nothing.

    Raises:
        NotRunning: no agent stays here; each command reads them by itself.
    """
    if context.provisioner is None:
        raise NotRunning("no agent runs; the next one reads the settings by itself", "raven-agent run")
    done = reloading.reload(context.agent, context.provisioner)
    return {"ok": done.ok, "message": done.message, "changed": list(done.changed), "waiting": list(done.waiting)}
