"""Send operations to a Raven server in requests that it takes, and isolate the operation that it refuses.

The released server answers a batch with two counts, applies it item by item without a transaction, and stops at the
first item that its database refuses. A refused request is therefore split in halves until the refused item is alone.
Operation ids are the same in every request, and an outcome that no answer proves is UNCERTAIN.
"""

from __future__ import annotations

import posixpath
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence, Set
from typing import Any, Final

import orjson
from msgspec import Struct

from agent.core.errors import DiskError, Problem, ProblemKind
from agent.core.model import EMPTY_HASH, SENTINEL_BASE
from agent.core.remote_records import Operation, Outcome, RemoteConflict, Result, Verb
from agent.core.supply import Pieces
from agent.remotes.fields import number, row, sha256
from agent.remotes.http.client import HttpClient
from agent.remotes.http.decode import DecodeLimits
from agent.remotes.http.failures import RemoteCallError, SideEffect
from agent.remotes.protocol import Outgoing, PushAnswer
from agent.remotes.raven.responses import interpret_push_response

MAX_ITEMS: Final = 100
BODY_LIMIT: Final = 1_048_576
"""Bytes of JSON that the released server takes in one request."""
MIN_GROUP: Final = 16_384
"""Bytes: requests of several items are not made smaller than this for a gateway's limit."""

_SUSPECT: Final = (ProblemKind.SERVER_FAULT, ProblemKind.BAD_REQUEST)
"""Failures that a single item can cause."""
_FAULTS_IN_A_ROW: Final = 10
"""Items that failed alone, none taken, from which on the server itself is suspected."""


class EncodedOperation(Struct, frozen=True, gc=False):
    """One operation, encoded as an item of a batch."""

    operation: Operation
    content: bytes
    encoded: bytes

    def __repr__(self) -> str:
        # The text of a file must not get into a log.
        return f"EncodedOperation({self.operation!r})"

    @property
    def id(self) -> str:
        """The operation's id."""
        return self.operation.id

    def content_size(self) -> int:
        """Return the bytes of the content inside ``encoded``, escapes included."""
        return len(orjson.dumps(self.content.decode())) - 2


Chunk = list[EncodedOperation]


class Pusher:
    """Sender of operations for every source of one account. Safe to use from several threads.

    Args:
        conflicts: iterates over the open conflicts of a source.
    """

    def __init__(self, http: HttpClient, conflicts: Callable[[str], Iterable[RemoteConflict]]) -> None:
        self._http = http
        self._conflicts = conflicts
        self._lock = threading.Lock()
        self._group_limit = BODY_LIMIT
        self._single_limit = BODY_LIMIT

    def push(self, source_id: str, connector_id: str | None, batch: Sequence[Outgoing]) -> PushAnswer:
        """See ``Remote.push``. ``connector_id`` is sent as given; None leaves it out."""
        prefix = _prefix(source_id, connector_id)
        with self._lock:
            # The engine remembers the server's limit. A larger file that it sends all the same is really tried.
            self._single_limit = BODY_LIMIT
        outcomes: list[Outcome] = []
        items: list[EncodedOperation] = []
        for outgoing in batch:
            item = _encode(outgoing)
            if isinstance(item, Outcome):
                outcomes.append(item)
            elif len(prefix) + len(item.encoded) + len(_SUFFIX) > self._single_limit:
                outcomes.append(self._too_large(item, prefix))
            else:
                items.append(item)
        waiting = deque(self._chunks(items, prefix))
        touched: set[str] = set()
        problem: Problem | None = None
        while waiting and problem is None:
            if _fails_for_all(outcomes):
                break
            if _may_fail_for_all(outcomes):
                _last_first(waiting)
            result = self._request(source_id, prefix, waiting.popleft())
            outcomes.extend(result.outcomes)
            waiting.extendleft(reversed(result.smaller))
            touched.update(
                item.id for chunk in result.smaller for item in chunk if result.effect is SideEffect.POSSIBLE
            )
            problem = result.problem
        outcomes.extend(Outcome(item.id, Result.NOT_SENT) for chunk in waiting for item in chunk)
        return PushAnswer(tuple(_uncertain_if_touched(outcome, touched) for outcome in outcomes), problem)

    def last_cursor(self, source_id: str) -> int:
        """Return the number of the source's last event. Below our cursor: the server was restored from an older copy.

        Raises:
            RemoteError: PAUSED while the source is paused; any other failed call.
        """
        answer = self._http.call("sources/push-batch", {"sourceId": source_id, "items": []}, limits=DecodeLimits.RECORD)
        return number(row(answer.data, "batch"), "eventCursor")

    def _chunks(self, items: Sequence[EncodedOperation], prefix: bytes) -> list[Chunk]:
        """Group items into requests, in order, within the limits. No request holds two operations on one path."""
        chunks: list[Chunk] = []
        paths: set[str] = set()
        size = 0
        for item in items:
            path = item.operation.path
            size += len(item.encoded) + 1
            fits = chunks and len(chunks[-1]) < MAX_ITEMS and size + len(_SUFFIX) <= self._group_limit
            if not fits or path in paths:
                chunks.append([])
                paths.clear()
                size = len(prefix) + len(item.encoded) + 1
            chunks[-1].append(item)
            paths.add(path)
        return chunks

    def _request(self, source_id: str, prefix: bytes, chunk: Chunk) -> _RequestResult:
        """Send one request and return its result."""
        body = _body(prefix, chunk)
        if len(chunk) > 1 and len(body) > self._group_limit:
            return _RequestResult(smaller=_halves(chunk))
        if len(chunk) == 1 and len(body) > self._single_limit:
            return _RequestResult((self._too_large(chunk[0], prefix),))
        try:
            answer = self._http.send("sources/push-batch", body, limits=DecodeLimits.RECORD)
        except RemoteCallError as failure:
            return self._failed(source_id, prefix, chunk, failure)
        try:
            interpreted = interpret_push_response(
                [item.operation for item in chunk], answer.data, self._lister(source_id)
            )
        except RemoteCallError as failure:
            return _stopped(chunk, Result.UNCERTAIN, failure)
        return _RequestResult(interpreted.outcomes, problem=interpreted.problem)

    def _failed(self, source_id: str, prefix: bytes, chunk: Chunk, failure: RemoteCallError) -> _RequestResult:
        if failure.problem.kind is ProblemKind.TOO_LARGE:
            return self._refused_size(prefix, chunk)
        if failure.problem.kind in _SUSPECT:
            if len(chunk) > 1:
                return _RequestResult(smaller=_halves(chunk), effect=failure.effect)
            return self._suspect(source_id, prefix, chunk, failure)
        return _stopped(chunk, Result.NOT_SENT if failure.effect is SideEffect.NONE else Result.UNCERTAIN, failure)

    def _refused_size(self, prefix: bytes, chunk: Chunk) -> _RequestResult:
        """React to a request that is too large: later ones are smaller, and a single item gets TOO_LARGE."""
        size = len(_body(prefix, chunk))
        with self._lock:
            if len(chunk) > 1:
                self._group_limit = min(self._group_limit, max(size // 2, MIN_GROUP))
            else:
                self._single_limit = min(self._single_limit, size - 1)
        if len(chunk) > 1:
            return _RequestResult(smaller=_halves(chunk))
        return _RequestResult((self._too_large(chunk[0], prefix),))

    def _suspect(self, source_id: str, prefix: bytes, chunk: Chunk, failure: RemoteCallError) -> _RequestResult:
        """Find out if a single item that failed is itself the cause. It is only if the server works without it.

        An empty batch shows if the server works. The item is then sent once more: the released server also fails when
        two machines create one path at the same moment, and that failure passes.
        """
        try:
            self.last_cursor(source_id)
        except RemoteCallError as broken:
            return _stopped(chunk, Result.NOT_SENT if failure.effect is SideEffect.NONE else Result.UNCERTAIN, broken)
        try:
            answer = self._http.send("sources/push-batch", _body(prefix, chunk), limits=DecodeLimits.RECORD)
            interpreted = interpret_push_response([chunk[0].operation], answer.data, self._lister(source_id))
        except RemoteCallError as again:
            if again.problem.kind in _SUSPECT:
                reason = again.reason or again.problem.message
                return _RequestResult((Outcome(chunk[0].id, Result.REJECTED, detail=reason, server_fault=True),))
            both = (failure.effect, again.effect)
            return _stopped(chunk, Result.UNCERTAIN if SideEffect.POSSIBLE in both else Result.NOT_SENT, again)
        return _RequestResult(interpreted.outcomes, problem=interpreted.problem)

    def _too_large(self, item: EncodedOperation, prefix: bytes) -> Outcome:
        content, sent = len(item.content), item.content_size()
        around = len(prefix) + len(_SUFFIX) + len(item.encoded) - sent
        limit = max(self._single_limit - around, 0)
        detail = f"{content:,} bytes, larger than the {limit:,} bytes this server takes"
        if sent > content:
            # Line ends, quotes and backslashes are two bytes each in JSON, control characters six.
            detail = (
                f"{sent:,} bytes as sent ({content:,} in the file; quotes, backslashes and line ends count double), "
                f"larger than the {limit:,} bytes this server takes"
            )
        return Outcome(item.id, Result.TOO_LARGE, detail=detail, limit=limit)

    def _lister(self, source_id: str) -> Callable[[], Iterable[RemoteConflict]]:
        return lambda: self._conflicts(source_id)


class _RequestResult(Struct, frozen=True):
    """The result of one request: outcomes, smaller requests to send in its place, or a problem that ends the push.

    Attributes:
        effect: POSSIBLE if the request that ``smaller`` replaces can have applied some of its items.
    """

    outcomes: tuple[Outcome, ...] = ()
    smaller: tuple[Chunk, ...] = ()
    effect: SideEffect = SideEffect.NONE
    problem: Problem | None = None


def _may_fail_for_all(outcomes: Sequence[Outcome]) -> bool:
    """True if as many items failed in a row as it takes to suspect the server, and none was taken."""
    return len(outcomes) == _FAULTS_IN_A_ROW and all(outcome.server_fault for outcome in outcomes)


def _fails_for_all(outcomes: Sequence[Outcome]) -> bool:
    """True if a last item failed as well. Single requests for all the others would only burden a failing server."""
    return len(outcomes) > _FAULTS_IN_A_ROW and all(outcome.server_fault for outcome in outcomes)


def _last_first(waiting: deque[Chunk]) -> None:
    """Have the last item sent next: if the first ones are bad files, it passes beside them."""
    *others, last = waiting.pop()
    if others:
        waiting.append(others)
    waiting.appendleft([last])


_SUFFIX: Final = b"]}"


def _prefix(source_id: str, connector_id: str | None) -> bytes:
    head: dict[str, Any] = {"sourceId": source_id}
    if connector_id is not None:
        head["connectorId"] = connector_id
    return orjson.dumps(head)[:-1] + b',"items":['


def _body(prefix: bytes, chunk: Chunk) -> bytes:
    first, *others = chunk
    # Joined at once: a body is large, and each copy of it costs.
    return b"".join([prefix, first.encoded, *(part for item in others for part in (b",", item.encoded)), _SUFFIX])


def _halves(chunk: Chunk) -> tuple[Chunk, ...]:
    middle = len(chunk) // 2
    return chunk[:middle], chunk[middle:]


def _uncertain_if_touched(outcome: Outcome, touched: Set[str]) -> Outcome:
    """Turn NOT_SENT into UNCERTAIN for an operation of an earlier, failed request, which may have applied it."""
    if outcome.result is Result.NOT_SENT and outcome.operation_id in touched:
        return Outcome(outcome.operation_id, Result.UNCERTAIN)
    return outcome


def _stopped(chunk: Chunk, result: Result, failure: RemoteCallError) -> _RequestResult:
    return _RequestResult(tuple(Outcome(item.id, result) for item in chunk), problem=failure.problem)


def _encode(outgoing: Outgoing) -> EncodedOperation | Outcome:
    """Encode an operation as an item, or refuse one that no server could take."""
    operation = outgoing.operation
    if operation.verb is Verb.MOVE:
        return Outcome(operation.id, Result.REJECTED, detail="this server moves no files")
    body = outgoing.body if isinstance(outgoing.body, bytes) else _read_whole(operation, outgoing.body)
    if isinstance(body, Outcome):
        return body
    is_delete = operation.verb is Verb.DELETE
    if not is_delete and not outgoing.checked and sha256(body) != operation.hash:
        return Outcome(operation.id, Result.REJECTED, detail="the content does not match its hash")
    try:
        content = "" if is_delete else body.decode()
        fields = {
            "operationId": operation.id,
            "relativePath": operation.path,
            "content": content,
            "contentHash": EMPTY_HASH if is_delete else operation.hash,
            "contentType": content_type(operation.path),
            "baseHash": operation.base or SENTINEL_BASE,
            "isDelete": is_delete,
        }
        return EncodedOperation(operation, body, orjson.dumps(fields))
    except UnicodeDecodeError:
        return Outcome(operation.id, Result.REJECTED, detail="the content is not UTF-8 text")
    except TypeError:
        return Outcome(operation.id, Result.REJECTED, detail="the name is not valid Unicode")


def _read_whole(operation: Operation, pieces: Pieces) -> bytes | Outcome:
    """Read an opened file. One that no request could hold is refused before it is read."""
    if pieces.size > BODY_LIMIT:
        detail = f"{pieces.size:,} bytes, larger than the {BODY_LIMIT:,} bytes this server takes"
        return Outcome(operation.id, Result.TOO_LARGE, detail=detail, limit=BODY_LIMIT)
    try:
        return pieces.read(0, pieces.size)
    except DiskError:
        return Outcome(operation.id, Result.CHANGED)


_MARKDOWN: Final = frozenset({".md", ".markdown", ".mdown", ".mkd"})


def content_type(path: str) -> str:
    """Return the content type for a path: Markdown by its ending, else plain text."""
    return "text/markdown" if posixpath.splitext(path)[1].lower() in _MARKDOWN else "text/plain"
