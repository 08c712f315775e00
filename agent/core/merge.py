"""The three-way merge that is proposed for a conflict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from merge3 import Merge3
from msgspec import Struct

from agent.core.diff import LineMatcher, diff_lines


class ConflictHunk(Struct, frozen=True):
    """One region that both sides changed; ``base`` is None where the sides were compared without a base."""

    base: bytes | None
    local: bytes
    remote: bytes


class Proposal(Struct, frozen=True):
    """A merged text.

    Attributes:
        text: the bytes.
        clean: False if it holds conflict markers, or if the comparison was cut.
        cut: True if the comparison reached its work bound: a region may be larger than necessary.
        hunks: the regions in conflict, in the order of the text.
    """

    text: bytes
    clean: bool
    cut: bool = False
    hunks: tuple[ConflictHunk, ...] = ()


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
    text = b"".join(part for group in groups for part in _marked(group))
    hunks = tuple(ConflictHunk(*(b"".join(side) for side in group[1:4])) for group in groups if group[0] == "conflict")
    return Proposal(text, clean, cut, hunks)


def begin_merge(base: bytes | None, local: bytes | None, remote: bytes | None) -> Proposal | None:
    """Return the text with which a person begins a merge: the proposal, or without a base both sides, each difference
    marked. The latter is never clean. None if a side holds no file or no text.
    """
    proposal = propose(base, local, remote)
    if proposal is not None or local is None or remote is None or not (is_text(local) and is_text(remote)):
        return proposal
    ours, theirs = _lines(local), _lines(remote)
    found = diff_lines(ours, theirs)
    parts: list[bytes] = []
    hunks = []
    for equal, a, b, c, d in found.blocks:
        if equal:
            parts += ours[a:b]
        else:
            parts += marked_block((b"local", ours[a:b]), (b"raven", theirs[c:d]))
            hunks.append(ConflictHunk(None, b"".join(ours[a:b]), b"".join(theirs[c:d])))
    return Proposal(b"".join(parts), False, found.cut, tuple(hunks))


def _marked(group: Sequence[Any]) -> Iterator[bytes]:
    """Yield the lines of one region, with markers around a conflict. merge3's own markers fail on an empty side."""
    if group[0] != "conflict":
        yield from group[1]
        return
    yield from marked_block((b"local", group[2]), (b"raven", group[3]))


def marked_block(left: tuple[bytes, Sequence[bytes]], right: tuple[bytes, Sequence[bytes]]) -> Iterator[bytes]:
    """Yield the lines of a conflict between markers; each side is its name and its lines."""
    first, last = b"<<<<<<< " + left[0] + b"\n", b">>>>>>> " + right[0] + b"\n"
    for marker, lines in ((first, left[1]), (b"=======\n", right[1]), (last, ())):
        yield marker
        yield from lines
        if lines and not lines[-1].endswith((b"\n", b"\r")):
            yield b"\n"


def _lines(text: bytes) -> list[bytes]:
    return text.splitlines(keepends=True)
