"""doctor: what a running agent says of itself."""

from __future__ import annotations

from typing import Any

from agent import __version__
from agent.api.context import ApiContext
from agent.api.methods.common import Params


def doctor(context: ApiContext, _params: Params) -> dict[str, Any]:
    """Every check."""
    # Not above: an agent that starts is never asked at once, and its checks need much that nothing else does.
    from agent.doctor import examine

    checks = examine(context.agent, context.declaration_outcomes())
    return {"ok": all(check["ok"] for check in checks), "version": __version__, "checks": checks}
