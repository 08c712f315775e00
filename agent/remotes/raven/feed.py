"""Read Raven's deltas as the normalised stream of events."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from agent.core.defaults import POLL_WAIT_SECONDS
from agent.core.events import (
    ConflictClosed,
    ConflictOpened,
    ControlEvent,
    ControlSignal,
    Delete,
    FeedEvent,
    Page,
    Span,
    Unreadable,
    Upsert,
)
from agent.core.remote_records import RemoteVersion
from agent.remotes.change_log import other_log
from agent.remotes.fields import maybe_text, number, row, rows, text
from agent.remotes.http.client import HttpClient
from agent.remotes.http.decode import DecodeLimits
from agent.remotes.http.failures import AnswerTooLarge, RemoteCallError
from agent.remotes.protocol import Capabilities
from agent.remotes.raven.position import FeedPosition
from agent.remotes.raven.wire import matching, newest_first

MAX_PAGE: Final = 500
MIN_PAGE: Final = 100
"""Events requested at once. Fewer only if the answer would be too large to read."""
LARGE_ANSWER: Final = 4 * 1024 * 1024
SMALL_ANSWER: Final = 512 * 1024
"""Bytes of an answer above which the page size halves, and below which a full page doubles it again."""
MAX_WAIT: Final = float(POLL_WAIT_SECONDS)
"""Longest wait of one poll, in seconds."""


class RawEvent(Struct, frozen=True, gc=False):
    """One event as the server sent it.

    Attributes:
        id: empty if it has none that can be read.
        reason: the reason why only its number, and perhaps its path, can be read; None for a readable event.
        latest: no later event exists for its path.
    """

    cursor: int
    id: str
    type: str
    path: str | None
    payload: Mapping[str, Any]
    created_at: str | None
    reason: str | None = None
    latest: bool = False

    @property
    def at(self) -> float | None:
        """Seconds since the epoch by the server's clock; None if it cannot be read."""
        try:
            return None if self.created_at is None else datetime.fromisoformat(self.created_at).timestamp()
        except (ValueError, OverflowError):
            return None


class Feed:
    """Reader of the deltas of all sources of one account. Safe to use from several threads."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self._sizes: dict[str, int] = {}
        self._lock = threading.Lock()

    def pull(
        self,
        source_id: str,
        state: str | None,
        wait_seconds: float,
        now: float,
        can: Capabilities,
        known: Sequence[Span] = (),
        alive: str | None = None,
    ) -> Page:
        """Read one page; ``more`` is True while the next page is there without waiting. See ``Remote.pull``.

        Args:
            alive: the connector whose heartbeat the poll is, and whose position it reports; None for none.
        """
        position = FeedPosition.from_json(state)
        # Only a feed that was quiet is checked: while events are reread, a check of each page would double the calls.
        unchecked = None if can.long_poll or position.quiet_since is not None else position.place()
        past = 0
        if can.ordered_feed:
            # An ordered feed numbers its events without gaps, so no event lies between two adjacent numbers.
            past = position.skip_acknowledged(known)
            position.forget()
        if position.reread_due(now):
            # Read again before reading on: newer events would push a skipped event out of the remembered minute.
            position.begin_reread(now)
        if position.reread_at is not None:
            events, _ = self._read(source_id, position, now, can)
            return _page(events, position, 0, more=True)
        wait = min(wait_seconds, MAX_WAIT, position.idle_for(now)) if can.long_poll else 0.0
        events, progressed = self._read(source_id, position, now, can, wait, alive)
        if progressed and unchecked is not None and not self.still_has(source_id, unchecked):
            # It was restored since the last read, and went on. From here on nothing else would show it. A request that
            # is held open ends with its server.
            raise other_log()
        return _page(events, position, past, more=progressed)

    def versions(self, source_id: str, path: str) -> list[RemoteVersion]:
        """List every text that the feed still holds for a path, newest first. Reads the whole feed."""
        found = [
            RemoteVersion(event.hash, raw.created_at, _origin(raw), len(event.content), event.content, event.hash)
            for raw in self._walk(source_id)
            if isinstance(event := _event(raw), Upsert) and event.path == path and event.content is not None
        ]
        return newest_first(found)

    def still_has(self, source_id: str, position: FeedPosition) -> bool:
        """Return True if the event at the position still has the number and the id that the position knows."""
        body = {"sourceId": source_id, "cursor": position.cursor - 1, "limit": 1}
        answer = self._http.call("sources/deltas", body, limits=DecodeLimits.PAGE)
        page = [_raw(event) for event in rows(row(answer.data, "page").get("events"), "event")]
        return any(position.is_at(raw.cursor, raw.id) for raw in page)

    def _walk(self, source_id: str) -> Iterator[RawEvent]:
        cursor = 0
        while True:
            page = self._fetch(source_id, cursor, {}, 0.0)
            yield from page
            reached = max((raw.cursor for raw in page), default=cursor)
            if reached <= cursor:
                return
            cursor = reached

    def _read(
        self,
        source_id: str,
        position: FeedPosition,
        now: float,
        can: Capabilities,
        wait: float = 0.0,
        alive: str | None = None,
    ) -> tuple[list[FeedEvent], bool]:
        """Read the next events and move ``position``. Returns the unread events, and True if the server sent any.

        The cursor moves to the last event that arrived, never to a number that the server merely names. Otherwise an
        event that the server left out would never be read.
        """
        start = position.cursor if position.reread_at is None else position.reread_at
        extra: dict[str, Any] = {}
        if can.latest_only:
            extra["latestOnly"] = True
        if wait > 0:
            extra["waitMs"] = int(wait * 1000)
        if alive is not None:
            extra["connectorId"] = alive
        page = self._fetch(source_id, start, extra, wait)
        reached = max((raw.cursor for raw in page), default=start)
        if page:
            position.reach(page[-1].cursor, page[-1].id)
        fresh = page
        if not can.ordered_feed:
            fresh = [raw for raw in page if position.unseen(raw.cursor, raw.id)]
            position.remember([(raw.cursor, raw.id, now if raw.at is None else raw.at) for raw in fresh], now)
        if position.reread_at is not None:
            position.reread_at = max(position.reread_at, reached)
            if reached <= start or reached >= position.cursor:
                position.end_reread()
        return [event for raw in fresh if (event := _event(raw)) is not None], reached > start

    def _fetch(self, source_id: str, cursor: int, extra: Mapping[str, Any], wait: float) -> list[RawEvent]:
        """Fetch one answer, sorted by number. The page size shrinks until the answer can be read."""
        size = self._sizes.get(source_id, MAX_PAGE)
        while True:
            body = {"sourceId": source_id, "cursor": cursor, "limit": size, **extra}
            try:
                answer = self._http.call("sources/deltas", body, wait, DecodeLimits.PAGE)
                break
            except AnswerTooLarge:
                if size == 1:
                    raise
                size = max(size // 4, 1)
        page = sorted(
            (_raw(event) for event in rows(row(answer.data, "page").get("events"), "event")), key=lambda r: r.cursor
        )
        with self._lock:
            self._sizes[source_id] = _next_size(size, answer.size, len(page))
        return page


def _next_size(size: int, answered: int, events: int) -> int:
    if answered > LARGE_ANSWER and size > MIN_PAGE:
        return max(size // 2, MIN_PAGE)
    if answered < SMALL_ANSWER and events >= size:
        return min(size * 2, MAX_PAGE)
    return size


def _page(events: list[FeedEvent], position: FeedPosition, past: int, *, more: bool) -> Page:
    return Page(tuple(events), position.to_json(), more, str(position.cursor), past)


def _raw(event: Mapping[str, Any]) -> RawEvent:
    """Read the fields of an event. A bad event with a number harms no other event.

    Without a number the next position is unknown, so the whole page is GARBLED.
    """
    cursor = number(event, "cursor")
    try:
        payload = event.get("payload")
        return RawEvent(
            cursor=cursor,
            id=text(event, "id"),
            type=text(event, "type"),
            path=maybe_text(event, "relativePath"),
            payload={} if payload is None else row(payload, "payload"),
            created_at=maybe_text(event, "createdAt"),
            latest=event.get("latest") is True,
        )
    except RemoteCallError as failure:
        identifier, path = (value if isinstance(value, str) else None for value in map(event.get, _NAMING))
        return RawEvent(cursor, identifier or "", "", path, {}, None, failure.problem.message)


_NAMING: Final = ("id", "relativePath")


def _event(raw: RawEvent) -> FeedEvent | None:
    """Translate an event; None for a type that this release does not know."""
    if raw.reason is not None:
        return Unreadable(raw.path, raw.cursor, raw.reason)
    try:
        return _translated(raw)
    except RemoteCallError as failure:
        return Unreadable(raw.path, raw.cursor, failure.problem.message)


def _translated(raw: RawEvent) -> FeedEvent | None:
    if raw.type == "source.paused":
        return ControlEvent(ControlSignal.PAUSED, raw.cursor)
    if raw.type == "source.resumed":
        return ControlEvent(ControlSignal.RESUMED, raw.cursor)
    if raw.path is None:
        return None
    match raw.type:
        case "file.upsert":
            digest = text(raw.payload, "hash")
            content = matching(maybe_text(raw.payload, "content"), digest)
            operation = maybe_text(raw.payload, "operationId")
            size = None if content is None else len(content)
            return Upsert(raw.path, digest, raw.cursor, content, operation, digest, None, raw.latest, size)
        case "file.delete":
            return Delete(raw.path, raw.cursor, maybe_text(raw.payload, "operationId"))
        case "conflict.opened":
            return _opened(raw, raw.path)
        case "conflict.resolved":
            closed = maybe_text(raw.payload, "hash") or None
            return ConflictClosed(raw.path, text(raw.payload, "conflictId"), raw.cursor, closed, closed)
    return None


def _opened(raw: RawEvent, path: str) -> ConflictOpened:
    reason = maybe_text(raw.payload, "reason")
    refused = None if reason == "delete_mismatch" else maybe_text(raw.payload, "localHash") or None
    head = maybe_text(raw.payload, "remoteHash") or None
    return ConflictOpened(
        path=path,
        conflict_id=text(raw.payload, "conflictId"),
        position=raw.cursor,
        local_hash=refused,
        remote_hash=head,
        by_server_edit=reason == "raven_edit_stale_base",
        local_rev=refused,
        remote_rev=head,
    )


def _origin(raw: RawEvent) -> str:
    operation = maybe_text(raw.payload, "operationId") or ""
    if maybe_text(raw.payload, "actor") == "raven":
        return "raven"
    return "merge" if operation.startswith("resolve-") else "connector"
