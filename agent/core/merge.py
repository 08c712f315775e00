"""The three-way merge that is proposed for a conflict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from merge3 import Merge3
from msgspec import Struct

from agent.core.diff import LineMatcher


class Proposal(Struct, frozen=True):
    """A merged text.

    Attributes:
        text: the bytes.
        clean: False if it holds conflict markers, or if the comparison was cut.
        cut: True if the comparison reached its work bound: a region may be larger than necessary.
    """

    text: bytes
    clean: bool
    cut: bool = False


def is_text(content: bytes) -> bool:
    """Return True if the bytes are UTF-8 without a NUL, so that their lines mean something."""
    if b"\0" in content:
        return False
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def propose(base: bytes | None, local: bytes | None, remote: bytes | None) -> Proposal | None:
    """Merge the two sides of a conflict on their recorded base.

    Without the base there is no proposal: a merge on any other text takes one side's changes for the other's and may
    drop them without a mark.

    Args:
        base: the recorded base; None if there is none or its text cannot be had.
        local, remote: the sides; None if a side holds no file.

    Returns:
        The proposal, or None if one of the three is missing or is no text.
    """
    if base is None or local is None or remote is None:
        return None
    if not all(is_text(each) for each in (base, local, remote)):
        # The lines of a picture or a database mean nothing: a merge of them would be damaged, and look clean.
        return None
    matchers: list[LineMatcher] = []

    def matcher(junk: object, a: Sequence[bytes], b: Sequence[bytes]) -> LineMatcher:
        matchers.append(LineMatcher(junk, a, b))
        return matchers[-1]

    merge: Any = Merge3(_lines(base), _lines(local), _lines(remote), sequence_matcher=cast(Any, matcher))
    groups = list(merge.merge_groups())
    # A coarse comparison may join a change of one side with one of the other: a person looks at such a merge.
    cut = any(one.cut for one in matchers)
    clean = not cut and all(group[0] != "conflict" for group in groups)
    return Proposal(b"".join(part for group in groups for part in _marked(group)), clean, cut)


def _marked(group: Sequence[Any]) -> Iterator[bytes]:
    """Yield the lines of one region, with markers around a conflict. merge3's own markers fail on an empty side."""
    if group[0] != "conflict":
        yield from group[1]
        return
    for marker, lines in ((b"<<<<<<< local\n", group[2]), (b"=======\n", group[3]), (b">>>>>>> raven\n", ())):
        yield marker
        yield from lines
        if lines and not lines[-1].endswith((b"\n", b"\r")):
            yield b"\n"


def _lines(text: bytes) -> list[bytes]:
    return text.splitlines(keepends=True)
