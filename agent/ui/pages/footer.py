"""Choices at the foot of every page: colours, and single keys."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace
from starlette.responses import Response

from agent.core.errors import UsageError
from agent.ui.page_route import PageRoute
from agent.ui.preferences import THEMES
from agent.ui.visit import Visit


def prefer(visit: Visit) -> Response:
    """Store the chosen colours, or switch the keys on or off."""
    chosen = visit.preferences
    theme = visit.form.text("theme")
    if theme:
        if theme not in THEMES:
            raise UsageError(f"there are no colours {theme!r}", f"choose one of {', '.join(THEMES)}")
        chosen = replace(chosen, theme=theme)
    if "keys" in visit.form:
        chosen = replace(chosen, keys=visit.form.text("keys") == "on")
    visit.prefer(chosen)
    return visit.go(visit.form.text("back", "/"))


ROUTES: Final = (PageRoute("/preferences", prefer, "POST"),)
