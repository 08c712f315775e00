"""The book that adapters read: over the index, and over memory as the conformance suite keeps it. Both say the same."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.core.events import Page, Upsert
from agent.core.model import Mode, side_of
from agent.core.remote_records import Operation, Outcome, RemoteFolder, Result, Verb
from agent.core.version import Version
from agent.index import Index, open_index
from agent.index.operations import PushReason
from agent.index.trees import PathRow
from agent.remotes.book import NO_BOOK, Book, BookEntry
from agent.runtime.books import Books
from agent.runtime.index_book import IndexBook
from agent.settings.links import SourceEntry
from remotes.suite.book import MemoryBook

A, B = "a" * 64, "b" * 64
SOURCE, OTHER = 1, 2


class InIndex:
    """Writes what the engine writes into an index."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.book: Book = IndexBook(lambda: contextlib.nullcontext(index), SOURCE)

    def put(self, path: str, version: Version) -> None:
        """The server has this version at a path."""
        self._index.trees.put(SOURCE, [PathRow(path, remote=side_of(version))])

    def folders(self, *folders: RemoteFolder, gone: tuple[str, ...] = ()) -> None:
        """A page says this of folders."""
        self._index.folders.put(SOURCE, folders)
        self._index.folders.drop(SOURCE, gone)

    def sent(self, operation: Operation) -> None:
        """An operation was stored."""
        self._index.operations.add(SOURCE, [(operation, 0)], PushReason.PUSH, 1.0)

    def applied(self, operation: Operation, rev: str | None, remote_id: str | None) -> None:
        """Its outcome is known."""
        (entry,) = self._index.operations.by_ids(SOURCE, [operation.id]).values()
        known = replace(operation, remote_id=remote_id)
        self._index.operations.set_result(replace(entry, rev=rev, operation=known))


class InMemory:
    """The same for the book of the conformance suite."""

    def __init__(self) -> None:
        self._memory = MemoryBook()
        self.book: Book = self._memory

    def put(self, path: str, version: Version) -> None:
        """See ``InIndex``."""
        event = Upsert(path, version.hash, 1, None, None, version.rev, version.remote_id, False, version.size)
        self._memory.commit([event])

    def folders(self, *folders: RemoteFolder, gone: tuple[str, ...] = ()) -> None:
        """See ``InIndex``."""
        self._memory.commit_page(Page((), "", False, "", folders=folders, folders_gone=gone))

    def sent(self, operation: Operation) -> None:
        """See ``InIndex``."""
        self._memory.sent(operation)

    def applied(self, operation: Operation, rev: str | None, remote_id: str | None) -> None:
        """See ``InIndex``."""
        self._memory.answered(Outcome(operation.id, Result.APPLIED, rev=rev, remote_id=remote_id))


Kept = InIndex | InMemory


@pytest.fixture
def index() -> Iterator[Index]:
    """An index in memory, with the same facts about another source, which must not be seen."""
    opened = open_index(":memory:")
    opened.trees.put(OTHER, [PathRow("a.md", remote=side_of(Version(B, 1, "other", "f-other")))])
    opened.folders.put(OTHER, [RemoteFolder("d-other", "d", None)])
    opened.operations.add(OTHER, [(upsert("op-other", "x.md"), 0)], PushReason.PUSH, 1.0)
    yield opened
    opened.close()


@pytest.fixture(params=["index", "memory"])
def kept(request: pytest.FixtureRequest, index: Index) -> Kept:
    """Each implementation, empty."""
    return InIndex(index) if request.param == "index" else InMemory()


def upsert(identifier: str, path: str, digest: str = A) -> Operation:
    """A stored upsert."""
    return Operation(identifier, path, Verb.UPSERT, digest, 1, None)


def test_files_are_found_by_path_and_by_id(kept: Kept) -> None:
    """With revision, hash and size; None where nothing is."""
    kept.put("d/a.md", Version(A, 10, "v1", "f-1"))
    entry = BookEntry("d/a.md", "f-1", "v1", A, 10)
    assert kept.book.entry_at("d/a.md") == entry
    assert kept.book.path_of("f-1") == "d/a.md"
    assert (kept.book.entry_at("a.md"), kept.book.path_of("f-other")) == (None, None)


def test_files_below_a_folder_are_all_that_are_inside(kept: Kept) -> None:
    """At any depth, in order; names that only begin alike are outside."""
    for number, path in enumerate(("d/z.md", "d/e/a.md", "d.md", "d0.md", "d-1/a.md", "a.md", "dd/a.md")):
        kept.put(path, Version(A, 1, "v", f"f-{number}"))
    assert [entry.path for entry in kept.book.files_below("d")] == ["d/e/a.md", "d/z.md"]
    assert [entry.path for entry in kept.book.files_below("d/e")] == ["d/e/a.md"]
    everything = [entry.path for entry in kept.book.files_below("")]
    assert everything == sorted(everything) and len(everything) == 7
    assert list(kept.book.files_below("nowhere")) == []


def test_folders_are_found_by_path_and_id_and_move_together(kept: Kept) -> None:
    """A moved folder takes those below it along, and a deleted one does too."""
    kept.folders(RemoteFolder("d", "d", None), RemoteFolder("e", "d/e", "d"), RemoteFolder("dd", "dd", None))
    assert (kept.book.folder_id("d/e"), kept.book.folder_path("e")) == ("e", "d/e")
    kept.folders(RemoteFolder("d", "moved/d", None))
    assert (kept.book.folder_id("d/e"), kept.book.folder_id("moved/d/e")) == (None, "e")
    assert kept.book.folder_path("dd") == "dd"
    kept.folders(RemoteFolder("d2", "moved/d", None))
    others = [("moved/d", "d"), ("moved/d", "d2"), ("moved/d", "new"), ("moved/d/e", "e"), ("never", "d")]
    assert [kept.book.has_other_folder(*each) for each in others] == [True, True, True, False, False]
    kept.folders(gone=("d2",))
    kept.folders(RemoteFolder("e", "moved/d/e", "d"))
    kept.folders(gone=("d", "never"))
    assert [kept.book.folder_path(each) for each in ("d", "e", "dd")] == [None, None, "dd"]
    assert kept.book.folder_id("d") is None


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (("f-1", "v1", "a.md", A), "op-1"),
        ((None, "v1", "a.md", A), "op-1"),
        (("f-1", None, "a.md", A), "op-1"),
        ((None, None, "a.md", A), "op-1"),
        (("f-2", "v1", "a.md", A), None),
        (("f-1", "v2", "a.md", A), None),
        (("f-1", "v1", "b.md", A), None),
        (("f-1", "v1", "a.md", B), None),
        (("f-1", "v1", "a.md", None), None),
        # In doubt: neither its revision nor its file is known yet.
        ((None, None, "doubt.md", A), "op-2"),
        (("f-9", None, "doubt.md", A), None),
        ((None, "v9", "doubt.md", A), None),
        # A delete.
        (("f-3", None, "gone.md", None), "op-3"),
        (("f-4", None, "gone.md", None), None),
        ((None, None, "x.md", A), None),
    ],
)
def test_an_operation_is_found_by_what_is_known_of_it(
    kept: Kept, asked: tuple[str | None, str | None, str, str | None], found: str | None
) -> None:
    """Unknown is not equal: a version of somebody else is never taken for ours."""
    first, doubtful = upsert("op-1", "a.md"), upsert("op-2", "doubt.md")
    gone = Operation("op-3", "gone.md", Verb.DELETE, None, 0, A, "v1", "f-3")
    for operation in (first, doubtful, gone):
        kept.sent(operation)
    kept.applied(first, "v1", "f-1")
    assert kept.book.operation_for(*asked) == found


def test_the_newest_of_equal_operations_is_found(kept: Kept) -> None:
    """The same bytes were sent to one path twice; only the second one's event can still come."""
    for identifier in ("op-1", "op-2"):
        kept.sent(upsert(identifier, "a.md"))
    assert kept.book.operation_for(None, None, "a.md", A) == "op-2"


def test_a_file_that_only_this_side_has_is_not_in_the_book(index: Index) -> None:
    """The book is of the server."""
    index.trees.put(SOURCE, [PathRow("a.md", base=side_of(Version(A, 1, "v1", "f-1")), local=side_of(Version(A)))])
    book = InIndex(index).book
    assert (book.entry_at("a.md"), book.path_of("f-1"), list(book.files_below(""))) == (None, None, [])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The index of a home, which another connection writes."""
    return tmp_path / "index.sqlite"


def test_the_books_of_an_account_follow_its_links_and_commits(file: Path) -> None:
    """A source that is not linked has an empty book; what another thread committed is read at once."""
    link = SourceEntry(SOURCE, "raven", "s-1", "notes", Path("/notes"), Mode.BIDIRECTIONAL, (), (), 0.0)
    links: list[SourceEntry] = []
    books = Books(file, lambda: links)
    with contextlib.closing(open_index(file)) as index:
        assert books("s-1") is NO_BOOK
        links.append(link)
        read: Callable[[], BookEntry | None] = lambda: books("s-1").entry_at("a.md")  # noqa: E731
        assert read() is None
        for rev in ("v1", "v2"):
            with index.transaction():
                index.trees.put(SOURCE, [PathRow("a.md", remote=side_of(Version(A, 1, rev, "f-1")))])
            assert read() == BookEntry("a.md", "f-1", rev, A, 1)
        books.close()
        assert read() == BookEntry("a.md", "f-1", "v2", A, 1)
        books.close()
