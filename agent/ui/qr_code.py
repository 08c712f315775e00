"""A QR code as the path of an inline SVG."""

from __future__ import annotations

from itertools import groupby
from typing import Final

from msgspec import Struct

QUIET: Final = 4
"""Light modules around the code, which a scanner needs."""


class QrCode(Struct, frozen=True):
    """A drawn code.

    Attributes:
        size: width and height in modules, the quiet border included.
        path: the dark modules, as the ``d`` of an SVG path: one rectangle for each run of them in a row.
    """

    size: int
    path: str


def qr_code(text: str) -> QrCode:
    """Return the code of a text. It can be read with 15 % of it covered."""
    import segno

    rows = [[bool(module) for module in row] for row in segno.make(text, error="m", micro=False).matrix]
    drawn = []
    for y, row in enumerate(rows):
        x = 0
        for is_dark, run in groupby(row):
            length = len(list(run))
            if is_dark:
                drawn.append(f"M{x + QUIET} {y + QUIET}h{length}v1h-{length}z")
            x += length
    return QrCode(len(rows) + 2 * QUIET, "".join(drawn))
