"""Pages of lists: filters, orders and marks of conflicts, activity and trash names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from agent.api.methods.conflict_lists import page_of
from agent.api.schema.conflicts import ConflictOrder, ConflictsParams
from agent.core.model import ABSENT, ConflictKind, file_side
from agent.core.reconcile import Step
from agent.disk.apply.trash_names import entry_name, parse_name, sidecar_name
from agent.index import Index, open_index
from agent.index.activity import ActivityFilter
from agent.index.conflicts import ConflictHead
from agent.index.trees import PathRow

HEADS = [
    ConflictHead(1, 1, "b.md", "edit_edit"),
    ConflictHead(2, 2, "a.md", "no_base"),
    ConflictHead(3, 1, "a.md", "edit_edit"),
    ConflictHead(4, 1, "sub/c.md", "edit_delete"),
]
ROOTS = {1: "/z", 2: "/y"}


def _ids(params: ConflictsParams, last: ConflictHead | None = None) -> list[int]:
    return [head.id for head in page_of(HEADS, ROOTS, params, last)]


@pytest.fixture
def index() -> Iterator[Index]:
    with contextlib.closing(open_index(":memory:")) as made:
        yield made


@pytest.mark.parametrize(
    ("order", "ids"),
    [
        (ConflictOrder.OLDEST, [1, 2, 3, 4]),
        (ConflictOrder.NEWEST, [4, 3, 2, 1]),
        (ConflictOrder.PATH, [2, 3, 1, 4]),
        (ConflictOrder.KIND, [4, 1, 3, 2]),
    ],
)
def test_pages_of_conflicts_are_the_whole_list(order: ConflictOrder, ids: list[int]) -> None:
    """In every order, pages of each length follow each other without a gap; a closed last conflict is no hindrance."""
    assert _ids(ConflictsParams(order=order)) == ids
    by_id = {head.id: head for head in HEADS}
    for length in range(1, 5):
        found: list[int] = []
        while page := _ids(ConflictsParams(order=order, limit=length), by_id[found[-1]] if found else None):
            found += page
        assert found == ids
    for place, identifier in enumerate(ids):
        left = [head for head in HEADS if head.id != identifier]
        behind = page_of(left, ROOTS, ConflictsParams(order=order), by_id[identifier])
        assert [head.id for head in behind] == ids[place + 1 :]


def test_conflicts_are_chosen_by_kind_and_path() -> None:
    """Both conditions hold together; a part of a path and a pattern are distinguished as in ``files``."""
    assert _ids(ConflictsParams(kind=ConflictKind.EDIT_EDIT)) == [1, 3]
    assert _ids(ConflictsParams(match="A.")) == [2, 3]
    assert _ids(ConflictsParams(match="sub/*")) == [4]
    assert _ids(ConflictsParams(match="a.", kind=ConflictKind.NO_BASE)) == [2]


def test_activity_is_chosen_by_kind_path_and_time(index: Index) -> None:
    """Both orders give the same lines; a page begins behind the mark of the one before it."""
    for number in range(10):
        kind = "pushed" if number % 2 else "pulled"
        index.activity.append(number % 3, float(number), [(f"Dir/{number}.md", kind, None, None)])
    wanted = ActivityFilter(since=2.0, kind="pushed", match="dir/")
    assert [line.at for line in index.activity.entries([0, 1], 0, -1, wanted)] == [3.0, 7.0, 9.0]
    newest = list(index.activity.before([0, 1], 0, 2, wanted))
    assert [line.at for line in newest] == [9.0, 7.0]
    assert [line.at for line in index.activity.before([0, 1], newest[-1].id, 2, wanted)] == [3.0]
    assert [line.path for line in index.activity.before([0, 1, 2], 0, -1, ActivityFilter(match="*/8.md"))] == [
        "Dir/8.md"
    ]
    assert list(index.activity.entries([0], 0, -1, ActivityFilter(match="%"))) == []


def test_only_the_asked_rows_are_counted(index: Index) -> None:
    """Steps and server hashes of some paths; a path without a row counts as none, more than a chunk is no limit."""
    rows = [
        PathRow(f"{n}.md", ABSENT, file_side("a" * 64), step=Step.PUSH if n % 2 else Step.PARK) for n in range(1200)
    ]
    index.trees.put(1, [*rows, PathRow("s.md", ABSENT, ABSENT, None, file_side("b" * 64), step=Step.PULL)])
    asked = [f"{n}.md" for n in range(1100)]
    assert index.trees.steps_at(1, [*asked, "none.md"]) == {Step.PUSH: 550, Step.PARK: 550}
    assert index.trees.steps_at(2, asked) == {}
    many = ["a" * 64, *("c" * 64 for _ in range(900)), "b" * 64]
    assert index.trees.remote_hashes_among(1, many) == {"b" * 64}


@pytest.mark.parametrize("path", ["a.md", "folder/ü b.md", "bad\udcff.md", "long/" + "x" * 300 + ".md", "plus+.md"])
def test_the_name_of_a_trash_entry_is_read_back(path: str) -> None:
    """Time, id, hash, reason and path come back; a name that is cut may be of every path that begins like it."""
    name = entry_name(path, "a" * 64, "replaced", "i1", 1_700_000_000.0)
    found = parse_name(name)
    assert found is not None and len(name) <= 255
    assert (found.id, found.hash, found.reason, found.moved_at) == ("i1", "a" * 64, "replaced", 1_700_000_000.0)
    assert found.may_be_of(path) and not found.may_be_of("other.md")
    assert found.is_cut is (len(path) > 200) is (sidecar_name(name) is not None)
    if not found.is_cut:
        assert found.raw_path == path.encode("utf-8", "surrogateescape")
    assert parse_name("notes.md") is None
