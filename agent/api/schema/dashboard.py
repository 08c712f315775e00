"""ui."""

from __future__ import annotations

from msgspec import Struct


class DashboardParams(Struct, frozen=True, kw_only=True):
    """The dashboard to open.

    Attributes:
        port: port to listen on, if it is not running yet.
    """

    port: int | None = None


class DashboardDocument(Struct, frozen=True, kw_only=True):
    """The dashboard's address.

    Attributes:
        url: holds a one-time code that ends after 60 seconds.
        port: port on 127.0.0.1 and ::1.
        moved_from: the port of the last time, which is in use or the hub's; null if the dashboard has not moved.
    """

    url: str
    port: int
    moved_from: int | None = None
