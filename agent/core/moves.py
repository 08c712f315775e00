"""Moves derived from the trees: which of the files that are gone came back at another path, and in which order.

A move is not read from events, because events can be lost. It is concluded from two sets: the paths whose base file is
not there any more, and the paths that hold a file other than their base. A path can be in both: a file is gone from it
and another one came to it. ``pair`` finds the moves; ``order_moves`` says which of them can be renames.
"""

from __future__ import annotations

import enum
from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Iterable, Sequence

from msgspec import Struct

from agent.core.model import EMPTY_HASH
from agent.core.paths import collision_key


class FileAt(Struct, frozen=True, gc=False):
    """A file at a path: one that is gone from it, or one that came to it.

    Attributes:
        path: relative path.
        hash: sha256 of its bytes; None if it is not known.
        identity: equal only for the same file; None if it is not known. For moves on the server: its id there. For
            moves in the folder: everything that must be equal together, such as inode, birth time and hash.
    """

    path: str
    hash: str | None
    identity: Hashable = None


class PairEvidence(enum.StrEnum):
    """The evidence that two files are one."""

    IDENTITY = "identity"
    """The bytes may differ: the file was edited as well."""
    CONTENT = "content"


class Moved(Struct, frozen=True, gc=False):
    """One file with its old and its new path."""

    old: str
    new: str
    evidence: PairEvidence


class MoveOrder(Struct, frozen=True):
    """The ways to make moves.

    Attributes:
        renames: moves whose new path is free if they are made in this order.
        copies: moves whose new path is in use: swaps, and paths whose present file is replaced. Their bytes must be
            copied before any of the renames is made.
    """

    renames: tuple[Moved, ...]
    copies: tuple[Moved, ...]


def pair(gone: Iterable[FileAt], come: Iterable[FileAt]) -> list[Moved]:
    """Return the moves, sorted by old path. Each path is at most once an old path and once a new path.

    A file is paired by its identity if that occurs once among the gone files and once among the come ones. The rest are
    paired by their hash if that occurs once on both sides of the rest; empty files never are, because all are equal.
    A file that came back to its own path did not move.

    Args:
        gone, come: one entry a path, in any order.
    """
    gone, come = list(gone), list(come)
    found = _by_key(gone, come, [each.identity for each in gone], [each.identity for each in come])
    moves = [Moved(old.path, new.path, PairEvidence.IDENTITY) for old, new in found if old.path != new.path]
    olds, news = {old.path for old, _ in found}, {new.path for _, new in found}
    gone = [each for each in gone if each.path not in olds]
    come = [each for each in come if each.path not in news]
    found = _by_key(gone, come, [_content(each) for each in gone], [_content(each) for each in come])
    moves += [Moved(old.path, new.path, PairEvidence.CONTENT) for old, new in found if old.path != new.path]
    return sorted(moves, key=lambda move: move.old)


def order_moves(moves: Sequence[Moved], in_use: Iterable[str] = ()) -> MoveOrder:
    """Return the renames in an order in which each new path is free, and the moves that must be copies.

    Paths that some disk takes for one count as one, so that the order holds on every disk. A change of case alone is a
    rename: the file is in its own way only.

    Args:
        in_use: paths that hold a file which is not among the moves and stays until the moves are made.
    """
    holding = Counter(collision_key(move.old) for move in moves)
    holding.update(collision_key(path) for path in in_use)
    waiting: dict[str, list[Moved]] = defaultdict(list)
    due = deque(sorted(moves, key=lambda move: move.old))
    renames: list[Moved] = []
    while due:
        move = due.popleft()
        old, new = collision_key(move.old), collision_key(move.new)
        if holding[new] > (1 if new == old else 0):
            # Another file holds the new path, or a name that some disk takes for it.
            waiting[new].append(move)
            continue
        renames.append(move)
        holding[old] -= 1
        holding[new] += 1
        due.extend(waiting.pop(old, ()))
    copies = [move for each in waiting.values() for move in each]
    return MoveOrder(tuple(renames), tuple(sorted(copies, key=lambda move: move.old)))


def _content(each: FileAt) -> Hashable:
    return None if each.hash == EMPTY_HASH else each.hash


def _by_key(
    gone: Sequence[FileAt], come: Sequence[FileAt], gone_keys: Sequence[Hashable], come_keys: Sequence[Hashable]
) -> list[tuple[FileAt, FileAt]]:
    """Return the files whose key occurs once on each side. The key None matches nothing."""
    unique = _once(gone, gone_keys)
    others = _once(come, come_keys)
    return [(unique[key], others[key]) for key in unique.keys() & others.keys()]


def _once(files: Sequence[FileAt], keys: Sequence[Hashable]) -> dict[Hashable, FileAt]:
    count = Counter(keys)
    return {key: each for key, each in zip(keys, files, strict=True) if key is not None and count[key] == 1}
