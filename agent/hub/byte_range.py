"""Ranges of bytes in the header `Range` (RFC 9110)."""

from __future__ import annotations

import re
from typing import Final

_RANGE: Final = re.compile(r"bytes=(\d{0,16})-(\d{0,16})", re.ASCII)


class UnmetRange(Exception):
    """No byte of the content is in the range."""


def range_of(header: str, size: int) -> tuple[int, int] | None:
    """Return (start, length) of a requested range, or None if the header is no single range of bytes.

    Raises:
        UnmetRange: no byte of the content is in the range.
    """
    found = _RANGE.fullmatch(header.replace(" ", ""))
    # RFC 9110: a header that is no single range of bytes is ignored.
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        return span_within(max(size - int(found[2]), 0), size - 1 if int(found[2]) else -1, size)
    return span_within(int(found[1]), int(found[2]) if found[2] else size - 1, size)


def span_within(start: int, end: int, size: int) -> tuple[int, int]:
    """Return (start, length) of the bytes from `start` to `end`, both included, that the content has.

    Raises:
        UnmetRange: it has none of them.
    """
    if start >= size or end < start:
        raise UnmetRange
    return start, min(end, size - 1) - start + 1
