"""Reading a file once: its hashes, and whether its bytes are text a server takes."""

from __future__ import annotations

import codecs
import hashlib
from typing import Final, NamedTuple

import xxhash

from agent.core.model import Reason
from agent.disk.fs.protocol import File, Fs

CHUNK: Final = 1 << 20
HELD: Final = 4 << 20
"""Files up to this size are read at once, and their sha256 is skipped where the xxh3 is enough."""


class Digest(NamedTuple):
    """What one read of a file found.

    Attributes:
        xxh3: xxh3-128 of the bytes, hexadecimal.
        sha256: of the same bytes; None where the xxh3 was the one expected.
        size: bytes read.
        reason: BINARY, NOT_UTF8 or None; meaningless where ``sha256`` is None.
    """

    xxh3: str
    sha256: str | None
    size: int
    reason: Reason | None = None


class _TextCheck:
    """Watches a stream of bytes for a NUL and for what is not UTF-8."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._bad = False
        self._nul = False

    def feed(self, data: bytes, *, final: bool = False) -> None:
        self._nul = self._nul or b"\x00" in data
        if self._bad or self._nul:
            return
        try:
            self._decoder.decode(data, final)
        except UnicodeDecodeError:
            self._bad = True

    def reason(self) -> Reason | None:
        self.feed(b"", final=True)
        if self._nul:
            return Reason.BINARY
        return Reason.NOT_UTF8 if self._bad else None


def text_reason(content: bytes) -> Reason | None:
    """Why these bytes are no text a server takes, or None."""
    if b"\x00" in content:
        return Reason.BINARY
    if not content.isascii():
        try:
            content.decode()
        except UnicodeDecodeError:
            return Reason.NOT_UTF8
    return None


xxh3: Final = xxhash.xxh3_128_hexdigest
"""xxh3-128 of the bytes, as fingerprints keep it."""


def digest(fs: Fs, file: File, size: int, expected_xxh3: str | None = None) -> Digest:
    """Reads ``file`` to its end, or until it proves to have grown: a log written faster than it is read has no end.

    Args:
        size: what the stat said. Where the digest's size is another, the file changed and its hashes mean nothing.
        expected_xxh3: of the bytes known from earlier; if they are the same, no sha256 is computed for small files.
    """
    return _small(fs, file, size, expected_xxh3) if size <= HELD else _large(fs, file, size)


def _small(fs: Fs, file: File, size: int, expected_xxh3: str | None) -> Digest:
    # One byte more than there should be shows a file that grew; that it ends there is shown by the stat afterwards.
    content = fs.read(file, size + 1)
    while len(content) < size and (more := fs.read(file, size + 1 - len(content))):
        content += more
    quick = xxh3(content)
    if quick == expected_xxh3:
        return Digest(quick, None, len(content))
    return Digest(quick, hashlib.sha256(content).hexdigest(), len(content), text_reason(content))


def _large(fs: Fs, file: File, size: int) -> Digest:
    quick = xxhash.xxh3_128()
    sha = hashlib.sha256()
    check = _TextCheck()
    total = 0
    while data := fs.read(file, CHUNK):
        total += len(data)
        if total > size:
            break
        quick.update(data)
        sha.update(data)
        check.feed(data)
    return Digest(quick.hexdigest(), sha.hexdigest(), total, check.reason())
