"""ui: the address of the dashboard."""

from __future__ import annotations

from agent.api.context import ApiContext
from agent.api.schema.dashboard import DashboardDocument, DashboardParams
from agent.core.errors import NotRunning


def ui(context: ApiContext, params: DashboardParams) -> DashboardDocument:
    """Start the dashboard unless it runs, and return its address with a one-time code.

    Raises:
        NotRunning: no daemon runs, and only one serves pages.
        UsageError: the port is in use.
    """
    if context.dashboard is None:
        raise NotRunning("no agent runs, and a running one serves the dashboard", "raven-agent ui")
    return context.dashboard.open(params.port)
