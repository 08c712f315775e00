"""Uploads: a small new file as one form, everything else as a session of chunks, which another process can continue."""

from __future__ import annotations

import json
import posixpath
import secrets
from typing import Final

from agent.core.errors import ContentChanged, DiskError, ProblemKind
from agent.core.remote_records import Operation
from agent.core.supply import Pieces
from agent.remotes.fields import sha256
from agent.remotes.http.decode import DecodeLimits
from agent.remotes.http.failures import RemoteCallError
from agent.remotes.http.request import BYTES, ApiRequest, FilePart, Priority
from agent.remotes.protocol import OnResumable
from agent.remotes.scaidrive.calls import CONTENT_COST, MISSING, WRITE_COST, Calls
from agent.remotes.scaidrive.wire import FileRow, file_of
from agent.remotes.scaidrive.wire_uploads import (
    UploadBegun,
    UploadDone,
    UploadStatus,
    form_body,
    upload_begun_of,
    upload_body,
    upload_done_of,
    upload_status_of,
)
from agent.remotes.uploading import RunningUploads, UploadChanged, in_doubt

_REFUSED_CONTENT: Final = (400, 422)
"""Statuses of a completion whose chunks are not the promised content."""


class DriveUploads:
    """Uploads of one account. Safe to use from several threads."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._running = RunningUploads()

    def cancel(self, operation_id: str) -> None:
        """See ``Remote.cancel``."""
        self._running.cancel(operation_id)

    def send_form(self, share: str, folder: str | None, operation: Operation, pieces: Pieces) -> FileRow:
        """Create a small file in one request; returns its record.

        Raises:
            UploadChanged: the bytes are not those of the operation; nothing was sent.
            UploadInDoubt: the file may exist now.
            RemoteError: STALE if the name is taken; any other failed call.
        """
        try:
            content = pieces.read(0, pieces.size)
        except DiskError as error:
            raise UploadChanged from error
        if sha256(content) != operation.hash:
            raise UploadChanged
        name = posixpath.basename(operation.path)
        place = {} if folder is None else {"folder_id": folder}
        boundary = secrets.token_hex(16)
        body = form_body({"share_id": share, **place, "name": name}, name, content, boundary)
        call = ApiRequest(
            "POST", "files", body=body, content_type=f"multipart/form-data; boundary={boundary}",
            limits=DecodeLimits.RECORD, cost=CONTENT_COST,
        )  # fmt: skip
        with in_doubt():
            return file_of(self._calls.send(call))

    def send_session(
        self,
        share: str,
        folder: str | None,
        operation: Operation,
        pieces: Pieces,
        replaced: str | None,
        resume: str | None,
        on_resumable: OnResumable,
    ) -> UploadDone:
        """Send a content in chunks, beginning with those that the server lacks; returns the version made.

        Args:
            folder: id of the folder of a new file; None is the top.
            replaced: id of the file that gets a new version; None for a new file.
            resume: see ``Outgoing``.

        Raises:
            UploadChanged: the file changed, or the upload was cancelled; the session is discarded.
            UploadInDoubt: the version may exist now.
            RemoteError: STALE if the name is taken; any other failed call.
        """
        if pieces.size != operation.size:
            raise UploadChanged
        with self._running.run(operation.id):
            session, status = self._resumed(operation, resume)
            if status is not None and status.complete and status.file is not None:
                return UploadDone(status.file, status.rev, operation.hash)
            if session is None:
                session = self._begin(share, folder, operation, replaced)
                if operation.size > self._calls.limits.inline:
                    on_resumable(operation.id, _state_of(session, operation))
            received = frozenset() if status is None else status.received
            try:
                self._send_chunks(operation, session, pieces, received)
                return self._complete(session)
            except (UploadChanged, ContentChanged) as changed:
                self._discard(session)
                raise UploadChanged from changed

    def _begin(self, share: str, folder: str | None, operation: Operation, replaced: str | None) -> UploadBegun:
        body = upload_body(
            share, folder, posixpath.basename(operation.path), operation.size,
            operation.hash or "", replaced, self._calls.limits.chunk,
        )  # fmt: skip
        return upload_begun_of(self._calls.post("uploads", body=body))

    def _resumed(self, operation: Operation, resume: str | None) -> tuple[UploadBegun | None, UploadStatus | None]:
        """Return the session of a state and what the server has of it; None if it must begin anew."""
        session = session_of(resume, operation)
        if session is None:
            return None, None
        try:
            return session, self.status(session.session)
        except RemoteCallError as failure:
            if failure.problem.kind in MISSING:
                return None, None
            raise

    def status(self, session: str) -> UploadStatus:
        """Return the state of a session. Raises GONE if the server forgot it."""
        return upload_status_of(self._calls.get("uploads/{}", (session,)))

    def _send_chunks(
        self, operation: Operation, session: UploadBegun, pieces: Pieces, received: frozenset[int]
    ) -> None:
        size = session.chunk_size
        priority = Priority.BULK if operation.size > self._calls.limits.multipart else Priority.OWN
        for index in range(-(-pieces.size // size)):
            self._running.check(operation.id)
            if index in received:
                continue
            part = FilePart(pieces, index * size, min(size, pieces.size - index * size))
            call = ApiRequest(
                "PUT", "uploads/{}/chunks/{}", (session.session, str(index)), body=part, content_type=BYTES,
                limits=DecodeLimits.RECORD, may_be_empty=True, cost=CONTENT_COST, priority=priority,
            )  # fmt: skip
            self._calls.send(call)

    def _complete(self, session: UploadBegun) -> UploadDone:
        try:
            with in_doubt():
                return upload_done_of(self._calls.post("uploads/{}/complete", (session.session,)))
        except RemoteCallError as failure:
            if failure.status in _REFUSED_CONTENT:
                # The checksum of the chunks is not the promised one: the file changed between two looks.
                raise UploadChanged from failure
            raise

    def _discard(self, session: UploadBegun) -> None:
        call = ApiRequest("DELETE", "uploads/{}", (session.session,), may_be_empty=True, cost=WRITE_COST)
        try:
            self._calls.send(call)
        except RemoteCallError:
            # The server forgets it by itself after a day.
            return


def _state_of(session: UploadBegun, operation: Operation) -> str:
    return json.dumps({"upload": session.session, "chunk": session.chunk_size, "hash": operation.hash})


def session_of(resume: str | None, operation: Operation) -> UploadBegun | None:
    """Return the session that a state names; None if it cannot be read, or was made for other bytes."""
    try:
        found = json.loads(resume or "{}")
        session, size, digest = found["upload"], found["chunk"], found["hash"]
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(session, str) or not isinstance(size, int) or size < 1 or digest != operation.hash:
        return None
    return UploadBegun(session, size)


def is_taken(failure: RemoteCallError) -> bool:
    """Return True if an upload was refused because the name is taken."""
    return failure.status == 409 and failure.problem.kind is ProblemKind.STALE
