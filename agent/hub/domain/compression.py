"""Compression of stored texts: zlib format where that makes them smaller.

performance island: ISA-L compresses in a third of zlib's time at the same size; see test_hub.py in tests/benchmarks.
Plain alternative: `zlib.compress(text, 1)` and `zlib.decompress`, which STANDARD uses on every other machine.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from agent.hub.domain.model import Encoding

try:
    from isal import isal_zlib
except ImportError:  # no build of it exists for this machine
    isal_zlib = None  # type: ignore[assignment]

_LEVEL: Final = 1
"""Compression level of both libraries. The next level takes 12 % longer and makes texts 2 % smaller."""
_SHORT: Final = 8192
"""Texts up to this many bytes use a small zlib window: allocating the full one costs more than compressing."""


@dataclass(frozen=True, slots=True)
class Codec:
    """A library for the zlib format (RFC 1950). Every codec reads what any other wrote.

    Attributes:
        deflate, inflate: both release the GIL. A damaged text raises the library's own error.
    """

    deflate: Callable[[bytes], bytes]
    inflate: Callable[[bytes], bytes]


class CompressedContent(Struct, frozen=True, gc=False):
    """A text in its stored form.

    Attributes:
        size: bytes of the text in UTF-8.
        data: the bytes in this encoding.
    """

    size: int
    encoding: Encoding
    data: bytes


def _deflate(text: bytes) -> bytes:
    window, memory = (13, 6) if len(text) <= _SHORT else (15, 8)
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, window, memory)
    return packer.compress(text) + packer.flush()


def _deflate_fast(text: bytes) -> bytes:
    return isal_zlib.compress(text, _LEVEL)


STANDARD: Final = Codec(_deflate, zlib.decompress)
"""Python's own zlib, always available."""
FAST: Final = None if isal_zlib is None else Codec(_deflate_fast, isal_zlib.decompress)
"""ISA-L, or None where it is not installed."""
_CODEC: Final = FAST or STANDARD


def pack(text: bytes, codec: Codec = _CODEC) -> CompressedContent:
    """Compress a text (UTF-8). Call it before the database is locked: it releases the GIL, so other threads run."""
    packed = codec.deflate(text)
    if len(packed) < len(text):
        return CompressedContent(len(text), Encoding.ZLIB, packed)
    return CompressedContent(len(text), Encoding.RAW, text)


def unpack(encoding: int, data: bytes, codec: Codec = _CODEC) -> bytes:
    """Return the text (UTF-8)."""
    return codec.inflate(data) if encoding == Encoding.ZLIB else bytes(data)
