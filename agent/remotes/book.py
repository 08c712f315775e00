"""The port through which an adapter reads what the index knows of a source: ids, paths and our own operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from msgspec import Struct


class BookEntry(Struct, frozen=True, gc=False):
    """One file of the server as the index has it.

    Attributes:
        path: relative path.
        remote_id, rev: the server's own file id and revision, opaque; None if they are not known.
        hash: sha256 of the bytes.
        size: bytes; None if not known.
    """

    path: str
    remote_id: str | None
    rev: str | None
    hash: str
    size: int | None = None


class PushedContent(Struct, frozen=True, gc=False):
    """An operation of ours as the index has it, whatever became of it.

    Attributes:
        hash: sha256 that it pushed; None for a delete.
        rev: the revision that it made; None if it is not known, or is the hash.
        base, base_rev: see ``Operation``.
        resume: see ``Outgoing``.
    """

    hash: str | None
    rev: str | None
    base: str | None
    base_rev: str | None
    resume: str | None


class Book(Protocol):
    """The committed server side of one source. Read-only, and safe to use from several threads.

    It may lag behind the ``state`` that an adapter was given: pages read within one poll are committed after they were
    returned. An adapter that needs the book for an event ends its page before that event with ``Page.barrier``.
    """

    def path_of(self, remote_id: str) -> str | None:
        """Return the path of a file; None if no file has this id."""
        ...

    def entry_at(self, path: str) -> BookEntry | None:
        """Return the file at a path; None if there is none."""
        ...

    def files_below(self, path: str) -> Iterator[BookEntry]:
        """Iterate over the files below a folder, at any depth, sorted by path; "" is the whole source."""
        ...

    def folder_id(self, path: str) -> str | None:
        """Return the id of the folder at a path; None if it is not known."""
        ...

    def folder_path(self, folder_id: str) -> str | None:
        """Return the path of a folder; None if it is not known."""
        ...

    def has_other_folder(self, path: str, folder_id: str) -> bool:
        """Return True if another folder than this one is known at the path: one of them is known as of another time."""
        ...

    def is_kept(self, path: str) -> bool:
        """Return False if the server's preferences leave a file out, so that its content need not be read."""
        ...

    def operation_for(self, remote_id: str | None, rev: str | None, path: str, digest: str | None) -> str | None:
        """Return the id of our own operation that made a version; None if none did.

        Path and hash must be those of the operation; the hash of a delete is None. An id and a revision that are given
        must be equal to the operation's too. A value that the operation does not know yet is not equal to anything, so
        that a version of somebody else is never taken for ours.
        """
        ...

    def pushed_to(self, path: str) -> Sequence[PushedContent]:
        """Return our own operations on a path that are remembered, newest first."""
        ...


class EmptyBook:
    """The book of a source that no link on this machine uses."""

    def path_of(self, remote_id: str) -> str | None:
        """See ``Book``."""
        return None

    def entry_at(self, path: str) -> BookEntry | None:
        """See ``Book``."""
        return None

    def files_below(self, path: str) -> Iterator[BookEntry]:
        """See ``Book``."""
        return iter(())

    def folder_id(self, path: str) -> str | None:
        """See ``Book``."""
        return None

    def folder_path(self, folder_id: str) -> str | None:
        """See ``Book``."""
        return None

    def has_other_folder(self, path: str, folder_id: str) -> bool:
        """See ``Book``."""
        return False

    def is_kept(self, path: str) -> bool:
        """See ``Book``."""
        return True

    def operation_for(self, remote_id: str | None, rev: str | None, path: str, digest: str | None) -> str | None:
        """See ``Book``."""
        return None

    def pushed_to(self, path: str) -> Sequence[PushedContent]:
        """See ``Book``."""
        return ()


BookOf = Callable[[str], Book]
"""Returns the book of a source by the server's id of the source."""

NO_BOOK: Final = EmptyBook()


def no_books(source_id: str) -> Book:
    """Return an empty book, for accounts that are used without links."""
    return NO_BOOK
