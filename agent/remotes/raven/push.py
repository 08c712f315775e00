"""Sending operations to a Raven server: what fits into one request, and what to do when one is refused.

Some servers answer a batch with two counts and nothing else, apply it item by item without a transaction, and stop at
the first item their database refuses. Requests are therefore cut in halves until what was refused stands alone, ids
are kept throughout, and whatever the answer does not prove is UNCERTAIN.
"""

from __future__ import annotations

import posixpath
import threading
from collections import deque
from collections.abc import Callable, Sequence, Set
from typing import Any, Final

import orjson
from msgspec import Struct

from agent.core.errors import Problem, ProblemKind
from agent.core.model import EMPTY_HASH, SENTINEL_BASE, Outcome, RemoteConflict, Result, Verb
from agent.remotes.http.client import HttpClient
from agent.remotes.http.decode import DecodeLimits
from agent.remotes.http.failures import RemoteCallError, SideEffect
from agent.remotes.protocol import Outgoing, PushAnswer
from agent.remotes.raven.responses import interpret_push_response
from agent.remotes.raven.wire import number, row, sha256

MAX_ITEMS: Final = 100
BODY_LIMIT: Final = 1_048_576
"""Bytes of JSON the real server takes in one request."""
MIN_GROUP: Final = 16_384
"""Bytes below which requests are not made smaller for the sake of a gateway's limit."""

_SUSPECT: Final = (ProblemKind.SERVER_FAULT, ProblemKind.BAD_REQUEST)
"""Failures one item can be the cause of."""


class EncodedOperation(Struct, frozen=True, gc=False):
    """One operation, encoded as its item."""

    outgoing: Outgoing
    encoded: bytes

    def __repr__(self) -> str:
        # A log is no place for a file's text.
        return f"Parcel({self.outgoing!r})"

    @property
    def id(self) -> str:
        """The operation's id."""
        return self.outgoing.operation.id

    def content_size(self) -> int:
        """Bytes of the content inside ``encoded``, escapes counted."""
        return len(orjson.dumps(self.outgoing.content.decode())) - 2


Chunk = list[EncodedOperation]


class Pusher:
    """Sends operations for every source of one account. Safe to use from several threads.

    Args:
        conflicts: lists the open conflicts of a source.
    """

    def __init__(self, http: HttpClient, conflicts: Callable[[str], list[RemoteConflict]]) -> None:
        self._http = http
        self._conflicts = conflicts
        self._lock = threading.Lock()
        self._group_limit = BODY_LIMIT
        self._single_limit = BODY_LIMIT

    def push(self, source_id: str, connector_id: str | None, batch: Sequence[Outgoing]) -> PushAnswer:
        """See ``Remote.push``. ``connector_id`` is sent as given; None leaves it out."""
        prefix = _prefix(source_id, connector_id)
        with self._lock:
            # The engine remembers how much a server takes; what it gives all the same is to be tried again in earnest.
            self._single_limit = BODY_LIMIT
        outcomes: list[Outcome] = []
        parcels: list[EncodedOperation] = []
        for outgoing in batch:
            parcel = _parcel(outgoing)
            if isinstance(parcel, Outcome):
                outcomes.append(parcel)
            elif len(prefix) + len(parcel.encoded) + len(_SUFFIX) > self._single_limit:
                outcomes.append(self._too_large(parcel, prefix))
            else:
                parcels.append(parcel)
        waiting = deque(self._chunks(parcels, prefix))
        touched: set[str] = set()
        problem: Problem | None = None
        while waiting and problem is None:
            step = self._step(source_id, prefix, waiting.popleft())
            outcomes.extend(step.outcomes)
            waiting.extendleft(reversed(step.smaller))
            touched.update(
                parcel.id for chunk in step.smaller for parcel in chunk if step.effect is SideEffect.POSSIBLE
            )
            problem = step.problem
        outcomes.extend(Outcome(parcel.id, Result.NOT_SENT) for chunk in waiting for parcel in chunk)
        return PushAnswer(tuple(_honest(outcome, touched) for outcome in outcomes), problem)

    def last_cursor(self, source_id: str) -> int:
        """The number of the source's last event. Below ours means that the server was restored from a copy.

        Raises:
            RemoteError: PAUSED while the source is paused, or whatever went wrong.
        """
        answer = self._http.call("sources/push-batch", {"sourceId": source_id, "items": []}, bounds=DecodeLimits.RECORD)
        return number(row(answer.data, "batch"), "eventCursor")

    def _chunks(self, parcels: Sequence[EncodedOperation], prefix: bytes) -> list[Chunk]:
        """Requests in order: within the limits, and never two operations on one path in one of them."""
        chunks: list[Chunk] = []
        paths: set[str] = set()
        size = 0
        for parcel in parcels:
            path = parcel.outgoing.operation.path
            size += len(parcel.encoded) + 1
            fits = chunks and len(chunks[-1]) < MAX_ITEMS and size + len(_SUFFIX) <= self._group_limit
            if not fits or path in paths:
                chunks.append([])
                paths.clear()
                size = len(prefix) + len(parcel.encoded) + 1
            chunks[-1].append(parcel)
            paths.add(path)
        return chunks

    def _step(self, source_id: str, prefix: bytes, chunk: Chunk) -> _Step:
        """Send one request and say what it came to."""
        body = _body(prefix, chunk)
        if len(chunk) > 1 and len(body) > self._group_limit:
            return _Step(smaller=_halves(chunk))
        if len(chunk) == 1 and len(body) > self._single_limit:
            return _Step((self._too_large(chunk[0], prefix),))
        try:
            answer = self._http.send("sources/push-batch", body, bounds=DecodeLimits.RECORD)
        except RemoteCallError as failure:
            return self._failed(source_id, prefix, chunk, failure)
        try:
            judged = interpret_push_response(
                [parcel.outgoing.operation for parcel in chunk], answer.data, self._lister(source_id)
            )
        except RemoteCallError as failure:
            return _stopped(chunk, Result.UNCERTAIN, failure)
        return _Step(judged.outcomes, problem=judged.problem)

    def _failed(self, source_id: str, prefix: bytes, chunk: Chunk, failure: RemoteCallError) -> _Step:
        if failure.problem.kind is ProblemKind.TOO_LARGE:
            return self._refused_size(prefix, chunk)
        if failure.problem.kind in _SUSPECT:
            if len(chunk) > 1:
                return _Step(smaller=_halves(chunk), effect=failure.effect)
            return self._suspect(source_id, prefix, chunk, failure)
        return _stopped(chunk, Result.NOT_SENT if failure.effect is SideEffect.NONE else Result.UNCERTAIN, failure)

    def _refused_size(self, prefix: bytes, chunk: Chunk) -> _Step:
        """A request was too large: the next ones are smaller, and an item that is too large alone is set aside."""
        size = len(_body(prefix, chunk))
        with self._lock:
            if len(chunk) > 1:
                self._group_limit = min(self._group_limit, max(size // 2, MIN_GROUP))
            else:
                self._single_limit = min(self._single_limit, size - 1)
        if len(chunk) > 1:
            return _Step(smaller=_halves(chunk))
        return _Step((self._too_large(chunk[0], prefix),))

    def _suspect(self, source_id: str, prefix: bytes, chunk: Chunk, failure: RemoteCallError) -> _Step:
        """One item alone was answered with a failure: its own fault only if the server is well without it.

        An empty batch shows whether the server is well. The item is then sent once more, because a real server also
        fails when two machines create one path at the same moment, and that passes.
        """
        try:
            self.last_cursor(source_id)
        except RemoteCallError as broken:
            return _stopped(chunk, Result.NOT_SENT if failure.effect is SideEffect.NONE else Result.UNCERTAIN, broken)
        try:
            answer = self._http.send("sources/push-batch", _body(prefix, chunk), bounds=DecodeLimits.RECORD)
            judged = interpret_push_response([chunk[0].outgoing.operation], answer.data, self._lister(source_id))
        except RemoteCallError as again:
            if again.problem.kind in _SUSPECT:
                reason = again.reason or again.problem.message
                return _Step((Outcome(chunk[0].id, Result.REJECTED, detail=reason),))
            both = (failure.effect, again.effect)
            return _stopped(chunk, Result.UNCERTAIN if SideEffect.POSSIBLE in both else Result.NOT_SENT, again)
        return _Step(judged.outcomes, problem=judged.problem)

    def _too_large(self, parcel: EncodedOperation, prefix: bytes) -> Outcome:
        around = len(prefix) + len(_SUFFIX) + len(parcel.encoded) - parcel.content_size()
        limit = max(self._single_limit - around, 0)
        detail = f"larger than the {limit} bytes this server takes"
        return Outcome(parcel.id, Result.TOO_LARGE, detail=detail, limit=limit)

    def _lister(self, source_id: str) -> Callable[[], list[RemoteConflict]]:
        return lambda: self._conflicts(source_id)


class _Step(Struct, frozen=True):
    """What one request came to: outcomes, smaller requests to send in its place, or a reason to stop.

    Attributes:
        effect: whether the request that ``smaller`` replaces can have applied some of it.
    """

    outcomes: tuple[Outcome, ...] = ()
    smaller: tuple[Chunk, ...] = ()
    effect: SideEffect = SideEffect.NONE
    problem: Problem | None = None


_SUFFIX: Final = b"]}"


def _prefix(source_id: str, connector_id: str | None) -> bytes:
    head: dict[str, Any] = {"sourceId": source_id}
    if connector_id is not None:
        head["connectorId"] = connector_id
    return orjson.dumps(head)[:-1] + b',"items":['


def _body(prefix: bytes, chunk: Chunk) -> bytes:
    first, *others = chunk
    # Joined in one go: a body is many times as large as what is cheap to copy.
    return b"".join([prefix, first.encoded, *(part for parcel in others for part in (b",", parcel.encoded)), _SUFFIX])


def _halves(chunk: Chunk) -> tuple[Chunk, ...]:
    middle = len(chunk) // 2
    return chunk[:middle], chunk[middle:]


def _honest(outcome: Outcome, touched: Set[str]) -> Outcome:
    """An operation that was in a failed request of many may have been applied there, also if it was not sent again."""
    if outcome.result is Result.NOT_SENT and outcome.operation_id in touched:
        return Outcome(outcome.operation_id, Result.UNCERTAIN)
    return outcome


def _stopped(chunk: Chunk, result: Result, failure: RemoteCallError) -> _Step:
    return _Step(tuple(Outcome(parcel.id, result) for parcel in chunk), problem=failure.problem)


def _parcel(outgoing: Outgoing) -> EncodedOperation | Outcome:
    """The encoded item, or the refusal of one that no server could take."""
    operation = outgoing.operation
    is_delete = operation.verb is Verb.DELETE
    if not is_delete and not outgoing.checked and sha256(outgoing.content) != operation.hash:
        return Outcome(operation.id, Result.REJECTED, detail="the content is not what its hash says")
    try:
        content = "" if is_delete else outgoing.content.decode()
        item = {
            "operationId": operation.id,
            "relativePath": operation.path,
            "content": content,
            "contentHash": EMPTY_HASH if is_delete else operation.hash,
            "contentType": content_type(operation.path),
            "baseHash": operation.base or SENTINEL_BASE,
            "isDelete": is_delete,
        }
        return EncodedOperation(outgoing, orjson.dumps(item))
    except UnicodeDecodeError:
        return Outcome(operation.id, Result.REJECTED, detail="the content is not UTF-8 text")
    except TypeError:
        return Outcome(operation.id, Result.REJECTED, detail="the name is not valid Unicode")


_MARKDOWN: Final = frozenset({".md", ".markdown", ".mdown", ".mkd"})


def content_type(path: str) -> str:
    """The content type a path's ending stands for: Markdown, or plain text."""
    return "text/markdown" if posixpath.splitext(path)[1].lower() in _MARKDOWN else "text/plain"
