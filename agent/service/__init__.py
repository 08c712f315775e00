"""Services: entries of systemd, launchd or the desktop's autostart that start the agent at login or at boot.

Begin with ``detect`` (the fitting manager) and ``model`` (its protocol). ``unit_files`` writes and recognises files.
"""

from __future__ import annotations

from agent.service.model import ServiceState
from agent.settings.home import Home

__all__ = ["ServiceState", "in_background", "state"]


def state(home: Home) -> ServiceState:
    """Return the state of this user's service. Changes nothing, needs no root and raises nothing."""
    from agent.service.detect import state_here
    from agent.service.model import Host

    return state_here(Host.here(home))


def in_background(home: Home) -> str:
    """Return the step that has the agent run in the background on this computer. Changes nothing."""
    from agent.service import detect
    from agent.service.model import Host

    return detect.in_background(Host.here(home))
