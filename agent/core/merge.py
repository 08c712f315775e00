"""The proposed three-way merge of a conflict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from merge3 import Merge3
from msgspec import Struct

from agent.core.diff import LineMatcher


class Proposal(Struct, frozen=True):
    """A merged text.

    Attributes:
        clean: False where the text holds conflict markers, or where the comparison was cut.
        cut: the comparison reached its work bound: some region is larger than it could be.
    """

    text: bytes
    clean: bool
    cut: bool = False


def propose(base: bytes | None, local: bytes | None, remote: bytes | None) -> Proposal | None:
    """Merge the two sides on their base, or None where one side holds no file.

    Without a base there is no telling what either side changed, so every differing region is marked.
    """
    if local is None or remote is None:
        return None
    matchers: list[LineMatcher] = []

    def matcher(junk: object, a: Sequence[bytes], b: Sequence[bytes]) -> LineMatcher:
        matchers.append(LineMatcher(junk, a, b))
        return matchers[-1]

    merge: Any = Merge3(_lines(base or b""), _lines(local), _lines(remote), sequence_matcher=cast(Any, matcher))
    groups = list(merge.merge_groups())
    # A coarse comparison may join a change of one side with one of the other: a person looks at such a merge.
    cut = any(one.cut for one in matchers)
    clean = base is not None and not cut and all(group[0] != "conflict" for group in groups)
    return Proposal(b"".join(part for group in groups for part in _shown(group)), clean, cut)


def _shown(group: Sequence[Any]) -> Iterator[bytes]:
    """The lines of one region; the library's own markers fail on a side without lines."""
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
