"""Rebase of a person's draft of a merge after a side of the conflict moved."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, cast

from merge3 import Merge3
from msgspec import Struct

from agent.core.diff import LineMatcher
from agent.core.merge import is_text, marked_block

_OPEN: Final = b"<<<<<<< "
_MIDDLE: Final = b"======="
_CLOSE: Final = b">>>>>>> "


class MergeSides(Struct, frozen=True):
    """The two sides of a conflict; None where a side holds no file or its text is not available."""

    local: bytes | None
    remote: bytes | None


class MarkedBlock(Struct, frozen=True):
    """A conflict between markers in a text.

    Attributes:
        start, end: lines of the block, markers included; 0-based and half open.
        left, right: the lines of its two sides.
    """

    start: int
    end: int
    left: list[bytes]
    right: list[bytes]


def rebase_draft(draft: bytes, old: MergeSides, new: MergeSides) -> bytes | None:
    """Carry the changes of the moved sides over into a draft. No line of the draft is dropped without a mark.

    Each moved side is merged in turn: its old text is the base, the draft one side, and its new text the other.

    Returns:
        The new draft, with markers where a change meets lines that the person changed too; None if that cannot be
        computed, because a side is missing or no text.
    """
    text = draft
    for name, before, after in (("local", old.local, new.local), ("raven", old.remote, new.remote)):
        if before is None or after is None or not all(is_text(each) for each in (text, before, after)):
            return None
        if before != after:
            text = _carried_over(text, before, after, name.encode())
    return text


def marked_blocks(lines: Sequence[bytes], known: Collection[tuple[bytes, bytes]] = ()) -> list[MarkedBlock]:
    """Return the conflicts between markers, in order. A marker without its counterpart is text.

    A line of seven equal signs can be a heading's underline too. In a block with several of them that one is the
    marker which splits it into the two sides of a ``known`` conflict, else the first.
    """
    found: list[MarkedBlock] = []
    start = -1
    middles: list[int] = []
    for number, line in enumerate(lines):
        if line.startswith(_OPEN):
            start, middles = number, []
        elif start >= 0 and line.rstrip(b"\r\n") == _MIDDLE:
            middles.append(number)
        elif middles and line.startswith(_CLOSE):
            blocks = [
                MarkedBlock(start, number + 1, list(lines[start + 1 : middle]), list(lines[middle + 1 : number]))
                for middle in middles
            ]
            found.append(next((one for one in blocks if _is_known(one, known)), blocks[0]))
            start, middles = -1, []
    return found


def _is_known(block: MarkedBlock, known: Collection[tuple[bytes, bytes]]) -> bool:
    left, right = (b"".join(side) for side in (block.left, block.right))
    # The marker behind a side gave it a line end if it had none.
    return any(left in (one, one + b"\n") and right in (other, other + b"\n") for one, other in known)


def _carried_over(draft: bytes, before: bytes, after: bytes, name: bytes) -> bytes:
    base, moved = (text.splitlines(keepends=True) for text in (before, after))
    merge: Any = Merge3(base, _pieces(draft), moved, sequence_matcher=cast(Any, LineMatcher))
    parts: list[bytes] = []
    for group in merge.merge_groups():
        if group[0] == "conflict":
            parts += _joined(group[1], b"".join(group[2]).splitlines(keepends=True), group[3], name)
        else:
            parts += group[1]
    return b"".join(parts)


def _pieces(draft: bytes) -> list[bytes]:
    """Return the lines of a draft, and each block as one piece: a match inside a block would tear it apart."""
    lines = draft.splitlines(keepends=True)
    found: list[bytes] = []
    at = 0
    for block in marked_blocks(lines):
        found += [*lines[at : block.start], b"".join(lines[block.start : block.end])]
        at = block.end
    return [*found, *lines[at:]]


def _joined(base: Sequence[bytes], draft: Sequence[bytes], moved: Sequence[bytes], name: bytes) -> list[bytes]:
    """Return one block for lines that the draft and the moved side both changed. Markers are never nested."""
    blocks = marked_blocks(draft)
    left, right = _taken(draft, blocks, left=True), _taken(draft, blocks, left=False)
    # Here the person has not decided the block yet: only the text of its moved side is replaced.
    if blocks and name == b"raven" and right == list(base):
        return list(marked_block((b"local", left), (b"raven", moved)))
    if blocks and name == b"local" and left == list(base):
        return list(marked_block((b"local", moved), (b"raven", right)))
    both = left if not blocks else [line for line in draft if not _is_marker(line)]
    return list(marked_block((b"draft", both), (name, moved)))


def _taken(lines: Sequence[bytes], blocks: Sequence[MarkedBlock], *, left: bool) -> list[bytes]:
    """Return the lines with one side of each block in its place."""
    found: list[bytes] = []
    at = 0
    for block in blocks:
        found += lines[at : block.start]
        found += block.left if left else block.right
        at = block.end
    return [*found, *lines[at:]]


def _is_marker(line: bytes) -> bool:
    return line.startswith((_OPEN, _CLOSE)) or line.rstrip(b"\r\n") == _MIDDLE
