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
    """

    url: str
    port: int
