"""Decode answers with limits on size, depth and number of values, and remove the token from them.

``decode_answer`` takes a whole answer. ``RowReader`` takes an answer in chunks and returns the rows of its list one by
one, so that a list of any length is read in bounded memory.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from agent.remotes.http.failures import AnswerTooLarge, RemoteCallError, malformed
from agent.remotes.http.profile import PLAIN, ApiProfile

MAX_ANSWER: Final = 64 * 1024 * 1024
"""Bytes of an answer that are held in memory. Depth is limited by the decoder (1,024)."""
MAX_ROW: Final = 16 * 1024 * 1024
"""Bytes of one row of a streamed list: two texts of 1 MiB, each byte written as a six-byte escape, need 12 MiB."""
MAX_PAGE: Final = MAX_ROW
"""Bytes of one page. It is in memory two or three times while it is decoded."""


class DecodeLimits(enum.Enum):
    """Limits of an answer: bytes, and values outside its texts.

    Small values make an answer outgrow its bytes: ``{}`` takes twenty times its own length in memory.
    """

    RECORD = (1 << 20, 20_000)
    """One record, or the outcomes of one batch."""
    ROW = (MAX_ROW, 20_000)
    """One row of a streamed list."""
    PAGE = (MAX_PAGE, 200_000)
    """A page with as many rows as were requested. If it is larger, fewer rows are requested."""
    WHOLE = (MAX_ANSWER, 6_000_000)
    """A complete list, as the real server does not page: more than 200,000 files."""

    def __init__(self, size: int, values: int) -> None:
        self.size = size
        """Bytes."""
        self.values = values
        """Commas and colons outside texts, plus eight for each array or object."""


def decode_answer(
    body: bytes | bytearray, content_type: str, limits: DecodeLimits, token: str, profile: ApiProfile = PLAIN
) -> Any:
    """Return the answer's data, without the dialect's envelope.

    A token that the server repeats is replaced, so that no message made from an answer can show it.

    Raises:
        RemoteCallError: GARBLED: the answer is no JSON, holds too many values, or repeats the token within a path,
            where it cannot be replaced.
    """
    value = profile.unwrap(_parse(body, content_type, limits))
    return _without_token(value, body, token, profile)


def _parse(body: bytes | bytearray, content_type: str, limits: DecodeLimits) -> Any:
    if not body or body.isspace():
        raise malformed("the server's answer is empty")
    if _exceeds_value_limit(body, limits.values):
        raise malformed(f"the server's answer holds more than {limits.values} values")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise _not_json(content_type, body) from exc


def _not_json(
    content_type: str, body: bytes | bytearray, otherwise: str = "the server's answer is not valid JSON"
) -> RemoteCallError:
    if "html" in content_type or body[:_WINDOW].lstrip()[:1] == b"<":
        return malformed("the server answered with a web page instead of data (a proxy or login page in the way?)")
    return malformed(otherwise)


def _without_token(value: Any, body: bytes | bytearray, token: str, profile: ApiProfile) -> Any:
    # Without escapes, the token appears in the bytes exactly as JSON writes it.
    if token and (orjson.dumps(token)[1:-1] in body or _ESCAPED.search(body)):
        return _replaced(value, token, profile)
    return value


_ESCAPED: Final = re.compile(rb"\\[u/]")
"""Escapes that JSON allows for characters that need none."""
_OPENING: Final = 8
"""Weight of an array or object, compared with a value inside one."""
_STRUCTURE: Final = b'"{[,:'
_OTHER: Final = bytes(byte for byte in range(256) if byte not in _STRUCTURE)
_UNWEIGHED: Final = bytes(byte for byte in range(256) if byte not in b"{[,:")
_TEXT: Final = re.compile(rb'"[^"]*(?:"|\Z)')
_SLICE: Final = 1 << 20
"""Bytes counted at once: a copy of a whole answer would double its memory."""
_WINDOW: Final = 1 << 16
"""Bytes examined at once, so that removing texts costs little memory."""


def _exceeds_value_limit(body: bytes | bytearray, most: int) -> bool:
    # Counting inside texts too is many times cheaper, and nearly always enough.
    if sum(_weight(body[start : start + _SLICE]) for start in range(0, len(body), _SLICE)) <= most:
        return False
    total, rest = 0, b""
    for part in _structure(body):
        window = rest + part
        total += _weight(_TEXT.sub(b"", window))
        if total > most:
            return True
        rest = b'"' if window.count(b'"') % 2 else b""
    return False


def _structure(body: bytes | bytearray) -> Iterator[bytes]:
    """Yield the quotes, commas, colons and opening brackets of a body, window by window, without escaped quotes."""
    start = 0
    while start < len(body):
        end = min(start + _WINDOW, len(body))
        # An escape is two bytes: an odd number of backslashes at the end would cut one.
        if (end - start - len(body[start:end].rstrip(b"\\"))) % 2:
            end += 1
        yield bytes(body[start:end]).replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _OTHER)
        start = end


def _weight(text: bytes | bytearray) -> int:
    # The translation is one fast pass that leaves few bytes to count.
    body = text.translate(None, _UNWEIGHED)
    return body.count(b",") + body.count(b":") + _OPENING * (body.count(b"[") + body.count(b"{"))


def _replaced(value: Any, token: str, profile: ApiProfile) -> Any:
    """Replace the token everywhere but in the text and the path of a file.

    A text is never shown in a message, and it must keep matching its hash.
    """
    match value:
        case str():
            return value.replace(token, "[token]")
        case list():
            return [_replaced(item, token, profile) for item in value]
        case dict():
            if any(token in str(value.get(field)) for field in profile.path_fields):
                # Under another name the file would look deleted.
                raise malformed("the server's answer repeats the token within a path")
            kept = profile.content_fields
            return {key: item if key in kept else _replaced(item, token, profile) for key, item in value.items()}
    return value


_STRUCTURAL: Final = re.compile(rb'["{}\[\],]')
_REST_OF_TEXT: Final = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
_MAX_DEPTH: Final = 1_024


class RowReader:
    """Splits the list of an answer into rows while the answer arrives.

    The list is the answer itself or the ``list_key`` of its envelope. All bytes outside the rows form the frame of the
    answer, and ``finish`` checks the frame as a whole answer with an empty list.

    Args:
        content_type: the answer's content type, for the message about a web page.
        token: replaced wherever a row repeats it outside a file's text.
    """

    def __init__(self, content_type: str, token: str, profile: ApiProfile) -> None:
        self._content_type = content_type
        self._token = token
        self._profile = profile
        self._list_key = profile.list_key
        self._frame = bytearray()
        self._row = bytearray()
        self._in_row = False
        self._in_text = False
        self._after_backslash = False
        self._depth = 0
        self._list_depth = 0
        self._list_ended = False
        self._key = bytearray()
        self._commas = self._rows = 0

    def feed(self, chunk: bytes) -> Iterator[Any]:
        """Take the next bytes; iterate over the rows that are complete with them.

        Raises:
            RemoteCallError: GARBLED: a row is no JSON object of allowed size.
        """
        start = at = 0
        while at < len(chunk):
            if self._in_text:
                at = self._read_text(chunk, at)
                continue
            found = _STRUCTURAL.search(chunk, at)
            if found is None:
                break
            mark, at = found.group(), found.end()
            between_rows = self._in_list and not self._in_row and self._depth == self._list_depth
            if between_rows and mark in b"{,":
                # A row begins here, or a comma separates two rows. The comma is counted and left out of the frame.
                self._keep(chunk[start : at - 1])
                self._in_row = mark == b"{"
                start = at - 1 if self._in_row else at
                self._commas += mark == b","
            self._take_mark(mark)
            if self._in_row and self._depth == self._list_depth:
                self._keep(chunk[start:at])
                start = at
                yield self._take_row()
        self._keep(chunk[start:])

    def finish(self) -> None:
        """Check the frame once the answer is complete.

        Raises:
            RemoteCallError: GARBLED: the answer is cut, no list, or not a success.
        """
        if self._in_text or self._in_row or (self._depth and self._frame):
            raise _not_json(self._content_type, self._frame, "the server's answer was cut short")
        value = decode_answer(self._frame, self._content_type, DecodeLimits.RECORD, self._token, self._profile)
        if value != [] or self._commas != max(self._rows - 1, 0):
            raise malformed("the server's answer is not a list of records")

    @property
    def _in_list(self) -> bool:
        return self._list_depth > 0 and not self._list_ended

    def _take_mark(self, mark: bytes) -> None:
        if mark == b'"':
            self._in_text = True
            self._key.clear()
        elif mark in b"{[":
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise malformed("the server's answer is nested too deeply")
            # The list is the answer itself, or the value of its key directly inside the envelope.
            at_key = self._depth == 2 and self._key == self._list_key
            if mark == b"[" and not self._list_depth and (self._depth == 1 or at_key):
                self._list_depth = self._depth
        elif mark in b"}]":
            self._depth -= 1
            if self._depth < 0:
                raise _not_json(self._content_type, self._frame)
            self._list_ended = self._list_ended or self._depth < self._list_depth

    def _read_text(self, chunk: bytes, at: int) -> int:
        """Read to the end of a text or of the chunk. Returns the offset after it."""
        if self._after_backslash:
            self._after_backslash = False
            return at + 1
        found = _REST_OF_TEXT.match(chunk, at)
        end = at if found is None else found.end()
        if len(self._key) <= len(self._list_key):
            self._key += chunk[at : min(end, at + len(self._list_key) + 1)]
        if end == len(chunk):
            return end
        # The next byte is the closing quote, or a backslash that is the last byte of the chunk.
        self._after_backslash = chunk[end : end + 1] == b"\\"
        self._in_text = self._after_backslash
        return end + 1

    def _keep(self, part: bytes) -> None:
        kept, most = (self._row, MAX_ROW) if self._in_row else (self._frame, DecodeLimits.RECORD.size)
        kept += part
        if len(kept) > most:
            raise AnswerTooLarge(f"a record in the server's answer is larger than {most} bytes")

    def _take_row(self) -> Any:
        body = bytes(self._row)
        self._row.clear()
        self._in_row = False
        self._rows += 1
        return _without_token(_parse(body, self._content_type, DecodeLimits.ROW), body, self._token, self._profile)
