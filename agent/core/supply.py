"""The place from which the bytes of a change come: contents, opened files, and the download of a large file."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class Inline(Struct, frozen=True, gc=False):
    """The bytes themselves, at most 1 MiB."""

    content: bytes

    def __repr__(self) -> str:
        # The text of a file must not get into a log.
        return f"Inline({len(self.content)} bytes)"


class Staged(Struct, frozen=True, gc=False):
    """A finished download in the staging folder. ``transfer``: the id of the ``Transfer``."""

    transfer: str


class FromFolder(Struct, frozen=True, gc=False):
    """A file of the same folder, which is copied or, for an intent with ``origin``, renamed. ``path``: its path."""

    path: str


Supply = Inline | Staged | FromFolder
"""See the three classes. A removal is ``Inline(b"")``."""


class Transfer(Struct, frozen=True, gc=False):
    """One download, stored before its first byte is requested.

    Attributes:
        id: 16 hexadecimal digits, unique in this home; names the file ``ID.down`` in the staging folder.
        path: relative path at which the file will be installed.
        remote_id, rev: the server's file and revision to read.
        hash: sha256 of the whole file.
        size: bytes of the whole file.
    """

    id: str
    path: str
    remote_id: str | None
    rev: str | None
    hash: str
    size: int


class Pieces(Protocol):
    """An opened content that is read in pieces, so that it need not fit into memory. Used by one thread at a time."""

    @property
    def size(self) -> int:
        """Size of the whole content in bytes."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``offset``; both lie within ``size``.

        Raises:
            ContentChanged: the file is no longer the one that was opened.
            DiskError: the file cannot be read.
        """
        ...
