"""Upload sessions: chunks that another process can continue, and a completion that compares the base once more."""

from __future__ import annotations

import json
from typing import Final

from msgspec import Struct

from agent.core.errors import ContentChanged
from agent.core.remote_records import Operation
from agent.core.supply import Pieces
from agent.remotes.http.decode import DecodeLimits
from agent.remotes.http.failures import RemoteCallError
from agent.remotes.http.request import BYTES, ApiRequest, FilePart, Priority
from agent.remotes.pinakes.calls import MISSING, PinakesCalls
from agent.remotes.pinakes.wire import UploadLine, check_chunk, upload_body, upload_of
from agent.remotes.uploading import RunningUploads, UploadChanged, in_doubt

_BAD_REQUEST: Final = 400


class UploadTarget(Struct, frozen=True):
    """The change that an upload makes, in the server's words.

    Attributes:
        path: in the account.
        hash: the server's hash of the content.
        base: the server's hash of the base; None if the path must be free.
    """

    path: str
    hash: str
    base: str | None


class UploadRefused(Exception):
    """The completion was refused: the base is not the head, chunks are missing, or the content has another hash.

    Attributes:
        session: the id of the session.
        words: the server's own, "" without any.
    """

    def __init__(self, session: str, words: str) -> None:
        super().__init__(words)
        self.session = session
        self.words = words


class PinakesUploads:
    """Uploads of one account. Safe to use from several threads."""

    def __init__(self, calls: PinakesCalls) -> None:
        self._calls = calls
        self._running = RunningUploads()

    def cancel(self, operation_id: str) -> None:
        """See ``Remote.cancel``."""
        self._running.cancel(operation_id)

    def begin(self, target: UploadTarget, size: int) -> UploadLine:
        """Begin a session."""
        body = upload_body(target.path, target.hash, size, target.base, self._calls.limits.chunk)
        return upload_of(self._calls.post("sync/upload", body=body), size)

    def status(self, session: str, size: int) -> UploadLine | None:
        """Return a session; None if the server forgot it."""
        try:
            return upload_of(self._calls.get("sync/upload/{}", (session,), limits=DecodeLimits.RECORD), size)
        except RemoteCallError as failure:
            if failure.problem.kind in MISSING:
                return None
            raise

    def send(self, operation: Operation, session: UploadLine, pieces: Pieces) -> None:
        """Send the chunks that the server lacks, and complete the session.

        Raises:
            UploadChanged: the file changed, or the upload was cancelled; the session is discarded.
            UploadRefused: the content did not become the head.
            UploadInDoubt: it may be the head now.
            RemoteError: any other failed call; the content did not become the head.
        """
        with self._running.run(operation.id):
            try:
                if pieces.size != operation.size:
                    raise UploadChanged
                self._send_chunks(operation.id, session, pieces)
            except (UploadChanged, ContentChanged) as changed:
                self.discard(session.id)
                raise UploadChanged from changed
        self._complete(session, operation.size)

    def _send_chunks(self, operation_id: str, session: UploadLine, pieces: Pieces) -> None:
        size = session.chunk_size
        priority = Priority.BULK if pieces.size > self._calls.limits.inline else Priority.OWN
        for index in range(session.chunks):
            self._running.check(operation_id)
            if index in session.received:
                continue
            part = FilePart(pieces, index * size, min(size, pieces.size - index * size))
            call = ApiRequest(
                "PUT", "sync/upload/{}/chunks/{}", (session.id, str(index)), body=part, content_type=BYTES,
                limits=DecodeLimits.RECORD, priority=priority,
            )  # fmt: skip
            check_chunk(self._calls.send(call), index, part.offset, part.length)
        # A file that changed after its last piece was read must not be completed.
        self._running.check(operation_id)

    def _complete(self, session: UploadLine, size: int) -> None:
        try:
            with in_doubt():
                done = upload_of(self._calls.post("sync/upload/{}/complete", (session.id,)), size)
        except RemoteCallError as failure:
            if failure.status != _BAD_REQUEST:
                raise
            raise UploadRefused(session.id, failure.reason or "") from failure
        if not done.completed:
            raise UploadRefused(session.id, "the upload is not completed")

    def discard(self, session: str) -> None:
        """Cancel a session. It never raises: the server forgets it by itself after a day."""
        call = ApiRequest("DELETE", "sync/upload/{}", (session,), may_be_empty=True)
        try:
            self._calls.send(call)
        except RemoteCallError:
            return


def state_of(session: UploadLine | None, sha256: str, server: str) -> str:
    """Return the state to store: the pair of hashes, and the session with which the upload can continue."""
    return json.dumps({"upload": None if session is None else session.id, "hash": sha256, "as": server})


def pair_of(resume: str | None) -> tuple[str, str] | None:
    """Return the pair (sha256, server's hash) of a state; None if it cannot be read."""
    found = _read(resume)
    return None if found is None else (found[1], found[2])


def session_of(resume: str | None, sha256: str | None) -> str | None:
    """Return the session of a state; None if it has none, cannot be read, or was made for other bytes."""
    found = _read(resume)
    return found[0] if found is not None and found[1] == sha256 else None


def _read(resume: str | None) -> tuple[str | None, str, str] | None:
    try:
        found = json.loads(resume or "{}")
        session, sha256, server = found["upload"], found["hash"], found["as"]
    except (ValueError, KeyError, TypeError):
        return None
    fine = isinstance(session, str | None) and isinstance(sha256, str) and isinstance(server, str)
    return (session, sha256, server) if fine else None
