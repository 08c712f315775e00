"""doctor: what a running agent says of itself."""

from __future__ import annotations

from typing import Any

from agent import __version__
from agent.api.methods.common import Params
from agent.runtime.agent import Agent


def doctor(agent: Agent, _params: Params) -> dict[str, Any]:
    """Every check."""
    # Not above: an agent that starts is never asked at once, and its checks need much that nothing else does.
    from agent.doctor import examine

    checks = examine(agent)
    return {"ok": all(check["ok"] for check in checks), "version": __version__, "checks": checks}
