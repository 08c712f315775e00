"""Kept texts: two libraries, one format."""

from __future__ import annotations

import itertools
import zlib

import pytest

from agent.hub.domain.compression import FAST, STANDARD, Codec, pack, unpack
from agent.hub.domain.model import Encoding

CODECS = [STANDARD] if FAST is None else [STANDARD, FAST]
TEXTS = {
    "nothing": b"",
    "one letter": b"x",
    "a note": b"# Note\n\n" + b"A line like every other.\n" * 40,
    "at the small window's end": bytes(range(32, 127)) * 87,
    "longer than any window": b"".join(b"line %d of many\n" % number for number in range(20_000)),
    "what nothing makes smaller": zlib.compress(b"".join(b"%d" % (n * n * 7919) for n in range(2_000)), 9),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(("writer", "reader"), list(itertools.product(CODECS, CODECS)))
def test_either_library_reads_what_the_other_wrote(name: str, writer: Codec, reader: Codec) -> None:
    """A database can be carried to a machine that has only the other one, and back."""
    text = TEXTS[name]
    packed = pack(text, writer)
    assert packed.size == len(text)
    assert len(packed.data) <= len(text)
    assert unpack(packed.encoding, packed.data, reader) == text


@pytest.mark.parametrize("codec", CODECS)
def test_a_damaged_text_is_an_error_and_never_another_text(codec: Codec) -> None:
    """The sum at its end is looked at, and so is that there is an end."""
    packed = pack(TEXTS["a note"])
    assert packed.encoding is Encoding.ZLIB
    for damaged in (packed.data[:-1], packed.data[:-4] + b"\0\0\0\0"):
        with pytest.raises(Exception, match=r"(?i)incomplete|checksum|incorrect data check"):
            unpack(packed.encoding, damaged, codec)


def test_a_text_that_would_grow_is_kept_as_it_is() -> None:
    """Packing never costs room."""
    for codec in CODECS:
        assert pack(b"x", codec).encoding is Encoding.RAW
