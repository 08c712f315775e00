"""The pairing of gone and come files to moves, and their order: over all small states, and as a table of cases."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

import pytest

from agent.core.model import EMPTY_HASH
from agent.core.moves import FileAt, Moved, PairEvidence, order_moves, pair
from agent.core.paths import collision_key

E = EMPTY_HASH


def at(path: str, content: str | None, identity: object = None) -> FileAt:
    return FileAt(path, content, identity)


CASES = [
    ("nothing happened", [], [], []),
    ("a rename", [at("a", "x", 1)], [at("b", "x", 1)], ["a>b identity"]),
    ("a rename with an edit", [at("a", "x", 1)], [at("b", "y", 1)], ["a>b identity"]),
    ("a rename of an empty file", [at("a", E, 1)], [at("b", E, 1)], ["a>b identity"]),
    ("a rename, identities unknown", [at("a", "x")], [at("b", "x")], ["a>b content"]),
    ("a rename, one identity unknown", [at("a", "x", 1)], [at("b", "x")], ["a>b content"]),
    ("a copy, then the first file deleted", [at("a", "x", 1)], [at("b", "x", 2)], ["a>b content"]),
    ("a delete and another new file", [at("a", "x", 1)], [at("b", "y", 2)], []),
    ("a delete only", [at("a", "x", 1)], [], []),
    ("a new file only", [], [at("b", "x", 1)], []),
    ("empty files by content", [at("a", E)], [at("b", E)], []),
    ("unknown hashes", [at("a", None)], [at("b", None)], []),
    ("one of two equal files is back", [at("a", "x"), at("b", "x")], [at("c", "x")], []),
    ("one file is back twice", [at("a", "x")], [at("b", "x"), at("c", "x")], []),
    ("equal files told apart by identity", [at("a", "x", 1), at("b", "x", 2)], [at("c", "x", 2)], ["b>c identity"]),
    (
        "the last equal file after those with an identity",
        [at("a", "x", 1), at("b", "x")],
        [at("c", "x"), at("d", "x", 1)],
        ["a>d identity", "b>c content"],
    ),
    ("two hard links, both renamed", [at("a", "x", 1), at("b", "x", 1)], [at("c", "x", 1), at("d", "x", 1)], []),
    ("an identity that is back twice", [at("a", "x", 1)], [at("b", "x", 1), at("c", "y", 1)], ["a>b content"]),
    ("a file deleted and made anew", [at("a", "x", 1)], [at("a", "x", 2)], []),
    ("a file edited by a save through a new file", [at("a", "x", 1)], [at("a", "y", 2)], []),
    ("a file that came back to its path", [at("a", "x", 1)], [at("a", "x", 1), at("b", "x")], []),
    (
        "two files changed places",
        [at("a", "x", 1), at("b", "y", 2)],
        [at("a", "y", 2), at("b", "x", 1)],
        ["a>b identity", "b>a identity"],
    ),
    (
        "a chain of renames",
        [at("a", "x", 1), at("b", "y", 2)],
        [at("b", "x", 1), at("c", "y", 2)],
        ["a>b identity", "b>c identity"],
    ),
    ("a rename over another file", [at("a", "x", 1), at("b", "y", 2)], [at("b", "x", 1)], ["a>b identity"]),
    ("a change of case", [at("a", "x", 1)], [at("A", "x", 1)], ["a>A identity"]),
    (
        "a folder renamed",
        [at("d/a", "x"), at("d/b", "y")],
        [at("e/a", "x"), at("e/b", "y")],
        ["d/a>e/a content", "d/b>e/b content"],
    ),
]


def shown(moves: list[Moved]) -> list[str]:
    return [f"{move.old}>{move.new} {move.evidence}" for move in moves]


@pytest.mark.parametrize(("gone", "come", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_described_case_is_paired(gone: list[FileAt], come: list[FileAt], expected: list[str]) -> None:
    assert shown(pair(gone, come)) == expected
    assert shown(pair(reversed(gone), reversed(come))) == expected


def _sides() -> list[tuple[FileAt, ...]]:
    """All sets of at most two files over two paths, three contents and three identities."""
    files = {
        path: [FileAt(path, *rest) for rest in itertools.product((None, E, "x", "y"), (None, 1, 2))] for path in "ab"
    }
    lone = [(each,) for path in "ab" for each in files[path]]
    return [(), *lone, *itertools.product(files["a"], files["b"])]


def _expected(gone: tuple[FileAt, ...], come: tuple[FileAt, ...]) -> set[tuple[str, str, PairEvidence]]:
    """The definition, written down for each pair of files: alone with its key on its side, and so is the other."""
    found = set()
    for evidence in PairEvidence:
        for old, new in itertools.product(gone, come):
            key = old.identity if evidence is PairEvidence.IDENTITY else old.hash
            same = new.identity if evidence is PairEvidence.IDENTITY else new.hash
            if key is None or key != same or (evidence is PairEvidence.CONTENT and key == E):
                continue
            one = [
                each
                for each in gone
                if key in ((each.identity,) if evidence is PairEvidence.IDENTITY else (each.hash,))
            ]
            other = [
                each
                for each in come
                if key in ((each.identity,) if evidence is PairEvidence.IDENTITY else (each.hash,))
            ]
            if one == [old] and other == [new]:
                found.add((old.path, new.path, evidence))
        if evidence is PairEvidence.IDENTITY:
            gone = tuple(each for each in gone if each.path not in {old for old, _, _ in found})
            come = tuple(each for each in come if each.path not in {new for _, new, _ in found})
    return {each for each in found if each[0] != each[1]}


def test_every_small_state_is_paired_by_the_definition() -> None:
    """Total, at most once a path, independent of the order, and the same in both directions."""
    sides = _sides()
    for gone, come in itertools.product(sides, sides):
        moves = pair(gone, come)
        assert {(move.old, move.new, move.evidence) for move in moves} == _expected(gone, come)
        assert len({move.old for move in moves}) == len({move.new for move in moves}) == len(moves)
        back = pair(come, gone)
        assert {(move.new, move.old) for move in back} == {(move.old, move.new) for move in moves}
        if len(gone) == len(come) == 2:
            assert pair(gone[::-1], come[::-1]) == moves


ORDERS = [
    ("one rename", ["a>b"], "", ["a>b"], []),
    ("a chain, last first", ["a>b", "b>c", "c>d"], "", ["c>d", "b>c", "a>b"], []),
    ("a swap", ["a>b", "b>a"], "", [], ["a>b", "b>a"]),
    ("a swap and a file that waits for it", ["a>b", "b>a", "x>y"], "", ["x>y"], ["a>b", "b>a"]),
    ("a ring of three", ["a>b", "b>c", "c>a"], "", [], ["a>b", "b>c", "c>a"]),
    ("the new path is in use", ["a>b"], "b", [], ["a>b"]),
    ("a chain behind a path in use", ["a>b", "b>c"], "c", [], ["a>b", "b>c"]),
    ("a change of case", ["a>A"], "", ["a>A"], []),
    ("a name that another file's case blocks", ["a>B"], "b", [], ["a>B"]),
    ("a name whose blocker is moved first", ["a>B", "b>c"], "", ["b>c", "a>B"], []),
    ("two files to names that are one on some disks", ["a>X", "b>x"], "", ["a>X"], ["b>x"]),
    ("a change of case, and a file to the old name", ["a>A", "b>a"], "", ["a>A"], ["b>a"]),
    ("case and composition", ["\u00e9>E\u0301"], "", ["\u00e9>E\u0301"], []),
]


def moves_of(words: list[str]) -> list[Moved]:
    pairs = [word.split(">") for word in words]
    return [Moved(old, new, PairEvidence.IDENTITY) for old, new in pairs]


def words_of(moves: tuple[Moved, ...]) -> list[str]:
    return [f"{move.old}>{move.new}" for move in moves]


@pytest.mark.parametrize(
    ("moves", "in_use", "renames", "copies"), [case[1:] for case in ORDERS], ids=[case[0] for case in ORDERS]
)
def test_a_described_order_is_found(moves: list[str], in_use: str, renames: list[str], copies: list[str]) -> None:
    found = order_moves(moves_of(moves), list(in_use))
    assert (words_of(found.renames), words_of(found.copies)) == (renames, copies)


def _all_moves() -> Iterator[list[Moved]]:
    """All partial one-to-one maps of four names, two of which differ only in case."""
    names = "abcC"
    for size in range(4):
        for olds in itertools.combinations(names, size):
            for news in itertools.permutations(names, size):
                yield [
                    Moved(old, new, PairEvidence.IDENTITY) for old, new in zip(olds, news, strict=True) if old != new
                ]


@pytest.mark.parametrize("folds", [False, True])
def test_renames_in_their_order_meet_free_paths(folds: bool) -> None:
    """On disks with and without regard to case, with any files besides: no rename meets a file, none is left out."""
    for moves in _all_moves():
        olds = {move.old for move in moves}
        for others in itertools.chain.from_iterable(itertools.combinations("abcC", size) for size in range(3)):
            in_use = [name for name in others if name not in olds]
            found = order_moves(moves, in_use)
            assert Counter(found.renames + found.copies) == Counter(moves)
            held = {path: path for path in [*olds, *in_use]}
            for move in found.renames:
                text = held.pop(move.old)
                keys = {collision_key(path) if folds else path for path in held}
                assert (collision_key(move.new) if folds else move.new) not in keys
                held[move.new] = text
            for move in found.copies:
                # No further rename was possible: each new path is held, by itself or by a name with its key.
                assert collision_key(move.new) in {collision_key(path) for path in held if path != move.old}
            assert order_moves(moves[::-1], in_use) == found


def test_many_moves_are_ordered_in_one_walk() -> None:
    """A chain of 20,000 files takes no quadratic time."""
    names = [f"{number:05}" for number in range(20_001)]
    moves = [Moved(old, new, PairEvidence.IDENTITY) for old, new in itertools.pairwise(names)]
    found = order_moves(moves)
    assert [move.old for move in found.renames] == names[-2::-1]
    assert found.copies == ()
