"""The pages, one module each, and the list of them that every page shows.

A new page is a module with ``ROUTES``, a template of the same name, and an entry here.
"""

from __future__ import annotations

from typing import Final

from agent.ui import live
from agent.ui.page_route import NavigationEntry, PageRoute
from agent.ui.pages import (
    activity,
    add,
    conflicts,
    files,
    footer,
    health,
    history,
    invite,
    merge,
    overview,
    rewind,
    rules,
    servers,
    source_changes,
    trash,
    unlink,
)

ROUTES: Final[tuple[PageRoute, ...]] = (
    *overview.ROUTES,
    *conflicts.ROUTES,
    *merge.ROUTES,
    *files.ROUTES,
    *history.ROUTES,
    *rewind.ROUTES,
    *trash.ROUTES,
    *activity.ROUTES,
    *rules.ROUTES,
    *servers.ROUTES,
    *source_changes.ROUTES,
    *invite.ROUTES,
    *add.ROUTES,
    *unlink.ROUTES,
    *health.ROUTES,
    *live.ROUTES,
    *footer.ROUTES,
)

NAVIGATION: Final[tuple[NavigationEntry, ...]] = (
    NavigationEntry("/", "Overview", "o"),
    NavigationEntry("/conflicts", "Conflicts", "c"),
    NavigationEntry("/files", "Files", "f"),
    NavigationEntry("/rewind", "Rewind", "r"),
    NavigationEntry("/trash", "Trash", "t"),
    NavigationEntry("/activity", "Activity", "a"),
    NavigationEntry("/servers", "Servers", "v"),
    NavigationEntry("/health", "Health", "h"),
    NavigationEntry("/settings", "Settings", "s"),
)
