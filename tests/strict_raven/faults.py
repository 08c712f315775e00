"""Faults of the network and of proxies in between, put around any handler for the next few requests.

A fault that strikes after the handler ran leaves its work done: the client cannot tell it from one that struck before.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from strict_raven.wire import Handler, Response


class ConnectionLost(Exception):
    """The connection ends without an answer; transports turn it into their own kind of that."""


class Strikes(Enum):
    """Choice whether the request still reaches the handler."""

    BEFORE = "before"
    AFTER = "after"


Change = Callable[[Response | None], Response]
"""The handler's answer, or None where it was not asked, to the answer the client gets."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault.

    Attributes:
        seconds: how long the answer is kept back.
    """

    name: str
    strikes: Strikes
    change: Change
    seconds: float = 0.0


def _lose(_: Response | None) -> Response:
    raise ConnectionLost


def _fixed(status: int, headers: Mapping[str, str], body: bytes) -> Change:
    return lambda _: Response(status, headers, body)


def _same(response: Response | None) -> Response:
    assert response is not None
    return response


def _error(status: int, message: str) -> Change:
    body = json.dumps({"statusCode": status, "message": message, "timestamp": "1970-01-01T00:00:00.000Z", "path": ""})
    return _fixed(status, {"content-type": "application/json; charset=utf-8"}, body.encode())


def drop_request() -> Fault:
    """The connection ends before the server has seen the request."""
    return Fault("drop request", Strikes.BEFORE, _lose)


def drop_answer() -> Fault:
    """The server does what was asked, and the answer is lost."""
    return Fault("drop answer", Strikes.AFTER, _lose)


def html() -> Fault:
    """A captive portal or a proxy answers 200 with a web page; the request never arrives."""
    page = b"<!DOCTYPE html><html><body>Please sign in to the network.</body></html>"
    return Fault("html", Strikes.BEFORE, _fixed(200, {"content-type": "text/html; charset=utf-8"}, page))


def cut_json() -> Fault:
    """The server does what was asked, and the answer ends in the middle, with a length that fits."""

    def cut(response: Response | None) -> Response:
        whole = _same(response)
        return Response(whole.status, whole.headers, whole.body[: len(whole.body) // 2])

    return Fault("cut json", Strikes.AFTER, cut)


def no_content() -> Fault:
    """204 without a body; the request never arrives."""
    return Fault("no content", Strikes.BEFORE, _fixed(204, {}, b""))


def too_many(retry_after: str) -> Fault:
    """429. `retry_after` is the header as sent: seconds, or an HTTP date."""
    refused = _error(429, "Too Many Requests")(None)
    headers = {**refused.headers, "retry-after": retry_after}
    return Fault("too many", Strikes.BEFORE, _fixed(429, headers, refused.body))


def unavailable() -> Fault:
    """503 from a gateway, as text."""
    return Fault("unavailable", Strikes.BEFORE, _fixed(503, {"content-type": "text/plain"}, b"Service Unavailable"))


def internal_error() -> Fault:
    """500 as the server words it when its database is in trouble; nothing of the request is carried out."""
    return Fault("internal error", Strikes.BEFORE, _error(500, "Internal server error"))


def empty_listing() -> Fault:
    """A list without its rows, once: a replica that lags behind, or a query that failed silently. The next is whole."""

    def emptied(response: Response | None) -> Response:
        whole = _same(response)
        body = json.loads(whole.body)
        return Response(whole.status, whole.headers, json.dumps({**body, "data": []}).encode())

    return Fault("empty listing", Strikes.AFTER, emptied)


def unauthorized() -> Fault:
    """401 as the server words it."""
    return Fault("unauthorized", Strikes.BEFORE, _error(401, "Unauthorized"))


def forbidden() -> Fault:
    """403 as the hub words it for a connector of another user."""
    return Fault("forbidden", Strikes.BEFORE, _error(403, "The connector belongs to another user"))


def full_disk(retry_after: str) -> Fault:
    """507 as the hub words it while its disk is full; nothing of the request is carried out."""
    body = b'{"statusCode":507,"message":"The hub\'s disk is full"}'
    headers = {"content-type": "application/json", "retry-after": retry_after}
    return Fault("full disk", Strikes.BEFORE, _fixed(507, headers, body))


def too_large() -> Fault:
    """413 as a gateway with a smaller limit than the server's answers it."""
    return Fault("too large", Strikes.BEFORE, _error(413, "Request body is too large"))


def delay(seconds: float) -> Fault:
    """The server does what was asked and its answer comes late."""
    return Fault("delay", Strikes.AFTER, _same, seconds)


@dataclass(slots=True)
class _Pending:
    fault: Fault
    left: int
    on: str


class Faulty:
    """A handler that fails as injected and otherwise calls another handler.

    Attributes:
        struck: name of the fault and path, for every request a fault struck.
    """

    def __init__(self, handler: Handler, *, wait: Callable[[float], None] = time.sleep) -> None:
        self._handler = handler
        self._wait = wait
        self._lock = threading.Lock()
        self._pending: list[_Pending] = []
        self.struck: list[tuple[str, str]] = []

    def inject(self, fault: Fault, *, requests: int = 1, on: str = "") -> None:
        """Let the fault strike the next requests whose path ends with `on`; faults injected first strike first."""
        with self._lock:
            self._pending.append(_Pending(fault, requests, on))

    def clear(self) -> None:
        """Forget the faults that have not struck yet."""
        with self._lock:
            self._pending.clear()

    def unharmed(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Answer one request past every fault."""
        return self._handler(method, path, headers, body)

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Answer one request.

        Raises:
            ConnectionLost: the fault is that there is no answer.
        """
        fault = self._next(path)
        if fault is None:
            return self._handler(method, path, headers, body)
        response = self._handler(method, path, headers, body) if fault.strikes is Strikes.AFTER else None
        if fault.seconds:
            self._wait(fault.seconds)
        return fault.change(response)

    def _next(self, path: str) -> Fault | None:
        with self._lock:
            for pending in self._pending:
                if path.endswith(pending.on):
                    pending.left -= 1
                    if pending.left == 0:
                        self._pending.remove(pending)
                    self.struck.append((pending.fault.name, path))
                    return pending.fault
        return None
