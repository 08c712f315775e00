"""The map from httpx's exceptions and HTTP statuses to ``RemoteCallError``.

This is the only place that knows httpx's exceptions; no caller sees one. A message never quotes an exception, because
some of them quote headers, and one header is the token. The cause comes from the operating system's error instead.
"""

from __future__ import annotations

import enum
import errno
import socket
import ssl
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Final

import httpx
import orjson

from agent.core.errors import Problem, ProblemKind, RemoteError

UPSTREAM_SENTENCE: Final = "this Raven server's local sync is broken (known upstream fault)"
MAX_RETRY_AFTER: Final = 3600.0
"""Seconds; the longest wait that a server may ask for."""
_MAX_REASON: Final = 300
"""Characters of a server's reason that are kept."""


class SideEffect(enum.Enum):
    """States if a failed request can have changed something on the server."""

    NONE = "none"
    POSSIBLE = "possible"


class RemoteCallError(RemoteError):
    """A failed call.

    Attributes:
        effect: NONE only if the request was not sent, or was refused before anything was done.
        reason: the server's own words, where it sent any.
    """

    def __init__(self, problem: Problem, effect: SideEffect, reason: str | None = None) -> None:
        super().__init__(problem)
        self.effect = effect
        self.reason = reason


class AnswerTooLarge(RemoteCallError):
    """The answer is larger than the limit; a request for fewer rows may succeed."""

    def __init__(self, sentence: str) -> None:
        super().__init__(Problem(ProblemKind.GARBLED, sentence), SideEffect.POSSIBLE)


def malformed(sentence: str) -> RemoteCallError:
    """Return the failure of an answer that cannot be understood. The effect of the request is unknown."""
    return RemoteCallError(Problem(ProblemKind.GARBLED, sentence), SideEffect.POSSIBLE)


_OFFLINE: Final = ProblemKind.OFFLINE
_GARBLED: Final = ProblemKind.GARBLED
_NONE: Final = SideEffect.NONE
_POSSIBLE: Final = SideEffect.POSSIBLE

EXCEPTIONS: Final = MappingProxyType(
    {
        httpx.ConnectTimeout: (_OFFLINE, _NONE, "{server} cannot be reached: it did not accept a connection in time"),
        httpx.ReadTimeout: (_OFFLINE, _POSSIBLE, "{server} did not answer in time"),
        httpx.WriteTimeout: (_OFFLINE, _POSSIBLE, "{server} did not take the request in time"),
        httpx.PoolTimeout: (_OFFLINE, _NONE, "no connection to {server} became free in time"),
        httpx.TimeoutException: (_OFFLINE, _POSSIBLE, "{server} took too long"),
        httpx.ConnectError: (_OFFLINE, _NONE, "{server} cannot be reached"),
        httpx.ReadError: (_OFFLINE, _POSSIBLE, "the connection to {server} broke before the answer came"),
        httpx.WriteError: (_OFFLINE, _POSSIBLE, "the connection to {server} broke while the request was sent"),
        httpx.CloseError: (_OFFLINE, _POSSIBLE, "the connection to {server} broke while it was closed"),
        httpx.NetworkError: (_OFFLINE, _POSSIBLE, "the network to {server} failed"),
        httpx.ProxyError: (_OFFLINE, _NONE, "{server} cannot be reached: the proxy refused the connection"),
        httpx.UnsupportedProtocol: (ProblemKind.BAD_REQUEST, _NONE, "the address of {server} is not http or https"),
        httpx.LocalProtocolError: (ProblemKind.BAD_REQUEST, _NONE, "the request cannot be written as HTTP"),
        httpx.RemoteProtocolError: (_OFFLINE, _POSSIBLE, "{server} closed the connection without an answer"),
        httpx.ProtocolError: (_GARBLED, _POSSIBLE, "{server} does not speak HTTP"),
        httpx.DecodingError: (_GARBLED, _POSSIBLE, "the answer of {server} cannot be decompressed"),
        httpx.TooManyRedirects: (_GARBLED, _NONE, "{server} redirects without end"),
        httpx.HTTPStatusError: (_GARBLED, _POSSIBLE, "{server} answered with an unexpected status"),
        httpx.TransportError: (_OFFLINE, _POSSIBLE, "the connection to {server} failed"),
        httpx.RequestError: (_OFFLINE, _POSSIBLE, "the request to {server} failed"),
        httpx.HTTPError: (_OFFLINE, _POSSIBLE, "the request to {server} failed"),
        httpx.InvalidURL: (ProblemKind.BAD_REQUEST, _NONE, "the address of {server} is not a valid URL"),
        httpx.CookieConflict: (_GARBLED, _POSSIBLE, "{server} sent cookies that contradict each other"),
        httpx.StreamConsumed: (_GARBLED, _POSSIBLE, "the answer of {server} was read twice"),
        httpx.StreamClosed: (_GARBLED, _POSSIBLE, "the answer of {server} was closed before it was read"),
        httpx.ResponseNotRead: (_GARBLED, _POSSIBLE, "the answer of {server} was used before it was read"),
        httpx.RequestNotRead: (ProblemKind.BAD_REQUEST, _NONE, "the request was sent before it was written"),
        httpx.StreamError: (_GARBLED, _POSSIBLE, "the answer of {server} could not be read"),
    }
)
"""The meaning of each of httpx's exceptions: the kind, the possible side effect, and the sentence."""

HTTPX_ERRORS: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError)
"""The roots of httpx's exceptions; every existing one descends from these."""

_CAUSES: Final = MappingProxyType(
    {
        errno.ECONNREFUSED: "connection refused",
        errno.EHOSTUNREACH: "no route to the host",
        errno.ENETUNREACH: "no network",
        errno.ENETDOWN: "no network",
        errno.ECONNRESET: "the connection was reset",
        errno.ETIMEDOUT: "the connection timed out",
        errno.EPIPE: "the connection was closed",
    }
)


def of_exception(exc: Exception, body_size: int, large_body: int, server: str = "the server") -> RemoteCallError:
    """Return the failure that an httpx exception means.

    A connection that is reset under a body larger than ``large_body`` bytes means that the server refused the size. To
    retry the same body would fail every time, so this is not OFFLINE.

    Args:
        server: the server in words: its name and address.
    """
    known = next(EXCEPTIONS[cls] for cls in type(exc).__mro__ if cls in EXCEPTIONS)
    kind, effect, sentence = known
    broke = isinstance(exc, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError)
    if broke and body_size > large_body:
        refused = f"{server} closed the connection on a request this large"
        return RemoteCallError(Problem(ProblemKind.TOO_LARGE, refused), SideEffect.NONE)
    cause = _cause(exc)
    if isinstance(exc, httpx.ConnectError) and "CERTIFICATE" in str(exc).upper():
        sentence = "{server}: its certificate is not trusted"
    words = sentence.format(server=server)
    return RemoteCallError(Problem(kind, f"{words}: {cause}" if cause else words), effect)


def _cause(exc: BaseException) -> str | None:
    """Return the operating system's reason behind an exception, in words that cannot hold a header."""
    seen: BaseException | None = exc
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return str(getattr(seen, "verify_message", "certificate verify failed"))
        if isinstance(seen, ssl.SSLError):
            reason = getattr(seen, "reason", None)
            return str(reason).replace("_", " ").lower() if reason else "the encryption failed"
        if isinstance(seen, socket.gaierror):
            return f"its name cannot be looked up ({(seen.strerror or 'no such name').lower()})"
        if isinstance(seen, OSError) and seen.errno is not None:
            return _CAUSES.get(seen.errno) or (seen.strerror or f"error {seen.errno}").lower()
        seen = seen.__cause__ or seen.__context__
    return None


def of_status(
    status: int, headers: httpx.Headers, body: bytes, token: str, now: float, server: str = "the server"
) -> RemoteCallError:
    """Return the failure that a status outside 2xx means. A status below 500 was refused without an effect.

    Args:
        now: seconds since the epoch, for ``Retry-After`` dates.
        server: the server in words: its name and address.
    """
    reason = _reason(body, token)
    if 300 <= status < 400:
        text = f"{server} redirects elsewhere ({status}); redirects are not followed, so that the token stays here"
        return RemoteCallError(Problem(ProblemKind.GARBLED, text), SideEffect.NONE)
    kind, sentence = _meaning(status, reason, server)
    wait = _retry_after(headers, now) if kind in (ProblemKind.BUSY, ProblemKind.OFFLINE) else None
    effect = SideEffect.NONE if status < 500 else SideEffect.POSSIBLE
    return RemoteCallError(Problem(kind, sentence, wait), effect, reason)


_STATUSES: Final = MappingProxyType(
    {
        401: (ProblemKind.SIGNED_OUT, "{server} refused the token"),
        404: (ProblemKind.NOT_FOUND, "not found on {server}"),
        408: (ProblemKind.OFFLINE, "{server} did not receive the request in time"),
        409: (ProblemKind.STALE, "the state of {server} has moved on"),
        413: (ProblemKind.TOO_LARGE, "{server} does not take a request this large"),
        429: (ProblemKind.BUSY, "{server} asks to slow down"),
        502: (ProblemKind.OFFLINE, "{server} cannot be reached: its gateway answers, the server behind it is down"),
        503: (ProblemKind.BUSY, "{server} is busy"),
        504: (ProblemKind.OFFLINE, "{server} cannot be reached: its gateway answers, the server behind it does not"),
        # No fault of one file: to try the files of a batch one by one would only load a full server.
        507: (
            ProblemKind.BUSY,
            "the disk of {server} is full: what is to be sent stays queued and is tried again by itself",
        ),
    }
)

OTHER_USER: Final = "The connector belongs to another user"
"""The reason of a hub that refuses a connector registered by another user of the workspace."""
_CONNECTOR_TAKEN: Final = (
    "this connector belongs to another user of {server} than the token does: everything stays queued until you sign in "
    "again as the user who linked the folder: raven-agent login"
)

NO_SOURCE: Final = "Local sync source not found"
"""The reason of a Raven server for a source that was deleted, or belongs to another workspace."""
SOURCE_GONE: Final = (
    "the source was deleted on {server}, or the account cannot see it; to sync the folder to a new source: "
    "raven-agent unlink FOLDER, then raven-agent link FOLDER; to stop syncing it: raven-agent unlink FOLDER "
    "(no file is deleted)"
)


def _meaning(status: int, reason: str | None, server: str) -> tuple[ProblemKind, str]:
    if status >= 500 and reason is not None and "toISOString" in reason:
        return ProblemKind.UPSTREAM_FAULT, UPSTREAM_SENTENCE
    if status == 400 and reason == "Source is paused":
        return ProblemKind.PAUSED, "the source is paused on the server"
    if status == 404 and reason == NO_SOURCE:
        return ProblemKind.NOT_FOUND, SOURCE_GONE.format(server=server)
    if status == 403 and reason == OTHER_USER:
        # No fault of one file: the queue is kept until another token is there.
        return ProblemKind.SIGNED_OUT, _CONNECTOR_TAKEN.format(server=server)
    if status in _STATUSES:
        kind, sentence = _STATUSES[status]
    elif status >= 500:
        kind, sentence = ProblemKind.SERVER_FAULT, "{server} failed"
    elif status < 400:
        kind, sentence = ProblemKind.GARBLED, "{server} answered with an unexpected status"
    else:
        kind, sentence = ProblemKind.BAD_REQUEST, "{server} refused the request"
    words = sentence.format(server=server)
    return kind, f"{words} ({status})" if reason is None else f"{words} ({status}: {reason})"


def _reason(body: bytes, token: str) -> str | None:
    """Return the server's own words from an error body, on one line and without the token; None if there are none."""
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
    """Return the seconds to wait. A date is compared with the answer's own date, as our clock may be years off."""
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
