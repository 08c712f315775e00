"""Sends operations to the plain server: uploads of large contents, commits, and what each answer proves."""

from __future__ import annotations

import base64
import json
import posixpath
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from agent.core.errors import ContentChanged, DiskError, Problem, ProblemKind
from agent.core.remote_records import Operation, Outcome, RemoteConflict, Result, Verb
from agent.core.supply import Pieces
from agent.core.version import Version
from agent.remotes.book import Book
from agent.remotes.fields import maybe_text, number, row, sha256, text
from agent.remotes.http.client import HttpClient
from agent.remotes.http.failures import RemoteCallError, SideEffect
from agent.remotes.http.request import BYTES, ApiRequest, FilePart, Priority, encode_json
from agent.remotes.protocol import OnResumable, Outgoing, PushAnswer
from plain_dialect.files import Files, conflict_of
from plain_dialect.state import INLINE, MOST
from plain_dialect.tree import MISSING, Tree

TOGETHER = 20
"""Changes in one commit."""

Lister = Callable[[str], Iterable[RemoteConflict]]


@dataclass(frozen=True)
class Item:
    """An operation as a part of a commit."""

    operation: Operation
    fields: dict[str, Any]


class Changed(Exception):
    """The file changed, or its upload was cancelled."""


class Pusher:
    """Sends operations of one account.

    Args:
        own_conflicts: lists the open conflicts of this machine.

    Attributes:
        inline_limit, max_bytes: as the server states them.
    """

    def __init__(self, http: HttpClient, files: Files, tree: Tree, own_conflicts: Lister) -> None:
        self._http = http
        self._files = files
        self._tree = tree
        self._own_conflicts = own_conflicts
        self.inline_limit = INLINE
        self.max_bytes = MOST
        self._lock = threading.Lock()
        self._running: dict[str, bool] = {}
        """Uploads by operation id, and whether they were cancelled."""
        self._alone = False
        """Commits are sent one by one: the server does not say what became of each."""

    def cancel(self, operation_id: str) -> None:
        """See ``Remote.cancel``."""
        with self._lock:
            if operation_id in self._running:
                self._running[operation_id] = True

    def push(
        self, source: str, device: str, batch: Sequence[Outgoing], book: Book, on_resumable: OnResumable
    ) -> PushAnswer:
        """See ``Remote.push``."""
        sending = _Sending(lambda items, outcomes: self._commit(source, device, items, outcomes))
        for outgoing in batch:
            operation = outgoing.operation
            sending.before(operation)
            if sending.stops(operation):
                sending.outcomes.append(Outcome(operation.id, Result.NOT_SENT))
                continue
            try:
                item = self._item(source, device, outgoing, book, on_resumable)
            except RemoteCallError as failure:
                sending.failed(operation, failure)
            else:
                sending.add(item, TOGETHER if not self._alone else 1)
        sending.flush()
        return PushAnswer(tuple(sending.outcomes), sending.problem or sending.full)

    # Items

    def _item(
        self, source: str, device: str, outgoing: Outgoing, book: Book, on_resumable: OnResumable
    ) -> Item | Outcome:
        operation = outgoing.operation
        fields: dict[str, Any] = {"path": operation.path}
        if operation.base is not None:
            found = self._base(source, operation, book)
            if found is None:
                return _without_file(operation)
            fields["id"], fields["base_rev"] = found
        match operation.verb:
            case Verb.DELETE if operation.base is None:
                # A decided delete of a path that was empty: there is nothing to send.
                is_there = self._tree.file(source, operation.path) is not None
                return Outcome(operation.id, Result.UNCERTAIN if is_there else Result.APPLIED)
            case Verb.DELETE:
                return Item(operation, {**fields, "op": "delete"})
            case Verb.MOVE:
                folder, name = posixpath.split(operation.path)
                place = {"folder": self._tree.ensure(source, folder, device), "name": name}
                return Item(operation, {**fields, "path": operation.old_path, "op": "move", **place})
        content = self._content(source, outgoing, on_resumable)
        if isinstance(content, Outcome):
            return content
        if operation.base is None:
            folder, name = posixpath.split(operation.path)
            fields |= {"folder": self._tree.ensure(source, folder, device), "name": name}
        return Item(operation, {**fields, "op": "put", "hash": operation.hash, "size": operation.size, **content})

    def _base(self, source: str, operation: Operation, book: Book) -> tuple[str, str] | None:
        """The id and the revision that the operation changes; None if the file is not there."""
        path = operation.old_path or operation.path
        entry = book.entry_at(path)
        identifier = operation.remote_id or (entry.remote_id if entry else None) or self._tree.file(source, path)
        if identifier is None:
            return None
        if operation.base_rev is not None:
            return identifier, operation.base_rev
        head = self._files.head(identifier)
        # A base whose revision is not known is the head's if it has its hash. Otherwise the server refuses.
        return identifier, head.rev if head is not None and head.hash == operation.base else "unknown"

    def _content(self, source: str, outgoing: Outgoing, on_resumable: OnResumable) -> dict[str, Any] | Outcome:
        operation, body = outgoing.operation, outgoing.body
        size = len(body) if isinstance(body, bytes) else body.size
        most = self.max_bytes
        if size > most:
            detail = f"{size:,} bytes, larger than the {most:,} bytes this server takes"
            return Outcome(operation.id, Result.TOO_LARGE, detail=detail, limit=most)
        if isinstance(body, bytes) and not outgoing.checked and sha256(body) != operation.hash:
            return Outcome(operation.id, Result.REJECTED, detail="the content does not match its hash")
        pieces = _Bytes(body) if isinstance(body, bytes) else body
        try:
            if size > self.inline_limit:
                return {"upload": self._upload(source, outgoing, pieces, on_resumable)}
            content = pieces.read(0, size)
        except (Changed, DiskError):
            return Outcome(operation.id, Result.CHANGED)
        if sha256(content) != operation.hash:
            return Outcome(operation.id, Result.CHANGED)
        return {"content": base64.b64encode(content).decode()}

    # Uploads

    def _upload(self, source: str, outgoing: Outgoing, pieces: Pieces, on_resumable: OnResumable) -> str:
        """Send the chunks that the server lacks; the id of the session."""
        operation = outgoing.operation
        with self._lock:
            self._running[operation.id] = False
        try:
            if pieces.size != operation.size:
                raise Changed
            session = self._resumed(operation, outgoing.resume)
            if session is None:
                body = encode_json({"hash": operation.hash, "size": operation.size})
                answer = self._http.request(ApiRequest("POST", "sources/{}/uploads", (source,), body=body)).data
                session = row(answer, "upload")
                on_resumable(operation.id, json.dumps({"upload": text(session, "id")}))
            upload = text(session, "id")
            try:
                self._send_chunks(operation, session, pieces)
            except (Changed, ContentChanged):
                self._discard(upload)
                raise
            return upload
        finally:
            with self._lock:
                del self._running[operation.id]

    def _resumed(self, operation: Operation, resume: str | None) -> Mapping[str, Any] | None:
        """The session of an earlier try, as the server shows it; None if there is none for these bytes."""
        try:
            upload = str(json.loads(resume or "{}")["upload"])
        except (ValueError, KeyError, TypeError):
            return None
        try:
            found = row(self._http.request(ApiRequest("GET", "uploads/{}", (upload,))).data, "upload")
        except RemoteCallError as failure:
            if failure.problem.kind in MISSING:
                return None
            raise
        return found if (found.get("hash"), found.get("size")) == (operation.hash, operation.size) else None

    def _send_chunks(self, operation: Operation, session: Mapping[str, Any], pieces: Pieces) -> None:
        received, size = set(session.get("received", ())), number(session, "chunk_size")
        for index in range(-(-pieces.size // size)):
            if self._running[operation.id]:
                raise Changed
            if index in received:
                continue
            part = FilePart(pieces, index * size, min(size, pieces.size - index * size))
            call = ApiRequest(
                "PUT", "uploads/{}/chunks/{}", (text(session, "id"), str(index)), body=part, content_type=BYTES,
                may_be_empty=True, cost=5, priority=Priority.BULK,
            )  # fmt: skip
            self._http.request(call)

    def _discard(self, upload: str) -> None:
        try:
            self._http.request(ApiRequest("DELETE", "uploads/{}", (upload,), may_be_empty=True))
        except RemoteCallError:
            # The server forgets it by itself after a day.
            return

    # Commits

    def _commit(self, source: str, device: str, items: list[Item], outcomes: list[Outcome]) -> Problem | None:
        """Send one commit and add the outcomes of its items."""
        body = encode_json({"device": device, "items": [item.fields for item in items]})
        call = ApiRequest("POST", "sources/{}/commits", (source,), body=body, cost=2)
        try:
            answer = row(self._http.request(call).data, "commit")
        except RemoteCallError as failure:
            try:
                return self._refused(source, device, items, failure, outcomes)
            except RemoteCallError as later:
                # The questions about what was refused failed in turn.
                return self._unknown(items, outcomes, later)
        try:
            if "results" in answer:
                outcomes += self._of_results(items, answer["results"])
            else:
                self._alone = True
                outcomes += self._of_counts(source, items, number(answer, "applied"), number(answer, "conflicts"))
        except RemoteCallError as failure:
            return self._unknown(items, outcomes, failure)
        return None

    def _unknown(self, items: list[Item], outcomes: list[Outcome], failure: RemoteCallError) -> Problem:
        known = {outcome.operation_id for outcome in outcomes}
        outcomes += [Outcome(i.operation.id, Result.UNCERTAIN) for i in items if i.operation.id not in known]
        return failure.problem

    def _refused(
        self, source: str, device: str, items: list[Item], failure: RemoteCallError, outcomes: list[Outcome]
    ) -> Problem | None:
        if failure.status == 409:
            # Some item conflicts, and the server does not say which.
            self._alone = True
            outcomes += self._of_counts(source, items, 0, len(items))
            return None
        if failure.problem.kind in MISSING:
            # A folder is gone, or another one. Its id is asked for again.
            self._tree.distrust(source)
            if len(items) > 1:
                return self._one_by_one(source, device, items, outcomes)
            if self._lacks_file(source, items[0]):
                outcomes.append(_without_file(items[0].operation))
                return None
        if failure.problem.kind is ProblemKind.BAD_REQUEST and len(items) == 1:
            detail = failure.reason or failure.problem.message
            outcomes.append(Outcome(items[0].operation.id, Result.REJECTED, detail=detail))
            return None
        is_gone = failure.problem.kind in MISSING
        for item in items:
            # An upload session that is gone may have ended with an earlier copy of this very commit.
            in_doubt = is_gone and "upload" in item.fields
            outcomes.append(Outcome(item.operation.id, Result.UNCERTAIN if in_doubt else _unless_sent(failure)))
        return failure.problem

    def _one_by_one(self, source: str, device: str, items: list[Item], outcomes: list[Outcome]) -> Problem | None:
        """Commit items alone: the server does not say which of them was refused."""
        problem = None
        for item in items:
            if problem is None:
                problem = self._commit(source, device, [item], outcomes)
            else:
                outcomes.append(Outcome(item.operation.id, Result.NOT_SENT))
        return problem

    def _lacks_file(self, source: str, item: Item) -> bool:
        """Whether the server shows the source, and no longer has the file: it was restored from an older copy."""
        identifier = item.fields.get("id")
        if identifier is None or self._files.head(identifier) is not None:
            return False
        self._http.request(ApiRequest("GET", "sources/{}", (source,)))
        return True

    def _of_results(self, items: list[Item], results: Any) -> Iterable[Outcome]:
        listed = results if isinstance(results, list) else []
        for index, item in enumerate(items):
            result = listed[index] if index < len(listed) else None
            yield self._outcome(item, result if isinstance(result, dict) else {})

    def _outcome(self, item: Item, result: dict[str, Any]) -> Outcome:
        operation = item.operation
        match result.get("status"):
            case "applied":
                return self._applied(item, text(result, "id"), text(result, "rev"))
            case "conflict":
                return self._conflict(operation, conflict_of(row(result.get("conflict"), "conflict")))
            case "rejected":
                detail = maybe_text(result, "detail") or "the server refuses this file"
                return Outcome(operation.id, Result.REJECTED, detail=detail)
        # Left out, or a move over something that changed: the engine looks.
        return Outcome(operation.id, Result.UNCERTAIN)

    def _applied(self, item: Item, identifier: str, rev: str) -> Outcome:
        """An applied operation. The server may have put it over a version nobody here has seen."""
        operation, replaced = item.operation, None
        if operation.verb is Verb.UPSERT and operation.base is not None:
            versions = self._files.versions(identifier)
            before = next((old for new, old in pairwise(versions) if new.rev == rev), None)
            if before is not None and before.rev != item.fields["base_rev"] and before.hash is not None:
                replaced = Version(before.hash, before.size, before.rev, identifier)
        return Outcome(operation.id, Result.APPLIED, rev=rev, remote_id=identifier, replaced=replaced)

    def _conflict(self, operation: Operation, found: RemoteConflict) -> Outcome:
        if found.remote_hash is not None and found.remote_hash == operation.hash:
            # The head holds the same bytes already: our own first try, or the same edit of somebody else.
            self.close(found.id)
            return Outcome(operation.id, Result.APPLIED, rev=found.remote_rev, remote_id=found.remote_id)
        return Outcome(operation.id, Result.CONFLICT, found)

    def close(self, conflict_id: str) -> None:
        """Close a conflict; the head stays as it is."""
        self._http.request(ApiRequest("POST", "conflicts/{}/close", (conflict_id,), body=b"{}", cost=2))

    def _of_counts(self, source: str, items: list[Item], applied: int, conflicts: int) -> Iterable[Outcome]:
        """The outcomes that two counts and the list of our conflicts prove together."""
        if applied == len(items) and not conflicts:
            return [self._looked_up(item) for item in items]
        found = {item.operation.id: match for item in items if (match := self._own(source, item.operation))}
        proven = applied == len(items) - len(found)
        return [
            self._conflict(item.operation, found[item.operation.id])
            if item.operation.id in found
            else (self._looked_up(item) if proven and applied else Outcome(item.operation.id, Result.UNCERTAIN))
            for item in items
        ]

    def _looked_up(self, item: Item) -> Outcome:
        """An applied operation whose revision the server did not state. The engine learns it from the feed."""
        operation = item.operation
        identifier = item.fields.get("id")
        if operation.verb is Verb.UPSERT and identifier is not None:
            versions = self._files.versions(identifier)
            made = next((v for v in versions if v.hash == operation.hash), None)
            if made is not None:
                return self._applied(item, identifier, made.rev)
        return Outcome(operation.id, Result.APPLIED, remote_id=identifier)

    def _own(self, source: str, operation: Operation) -> RemoteConflict | None:
        """The newest open conflict of this machine with the operation's path and content."""
        wanted = (operation.path, operation.hash)
        return next((c for c in self._own_conflicts(source) if (c.path, c.local_hash) == wanted), None)


class _Sending:
    """The progress of one push: items that wait for a commit, outcomes, and the problems met."""

    def __init__(self, commit: Callable[[list[Item], list[Outcome]], Problem | None]) -> None:
        self._commit = commit
        self._waiting: list[Item] = []
        self.outcomes: list[Outcome] = []
        self.problem: Problem | None = None
        self.full: Problem | None = None
        """The account's space is used up. Deletes and moves go on: they may free the space."""

    def before(self, operation: Operation) -> None:
        """Commit what waits if the operation follows one of the same path: its base is that one's result."""
        if any(item.operation.path in (operation.path, operation.old_path) for item in self._waiting):
            self.flush()

    def stops(self, operation: Operation) -> bool:
        """Whether the operation may not be sent any more."""
        return self.problem is not None or (self.full is not None and operation.verb is Verb.UPSERT)

    def failed(self, operation: Operation, failure: RemoteCallError) -> None:
        """Take the failure of a call before the commit: nothing of the operation was applied."""
        self.outcomes.append(Outcome(operation.id, Result.NOT_SENT))
        if failure.problem.kind is ProblemKind.NO_SPACE:
            self.full = failure.problem
        else:
            self.flush()
            self.problem = self.problem or failure.problem

    def add(self, item: Item | Outcome, together: int) -> None:
        """Take an item for the next commit, or an outcome that needs none."""
        if isinstance(item, Outcome):
            self.outcomes.append(item)
            return
        self._waiting.append(item)
        if len(self._waiting) >= together:
            self.flush()

    def flush(self) -> None:
        """Commit the items that wait, unless the push has ended."""
        waiting, self._waiting = self._waiting, []
        if self.problem is not None:
            self.outcomes += [Outcome(item.operation.id, Result.NOT_SENT) for item in waiting]
        elif waiting:
            problem = self._commit(waiting, self.outcomes)
            if problem is not None and problem.kind is ProblemKind.NO_SPACE:
                self.full = problem
            else:
                self.problem = problem


class _Bytes:
    """Bytes in memory as an opened content."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    @property
    def size(self) -> int:
        return len(self._content)

    def read(self, offset: int, length: int) -> bytes:
        return self._content[offset : offset + length]


def _without_file(operation: Operation) -> Outcome:
    """The outcome for a file that is gone: the server keeps no conflict without it, so the engine looks."""
    return Outcome(operation.id, Result.APPLIED if operation.verb is Verb.DELETE else Result.UNCERTAIN)


def _unless_sent(failure: RemoteCallError) -> Result:
    return Result.NOT_SENT if failure.effect is SideEffect.NONE else Result.UNCERTAIN
