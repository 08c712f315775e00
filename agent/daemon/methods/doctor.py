"""doctor: what a running agent says of itself."""

from __future__ import annotations

from typing import Any

from agent import __version__
from agent.daemon.agent import Agent
from agent.daemon.doctor import examine
from agent.daemon.methods.common import Params


def doctor(agent: Agent, _params: Params) -> dict[str, Any]:
    """Every check."""
    checks = examine(agent)
    return {"ok": all(check["ok"] for check in checks), "version": __version__, "checks": checks}
