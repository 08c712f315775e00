"""Values that the real server's database refuses. The server answers each with 500 and the database's text."""

from __future__ import annotations

import zlib
from typing import Any

from strict_raven.wire import well_formed

_INDEX_ROW_LIMIT = 2704
_INDEX_ROW_OVERHEAD = 28
_COMPRESSED_FROM = 508
_INTEGER_MAX = 2**31 - 1


class DatabaseError(Exception):
    """A statement failed; what earlier statements of the same request wrote stays."""


def text(value: str) -> str:
    """A text column or parameter. Lone surrogates arrive as U+FFFD."""
    if "\0" in value:
        raise DatabaseError('invalid byte sequence for encoding "UTF8": 0x00')
    return well_formed(value)


def varchar(value: str, limit: int) -> str:
    """A column of at most `limit` characters."""
    stored = text(value)
    if len(stored) > limit:
        raise DatabaseError(f"value too long for type character varying({limit})")
    return stored


def document(value: Any) -> None:
    """A JSON column: unlike a text column it refuses a lone surrogate."""
    if isinstance(value, dict):
        for item in value.values():
            document(item)
    elif isinstance(value, list):
        for item in value:
            document(item)
    elif isinstance(value, str):
        if "\0" in value:
            raise DatabaseError("unsupported Unicode escape sequence")
        if well_formed(value) != value:
            raise DatabaseError("invalid input syntax for type json")


def path_index(path: str) -> None:
    """The unique index over (source, path): its row must fit, after the compression that long texts get."""
    raw = path.encode()
    size = len(raw)
    if size > _COMPRESSED_FROM:
        # The database compresses by repetition only, without entropy coding; fixed Huffman codes come close to that.
        packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_FIXED)
        packed = len(packer.compress(raw) + packer.flush())
        size = packed if packed < 0.75 * size else size
    row = -(-(size + _INDEX_ROW_OVERHEAD) // 8) * 8
    if row > _INDEX_ROW_LIMIT:
        raise DatabaseError(
            f"index row size {row} exceeds btree version 4 maximum {_INDEX_ROW_LIMIT}"
            ' for index "local_sync_files_source_path_uidx"'
        )


def integer(value: int | float, type_name: str) -> int:
    """A number for an `integer` or `bigint` parameter."""
    if isinstance(value, float):
        raise DatabaseError(f'invalid input syntax for type {type_name}: "{value}"')
    if type_name == "integer" and value > _INTEGER_MAX:
        raise DatabaseError(f'value "{value}" is out of range for type integer')
    return value


def uuid_key(value: str) -> str:
    """An id as the database compares it: without regard to case."""
    return value.lower()
