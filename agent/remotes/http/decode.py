"""From an answer's bytes to its data: bounded in size, depth and number of values, and without our token in it."""

from __future__ import annotations

import enum
import re
from typing import Any, Final

import orjson

from agent.remotes.http.failures import malformed

MAX_ANSWER: Final = 64 * 1024 * 1024
"""Bytes of any answer that are read; depth is bounded by the decoder (1,024)."""


class DecodeLimits(enum.Enum):
    """How large an answer may be: bytes, and values beside its texts.

    It is small values that make an answer outgrow its bytes: ``{}`` takes twenty times its own length in memory.
    """

    RECORD = (1 << 20, 20_000)
    """One record, or the outcomes of one batch."""
    PAGE = (MAX_ANSWER, 200_000)
    """As many rows as were asked for."""
    WHOLE = (MAX_ANSWER, 6_000_000)
    """Everything there is, as the real server does not page: more than 200,000 files."""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.value[0]

    @property
    def values(self) -> int:
        """Commas and colons outside of texts, and eight for each array or object."""
        return self.value[1]


def decoded(body: bytes | bytearray, content_type: str, bounds: DecodeLimits, token: str) -> Any:
    """The answer's data, out of its ``{"data", "success", "status"}`` envelope where it has one.

    A token the server repeats is replaced, so that nothing made of an answer can show it.

    Raises:
        CallFailed: GARBLED, it is no JSON answer, holds too many values, or repeats the token within a path, which
            cannot be replaced.
    """
    if not body or body.isspace():
        raise malformed("the server answered with nothing")
    if _exceeds_value_limit(body, bounds.values):
        raise malformed(f"the server's answer holds more than {bounds.values} values")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        if "html" in content_type or body.lstrip()[:1] == b"<":
            sentence = "the server answered with a web page instead of data (a proxy or login page in the way?)"
        else:
            sentence = "the server's answer is not valid JSON"
        raise malformed(sentence) from exc
    if isinstance(value, dict) and "success" in value and "data" in value:
        if value["success"] is not True:
            raise malformed("the server's answer says both success and failure")
        value = value["data"]
    # Where no escape spells it out, a token stands in the bytes as JSON writes it.
    if token and (orjson.dumps(token)[1:-1] in body or _ESCAPED.search(body)):
        return _without(value, token)
    return value


_ESCAPED: Final = re.compile(rb"\\[u/]")
"""How JSON may spell out what need not be spelled out."""
_OPENING: Final = 8
"""What an array or object weighs beside a value in one."""
_STRUCTURE: Final = b'"{[,:'
_OTHER: Final = bytes(byte for byte in range(256) if byte not in _STRUCTURE)
_UNWEIGHED: Final = bytes(byte for byte in range(256) if byte not in b"{[,:")
_TEXT: Final = re.compile(rb'"[^"]*(?:"|\Z)')
_WINDOW: Final = 1 << 16
"""Bytes looked at in one go, so that taking texts out costs little memory."""


def _exceeds_value_limit(body: bytes | bytearray, most: int) -> bool:
    # Counting what stands in texts too is many times cheaper, and nearly always enough.
    if _weight(body) <= most:
        return False
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _OTHER)
    total, begun = 0, b""
    for start in range(0, len(bare), _WINDOW):
        window = begun + bare[start : start + _WINDOW]
        total += _weight(_TEXT.sub(b"", window))
        if total > most:
            return True
        begun = b'"' if window.count(b'"') % 2 else b""
    return False


def _weight(text: bytes | bytearray) -> int:
    # One pass that leaves little to count.
    body = text.translate(None, _UNWEIGHED)
    return body.count(b",") + body.count(b":") + _OPENING * (body.count(b"[") + body.count(b"{"))


_CONTENTS: Final = frozenset({"content", "localContent", "remoteContent"})
"""A file's own text, which is shown to nobody but its owner and must stay what its hash says."""


def _without(value: Any, token: str) -> Any:
    """The value with the token replaced wherever it is neither a file's text nor its path."""
    match value:
        case str():
            return value.replace(token, "[token]")
        case list():
            return [_without(item, token) for item in value]
        case dict():
            if token in str(value.get("relativePath")):
                # Under another name the file would look deleted.
                raise malformed("the server's answer repeats the token within a path")
            return {key: item if key in _CONTENTS else _without(item, token) for key, item in value.items()}
    return value
