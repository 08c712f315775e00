"""Having the agent started at login or at boot: systemd, launchd, or the desktop's autostart."""

from __future__ import annotations

from agent.service.model import ServiceState
from agent.settings.home import Home

__all__ = ["ServiceState", "state"]


def state(home: Home) -> ServiceState:
    """How the service of whoever asks stands. Changes nothing, needs no root, and raises nothing."""
    from agent.service.detect import state_here
    from agent.service.model import Host

    return state_here(Host.here(home))
