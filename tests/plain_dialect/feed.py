"""The plain dialect's feed: first a walk over all files, then the changes since the walk began."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.core.events import Delete, FeedEvent, Move, Page, Unreadable, Upsert
from agent.core.remote_records import RemoteFolder
from agent.remotes.book import Book
from agent.remotes.change_log import other_log
from agent.remotes.fields import maybe_text, number, row, rows, text
from agent.remotes.http.client import HttpClient
from agent.remotes.http.failures import RemoteCallError, malformed
from agent.remotes.http.request import ApiRequest
from plain_dialect.files import Files, OldVersion, inline
from plain_dialect.tree import MISSING, Row, Tree

LIMIT = 50
"""Changes asked for at once."""


@dataclass
class Position:
    """Where a reader is. Mutable; lives for one pull.

    Attributes:
        cursor: the server's position; everything up to it was read, or is covered by the walk.
        count: events delivered so far, which gives each its position.
        walk: folders to walk: (id or None, path, offset).
        last: (position, id) of the newest change read, by which a restored server is known.
        settled: the book holds everything delivered so far.
        ended: no change was left behind the cursor when it was read last.
    """

    cursor: int = 0
    count: int = 0
    walk: list[tuple[str | None, str, int]] = field(default_factory=list)
    last: tuple[int, str] | None = None
    settled: bool = False
    ended: bool = False

    def to_json(self) -> str:
        """The state that the engine keeps."""
        return json.dumps(
            {
                "cursor": self.cursor, "n": self.count, "walk": self.walk, "last": self.last, "settled": self.settled,
                "ended": self.ended,
            }
        )  # fmt: skip

    @classmethod
    def from_json(cls, state: str | None) -> Position | None:
        """The position of a kept state; None for the beginning, or if it cannot be read."""
        try:
            kept = json.loads(state or "null")
            walk = [(folder, str(path), int(offset)) for folder, path, offset in kept["walk"]]
            last = None if kept["last"] is None else (int(kept["last"][0]), str(kept["last"][1]))
            return cls(
                int(kept["cursor"]), int(kept["n"]), walk, last, kept["settled"] is True, kept.get("ended") is True
            )
        except (ValueError, KeyError, TypeError):
            return None

    def next(self) -> int:
        """The position of the next event."""
        self.count += 1
        return self.count


class Feed:
    """Reads the feeds of all sources of one account."""

    def __init__(self, http: HttpClient, files: Files, tree: Tree) -> None:
        self._http = http
        self._files = files
        self._tree = tree

    def pull(self, source: str, state: str | None, book: Book) -> Page:
        """See ``Remote.pull``."""
        position = Position.from_json(state)
        if position is None:
            # Moves of folders before this moment are in no change that follows.
            self._tree.forget(source)
            position = Position(self.head(source), walk=[(None, "", 0)])
        if position.walk:
            folders: list[RemoteFolder] = []
            events = list(self._walk(source, position, folders))
            return _page(events, position, more=True, folders=folders)
        return self._changes(source, position, book)

    def head(self, source: str) -> int:
        """The server's newest position."""
        return number(row(self._http.request(ApiRequest("GET", "sources/{}", (source,))).data, "source"), "cursor")

    def lacks(self, source: str, state: str | None) -> bool:
        """Whether the server no longer has what the state has read."""
        position = Position.from_json(state)
        if position is None:
            return False
        if self.head(source) < position.cursor:
            return True
        return self._is_other_log(source, position)

    def _is_other_log(self, source: str, position: Position) -> bool:
        """Whether the change that was read last is not there any more."""
        if position.last is None:
            return False
        try:
            found, _, _ = self._read(source, position.last[0] - 1, 1)
        except RemoteCallError as failure:
            if failure.status == 400:
                # The log begins later: it says nothing about this change.
                return False
            raise
        return not found or (number(found[0], "position"), text(found[0], "id")) != position.last

    def deleted_file(self, source: str, path: str) -> str | None:
        """The id of the file that was at a path last, from the whole log; None if the log does not say."""
        found = None
        for each in self._whole_log(source):
            if path in (each.get("old_path"), each.get("new_path")):
                found = text(each, "resource_id")
        return found

    def made_at(self, source: str, identifier: str) -> str | None:
        """The path at which a file was made, from the whole log; None if the log does not say."""
        log = self._whole_log(source)
        made = (each for each in log if (each["resource_id"], each["kind"]) == (identifier, "created"))
        return next((maybe_text(each, "new_path") for each in made), None)

    def _whole_log(self, source: str) -> list[Row]:
        """Every change of a file, oldest first; none if the log begins later."""
        cursor, more, found = 0, True, list[Row]()
        while more:
            try:
                changes, cursor, more = self._read(source, cursor, LIMIT)
            except RemoteCallError as failure:
                if failure.status == 400:
                    return []
                raise
            found += [each for each in changes if each["resource"] == "file"]
        return found

    def _read(self, source: str, cursor: int, limit: int) -> tuple[list[Row], int, bool]:
        query = {"cursor": cursor, "limit": limit}
        answer = row(self._http.request(ApiRequest("GET", "sources/{}/changes", (source,), query)).data, "page")
        found, reached, more = (
            rows(answer.get("changes"), "change"),
            number(answer, "cursor"),
            answer.get("more") is True,
        )
        if more and reached <= cursor:
            raise malformed("the server has more changes and its cursor does not move")
        return found, reached, more

    # The walk

    def _walk(self, source: str, position: Position, folders: list[RemoteFolder]) -> Iterator[FeedEvent]:
        folder, path, offset = position.walk.pop()
        try:
            page, more = self._tree.children(source, folder, offset)
        except RemoteCallError as failure:
            if folder is None or failure.problem.kind not in MISSING:
                raise
            # It was moved or deleted since its parent was read: the changes say so.
            return
        if more:
            position.walk.append((folder, path, offset + len(page)))
        for child in page:
            if child["type"] == "folder":
                inside = RemoteFolder(text(child, "id"), posixpath.join(path, text(child, "name")), folder)
                folders.append(inside)
                position.walk.append((inside.id, inside.path, 0))
                continue
            head = self._files.head(text(child, "id"))
            if head is not None:
                yield Upsert(
                    head.path, head.hash, position.next(), head.content, None, head.rev, head.id, True, head.size
                )

    # The changes

    def _changes(self, source: str, position: Position, book: Book) -> Page:
        found, reached, more = self._read(source, position.cursor, LIMIT)
        if found and position.ended and self._is_other_log(source, position):
            raise other_log()
        events: list[FeedEvent] = []
        folders: list[RemoteFolder] = []
        gone: list[str] = []
        histories: dict[str, list[OldVersion]] = {}
        for each in found:
            is_folder = each["resource"] == "folder"
            if is_folder and each["kind"] in ("moved", "deleted"):
                if not position.settled:
                    # The files below it are read from the book, which must hold every event before this one.
                    position.settled = True
                    return _page(events, position, more=True, barrier=True, folders=folders, gone=gone)
                self._tree.forget(source)
                events += self._of_folder(each, position, book)
            if is_folder:
                path = maybe_text(each, "new_path")
                if path is None:
                    gone.append(text(each, "resource_id"))
                else:
                    folders.append(RemoteFolder(text(each, "resource_id"), path, maybe_text(each, "parent")))
            else:
                events += self._of_file(each, position, book, histories)
            position.cursor = number(each, "position")
            position.last = (position.cursor, text(each, "id"))
            position.settled = False
        position.cursor, position.ended = reached, not more
        return _page(events, position, more=more, folders=folders, gone=gone)

    def _of_folder(self, change: Row, position: Position, book: Book) -> Iterator[FeedEvent]:
        old, new = text(change, "old_path"), maybe_text(change, "new_path")
        for file in list(book.files_below(old)):
            if new is None:
                yield Delete(file.path, position.next(), None, file.remote_id)
            else:
                path = posixpath.join(new, file.path[len(old) + 1 :])
                yield Move(file.path, path, file.hash, position.next(), None, file.rev, file.remote_id, file.size)

    def _of_file(
        self, change: Row, position: Position, book: Book, histories: dict[str, list[OldVersion]]
    ) -> Iterator[FeedEvent]:
        identifier, rev = text(change, "resource_id"), text(change, "rev")
        old, new = maybe_text(change, "old_path"), maybe_text(change, "new_path")
        if new is None:
            path = text(change, "old_path")
            yield Delete(path, position.next(), book.operation_for(identifier, None, path, None), identifier)
            return
        digest, size, content = self._version(change, identifier, rev, histories)
        if digest is None:
            yield Unreadable(new, position.next(), "the server does not say what it holds")
            return
        operation = book.operation_for(identifier, rev, new, digest)
        if change["kind"] == "moved" and old is not None:
            yield Move(old, new, digest, position.next(), operation, rev, identifier, size)
        else:
            yield Upsert(new, digest, position.next(), content, operation, rev, identifier, False, size)

    def _version(
        self, change: Row, identifier: str, rev: str, histories: dict[str, list[OldVersion]]
    ) -> tuple[str | None, int | None, bytes | None]:
        digest = maybe_text(change, "hash")
        if digest is not None:
            return digest, number(change, "size"), inline(change, digest)
        if identifier not in histories:
            try:
                histories[identifier] = self._files.versions(identifier)
            except RemoteCallError as failure:
                if failure.problem.kind not in MISSING:
                    raise
                histories[identifier] = []
        found: Any = next((v for v in histories[identifier] if v.rev == rev), None)
        return (None, None, None) if found is None else (found.hash, found.size, found.content)


def _page(
    events: list[FeedEvent],
    position: Position,
    *,
    more: bool,
    barrier: bool = False,
    folders: Sequence[RemoteFolder] = (),
    gone: Sequence[str] = (),
) -> Page:
    cursor = str(position.cursor)
    return Page(
        tuple(events),
        position.to_json(),
        more,
        cursor,
        barrier=barrier,
        folders=tuple(folders),
        folders_gone=tuple(gone),
    )
