"""The feed of a share: first a walk over all its files, then the changes since the walk began.

The server lists no hashes and sends no contents with changes, so each file costs up to two more calls. A page ends
early when the allowed calls are used up, and the next one continues there.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from agent.core.errors import ProblemKind
from agent.core.events import Delete, FeedEvent, Move, Page, Unreadable, Upsert
from agent.core.remote_records import RemoteFolder
from agent.remotes.book import Book
from agent.remotes.change_log import ids_behind, is_other_log, other_log
from agent.remotes.fields import row
from agent.remotes.http.failures import RemoteCallError, malformed
from agent.remotes.http.request import Priority
from agent.remotes.scaidrive.ahead import ReadAhead
from agent.remotes.scaidrive.batches import FileBatches
from agent.remotes.scaidrive.calls import MISSING, Calls
from agent.remotes.scaidrive.places import DoubtfulFile, came_later, corrections
from agent.remotes.scaidrive.position import ChangePosition, Walked
from agent.remotes.scaidrive.tree import ShareFolders
from agent.remotes.scaidrive.wire import ChangeRow, ChangesPage, VersionRow, changes_of, cursor_of, is_beyond

_UNRESOLVED: Final = "the server does not say which content this change made"
NO_NUMBER: Final = 0
"""In place of a version's number, which begins at 1: its content is not requested with its event."""
_BAD_REQUEST: Final = 400


class ShareFeed:
    """Reads the feeds of all shares of one account. Safe to use from several threads.

    Args:
        device: returns the id of this machine's device.
    """

    def __init__(self, calls: Calls, tree: ShareFolders, batches: FileBatches, device: Callable[[], str]) -> None:
        self._calls = calls
        self._tree = tree
        self._batches = batches
        self._device = device

    def pull(self, share: str, state: str | None, book: Book) -> Page:
        """Return the next page; see ``Remote.pull``."""
        position = ChangePosition.from_json(state)
        if position is None:
            position = self._begin(share)
        reading = _PageReading(self._calls, self._tree, self._batches, share, position, book)
        if position.walk:
            return reading.walk()
        page = self.read(share, position.cursor, self._calls.limits.page)
        if page.changes and position.ended and self._is_other_log(share, position):
            # It was restored since the last read, and went on. From here on nothing else would show it.
            raise other_log()
        return reading.changes(page)

    def _begin(self, share: str) -> ChangePosition:
        """Return the position before the walk: the newest one, so that what changes meanwhile is read afterwards."""
        # Moves of folders before this moment are in no change that follows.
        self._tree.forget(share)
        query: dict[str, str | int] = {"share_id": share, "device_id": self._device()}
        status = row(self._calls.get("sync/status", query=query), "status")
        # The status may be an old cursor of this device, which the server may have forgotten by now.
        known, head = cursor_of(status, "cursor_position"), self.head(share)
        return ChangePosition(head or known, 0, [Walked(None, "")])

    def head(self, share: str) -> str | None:
        """Return the newest cursor; None if the server begins with older changes when no cursor is given."""
        page = changes_of(self._calls.get("sync/changes", query={"share_id": share, "limit": 1}))
        return None if page.changes or page.more else page.cursor

    def read(self, share: str, cursor: str, limit: int) -> ChangesPage:
        """Return the changes behind a cursor.

        Raises:
            RemoteError: CURSOR_LOST; GARBLED if there are more changes behind the same cursor, which would never end.
        """
        query: dict[str, str | int] = {"share_id": share, "cursor": cursor, "limit": limit}
        page = changes_of(self._calls.get("sync/changes", query=query))
        if page.more and page.cursor == cursor:
            raise malformed("the server has more changes and its cursor does not move")
        return page

    def lacks(self, share: str, state: str | None) -> bool:
        """Return True if the server no longer has what the state has read."""
        position = ChangePosition.from_json(state)
        if position is None:
            return False
        head = self.head(share)
        if head is not None and is_beyond(position.cursor, head):
            return True
        return self._is_other_log(share, position)

    def _is_other_log(self, share: str, position: ChangePosition) -> bool:
        """Return True if the changes that were read last are not there any more."""
        if position.before is None:
            return False
        try:
            found = ids_behind(partial(self._ids, share), position.before, position.length)
            return is_other_log(found, position.first, position.last)
        except RemoteCallError as failure:
            if failure.status == _BAD_REQUEST:
                # The log begins later by now: it says nothing about this change.
                return False
            raise

    def _ids(self, share: str, cursor: str, limit: int) -> tuple[list[str], bool, str]:
        page = self.read(share, cursor, limit)
        return [change.id for change in page.changes], page.more, page.cursor

    def acknowledge(self, share: str, state: str | None, acknowledged: str | None) -> str | None:
        """Report the cursor of a state to the server, once; returns the newest reported one. It never raises.

        Only the server's own display uses it. It is sent while many calls are left.
        """
        position = ChangePosition.from_json(state)
        if position is None or position.walk or position.cursor == acknowledged:
            return acknowledged
        query: dict[str, str | int] = {
            "share_id": share, "device_id": self._device(), "position": position.cursor,
        }  # fmt: skip
        try:
            self._calls.post("sync/cursor", query=query, may_be_empty=True, priority=Priority.BULK)
        except RemoteCallError:
            return acknowledged
        return position.cursor


class _PageReading:
    """The reading of one page."""

    def __init__(
        self, calls: Calls, tree: ShareFolders, batches: FileBatches, share: str, position: ChangePosition, book: Book
    ) -> None:
        self._calls = calls
        self._tree = tree
        self._share = share
        self._position = position
        self._book = book
        self._events: list[FeedEvent] = []
        self._folders: list[RemoteFolder] = []
        self._gone: list[str] = []
        self._size = 0
        self._versions: dict[str, list[VersionRow]] = {}
        self._ahead = ReadAhead(batches, share, book)
        most = self._ahead.most
        self._walked = calls.limits.walked if most is None else most
        """Files of one page of the walk."""

    def _page(self, *, more: bool, barrier: bool = False) -> Page:
        position = self._position
        return Page(
            tuple(self._events), position.to_json(), more, position.cursor, barrier=barrier,
            folders=tuple(self._folders), folders_gone=tuple(self._gone),
        )  # fmt: skip

    def _may_continue(self, failure: RemoteCallError, *, moved: bool) -> None:
        """Return if the page can end here: the calls are used up, and something was read before. Otherwise raise."""
        if failure.problem.kind is not ProblemKind.BUSY or not moved:
            raise failure

    # The walk

    def walk(self) -> Page:
        """Deliver the next files of the walk."""
        position = self._position
        before = position.to_json()
        for _ in range(self._walked):
            if not position.walk or self._is_full:
                break
            try:
                self._walk_folder(position.walk[-1])
            except RemoteCallError as failure:
                self._may_continue(failure, moved=position.to_json() != before)
                break
        return self._page(more=True)

    @property
    def _is_full(self) -> bool:
        return len(self._events) >= self._walked or self._size >= self._calls.limits.contents

    def _walk_folder(self, walked: Walked) -> None:
        position = self._position
        try:
            children = self._tree.children(self._share, walked.folder, priority=Priority.BULK)
        except RemoteCallError as failure:
            if walked.folder is None or failure.problem.kind not in MISSING:
                raise
            # It was moved or deleted since its parent was read: the changes say so.
            position.walk.remove(walked)
            return
        # In the order of ids: a file that comes or goes between two pages moves no other past the mark.
        files = sorted((each for each in children if not each.is_folder), key=lambda each: each.id)
        files = [child for child in files if child.id > walked.after]
        for place, child in enumerate(files):
            if self._is_full:
                return
            self._ahead.read_files(walked.path, files, place)
            self._deliver(posixpath.join(walked.path, child.name), child.id)
            walked.after = child.id
        position.walk.remove(walked)
        for child in sorted((each for each in children if each.is_folder), key=lambda each: each.id):
            inside = RemoteFolder(child.id, posixpath.join(walked.path, child.name), walked.folder)
            self._folders.append(inside)
            position.walk.append(Walked(inside.id, inside.path))

    def _deliver(self, path: str, identifier: str) -> None:
        head = self._ahead.head(identifier) or self._calls.head(identifier)
        if head is None:
            # It vanished since its folder was read: the changes say so.
            return
        content = self._content(path, identifier, head)
        self._events.append(
            Upsert(path, head.hash, self._position.next(), content, None, head.rev, identifier, True, head.size)
        )

    def _content(self, path: str, identifier: str, version: VersionRow) -> bytes | None:
        """Return a small content that this machine keeps and does not have yet."""
        known = self._book.entry_at(path)
        if version.number == NO_NUMBER or (known is not None and known.hash == version.hash):
            return None
        if not self._book.is_kept(path):
            return None
        content = self._ahead.content(identifier, version)
        if content is None:
            content = self._calls.content(identifier, version)
        self._size += len(content or b"")
        return content

    # The changes

    def changes(self, page: ChangesPage) -> Page:
        """Deliver the changes of a page of the server, or as many of them as the allowed calls resolve."""
        position, changes = self._position, page.changes
        if position.doubtful and not changes and not page.more:
            position.skip(page.cursor, ended=True)
            return self._compare_places()
        done = position.done if 0 < position.done <= len(changes) else 0
        if done and changes[done - 1].id != position.newest:
            # The log is another one than before. To deliver a change twice is harmless.
            done = 0
        if changes and not done:
            position.begin(changes[0].id)
        begun = done
        for place, change in enumerate(changes[done:], done):
            if change.kind == "folder" and change.change in ("moved", "renamed", "deleted") and not position.settled:
                # The files below it are read from the book, which must hold every event before this one.
                position.settled = True
                return self._page(more=True, barrier=True)
            try:
                self._ahead.read_changes(changes, place)
                self._deliver_change(change, changes[done + 1 :])
            except RemoteCallError as failure:
                self._may_continue(failure, moved=done > begun)
                return self._page(more=True)
            done += 1
            position.delivered(done, change.id)
            position.settled = False
            if self._size >= self._calls.limits.contents and done < len(changes):
                return self._page(more=True)
        position.skip(page.cursor, ended=not page.more)
        return self._page(more=page.more or bool(position.walk or position.doubtful))

    def _deliver_change(self, change: ChangeRow, later: Sequence[ChangeRow]) -> None:
        if change.kind == "file":
            self._events += self._of_file(change, later)
        elif change.kind == "folder":
            self._of_folder(change, later)

    def _of_folder(self, change: ChangeRow, later: Sequence[ChangeRow]) -> None:
        new = change.path
        if change.change != "created":
            self._tree.forget(self._share)
        old = change.old_path or self._book.folder_path(change.resource)
        if change.is_delete:
            self._gone.append(change.resource)
            self._events += self._below(old, None, change.resource, later)
            return
        assert new is not None
        if change.change in ("moved", "renamed"):
            self._events += self._below(old, new, change.resource, later)
            if self._book.folder_path(change.resource) is None:
                # It came to a folder that the walk had passed, out of one that it had not reached.
                self._position.walk.append(Walked(change.resource, new))
        parent = posixpath.dirname(new)
        self._folders.append(RemoteFolder(change.resource, new, self._book.folder_id(parent) if parent else None))

    def _below(self, old: str | None, new: str | None, folder: str, later: Sequence[ChangeRow]) -> Iterator[FeedEvent]:
        """Yield the moves or deletes of the files below a folder that was moved or deleted.

        The walk may be ahead of the changes: then another folder is at the path already. Nothing here says which of the
        two holds a file, so the server is asked at the end.
        """
        position = self._position
        known = {(each.file, each.path) for each in position.doubtful}
        files = [f for f in (self._book.files_below(old) if old else ()) if (f.remote_id, f.path) not in known]
        files = [file for file in files if not came_later(file.remote_id, file.path, later)]
        if old and self._book.has_other_folder(old, folder):
            position.doubtful += [DoubtfulFile(file.remote_id, file.path) for file in files if file.remote_id]
            return
        for file in files:
            if new is None:
                yield Delete(file.path, position.next(), None, file.remote_id)
            else:
                path = posixpath.join(new, file.path[len(old or "") + 1 :])
                yield Move(file.path, path, file.hash, position.next(), None, file.rev, file.remote_id, file.size)

    def _compare_places(self) -> Page:
        """Compare the places of the doubtful files with the server, and deliver what differs."""
        position = self._position
        if not position.settled:
            position.settled = True
            return self._page(more=True, barrier=True)
        begun = len(position.doubtful)
        try:
            while position.doubtful:
                self._compare_place(position.doubtful[0])
                del position.doubtful[0]
        except RemoteCallError as failure:
            self._may_continue(failure, moved=len(position.doubtful) < begun)
        position.settled = False
        return self._page(more=bool(position.doubtful))

    def _compare_place(self, doubtful: DoubtfulFile) -> None:
        try:
            place = self._calls.place(doubtful.file)
        except RemoteCallError as failure:
            if failure.problem.kind is not ProblemKind.NOT_FOUND:
                raise
            # It may only be hidden from this account.
            return
        there = doubtful.file if place == doubtful.path else self._tree.file(self._share, doubtful.path)
        entries = {path: self._book.entry_at(path) for path in (place, doubtful.path) if path is not None}
        known = {path: None if entry is None else entry.remote_id for path, entry in entries.items()}
        for path, identifier in corrections(doubtful, place, there, known).items():
            if identifier is None:
                self._events.append(Delete(path, self._position.next(), None, doubtful.file))
            else:
                self._deliver(path, identifier)

    def _of_file(self, change: ChangeRow, later: Sequence[ChangeRow]) -> list[FeedEvent]:
        position, book, identifier = self._position, self._book, change.resource
        if change.is_delete:
            path = change.old_path or book.path_of(identifier)
            if path is None:
                return []
            operation = book.operation_for(identifier, None, path, None)
            return [Delete(path, position.next(), operation, identifier)]
        path = change.path
        assert path is not None
        again = any(each.resource == identifier and each.kind == "file" for each in later)
        version = self._version(change)
        if version is None:
            # A later change of this page says what the file holds.
            return [] if again else [Unreadable(path, position.next(), _UNRESOLVED)]
        operation = book.operation_for(identifier, version.rev, path, version.hash)
        rev, size = version.rev, version.size
        if change.change in ("moved", "renamed") and change.old_path not in (None, path):
            assert change.old_path is not None
            if posixpath.dirname(change.old_path) != posixpath.dirname(path):
                # The folder itself may have been renamed, without an entry of its own.
                self._tree.forget(self._share)
            return [Move(change.old_path, path, version.hash, position.next(), operation, rev, identifier, size)]
        content = None if again or operation is not None else self._content(path, identifier, version)
        return [Upsert(path, version.hash, position.next(), content, operation, rev, identifier, False, size)]

    def _version(self, change: ChangeRow) -> VersionRow | None:
        """Return the version that a change made: by the change itself, the book, or the file's history."""
        identifier, rev = change.resource, change.rev
        known_at = self._book.path_of(identifier)
        known = None if known_at is None else self._book.entry_at(known_at)
        if known is not None and known.rev is not None and known.rev == rev and known.size is not None:
            return VersionRow(known.rev, NO_NUMBER, known.hash, known.size, None, None)
        if rev is not None and change.hash is not None and change.size is not None and change.number is not None:
            return VersionRow(rev, change.number, change.hash, change.size, None, None)
        if identifier not in self._versions:
            try:
                self._versions[identifier] = self._calls.versions(identifier)
            except RemoteCallError as failure:
                if failure.problem.kind not in MISSING:
                    raise
                self._versions[identifier] = []
        found = self._versions[identifier]
        if rev is None:
            # A move that names no version leaves the file as it is.
            return found[0] if found else None
        listed = next((version for version in found if version.rev == rev), None)
        if listed is None and change.hash is not None and change.size is not None:
            return VersionRow(rev, NO_NUMBER, change.hash, change.size, None, None)
        return listed
