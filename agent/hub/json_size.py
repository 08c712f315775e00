"""The number of objects, lists and strings in a JSON text, bounded before it is parsed.

Parsed, an empty object takes twenty times its bytes, and the garbage collector visits it again and again.
"""

from __future__ import annotations

from typing import Final

MOST_VALUES: Final = 2_000
"""Objects and lists in a request of Raven's API. A batch of 100 items has about 100."""
MOST_DRIVE_VALUES: Final = 10_000
"""Objects and lists in a request of the drive face, whose lists of changes are as long as its body allows."""
_STRINGS_EACH: Final = 10
"""Strings for each of them. An item of a batch has up to 16, names included."""
_MOST_DEPTH: Final = 1024
"""Objects and lists inside each other that the parser takes."""


def has_few_values(body: bytes, most: int) -> bool:
    """Return True if a JSON text holds at most `most` objects and lists, and ten times as many strings.

    The text is not parsed. Brackets inside strings do not count. Numbers do not either: a parsed one is small.
    """
    quotes = 2 * _STRINGS_EACH * most
    if _brackets(body) <= most and body.count(b'"') <= quotes:
        return True
    # Without escaped characters every quotation mark begins or ends a string: the even parts are outside of strings.
    parts = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"', quotes + 1)
    return len(parts) <= quotes + 1 and _brackets(b"".join(parts[::2])) <= most


def is_deep(body: bytes) -> bool:
    """Return True if a JSON text with too many values has so few commas that it is nested too deep for the parser."""
    return _brackets(body) > _MOST_DEPTH * (body.count(b",") + 1)


def _brackets(body: bytes) -> int:
    return body.count(b"{") + body.count(b"[")
