"""The proposed three-way merge of a conflict."""

from __future__ import annotations

from dataclasses import dataclass

from merge3 import Merge3


@dataclass(frozen=True, slots=True)
class Proposal:
    """A merged text; ``clean`` is False where it holds conflict markers."""

    text: bytes
    clean: bool


def propose(base: bytes | None, local: bytes | None, remote: bytes | None) -> Proposal | None:
    """Merge the two sides on their base, or None where one side holds no file.

    Without a base there is no telling what either side changed, so every differing region is marked.
    """
    if local is None or remote is None:
        return None
    merger = Merge3(_lines(base or b""), _lines(local), _lines(remote))
    groups = list(merger.merge_groups())
    clean = base is not None and all(group[0] != "conflict" for group in groups)
    text = b"".join(
        merger.merge_lines(
            name_a=b"local", name_b=b"raven", start_marker=b"<<<<<<<", mid_marker=b"=======", end_marker=b">>>>>>>"
        )
    )
    return Proposal(text, clean)


def _lines(text: bytes) -> list[bytes]:
    return text.splitlines(keepends=True)
