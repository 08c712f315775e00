"""One read of a file: its hashes, and the reason why a server would not take its bytes as text."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Callable
from typing import Final, NamedTuple

import xxhash

from agent.core.model import Reason
from agent.disk.fs.protocol import File, Fs

CHUNK: Final = 1 << 20
HELD: Final = 4 << 20
"""Files up to this size are read in one call. Their sha256 is skipped if the xxh3 is the expected one."""
PEEK: Final = 8 << 10
"""Bytes of a larger file that are checked first: most files that are no text show it there."""


class ReadInterrupted(Exception):
    """The process is stopping, so a long read was given up. Nothing may be concluded from it."""


def never() -> bool:
    """Return False: the reader is not to be interrupted."""
    return False


class Digest(NamedTuple):
    """The result of reading one file.

    Attributes:
        xxh3: xxh3-128 of the bytes, hexadecimal.
        sha256: of the same bytes, hexadecimal; None if the xxh3 was the expected one.
        size: bytes read.
        reason: BINARY, NOT_UTF8 or None; undefined if ``sha256`` is None.
    """

    xxh3: str
    sha256: str | None
    size: int
    reason: Reason | None = None


class _TextCheck:
    """A check of a stream of bytes for NUL and for invalid UTF-8."""

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

    @property
    def failed(self) -> bool:
        """True if the bytes so far are no text."""
        return self._nul or self._bad

    def reason(self) -> Reason | None:
        self.feed(b"", final=True)
        if self._nul:
            return Reason.BINARY
        return Reason.NOT_UTF8 if self._bad else None


class RunningDigest:
    """The digest of a stream of bytes, as far as it has been seen.

    Args:
        check_text: find out if the bytes are text.

    Attributes:
        size: bytes seen.
    """

    def __init__(self, *, check_text: bool = True) -> None:
        self.size = 0
        self._xxh3 = xxhash.xxh3_128()
        self._sha256 = hashlib.sha256()
        self._check = _TextCheck() if check_text else None

    def update(self, data: bytes) -> None:
        """Add the next bytes."""
        self.size += len(data)
        self._xxh3.update(data)
        self._sha256.update(data)
        if self._check is not None:
            self._check.feed(data)

    @property
    def sha256(self) -> str:
        """The sha256 of the bytes seen, hexadecimal."""
        return self._sha256.hexdigest()

    @property
    def is_no_text(self) -> bool:
        """True if the bytes seen are no text, whatever follows."""
        return self._check is not None and self._check.failed

    def result(self) -> Digest:
        """Return the digest of the bytes seen, as those of a whole file. No bytes may be added afterwards."""
        reason = None if self._check is None else self._check.reason()
        return Digest(self._xxh3.hexdigest(), self.sha256, self.size, reason)


def text_reason(content: bytes) -> Reason | None:
    """Return the reason why a server does not take these bytes as text; None if it does."""
    if b"\x00" in content:
        return Reason.BINARY
    if not content.isascii():
        try:
            content.decode()
        except UnicodeDecodeError:
            return Reason.NOT_UTF8
    return None


def head_reason(head: bytes) -> Reason | None:
    """Return the reason why a file that begins with these bytes, and goes on, is not taken as text; None if unknown."""
    if b"\x00" in head:
        return Reason.BINARY
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return Reason.NOT_UTF8
    return None


xxh3: Final = xxhash.xxh3_128_hexdigest
"""xxh3-128 of the bytes, hexadecimal, as stored in fingerprints."""


def digest(
    fs: Fs,
    file: File,
    size: int,
    expected_xxh3: str | None = None,
    *,
    head: bytes = b"",
    interrupted: Callable[[], bool] = never,
    text_only: bool = False,
    check_text: bool = True,
) -> Digest:
    """Read ``file`` to its end, or until it has grown: a log written faster than it is read has no end.

    Args:
        size: size by the stat. If the size of the digest differs, the file changed and its hashes are void.
        expected_xxh3: of the bytes known from earlier. If it is equal, no sha256 is computed for a small file.
        head: the first bytes, if they were read already.
        text_only: end at the first slice of a larger file that is no text; then ``sha256`` is None.
        check_text: find out if the bytes are text.
        interrupted: asked before each slice of ``CHUNK`` bytes of a larger file.

    Raises:
        ReadInterrupted: ``interrupted`` returned True.
    """
    if size <= HELD:
        return _small(fs, file, size, expected_xxh3, check_text)
    return _large(fs, file, size, RunningDigest(check_text=check_text), head, interrupted, text_only)


def _small(fs: Fs, file: File, size: int, expected_xxh3: str | None, check_text: bool) -> Digest:
    # A byte beyond the size proves that the file grew. The stat afterwards proves that it ended there.
    content = fs.read(file, size + 1)
    while len(content) < size and (more := fs.read(file, size + 1 - len(content))):
        content += more
    quick = xxh3(content)
    if quick == expected_xxh3:
        return Digest(quick, None, len(content))
    reason = text_reason(content) if check_text else None
    return Digest(quick, hashlib.sha256(content).hexdigest(), len(content), reason)


def _large(
    fs: Fs,
    file: File,
    size: int,
    running: RunningDigest,
    head: bytes,
    interrupted: Callable[[], bool],
    text_only: bool,
) -> Digest:
    data = head or fs.read(file, CHUNK)
    while data:
        if interrupted():
            raise ReadInterrupted
        if running.size + len(data) > size:
            # It grew: the size of this digest says so, and nothing reads the hashes.
            return running.result()._replace(size=running.size + len(data))
        running.update(data)
        if text_only and running.is_no_text:
            return Digest("", None, size, running.result().reason)
        data = fs.read(file, CHUNK)
    return running.result()
