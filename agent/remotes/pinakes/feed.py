"""The changes of the account, read for one source: from the first one on, in the server's order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from agent.core.errors import Problem, ProblemKind
from agent.core.events import Delete, FeedEvent, Move, Page, Upsert
from agent.remotes.book import Book
from agent.remotes.change_log import ids_behind, is_other_log, other_log
from agent.remotes.http.failures import RemoteCallError, malformed
from agent.remotes.pinakes.calls import PinakesCalls
from agent.remotes.pinakes.contents import AccountContents, AccountHead
from agent.remotes.pinakes.hashing import ContentHashing
from agent.remotes.pinakes.position import AccountPosition
from agent.remotes.pinakes.scope import AccountScope
from agent.remotes.pinakes.wire import PinakesChange, PinakesPage, ack_body, changes_of, changes_query

_BAD_REQUEST: Final = 400


class AccountFile(Struct, frozen=True):
    """A file by the changes. ``at``: RFC 3339 of its first change since there was no file, "" if not stated."""

    rev: str
    size: int | None
    at: str


class AccountFeed:
    """Reads the changes of one account. Safe to use from several threads.

    Args:
        device: returns the server's id of this machine's device; None if there is none.
    """

    def __init__(
        self, calls: PinakesCalls, contents: AccountContents, hashing: ContentHashing, device: Callable[[], str | None]
    ) -> None:
        self._calls = calls
        self._contents = contents
        self._hashing = hashing
        self._device = device

    def pull(self, scope: AccountScope, state: str | None, book: Book) -> Page:
        """Return the next page; see ``Remote.pull``."""
        position = AccountPosition.from_json(state)
        page = self._read(position.cursor, self._calls.limits.page)
        if page.changes and position.ended and self.lacks(state):
            # It was restored since the last read, and went on. From here on nothing else would show it.
            raise other_log()
        reading = _ChangesReading(self._calls, self._contents, self._hashing, self._device(), scope, position, book)
        return reading.read(page)

    def _read(self, cursor: int, limit: int) -> PinakesPage:
        """Return the changes behind a cursor.

        Raises:
            RemoteError: CURSOR_LOST; GARBLED if there are more changes behind the same cursor, which would never end.
        """
        try:
            page = changes_of(self._calls.get("sync/changes", query=changes_query(cursor, limit)))
        except RemoteCallError as failure:
            if failure.status != _BAD_REQUEST or cursor:
                raise
            # The beginning cannot be lost, so this is another refusal.
            words = failure.reason or "the server does not list its changes"
            raise RemoteCallError(Problem(ProblemKind.BAD_REQUEST, words), failure.effect) from failure
        if page.more and page.cursor <= cursor:
            raise malformed("the server has more changes and its cursor does not move")
        return page

    def lacks(self, state: str | None) -> bool:
        """Return True if the server no longer has what the state has read."""
        position = AccountPosition.from_json(state)
        if position.before is None:
            return False
        try:
            # A position that is unknown by now proves nothing about the change behind an earlier one.
            self._read(position.cursor, 1)
            found = ids_behind(self._ids, position.before, position.length)
            return is_other_log(found, position.first, position.last)
        except RemoteCallError as failure:
            if failure.status != _BAD_REQUEST:
                raise
            # Either the changes begin later by now, which says nothing about this one, or they end earlier.
            return self._newest() < position.cursor

    def _newest(self) -> int:
        """Return the cursor behind the newest change."""
        cursor, more = 0, True
        while more:
            page = self._read(cursor, self._calls.limits.page)
            cursor, more = page.cursor, page.more
        return cursor

    def _ids(self, cursor: int, limit: int) -> tuple[list[str], bool, int]:
        page = self._read(cursor, limit)
        return [change.id for change in page.changes], page.more, page.cursor

    def fold(self) -> dict[str, AccountFile]:
        """Read every change; return the files that there are, by their path in the account."""
        found: dict[str, AccountFile] = {}
        cursor, more = 0, True
        while more:
            page = self._read(cursor, self._calls.limits.page)
            for change in page.changes:
                old = found.pop(change.old_path or change.path, None)
                if change.hash is not None:
                    found[change.path] = AccountFile(change.hash, change.size, old.at if old else change.at)
            cursor, more = page.cursor, page.more
        return found

    def acknowledge(self, state: str | None, acknowledged: int) -> int:
        """Report the cursor of a state to the server, once; returns the newest reported one. It never raises.

        Only the server's own display uses it, so its answer is not read: the server's cursor may be ahead of ours.
        """
        cursor = AccountPosition.from_json(state).cursor
        if cursor == acknowledged or not self._device():
            return acknowledged
        try:
            self._calls.post("sync/ack", body=ack_body(cursor))
        except RemoteCallError:
            return acknowledged
        return cursor


class _ChangesReading:
    """The reading of one page for one source."""

    def __init__(
        self, calls: PinakesCalls, contents: AccountContents, hashing: ContentHashing, device: str | None,
        scope: AccountScope, position: AccountPosition, book: Book,
    ) -> None:  # fmt: skip
        self._calls = calls
        self._contents = contents
        self._hashing = hashing
        self._device = device
        self._scope = scope
        self._position = position
        self._book = book
        self._events: list[FeedEvent] = []
        self._size = 0

    def read(self, page: PinakesPage) -> Page:
        """Deliver the changes of a page of the server, or fewer if their contents are large together."""
        position, changes = self._position, page.changes
        done = position.done if 0 < position.done <= len(changes) else 0
        if done and changes[done - 1].id != position.newest:
            # The log is another one than before. To deliver a change twice is harmless.
            done = 0
        if changes and not done:
            position.begin(changes[0].id)
        for change in changes[done:]:
            self._events += self._of(change, changes[done + 1 :])
            done += 1
            position.delivered(done, change.id)
            if self._size >= self._calls.limits.contents and done < len(changes):
                return self._page(more=True)
        position.skip(page.cursor, ended=not page.more)
        return self._page(more=page.more)

    def _page(self, *, more: bool) -> Page:
        position = self._position
        return Page(tuple(self._events), position.to_json(), more, str(position.cursor))

    def _of(self, change: PinakesChange, later: Sequence[PinakesChange]) -> Iterator[FeedEvent]:
        path, old = self._scope.inside(change.path), self._scope.inside(change.old_path)
        ours = self._device is not None and change.by == self._device
        if change.hash is None:
            if path is not None:
                operation = self._book.operation_for(None, None, path, None) if ours else None
                yield Delete(path, self._position.next(), operation)
            return
        if path is None:
            if old is not None:
                # It left the source.
                yield Delete(old, self._position.next())
            return
        again = any(change.path in each.paths for each in later)
        head = None
        digest = self._hashing.sha256_of(change.hash, path, self._book)
        if digest is None and not again:
            head = self._contents.head(change.path, self._book, path, change.hash)
            digest = head.hash if head is not None and head.rev == change.hash else None
        if digest is None:
            # Another version has replaced it, and a later change says so. Only the old path must be left here.
            if old is not None:
                yield Delete(old, self._position.next())
            return
        operation = self._book.operation_for(None, None, path, digest) if ours else None
        size = change.size if head is None else head.size
        if old is not None:
            yield Move(old, path, digest, self._position.next(), operation, change.hash, None, size)
            return
        content = None if again or operation is not None else self._content(change, path, digest, head)
        yield Upsert(path, digest, self._position.next(), content, operation, change.hash, None, False, size)

    def _content(self, change: PinakesChange, path: str, digest: str, head: AccountHead | None) -> bytes | None:
        """Return a small content that the book does not have yet, if it still is the head."""
        known = self._book.entry_at(path)
        is_large = change.size is not None and change.size > self._calls.limits.inline
        if is_large or (known is not None and known.hash == digest):
            return None
        found = head or self._contents.head(change.path, self._book, path, change.hash)
        if found is None or found.hash != digest or found.content is None:
            return None
        self._size += len(found.content)
        return found.content
