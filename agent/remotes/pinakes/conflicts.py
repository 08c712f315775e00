"""Pinakes' conflicts: listed with the hashes of their sides, matched with operations, and closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set

from agent.core.errors import ProblemKind
from agent.core.remote_records import Operation, RemoteConflict
from agent.core.version import Version
from agent.remotes.book import Book, PushedContent
from agent.remotes.http.failures import RemoteCallError
from agent.remotes.pinakes.calls import PinakesCalls
from agent.remotes.pinakes.contents import AccountContents, AccountHead
from agent.remotes.pinakes.hashing import ContentHashing
from agent.remotes.pinakes.scope import AccountScope
from agent.remotes.pinakes.wire import ConflictLine, conflicts_of, resolve_body


class AccountConflicts:
    """The conflicts of one account. Safe to use from several threads.

    The server keeps the bytes of no refused change. Its own side is read from the head while it still is that.

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

    def rows(self) -> list[ConflictLine]:
        """Return the open conflicts of the account, newest first."""
        found = [each for each in conflicts_of(self._calls.get("sync/conflicts")) if not each.resolved]
        return sorted(found, key=lambda each: each.at, reverse=True)

    def all(
        self, scope: AccountScope, book: Book, paths: Set[str] | None, with_texts: Set[str] | None
    ) -> Iterator[RemoteConflict]:
        """Iterate over the open conflicts of a source, newest first; see ``Remote.conflicts``."""
        for each in self.rows():
            path = scope.inside(each.path)
            if path is not None and (paths is None or path in paths):
                yield self.record(each, scope, book, with_text=with_texts is None or each.id in with_texts)

    def own(self, path: str, local: str | None, words: str = "") -> ConflictLine | None:
        """Return the open conflict that refuses a change of this device; None if there is none.

        Args:
            path: the path in the account.
            local: the server's hash of the refused content; None for a delete.
            words: the server's refusal, which may name the conflict.
        """
        device = self._device()
        found = [each for each in self.rows() if each.path == path and each.local == local and each.device == device]
        named = (each for each in found if each.id in words)
        return next(named, found[0] if found else None)

    def record(
        self, found: ConflictLine, scope: AccountScope, book: Book, operation: Operation | None = None,
        body: bytes | None = None, *, with_text: bool = True,
    ) -> RemoteConflict:  # fmt: skip
        """Return a conflict in the form of the port. With the operation, its hash and bytes are the local side.

        Without the text, the head is read only if its sha256 is not known here.
        """
        path = scope.inside(found.path) or found.path
        is_known = found.server is None or self._hashing.sha256_of(found.server, path, book) is not None
        wanted = None if is_known and not with_text else found.server
        head = None if wanted is None else self._contents.head(found.path, book, path, wanted)
        remote = self._remote(found, head, path, book)
        local_hash = self._local(found, path, book) if operation is None else operation.hash
        base_hash, base_rev = self._base(found, path, local_hash, book, operation)
        return RemoteConflict(
            found.id, path, base_hash, local_hash, None if remote is None else remote.hash, body,
            head.content if head is not None and remote is not None and remote.hash == head.hash else None,
            found.at or None, base_rev, found.local, None if remote is None else remote.rev,
        )  # fmt: skip

    def _remote(self, found: ConflictLine, head: AccountHead | None, path: str, book: Book) -> Version | None:
        """Return the server's side; the head of now if that of then cannot be named by its sha256 any more."""
        if found.server is None:
            return None
        if head is None or head.rev != found.server:
            known = self._hashing.sha256_of(found.server, path, book)
            if known is not None:
                return Version(known, None, found.server)
        return None if head is None else Version(head.hash, head.size, head.rev)

    def _local(self, found: ConflictLine, path: str, book: Book) -> str | None:
        """Return the sha256 of the refused content; the server's own hash of it if that is not known.

        It is another machine's then, and None would mean "no file".
        """
        return None if found.local is None else self._hashing.sha256_of(found.local, path, book) or found.local

    def _base(
        self, found: ConflictLine, path: str, local: str | None, book: Book, operation: Operation | None
    ) -> tuple[str | None, str | None]:
        """Return hash and revision of the base, which the server does not say. Only that of an own change is known."""
        if operation is not None:
            return operation.base, operation.base_rev
        if found.device != self._device():
            return None, None
        made: PushedContent | None = next((each for each in book.pushed_to(path) if each.hash == local), None)
        return (None, None) if made is None else (made.base, made.base_rev)

    def close(self, conflict_id: str) -> None:
        """Close a conflict; the head stays. Raises STALE if it is not open."""
        self._calls.post("sync/conflicts/{}/resolve", (conflict_id,), resolve_body())

    def close_quietly(self, conflict_id: str) -> None:
        """Close a conflict whose two sides are equal. One that stays open is listed, and closed by the engine."""
        try:
            self.close(conflict_id)
        except RemoteCallError as failure:
            if failure.problem.kind is not ProblemKind.STALE:
                raise
