"""bundle and metrics."""

from __future__ import annotations

from msgspec import Struct


class BundleFile(Struct, frozen=True, kw_only=True):
    """One file of the bundle.

    Attributes:
        size: in bytes.
        text: its content, without tokens.
    """

    name: str
    size: int
    text: str


class BundleDocument(Struct, frozen=True, kw_only=True):
    """The report for a helper, without any token.

    Attributes:
        files: its files, in the order of the archive.
        content_base64: the zip of them.
    """

    files: list[BundleFile]
    content_base64: str


class MetricsDocument(Struct, frozen=True, kw_only=True):
    """The metrics of a running agent.

    Attributes:
        text: as OpenMetrics.
        socket: path of the control socket, which answers ``GET /metrics`` with the same.
    """

    text: str
    socket: str
