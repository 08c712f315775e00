"""Send operations to a Pinakes server: report them, upload the contents that it asks for, and judge each answer.

A report is answered for each path. A path in no list of the answer is in doubt. A content becomes the head when its
upload completes, which compares the base again, so that no upload replaces a version that this machine has not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from agent.core.errors import DiskError, Problem, ProblemKind
from agent.core.remote_records import Operation, Outcome, Result, Verb
from agent.core.supply import Pieces
from agent.remotes.book import Book
from agent.remotes.http.failures import RemoteCallError, SideEffect
from agent.remotes.pinakes.calls import MISSING, PinakesCalls
from agent.remotes.pinakes.conflicts import AccountConflicts
from agent.remotes.pinakes.contents import AccountContents
from agent.remotes.pinakes.hashing import ContentHashing
from agent.remotes.pinakes.scope import AccountScope
from agent.remotes.pinakes.upload import PinakesUploads, UploadRefused, UploadTarget, session_of, state_of
from agent.remotes.pinakes.wire import (
    CREATED,
    DELETED,
    MODIFIED,
    ConflictLine,
    ReportItem,
    UploadLine,
    report_answer_of,
    report_body,
)
from agent.remotes.protocol import OnResumable, Outgoing, PushAnswer
from agent.remotes.uploading import UploadBytes, UploadChanged, UploadInDoubt

_BAD_REQUEST: Final = 400
_WRONG_HASH: Final = (
    "the server computes another hash of this content than this machine; if its algorithm is another one: "
    "raven-agent config set pinakes_hash"
)


class PinakesParts(Struct, frozen=True):
    """The parts of one account that a push uses."""

    calls: PinakesCalls
    contents: AccountContents
    hashing: ContentHashing
    uploads: PinakesUploads
    conflicts: AccountConflicts


class _Prepared(Struct, frozen=True):
    """An operation in the server's words."""

    outgoing: Outgoing
    item: ReportItem

    @property
    def operation(self) -> Operation:
        """The operation."""
        return self.outgoing.operation


def push_operations(
    parts: PinakesParts, scope: AccountScope, batch: Sequence[Outgoing], book: Book, on_resumable: OnResumable
) -> PushAnswer:
    """See ``Remote.push``."""
    push = _Push(parts, scope, book, on_resumable)
    waiting: list[_Prepared] = []
    for outgoing in batch:
        operation = outgoing.operation
        if len(waiting) >= parts.calls.limits.together or any(w.operation.path == operation.path for w in waiting):
            # The base of a second operation on a path is the result of the first one.
            push.report(waiting)
            waiting = []
        prepared = push.prepare(outgoing)
        if prepared is not None:
            waiting.append(prepared)
    push.report(waiting)
    return PushAnswer(tuple(push.outcomes), push.problem or push.full)


class _Push:
    """The progress of one push: outcomes, and the problems met."""

    def __init__(self, parts: PinakesParts, scope: AccountScope, book: Book, on_resumable: OnResumable) -> None:
        self._parts = parts
        self._scope = scope
        self._book = book
        self._on_resumable = on_resumable
        self.outcomes: list[Outcome] = []
        self.problem: Problem | None = None
        self.full: Problem | None = None
        """The account's space is used up. Deletes go on: they may free the space."""

    def _stops(self, operation: Operation) -> bool:
        return self.problem is not None or (self.full is not None and operation.verb is Verb.UPSERT)

    def _end(self, operation: Operation, result: Result, detail: str | None = None) -> None:
        self.outcomes.append(Outcome(operation.id, result, detail=detail))

    def _failed(self, operation: Operation, problem: Problem, result: Result) -> None:
        self._end(operation, result)
        if problem.kind is ProblemKind.NO_SPACE:
            self.full = problem
        else:
            self.problem = self.problem or problem

    # Preparation

    def prepare(self, outgoing: Outgoing) -> _Prepared | None:
        """Return an operation in the server's words; None if its outcome is known already."""
        operation = outgoing.operation
        if self._stops(operation):
            self._end(operation, Result.NOT_SENT)
            return None
        if operation.verb is Verb.MOVE:
            # A report has no word for the old path. The engine sends no move to a server without moves.
            self._end(operation, Result.REJECTED, "this server takes no moves")
            return None
        try:
            digest = self._server_hash(outgoing)
            base = self._base(operation)
        except (DiskError, UploadChanged):
            self._end(operation, Result.CHANGED)
            return None
        except RemoteCallError as failure:
            self._failed(operation, failure.problem, Result.NOT_SENT)
            return None
        if operation.hash is not None and digest is None:
            self._end(operation, Result.REJECTED, "the content does not match its hash")
            return None
        change = DELETED if operation.hash is None else CREATED if base is None else MODIFIED
        item = ReportItem(self._scope.full(operation.path), change, digest, operation.size, base)
        prepared = _Prepared(outgoing, item)
        return None if self._goes_on(prepared) else prepared

    def _server_hash(self, outgoing: Outgoing) -> str | None:
        """Return the server's hash of the bytes to send; None for a delete, or if they are not those of the operation.

        Raises:
            DiskError: the opened file cannot be read.
            UploadChanged: the opened file is not that of the operation.
        """
        operation, body, hashing = outgoing.operation, outgoing.body, self._parts.hashing
        if operation.hash is None:
            return None
        if not isinstance(body, bytes):
            if hashing.is_sha256:
                # The server compares the bytes with it when the upload completes.
                return operation.hash
            found = hashing.of_pieces(body)
            if found.sha256 != operation.hash:
                raise UploadChanged
            return found.server
        if hashing.is_sha256 and outgoing.checked:
            return operation.hash
        found = hashing.both(body)
        return found.server if found.sha256 == operation.hash else None

    def _base(self, operation: Operation) -> str | None:
        """Return the server's hash of the base. A base that is not known here is looked for in the head."""
        if operation.base is None:
            return None
        known = operation.base_rev or self._parts.hashing.server_hash_of(operation.base, operation.path, self._book)
        if known is not None:
            return known
        head = self._parts.contents.head(self._scope.full(operation.path), self._book, operation.path)
        # The sha256 is no hash of this server, so that the change is refused: the head is another version.
        return head.rev if head is not None and head.hash == operation.base else operation.base

    def _goes_on(self, prepared: _Prepared) -> bool:
        """Continue an upload of an earlier process; returns False if it must begin anew."""
        operation = prepared.operation
        known = session_of(prepared.outgoing.resume, operation.hash)
        if known is None or operation.hash is None:
            return False
        try:
            session = self._parts.uploads.status(known, operation.size)
        except RemoteCallError as failure:
            self._failed(operation, failure.problem, Result.NOT_SENT)
            return True
        if session is None or not (session.completed or session.takes_chunks):
            return False
        if session.completed:
            self._applied(prepared)
        else:
            self._send(prepared, session)
        return True

    # Reports

    def report(self, items: list[_Prepared]) -> None:
        """Report changes and carry out what the server answers."""
        if not items:
            return
        if self.problem is not None:
            for each in items:
                self._end(each.operation, Result.NOT_SENT)
            return
        for each in items:
            self._keep_pair(each)
        try:
            data = self._parts.calls.post("sync/report", body=report_body(each.item for each in items))
            answer = report_answer_of(data)
        except RemoteCallError as failure:
            self._report_failed(items, failure)
            return
        conflicts = {each.path: each for each in answer.conflicts}
        # Uploads last: their failures must not hide the answers for the others.
        for each in sorted(items, key=lambda each: each.item.path in answer.wanted):
            found = conflicts.get(each.item.path)
            if found is not None:
                self._conflict(each, found)
            elif each.item.path in answer.wanted and each.operation.hash is not None:
                self._upload(each)
            elif each.item.path in answer.accepted:
                self._applied(each)
            else:
                self._left_out(each)

    def _left_out(self, prepared: _Prepared) -> None:
        """Take a change that the answer leaves out: it was carried out if the path holds what it wanted."""
        operation = prepared.operation
        try:
            head = self._parts.contents.head(prepared.item.path, self._book, operation.path, prepared.item.hash)
        except RemoteCallError as failure:
            self._failed(operation, failure.problem, Result.UNCERTAIN)
            return
        if (None if head is None else head.rev) == prepared.item.hash:
            self._applied(prepared)
        else:
            self._end(operation, Result.UNCERTAIN)

    def _keep_pair(self, prepared: _Prepared) -> None:
        """Have the pair of hashes of a content stored, so that a later process knows what the server says of it."""
        operation, parts = prepared.operation, self._parts
        if prepared.item.hash is not None and operation.hash is not None and not parts.hashing.is_sha256:
            self._on_resumable(operation.id, state_of(None, operation.hash, prepared.item.hash))

    def _report_failed(self, items: list[_Prepared], failure: RemoteCallError) -> None:
        if failure.status == _BAD_REQUEST and len(items) > 1:
            # One that the server refuses must not hold up the others.
            for each in items:
                self.report([each])
            return
        if failure.status == _BAD_REQUEST:
            self._end(items[0].operation, Result.REJECTED, failure.reason or failure.problem.message)
            return
        result = Result.UNCERTAIN if failure.effect is SideEffect.POSSIBLE else Result.NOT_SENT
        for each in items:
            self._failed(each.operation, failure.problem, result)

    def _applied(self, prepared: _Prepared) -> None:
        operation = prepared.operation
        if operation.hash is not None and prepared.item.hash is not None:
            self._parts.hashing.remember(operation.hash, prepared.item.hash)
        self.outcomes.append(Outcome(operation.id, Result.APPLIED, rev=prepared.item.hash))

    # Uploads

    def _upload(self, prepared: _Prepared) -> None:
        operation, uploads = prepared.operation, self._parts.uploads
        if self._stops(operation):
            self._end(operation, Result.NOT_SENT)
            return
        item = prepared.item
        assert item.hash is not None
        try:
            session = uploads.begin(UploadTarget(item.path, item.hash, item.base), operation.size)
        except RemoteCallError as failure:
            self._not_uploaded(prepared, failure)
            return
        if operation.size > self._parts.calls.limits.inline:
            self._on_resumable(operation.id, state_of(session, operation.hash or "", item.hash))
        self._send(prepared, session)

    def _send(self, prepared: _Prepared, session: UploadLine) -> None:
        operation = prepared.operation
        try:
            self._parts.uploads.send(operation, session, _pieces(prepared.outgoing))
        except (UploadChanged, DiskError):
            self._end(operation, Result.CHANGED)
        except UploadRefused as refused:
            self._refused(prepared, refused)
        except UploadInDoubt as doubt:
            self._failed(operation, doubt.failure.problem, Result.UNCERTAIN)
        except RemoteCallError as failure:
            self._not_uploaded(prepared, failure)
        else:
            self._applied(prepared)

    def _not_uploaded(self, prepared: _Prepared, failure: RemoteCallError) -> None:
        """Take the failure of a call that made no version."""
        operation, problem = prepared.operation, failure.problem
        if problem.kind is ProblemKind.TOO_LARGE:
            detail = f"{operation.size:,} bytes, more than this server takes"
            most = max(operation.size - 1, 0)
            self.outcomes.append(Outcome(operation.id, Result.TOO_LARGE, detail=detail, limit=most))
        elif problem.kind in MISSING:
            # The session is gone. An earlier completion may have ended it.
            self._end(operation, Result.UNCERTAIN)
        elif failure.status == _BAD_REQUEST:
            self._end(operation, Result.REJECTED, failure.reason or problem.message)
        else:
            self._failed(operation, problem, Result.NOT_SENT)

    def _refused(self, prepared: _Prepared, refused: UploadRefused) -> None:
        """Take a completion that was refused: with a conflict, without chunks, or for another hash."""
        operation, parts = prepared.operation, self._parts
        try:
            found = parts.conflicts.own(prepared.item.path, prepared.item.hash, refused.words)
            if found is not None:
                self._conflict(prepared, found)
                return
            session = parts.uploads.status(refused.session, operation.size)
        except RemoteCallError as failure:
            self._failed(operation, failure.problem, Result.UNCERTAIN)
            return
        if session is not None and session.completed:
            # An earlier completion of the same session was carried out, and its answer was lost.
            self._applied(prepared)
        elif session is None or len(session.received) < session.chunks:
            self._end(operation, Result.UNCERTAIN)
        else:
            self._wrong_hash(prepared, refused)

    def _wrong_hash(self, prepared: _Prepared, refused: UploadRefused) -> None:
        """Take a refusal of all chunks of a content: the file changed, or the server's hash is another one."""
        self._parts.uploads.discard(refused.session)
        try:
            same = self._parts.hashing.of_pieces(_pieces(prepared.outgoing)).sha256 == prepared.operation.hash
        except DiskError:
            same = False
        if same:
            self._end(prepared.operation, Result.REJECTED, _WRONG_HASH)
        else:
            self._end(prepared.operation, Result.CHANGED)

    # Conflicts

    def _conflict(self, prepared: _Prepared, found: ConflictLine) -> None:
        operation, conflicts, body = prepared.operation, self._parts.conflicts, prepared.outgoing.body
        try:
            if found.server == prepared.item.hash:
                # The head holds the same bytes already, or none as wanted: the two sides of the conflict are equal.
                conflicts.close_quietly(found.id)
                self._applied(prepared)
                return
            content = body if isinstance(body, bytes) and operation.verb is Verb.UPSERT else None
            record = conflicts.record(found, self._scope, self._book, operation, content)
        except RemoteCallError as failure:
            self._failed(operation, failure.problem, Result.UNCERTAIN)
            return
        self.outcomes.append(Outcome(operation.id, Result.CONFLICT, record))


def _pieces(outgoing: Outgoing) -> Pieces:
    return UploadBytes(outgoing.body) if isinstance(outgoing.body, bytes) else outgoing.body
