"""Revisions, file ids, folders and transfers in the index, and the listing of a server without hashes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from agent.core.conflict import Conflict, ConflictOrigin, ConflictState
from agent.core.model import ConflictKind, side_of
from agent.core.remote_records import RemoteFile, RemoteFolder
from agent.core.supply import Transfer
from agent.core.version import Version
from agent.index import Index, open_index
from agent.index.trees import PathRow

A, B = "a" * 64, "b" * 64


@pytest.fixture
def index() -> Iterator[Index]:
    """An index in memory."""
    opened = open_index(":memory:")
    yield opened
    opened.close()


def test_a_conflict_keeps_its_revisions(index: Index) -> None:
    """Opened and saved: the three revisions come back with the record."""
    conflict = Conflict(
        0, 1, "a.md", ConflictKind.EDIT_EDIT, ConflictOrigin.TREES, A, B, A, A, ("k",), 1.0, ConflictState.OPEN, True,
        base_rev="v1", local_rev="v2", remote_rev="v3",
    )  # fmt: skip
    opened = index.conflicts.open(1, conflict)
    assert index.conflicts.live(1) == [opened] and opened.remote_rev == "v3"
    newer = replace(opened, remote_rev="v4")
    index.conflicts.save(newer)
    assert index.conflicts.get(opened.id) == (1, newer)


def test_transfers_and_folders_come_back_as_they_went_in(index: Index) -> None:
    """They belong to one source and are forgotten with it."""
    transfer = Transfer("00ff", "big.bin", "f-1", "v7", A, 9 << 20)
    root, notes = RemoteFolder("r", "", None), RemoteFolder("n", "notes", "r")
    index.transfers.add(1, transfer)
    index.folders.put(1, [notes, root])
    index.folders.put(2, [RemoteFolder("r", "", None)])
    assert index.transfers.all(1) == [transfer] and index.transfers.all(2) == []
    assert index.folders.all(1) == [root, notes]
    assert (index.folders.get(1, "n"), index.folders.at(1, "notes"), index.folders.at(2, "notes")) == (
        notes, notes, None
    )  # fmt: skip
    index.folders.put(1, [RemoteFolder("n", "renamed", "r")])
    assert index.folders.at(1, "notes") is None and index.folders.at(1, "renamed") is not None
    index.folders.drop(1, ["n"])
    index.transfers.close(["00ff"])
    assert index.folders.all(1) == [root] and index.transfers.all(1) == []
    index.transfers.add(1, transfer)
    index.forget_source(1)
    assert index.folders.all(1) == [] and index.transfers.all(1) == [] and index.folders.all(2) != []


def _held(path: str, version: Version) -> PathRow:
    return PathRow(path, side_of(version), side_of(Version(version.hash)), None, side_of(version))


LISTED = [
    ("equal hash", RemoteFile("x", A), False),
    ("another hash", RemoteFile("x", B), True),
    ("another hash at the same revision", RemoteFile("x", B, "v1"), True),
    ("no hash, equal revision", RemoteFile("x", None, "v1"), False),
    ("no hash, another revision", RemoteFile("x", None, "v2"), True),
    ("no hash, the mark that was confirmed", RemoteFile("x", None, mark="m1"), False),
    ("no hash, the mark moved", RemoteFile("x", None, mark="m2"), True),
    ("nothing to compare", RemoteFile("x", None), True),
    ("a file that is not known here", RemoteFile("y", None, mark="m1"), True),
]


@pytest.mark.parametrize(("listed", "differs"), [c[1:] for c in LISTED], ids=[c[0] for c in LISTED])
def test_a_listed_file_differs_unless_something_proves_it_equal(
    index: Index, listed: RemoteFile, differs: bool
) -> None:
    """The hash decides; without one the revision; without both the mark at which the head was last known."""
    index.trees.put(1, [_held("x", Version(A, 3, "v1", "f1"))])
    index.listing.confirm(1, "x", "m1")
    index.listing.add(1, [listed])
    assert index.listing.differing(1) == ([listed.path] if differs else [])
    assert index.listing.files(1, ["x", "y"]) == {listed.path: listed}


def test_marks_outlive_a_listing_and_end_with_their_file(index: Index) -> None:
    """They are compared with the next listing; a file that is not listed any more has none."""
    index.trees.put(1, [_held(name, Version(A)) for name in ("x", "y")])
    for name in ("x", "y"):
        index.listing.confirm(1, name, "m")
    index.listing.add(1, [RemoteFile("x", None, mark="m")])
    index.listing.drop_old_marks(1)
    index.listing.clear(1)
    index.listing.add(1, [RemoteFile(name, None, mark="m") for name in ("x", "y")])
    assert index.listing.differing(1) == ["y"]
    index.listing.forget(1)
    assert index.listing.differing(1) == [] and index.listing.missing(1) == ["x", "y"]


def test_newer_revisions_of_the_same_content_are_found(index: Index) -> None:
    """A server that left a content and came back to it lists another revision; equal or unknown ones are no news."""
    rows = [_held(name, Version(A, None, "v1", "f1")) for name in ("id", "none", "other", "same", "text")]
    index.trees.put(1, [*rows, _held("unknown", Version(A))])
    listed = {
        "id": RemoteFile("id", A, "v1", "f2"),
        "none": RemoteFile("none", A),
        "other": RemoteFile("other", A, "v3", "f1"),
        "same": RemoteFile("same", A, "v1", "f1"),
        "text": RemoteFile("text", B, "v3", "f1"),
        "unknown": RemoteFile("unknown", A, "v1"),
    }
    index.listing.add(1, listed.values())
    newer = [listed[name] for name in ("id", "other", "unknown")]
    assert list(index.listing.with_newer_revision(1, 10)) == newer
    assert list(index.listing.with_newer_revision(1, 1)) == newer[:1]
