"""The entry of one page in the table of routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct
from starlette.responses import Response

from agent.ui.visit import Visit

PageHandler = Callable[[Visit], Response]


class PageRoute(Struct, frozen=True):
    """One address and the function that answers it.

    Attributes:
        path: address with variable parts in braces, as Starlette writes them.
        handler: runs on a thread of its own.
        method: GET, or POST for an action. A POST carries the session's token.
    """

    path: str
    handler: PageHandler
    method: str = "GET"


class NavigationEntry(Struct, frozen=True):
    """One entry of the list of pages.

    Attributes:
        path: address.
        label: text of the link.
        key: letter that follows ``g`` on the keyboard.
    """

    path: str
    label: str
    key: str


LOGIN_PATH: Final = "/login"
