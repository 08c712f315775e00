"""Texts as they are kept: compressed where that makes them smaller."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from agent.hub.domain.model import Encoding

try:
    from isal import isal_zlib
except ImportError:  # there is no build of it for this machine
    isal_zlib = None  # type: ignore[assignment]

_LEVEL: Final = 1
"""Of both libraries the first: their next ones take an eighth longer for texts two hundredths smaller."""
_SHORT: Final = 8192
"""Bytes of a text that needs no full window of zlib's, and setting one up is most of the cost."""


@dataclass(frozen=True, slots=True)
class Codec:
    """A library that writes and reads the zlib format (RFC 1950). Each reads what another wrote.

    Attributes:
        deflate, inflate: other threads run meanwhile. A text that was damaged is refused with the library's error.
    """

    deflate: Callable[[bytes], bytes]
    inflate: Callable[[bytes], bytes]


class CompressedContent(Struct, frozen=True, gc=False):
    """A text as it is kept.

    Attributes:
        size: bytes of the text in UTF-8.
        data: its bytes in this encoding.
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
"""The one that is always there."""
FAST: Final = None if isal_zlib is None else Codec(_deflate_fast, isal_zlib.decompress)
"""ISA-L takes a third of the time for texts as small, to pack and to unpack; None where it is not installed."""
_CODEC: Final = FAST or STANDARD


def pack(text: bytes, codec: Codec = _CODEC) -> CompressedContent:
    """Compress a text (UTF-8). Other threads run meanwhile, so this is done before the database is locked."""
    packed = codec.deflate(text)
    if len(packed) < len(text):
        return CompressedContent(len(text), Encoding.ZLIB, packed)
    return CompressedContent(len(text), Encoding.RAW, text)


def unpack(encoding: int, data: bytes, codec: Codec = _CODEC) -> bytes:
    """The text (UTF-8)."""
    return codec.inflate(data) if encoding == Encoding.ZLIB else bytes(data)
