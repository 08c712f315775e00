"""Versions and contents of the next files of a page, read in batches where the server takes them."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from agent.remotes.book import Book
from agent.remotes.fields import sha256
from agent.remotes.scaidrive.batches import FileBatches
from agent.remotes.scaidrive.wire import ChangeRow, ChildRow, VersionRow
from agent.remotes.scaidrive.wire_batches import ReadFile, WantedFile


class ReadAhead:
    """Files that batches have read for one page. Without batches there are none, and each is requested alone."""

    def __init__(self, batches: FileBatches, share: str, book: Book) -> None:
        self._batches = batches
        self._share = share
        self._book = book
        self._limits = batches.limits()
        self._found: dict[str, ReadFile] = {}
        self._asked: set[str] = set()
        """Files of the walk that a batch was asked for."""
        self._until = 0
        """The place behind the last change that was read."""

    @property
    def most(self) -> int | None:
        """Files of the largest batch; None for a server without batches."""
        return None if self._limits is None else self._limits.files

    def head(self, identifier: str) -> VersionRow | None:
        """Return the newest version of a file that a batch has read."""
        found = self._found.get(identifier)
        return None if found is None else found.version

    def content(self, identifier: str, version: VersionRow) -> bytes | None:
        """Return the content of a version that a batch has read; None if there is none, or it is not the version's."""
        found = self._found.pop(identifier, None)
        if found is None or found.content is None or found.version.rev != version.rev:
            return None
        if version.size > self._batches.inline:
            return None
        return found.content if sha256(found.content) == version.hash else None

    def read_files(self, folder: str, files: Sequence[ChildRow], place: int) -> None:
        """Read the files of a folder from ``place`` on, unless a batch has read that one.

        Raises:
            RemoteError: the server cannot be reached, or asks to wait.
        """
        limits = self._limits
        if limits is None or files[place].id in self._asked:
            return
        wanted: list[WantedFile] = []
        size = 0
        for child in files[place : place + limits.files]:
            size += _carried(child.size, self._batches.inline)
            if wanted and size > limits.bytes:
                break
            self._asked.add(child.id)
            known = self._book.entry_at(posixpath.join(folder, child.name))
            wanted.append(WantedFile(child.id, None, None if known is None else known.hash))
        self._read(wanted)

    def read_changes(self, changes: Sequence[ChangeRow], place: int) -> None:
        """Read the contents of the changes from ``place`` on that this machine lacks, unless that was done.

        Raises:
            RemoteError: the server cannot be reached, or asks to wait.
        """
        limits = self._limits
        if limits is None or place < self._until:
            return
        last = {change.resource: at for at, change in enumerate(changes) if change.kind == "file"}
        wanted: list[WantedFile] = []
        size = 0
        for at in range(place, len(changes)):
            self._until = at + 1
            change = changes[at]
            if last.get(change.resource) != at or not self._is_lacking(change):
                continue
            size += change.size or 0
            if wanted and (size > limits.bytes or len(wanted) >= limits.files):
                self._until = at
                break
            wanted.append(WantedFile(change.resource, change.number))
        if len(wanted) > 1:
            self._read(wanted)

    def _is_lacking(self, change: ChangeRow) -> bool:
        """Return True if a change needs a content that is neither here nor our own."""
        path, digest = change.path, change.hash
        if change.change not in ("created", "updated") or path is None or change.rev is None or digest is None:
            return False
        if change.number is None or change.size is None or change.size > self._batches.inline:
            return False
        known = self._book.entry_at(path)
        if (known is not None and known.hash == digest) or not self._book.is_kept(path):
            return False
        return self._book.operation_for(change.resource, change.rev, path, digest) is None

    def _read(self, wanted: Sequence[WantedFile]) -> None:
        self._found = self._batches.read(self._share, wanted)


def _carried(size: int | None, most: int) -> int:
    """Return the bytes of a file that a batch carries: none of a large one."""
    return size if size is not None and size <= most else 0
