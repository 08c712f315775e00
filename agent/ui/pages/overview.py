"""The overview: one card for each folder."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from agent.ui.page_route import PageRoute
from agent.ui.visit import Visit


def overview(visit: Visit) -> Response:
    """Show every folder with its state."""
    status = visit.call("status")
    return visit.page("overview.html", status=200, state=status)


ROUTES: Final = (PageRoute("/", overview),)
