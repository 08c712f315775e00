"""Reading a file once: its hashes, and whether its bytes are text a server takes."""

from __future__ import annotations

import codecs
import hashlib
from dataclasses import dataclass
from typing import Final

import xxhash

from agent.core.model import Reason
from agent.disk.fs import File, Fs

CHUNK: Final = 1 << 20
_HELD: Final = 4 << 20
"""Files up to this size are held while they are read, so that the sha256 is skipped where the xxh3 is enough."""


@dataclass(frozen=True, slots=True)
class Digest:
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
    check = _TextCheck()
    check.feed(content)
    return check.reason()


def xxh3(content: bytes) -> str:
    """xxh3-128 of the bytes, as fingerprints keep it."""
    return xxhash.xxh3_128_hexdigest(content)


def digest(fs: Fs, file: File, size: int, expected_xxh3: str | None = None) -> Digest:
    """Reads ``file`` to its end, or until it proves to have grown: a log written faster than it is read has no end.

    Args:
        size: what the stat said. Where the digest's size is another, the file changed and its hashes mean nothing.
        expected_xxh3: of the bytes known from earlier; if they are the same, no sha256 is computed for small files.
    """
    quick = xxhash.xxh3_128()
    sha = hashlib.sha256()
    check = _TextCheck()
    held: list[bytes] | None = [] if expected_xxh3 is not None and size <= _HELD else None
    total = 0
    while data := fs.read(file, CHUNK):
        total += len(data)
        if total > size:
            break
        quick.update(data)
        if held is not None:
            held.append(data)
            if total <= _HELD:
                continue
            data, held = b"".join(held), None
        sha.update(data)
        check.feed(data)
    if held is not None:
        if quick.hexdigest() == expected_xxh3:
            return Digest(quick.hexdigest(), None, total)
        sha.update(b"".join(held))
        check.feed(b"".join(held))
    return Digest(quick.hexdigest(), sha.hexdigest(), total, check.reason())
