"""Send operations to a ScaiDrive server: contents first, then ``apply``, and what each answer proves.

A new file exists from its upload on; ``apply`` announces it. An update is an upload whose version ``apply`` makes the
head if the head is still our base. The head is read before the upload, so that no upload replaces an unseen version
on a server that publishes it at once.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from agent.core.errors import Problem, ProblemKind
from agent.core.remote_records import Operation, Outcome, Result, Verb
from agent.core.supply import Pieces
from agent.remotes.book import Book
from agent.remotes.fields import sha256
from agent.remotes.http.failures import RemoteCallError
from agent.remotes.protocol import OnResumable, Outgoing, PushAnswer
from agent.remotes.scaidrive.apply import Applier, ApplyItem
from agent.remotes.scaidrive.batches import FileBatches
from agent.remotes.scaidrive.calls import MISSING, Calls
from agent.remotes.scaidrive.conflicts import ShareConflicts
from agent.remotes.scaidrive.tree import ShareFolders
from agent.remotes.scaidrive.uploads import DriveUploads, is_taken
from agent.remotes.scaidrive.wire import VersionRow, change_body
from agent.remotes.uploading import UploadBytes, UploadChanged, UploadInDoubt

_FORBIDDEN: Final = "the account may not write here"
_TAKEN_BY_FOLDER: Final = "the server has a folder of this name"


class _Target(Struct, frozen=True):
    """The file that an operation changes.

    Attributes:
        base: the version that the operation was made on; None if the file's history does not have it.
        head: the newest version; None if it was not read.
    """

    id: str
    base: str | None
    head: VersionRow | None

    @property
    def is_stale(self) -> bool:
        """True if the head is known to be another version than the base."""
        return self.head is not None and self.head.rev != self.base


class Sender:
    """Sends the operations of one account. Safe to use from several threads.

    Args:
        is_writable: returns False if the account may only read a share. Raises RemoteError.
    """

    def __init__(
        self, calls: Calls, tree: ShareFolders, uploads: DriveUploads, batches: FileBatches, conflicts: ShareConflicts,
        is_writable: Callable[[str], bool],
    ) -> None:  # fmt: skip
        self._calls = calls
        self._tree = tree
        self._uploads = uploads
        self._batches = batches
        self._applier = Applier(calls, tree, conflicts, is_writable)

    def push(
        self, share: str, device: str, batch: Sequence[Outgoing], book: Book, on_resumable: OnResumable
    ) -> PushAnswer:
        """See ``Remote.push``."""
        sending = _Sending(lambda items, outcomes: self._applier.apply(share, device, items, outcomes))
        created = self._batches.create(share, batch)
        sending.outcomes += created.outcomes.values()
        sending.problem = created.problem
        for outgoing in batch:
            operation = outgoing.operation
            if operation.id in created.outcomes:
                continue
            sending.before(operation)
            if sending.stops(operation):
                sending.outcomes.append(Outcome(operation.id, Result.NOT_SENT))
                continue
            try:
                item = self._item(share, outgoing, book, on_resumable)
            except UploadInDoubt as doubt:
                sending.failed(operation, doubt.failure.problem, Result.UNCERTAIN)
            except RemoteCallError as failure:
                self._failed(share, sending, operation, failure)
            else:
                sending.add(item, self._applier.together)
        sending.flush()
        return PushAnswer(tuple(sending.outcomes), sending.problem or sending.full)

    def _failed(self, share: str, sending: _Sending, operation: Operation, failure: RemoteCallError) -> None:
        """Take the failure of a call that made no version."""
        problem = failure.problem
        if problem.kind in MISSING:
            # A folder is gone, or another one.
            self._tree.forget(share)
        if problem.kind is ProblemKind.FORBIDDEN and self._applier.may_write(share):
            detail = failure.reason or _FORBIDDEN
            sending.outcomes.append(Outcome(operation.id, Result.REJECTED, detail=detail))
            return
        sending.failed(operation, problem, Result.NOT_SENT)

    # Items

    def _item(self, share: str, outgoing: Outgoing, book: Book, on_resumable: OnResumable) -> ApplyItem | Outcome:
        operation = outgoing.operation
        if operation.verb is Verb.UPSERT:
            refused = self._refused(outgoing)
            if refused is not None:
                return refused
            if operation.base is None:
                return self._new_file(share, outgoing, on_resumable)
        target = self._target(share, operation, book)
        if target is None:
            # 410 and 404 look alike to a reader: only the feed says that a file was deleted.
            return Outcome(operation.id, Result.UNCERTAIN)
        match operation.verb:
            case Verb.DELETE:
                if target.base is None:
                    return Outcome(operation.id, Result.UNCERTAIN)
                body = change_body("deleted", target.id, None, target.base, operation.path, operation.path)
                return ApplyItem(operation, target.id, body, target.base)
            case Verb.MOVE:
                return self._move(share, operation, target)
        return self._update(share, outgoing, target, on_resumable)

    def _refused(self, outgoing: Outgoing) -> Outcome | None:
        """Return the outcome of content that must not be sent: too large, or not what its hash says."""
        operation, body = outgoing.operation, outgoing.body
        size = len(body) if isinstance(body, bytes) else body.size
        most = self._calls.user().max_bytes
        if most is not None and size > most:
            return _too_large(operation, size, most)
        if isinstance(body, bytes) and not outgoing.checked and sha256(body) != operation.hash:
            return Outcome(operation.id, Result.REJECTED, detail="the content does not match its hash")
        return None

    def _target(self, share: str, operation: Operation, book: Book) -> _Target | None:
        """Return the file that an operation changes; None if it is not there, or not for this account."""
        path = operation.old_path or operation.path
        entry = book.entry_at(path)
        identifier = operation.remote_id or (entry.remote_id if entry else None) or self._tree.file(share, path)
        if identifier is None:
            return None
        if operation.verb is not Verb.UPSERT and operation.base_rev is not None:
            return _Target(identifier, operation.base_rev, None)
        try:
            versions = self._calls.versions(identifier)
        except RemoteCallError as failure:
            if failure.problem.kind not in MISSING or not self._is_visible(share):
                raise
            return None
        if not versions:
            return None
        base = operation.base_rev
        if base is None:
            # A base whose revision is not known is the newest version with its content. The server refuses an old one.
            base = next((version.rev for version in versions if version.hash == operation.base), None)
        return _Target(identifier, base, versions[0])

    def _move(self, share: str, operation: Operation, target: _Target) -> ApplyItem | Outcome:
        if target.base is None:
            return Outcome(operation.id, Result.UNCERTAIN)
        self._tree.ensure(share, posixpath.dirname(operation.path))
        assert operation.old_path is not None
        renamed = posixpath.dirname(operation.old_path) == posixpath.dirname(operation.path)
        change = "renamed" if renamed else "moved"
        body = change_body(change, target.id, target.base, target.base, operation.path, operation.old_path)
        return ApplyItem(operation, target.id, body, target.base, rev=target.base)

    def _new_file(self, share: str, outgoing: Outgoing, on_resumable: OnResumable) -> ApplyItem | Outcome:
        operation, pieces = outgoing.operation, _pieces(outgoing)
        folder = self._tree.ensure(share, posixpath.dirname(operation.path))
        rev = None
        try:
            if pieces.size <= self._calls.limits.multipart:
                file = self._uploads.send_form(share, folder, operation, pieces)
                made, path = file.id, file.path
            else:
                done = self._uploads.send_session(share, folder, operation, pieces, None, outgoing.resume, on_resumable)
                made, rev, path = done.file, done.rev, self._path_of(done.file)
        except UploadChanged:
            return Outcome(operation.id, Result.CHANGED)
        except RemoteCallError as failure:
            if is_taken(failure):
                return self._taken(share, outgoing, on_resumable)
            if outgoing.resume is not None and failure.problem.kind in MISSING:
                # The folder that the upload was begun in is gone, so it can never be completed.
                self._tree.forget(share)
                return self._new_file(share, replace(outgoing, resume=None), on_resumable)
            return self._unless_too_large(operation, failure)
        if path != operation.path:
            # The folder was renamed meanwhile, and the new file went with it. The feed says so.
            self._tree.forget(share)
            return Outcome(operation.id, Result.UNCERTAIN)
        body = change_body("created", made, rev, None, operation.path)
        return ApplyItem(operation, made, body, None, rev=rev, uploaded=True)

    def _path_of(self, file: str) -> str:
        try:
            return self._calls.file(file).path
        except RemoteCallError as failure:
            # The file was made, wherever it is.
            raise UploadInDoubt(failure) from failure

    def _taken(self, share: str, outgoing: Outgoing, on_resumable: OnResumable) -> ApplyItem | Outcome:
        """Return the conflict with the file that has the name of a new one."""
        operation = outgoing.operation
        # The folder that was asked may have been renamed, and the name is then taken there and not at the path.
        self._tree.forget(share)
        entry = self._tree.entry(share, operation.path)
        if entry is not None and entry.is_folder:
            return Outcome(operation.id, Result.REJECTED, detail=_TAKEN_BY_FOLDER)
        if entry is None and outgoing.resume is not None:
            # The upload belongs to the renamed folder and can never be completed: begin one at the path.
            return self._new_file(share, replace(outgoing, resume=None), on_resumable)
        head = None if entry is None else self._calls.head(entry.id)
        if entry is None or head is None:
            return Outcome(operation.id, Result.UNCERTAIN)
        return _stale(outgoing, _Target(entry.id, None, head))

    def _update(
        self, share: str, outgoing: Outgoing, target: _Target, on_resumable: OnResumable
    ) -> ApplyItem | Outcome:
        operation = outgoing.operation
        if target.is_stale and not self._is_resumed(outgoing, target):
            return _stale(outgoing, target)
        try:
            done = self._uploads.send_session(
                share, None, operation, _pieces(outgoing), target.id, outgoing.resume, on_resumable
            )
        except UploadChanged:
            return Outcome(operation.id, Result.CHANGED)
        except RemoteCallError as failure:
            if failure.problem.kind in MISSING and self._is_visible(share):
                # The file was deleted, or is hidden now. The feed says which.
                return Outcome(operation.id, Result.UNCERTAIN)
            return self._unless_too_large(operation, failure)
        body = change_body(
            "updated", target.id, done.rev, target.base, operation.path, None, operation.hash, operation.size
        )
        return ApplyItem(operation, target.id, body, target.base, rev=done.rev, uploaded=True)

    def _is_visible(self, share: str) -> bool:
        """Return False if the account does not see the share itself. Raises RemoteError for any other failure."""
        try:
            self._calls.get("sync/changes", query={"share_id": share, "limit": 1})
        except RemoteCallError as failure:
            if failure.problem.kind is ProblemKind.NOT_FOUND:
                return False
            raise
        return True

    def _is_resumed(self, outgoing: Outgoing, target: _Target) -> bool:
        """Return True if the head is the version that this very upload made before its answer was lost."""
        assert target.head is not None
        return outgoing.resume is not None and target.head.hash == outgoing.operation.hash

    def _unless_too_large(self, operation: Operation, failure: RemoteCallError) -> Outcome:
        if failure.problem.kind is not ProblemKind.TOO_LARGE:
            raise failure
        return _too_large(operation, operation.size, max(operation.size - 1, 0))


def _stale(outgoing: Outgoing, target: _Target) -> ApplyItem | Outcome:
    """Return the announcement of a change that must be refused: its base is not the head. No content is sent."""
    operation, head = outgoing.operation, target.head
    assert head is not None
    if head.hash == operation.hash:
        # The head holds the same bytes already: our own first try, or the same edit of somebody else.
        return Outcome(operation.id, Result.APPLIED, rev=head.rev, remote_id=target.id)
    body = change_body("updated", target.id, None, target.base, operation.path, None, operation.hash, operation.size)
    content = _small(outgoing)
    return ApplyItem(operation, target.id, body, target.base, must_conflict=True, content=content)


def _small(outgoing: Outgoing) -> bytes | None:
    return outgoing.body if isinstance(outgoing.body, bytes) else None


def _pieces(outgoing: Outgoing) -> Pieces:
    return UploadBytes(outgoing.body) if isinstance(outgoing.body, bytes) else outgoing.body


def _too_large(operation: Operation, size: int, most: int) -> Outcome:
    detail = f"{size:,} bytes, larger than the {most:,} bytes this server takes"
    return Outcome(operation.id, Result.TOO_LARGE, detail=detail, limit=most)


class _Sending:
    """The progress of one push: items that wait for ``apply``, outcomes, and the problems met."""

    def __init__(self, apply: Callable[[list[ApplyItem], list[Outcome]], Problem | None]) -> None:
        self._apply = apply
        self._waiting: list[ApplyItem] = []
        self.outcomes: list[Outcome] = []
        self.problem: Problem | None = None
        self.full: Problem | None = None
        """The account's space is used up. Deletes and moves go on: they may free the space."""

    def before(self, operation: Operation) -> None:
        """Apply what waits if the operation follows one of the same path or file: its base is that one's result."""
        paths = {operation.path, operation.old_path} - {None}
        if any({item.operation.path, item.operation.old_path} & paths for item in self._waiting) or any(
            item.resource == operation.remote_id for item in self._waiting
        ):
            self.flush()

    def stops(self, operation: Operation) -> bool:
        """Return True if the operation may not be sent any more."""
        return self.problem is not None or (self.full is not None and operation.verb is Verb.UPSERT)

    def failed(self, operation: Operation, problem: Problem, result: Result) -> None:
        """Take the failure of a call before ``apply``."""
        self.outcomes.append(Outcome(operation.id, result))
        if problem.kind is ProblemKind.NO_SPACE:
            self.full = problem
        else:
            self.flush()
            self.problem = self.problem or problem

    def add(self, item: ApplyItem | Outcome, together: int) -> None:
        """Take an item for the next ``apply``, or an outcome that needs none."""
        if isinstance(item, Outcome):
            self.outcomes.append(item)
            return
        if item.must_conflict:
            # Alone, as a server may refuse a whole call for one conflict.
            self.flush()
            together = 1
        self._waiting.append(item)
        if len(self._waiting) >= together:
            self.flush()

    def flush(self) -> None:
        """Apply the items that wait. New files are announced even if the push has ended, as they exist already."""
        waiting, self._waiting = self._waiting, []
        if waiting and self.problem is None:
            problem = self._apply(waiting, self.outcomes)
            if problem is not None and problem.kind is ProblemKind.NO_SPACE:
                self.full = problem
            else:
                self.problem = problem
            return
        for item in waiting:
            self.outcomes.append(Outcome(item.operation.id, Result.UNCERTAIN if item.uploaded else Result.NOT_SENT))
