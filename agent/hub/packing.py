"""Texts as they are kept: compressed where that makes them smaller."""

from __future__ import annotations

import zlib
from typing import Final

from msgspec import Struct

from agent.hub.model import Encoding

_LEVEL: Final = 1
"""zlib's fastest: the next one takes an eighth longer for texts two hundredths smaller."""
_SHORT: Final = 8192
"""Bytes of a text that needs no full window, and setting one up is most of the cost."""


class Packed(Struct, frozen=True, gc=False):
    """A text as it is kept.

    Attributes:
        size: bytes of the text in UTF-8.
        data: its bytes in this encoding.
    """

    size: int
    encoding: Encoding
    data: bytes


def pack(text: bytes) -> Packed:
    """Compress a text (UTF-8). Other threads run meanwhile, so this is done before the database is locked."""
    window, memory = (13, 6) if len(text) <= _SHORT else (15, 8)
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, window, memory)
    packed = packer.compress(text) + packer.flush()
    if len(packed) < len(text):
        return Packed(len(text), Encoding.ZLIB, packed)
    return Packed(len(text), Encoding.RAW, text)


def unpack(encoding: int, data: bytes) -> bytes:
    """The text (UTF-8)."""
    return zlib.decompress(data) if encoding == Encoding.ZLIB else bytes(data)
