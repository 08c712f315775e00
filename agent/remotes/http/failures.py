"""Every way a call can fail, told from outside: httpx's exceptions and HTTP statuses become one ``RemoteCallError``.

This is the only place that knows httpx's exceptions; nothing above it sees one. A message never quotes an exception,
because some of them quote headers, and one header is the token.
"""

from __future__ import annotations

import enum
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Final

import httpx
import orjson

from agent.core.errors import Problem, ProblemKind, RemoteError

UPSTREAM_SENTENCE: Final = "this Raven server's local sync is broken (known upstream fault)"
MAX_RETRY_AFTER: Final = 3600.0
"""Seconds; a server that asks for more is asked again after this."""
_MAX_REASON: Final = 300


class SideEffect(enum.Enum):
    """Whether a failed request can have changed something on the server."""

    NONE = "none"
    POSSIBLE = "possible"


class RemoteCallError(RemoteError):
    """A failed call.

    Attributes:
        effect: NONE only where the request never left or was refused before anything was done.
        reason: the server's own words, where it sent any.
    """

    def __init__(self, problem: Problem, effect: SideEffect, reason: str | None = None) -> None:
        super().__init__(problem)
        self.effect = effect
        self.reason = reason


class AnswerTooLarge(RemoteCallError):
    """The answer outgrew what is taken into memory; asking for less may help."""

    def __init__(self, sentence: str) -> None:
        super().__init__(Problem(ProblemKind.GARBLED, sentence), SideEffect.POSSIBLE)


def malformed(sentence: str) -> RemoteCallError:
    """The failure of an answer that cannot be understood; what the request did is unknown."""
    return RemoteCallError(Problem(ProblemKind.GARBLED, sentence), SideEffect.POSSIBLE)


_OFFLINE: Final = ProblemKind.OFFLINE
_GARBLED: Final = ProblemKind.GARBLED

EXCEPTIONS: Final = MappingProxyType(
    {
        httpx.ConnectTimeout: (_OFFLINE, SideEffect.NONE, "the server did not accept a connection in time"),
        httpx.ReadTimeout: (_OFFLINE, SideEffect.POSSIBLE, "the server did not answer in time"),
        httpx.WriteTimeout: (_OFFLINE, SideEffect.POSSIBLE, "the server did not take the request in time"),
        httpx.PoolTimeout: (_OFFLINE, SideEffect.NONE, "no connection to the server became free in time"),
        httpx.TimeoutException: (_OFFLINE, SideEffect.POSSIBLE, "the server took too long"),
        httpx.ConnectError: (_OFFLINE, SideEffect.NONE, "the server cannot be reached"),
        httpx.ReadError: (_OFFLINE, SideEffect.POSSIBLE, "the connection broke before the answer came"),
        httpx.WriteError: (_OFFLINE, SideEffect.POSSIBLE, "the connection broke while the request was sent"),
        httpx.CloseError: (_OFFLINE, SideEffect.POSSIBLE, "the connection broke while it was closed"),
        httpx.NetworkError: (_OFFLINE, SideEffect.POSSIBLE, "the network failed"),
        httpx.ProxyError: (_OFFLINE, SideEffect.NONE, "the proxy on the way to the server refused the connection"),
        httpx.UnsupportedProtocol: (
            ProblemKind.BAD_REQUEST,
            SideEffect.NONE,
            "the server's address is not http or https",
        ),
        httpx.LocalProtocolError: (ProblemKind.BAD_REQUEST, SideEffect.NONE, "the request cannot be put into HTTP"),
        httpx.RemoteProtocolError: (
            _OFFLINE,
            SideEffect.POSSIBLE,
            "the server closed the connection without an answer",
        ),
        httpx.ProtocolError: (_GARBLED, SideEffect.POSSIBLE, "the server does not speak HTTP"),
        httpx.DecodingError: (_GARBLED, SideEffect.POSSIBLE, "the server's answer cannot be unpacked"),
        httpx.TooManyRedirects: (_GARBLED, SideEffect.NONE, "the server redirects without end"),
        httpx.HTTPStatusError: (_GARBLED, SideEffect.POSSIBLE, "the server answered with an unexpected status"),
        httpx.TransportError: (_OFFLINE, SideEffect.POSSIBLE, "the connection failed"),
        httpx.RequestError: (_OFFLINE, SideEffect.POSSIBLE, "the request failed"),
        httpx.HTTPError: (_OFFLINE, SideEffect.POSSIBLE, "the request failed"),
        httpx.InvalidURL: (ProblemKind.BAD_REQUEST, SideEffect.NONE, "the server's address is not a valid URL"),
        httpx.CookieConflict: (_GARBLED, SideEffect.POSSIBLE, "the server sent cookies that contradict each other"),
        httpx.StreamConsumed: (_GARBLED, SideEffect.POSSIBLE, "the server's answer was read twice"),
        httpx.StreamClosed: (_GARBLED, SideEffect.POSSIBLE, "the server's answer was closed before it was read"),
        httpx.ResponseNotRead: (_GARBLED, SideEffect.POSSIBLE, "the server's answer was used before it was read"),
        httpx.RequestNotRead: (ProblemKind.BAD_REQUEST, SideEffect.NONE, "the request was sent before it was written"),
        httpx.StreamError: (_GARBLED, SideEffect.POSSIBLE, "the server's answer could not be read"),
    }
)
"""What each of httpx's exceptions means: the kind, whether the server may have acted, and the sentence."""

HTTPX_ERRORS: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError)
"""The roots of httpx's exceptions; every one that exists descends from these."""


def of_exception(exc: Exception, body_size: int, large_body: int) -> RemoteCallError:
    """The failure an httpx exception stands for.

    A connection that is reset under a body larger than ``large_body`` bytes is a server that hung up on the size, not
    one that is offline: retrying the same body would fail for ever.
    """
    known = next(EXCEPTIONS[cls] for cls in type(exc).__mro__ if cls in EXCEPTIONS)
    kind, effect, sentence = known
    broke = isinstance(exc, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError)
    if broke and body_size > large_body:
        hung_up = "the server hung up on a request this large"
        return RemoteCallError(Problem(ProblemKind.TOO_LARGE, hung_up), SideEffect.NONE)
    if isinstance(exc, httpx.ConnectError) and "CERTIFICATE" in str(exc).upper():
        sentence = "the server's certificate is not trusted"
    return RemoteCallError(Problem(kind, sentence), effect)


def of_status(status: int, headers: httpx.Headers, body: bytes, token: str, now: float) -> RemoteCallError:
    """The failure an answer outside 2xx stands for. Anything below 500 was refused before it had an effect."""
    reason = _reason(body, token)
    if 300 <= status < 400:
        text = f"the server redirects elsewhere ({status}); redirects are not followed, so that the token stays here"
        return RemoteCallError(Problem(ProblemKind.GARBLED, text), SideEffect.NONE)
    kind, sentence = _meaning(status, reason)
    wait = _retry_after(headers, now) if kind in (ProblemKind.BUSY, ProblemKind.OFFLINE) else None
    effect = SideEffect.NONE if status < 500 else SideEffect.POSSIBLE
    return RemoteCallError(Problem(kind, sentence, wait), effect, reason)


_PLAIN: Final = MappingProxyType(
    {
        401: (ProblemKind.SIGNED_OUT, "the server refused the token"),
        404: (ProblemKind.NOT_FOUND, "not found"),
        408: (ProblemKind.OFFLINE, "the server did not receive the request in time"),
        409: (ProblemKind.STALE, "the server's state has moved on"),
        413: (ProblemKind.TOO_LARGE, "the server does not take a request this large"),
        429: (ProblemKind.BUSY, "the server asks to slow down"),
        502: (ProblemKind.OFFLINE, "the server behind the gateway is down"),
        503: (ProblemKind.BUSY, "the server is busy"),
        504: (ProblemKind.OFFLINE, "the server behind the gateway did not answer"),
    }
)


def _meaning(status: int, reason: str | None) -> tuple[ProblemKind, str]:
    if status >= 500 and reason is not None and "toISOString" in reason:
        return ProblemKind.UPSTREAM_FAULT, UPSTREAM_SENTENCE
    if status == 400 and reason == "Source is paused":
        return ProblemKind.PAUSED, "the source is paused on the server"
    if status in _PLAIN:
        kind, sentence = _PLAIN[status]
    elif status >= 500:
        kind, sentence = ProblemKind.SERVER_FAULT, "the server failed"
    elif status < 400:
        kind, sentence = ProblemKind.GARBLED, "the server gave an answer that is none"
    else:
        kind, sentence = ProblemKind.BAD_REQUEST, "the server refused the request"
    return kind, f"{sentence} ({status})" if reason is None else f"{sentence} ({status}: {reason})"


def _reason(body: bytes, token: str) -> str | None:
    """The server's own words in an error body, on one line and without the token; None where there are none."""
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    message = decoded.get("message") if isinstance(decoded, dict) else None
    if isinstance(message, list):
        message = "; ".join(part for part in message if isinstance(part, str))
    if not isinstance(message, str) or not message:
        return None
    clean = "".join(char if char.isprintable() else " " for char in message)
    return (clean.replace(token, "[token]") if token else clean)[:_MAX_REASON]


def _retry_after(headers: httpx.Headers, now: float) -> float | None:
    """Seconds to wait. A date is measured against the answer's own where it has one: our clock may be years off."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), MAX_RETRY_AFTER)
    until = _http_date(value)
    if until is None:
        return None
    sent_at = _http_date(headers.get("date", ""))
    return min(max(until - (now if sent_at is None else sent_at), 0.0), MAX_RETRY_AFTER)


def _http_date(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
