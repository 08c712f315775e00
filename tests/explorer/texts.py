"""Texts and owners in local states: their names are left out, so that states that differ in them alone are one."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

ME, YOU = "\uf000", "\uf001"
"""The machine itself, and the other machine."""
TEXT: Final = re.compile(r"[0-9a-f]{64}")
NO_HEAD: Final = hashlib.sha256(b"never a head").hexdigest()
"""The base of an edit that is not based on a head."""
_CONSTANT: Final = {NO_HEAD: "no head", hashlib.sha256(b"").hexdigest(): "empty"}
"""Names for hashes that are the same in every world: nobody's text has them. The strict server gives the hash of
nothing as the text of a delete.
"""
_FIRST: Final = 0xE000
_LAST: Final = 0xEFFF
Value = Any
"""Nested tuples of texts, numbers and None."""


def seen_by(name: str, value: Value) -> Value:
    """Return a value with one machine's name as ``ME`` and the other's as ``YOU``."""
    names = {"A": YOU, "B": YOU, name: ME} if name in "AB" else {}
    return _replaced(value, names)


def seen_by_other(value: Value) -> Value:
    """Return what one machine sees as the other one sees it."""
    return _replaced(value, {ME: YOU, YOU: ME})


def _replaced(value: Value, names: Mapping[str, str]) -> Value:
    if isinstance(value, tuple):
        return tuple(_replaced(each, names) for each in value)
    return names.get(value, value) if isinstance(value, str) else value


def token(number: int) -> str:
    """Return the token of a text's number."""
    return chr(_FIRST + number)


def number_of(value: Value) -> int | None:
    """Return the number of a text's token; None for anything else."""
    if isinstance(value, str) and len(value) == 1 and _FIRST <= ord(value) <= _LAST:
        return ord(value) - _FIRST
    return None


def numbered(value: Value, known: tuple[str, ...] = ()) -> tuple[Value, tuple[str, ...]]:
    """Return a value with each text's hash as the token of its number, and the hashes in the order of their numbers.

    Args:
        known: hashes that have the first numbers.
    """
    numbers = {digest: token(number) for number, digest in enumerate(known)}

    def of(part: Value) -> Value:
        if isinstance(part, tuple):
            return tuple(map(of, part))
        if isinstance(part, str) and len(part) == 64 and TEXT.fullmatch(part):
            return _CONSTANT.get(part) or numbers.setdefault(part, token(len(numbers)))
        return part

    return of(value), tuple(numbers)


def with_hashes(value: Value, texts: tuple[str, ...]) -> Value:
    """Return a value with hashes in place of the numbers of its texts."""
    if isinstance(value, tuple):
        return tuple(with_hashes(each, texts) for each in value)
    number = number_of(value)
    return value if number is None else texts[number]


@functools.cache
def texts_of(value: Value) -> tuple[int, ...]:
    """Return the numbers of a value's texts, each once, in the order in which they appear."""
    if isinstance(value, tuple):
        return tuple({number: None for each in value for number in texts_of(each)})
    number = number_of(value)
    return () if number is None else (number,)


@functools.cache
def _renamed(value: Value, numbers: tuple[int, ...]) -> Value:
    """Return a value with the text that is in place i of ``texts_of(value)`` as that of number ``numbers[i]``."""
    return _with_tokens(value, {before: token(after) for before, after in zip(texts_of(value), numbers, strict=True)})


def _with_tokens(value: Value, tokens: Mapping[int, str]) -> Value:
    if isinstance(value, tuple):
        return tuple(_with_tokens(each, tokens) for each in value)
    number = number_of(value)
    return value if number is None else tokens[number]


def renumbered(value: Value) -> tuple[Value, tuple[int, ...]]:
    """Return a tuple with its texts numbered in the order in which they appear, and their numbers before."""
    numbers: dict[int, int] = {}
    parts = tuple(
        _renamed(part, tuple(numbers.setdefault(text, len(numbers)) for text in texts_of(part))) for part in value
    )
    return parts, tuple(numbers)


def translated(value: Value, numbers: tuple[int, ...]) -> Value:
    """Return a value with the text of number i as that of ``numbers[i]``."""
    texts = texts_of(value)
    return _renamed(value, tuple(numbers[text] for text in texts)) if texts else value
