"""The map from httpx's exceptions and HTTP statuses to ``RemoteCallError``.

This is the only place that knows httpx's exceptions; no caller sees one. A message never quotes an exception, because
some of them quote headers, and one header is the token. The cause comes from the operating system's error instead.
"""

from __future__ import annotations

import enum
import errno
import socket
import ssl
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any, Final

import httpx
import orjson

from agent.core.errors import Problem, ProblemKind, RemoteError
from agent.remotes.http.address import WRONG_CERTIFICATE
from agent.remotes.http.profile import PLAIN, ApiProfile, Refusal

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
        status: the HTTP status of the answer; None if there was no answer, or it was a success.
    """

    def __init__(
        self,
        problem: Problem,
        effect: SideEffect,
        reason: str | None = None,
        status: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(problem, hint)
        self.effect = effect
        self.reason = reason
        self.status = status


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


def of_exception(
    exc: Exception, body_size: int, hangs_up_above: int | None, server: str = "the server"
) -> RemoteCallError:
    """Return the failure that an httpx exception means.

    Some servers reset the connection under a body that is too large. To retry the same body would fail every time, so
    this is not OFFLINE.

    Args:
        hangs_up_above: see ``ApiProfile``.
        server: the server in words: its name and address.
    """
    known = next(EXCEPTIONS[cls] for cls in type(exc).__mro__ if cls in EXCEPTIONS)
    kind, effect, sentence = known
    broke = isinstance(exc, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError)
    if broke and hangs_up_above is not None and body_size > hangs_up_above:
        refused = f"{server} closed the connection on a request this large"
        return RemoteCallError(Problem(ProblemKind.TOO_LARGE, refused), SideEffect.NONE)
    cause = _cause(exc)
    if isinstance(exc, httpx.ConnectError) and str(exc) == WRONG_CERTIFICATE:
        sentence = "{server}: its certificate is not the one of the hub joined or declared, so nothing was sent to it"
    elif isinstance(exc, httpx.ConnectError) and "CERTIFICATE" in str(exc).upper():
        sentence = "{server}: its certificate is not trusted"
    words = sentence.format(server=server)
    return RemoteCallError(Problem(kind, f"{words}: {cause}" if cause else words), effect, hint=_certificate_hint(exc))


_JOIN: Final = (
    "if it is a hub with a certificate of its own: raven-agent hub invite there, raven-agent join INVITE here"
)
_WRONG_NAMES: Final = (62, 64)
"""OpenSSL's codes for a certificate of another host name, and of another IP address."""
_NO_AUTHORITY: Final = (18, 19, 20, 21)
"""OpenSSL's codes for a self-signed certificate, alone or in a chain, and for an authority that is not known here."""


def _certificate_hint(exc: BaseException) -> str | None:
    """Return the next step for a certificate that is not trusted; None for any other failure."""
    code = next((e.verify_code for e in _chain(exc) if isinstance(e, ssl.SSLCertVerificationError)), None)
    if code in _WRONG_NAMES:
        return f"{_JOIN}; else give that server a certificate with the name or address that you use for it"
    if code in _NO_AUTHORITY:
        return f"{_JOIN}; if you know its authority: raven-agent config set ca_file FILE"
    return None


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """Yield the exception and those that led to it."""
    seen: BaseException | None = exc
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _cause(exc: BaseException) -> str | None:
    """Return the operating system's reason behind an exception, in words that cannot hold a header."""
    for seen in _chain(exc):
        if isinstance(seen, ssl.SSLCertVerificationError):
            return str(getattr(seen, "verify_message", "certificate verify failed"))
        if isinstance(seen, ssl.SSLError):
            reason = getattr(seen, "reason", None)
            return str(reason).replace("_", " ").lower() if reason else "the encryption failed"
        if isinstance(seen, socket.gaierror):
            return f"its name cannot be looked up ({(seen.strerror or 'no such name').lower()})"
        if isinstance(seen, OSError) and seen.errno is not None:
            return _CAUSES.get(seen.errno) or (seen.strerror or f"error {seen.errno}").lower()
    return None


def of_status(
    status: int,
    headers: httpx.Headers,
    body: bytes,
    token: str,
    now: float,
    server: str = "the server",
    endpoint: str = "",
    profile: ApiProfile = PLAIN,
) -> RemoteCallError:
    """Return the failure that a status outside 2xx means. A status below 500 was refused without an effect.

    Args:
        now: seconds since the epoch, for ``Retry-After`` dates.
        server: the server in words: its name and address.
        endpoint: the endpoint that was called, without ids.
    """
    if 300 <= status < 400:
        text = f"{server} redirects elsewhere ({status}); redirects are not followed, so that the token stays here"
        return RemoteCallError(Problem(ProblemKind.GARBLED, text), SideEffect.NONE, status=status)
    decoded = _decoded(body)
    words = profile.words(decoded)
    reason = _clean(words, token) if words else None
    refusal = _of_the_hub(status, words) or profile.meaning(status, endpoint, decoded) or _general_meaning(status)
    sentence = refusal.sentence.format(server=server)
    if not refusal.complete:
        sentence += f" ({status})" if reason is None else f" ({status}: {reason})"
    wait = retry_after(headers, now) if refusal.kind in _WAITING else None
    effect = SideEffect.NONE if status < 500 else SideEffect.POSSIBLE
    return RemoteCallError(Problem(refusal.kind, sentence, wait), effect, reason, status)


_WAITING: Final = (ProblemKind.BUSY, ProblemKind.OFFLINE, ProblemKind.NO_SPACE)
"""Kinds for which a server may say how long to wait."""

_STATUSES: Final = MappingProxyType(
    {
        401: Refusal(ProblemKind.SIGNED_OUT, "{server} refused the token"),
        403: Refusal(ProblemKind.FORBIDDEN, "{server} does not allow this for the account"),
        404: Refusal(ProblemKind.NOT_FOUND, "not found on {server}"),
        408: Refusal(ProblemKind.OFFLINE, "{server} did not receive the request in time"),
        409: Refusal(ProblemKind.STALE, "the state of {server} has moved on"),
        410: Refusal(ProblemKind.GONE, "{server} no longer has this"),
        413: Refusal(ProblemKind.TOO_LARGE, "{server} does not take a request this large"),
        429: Refusal(ProblemKind.BUSY, "{server} asks to slow down"),
        502: Refusal(
            ProblemKind.OFFLINE, "{server} cannot be reached: its gateway answers, the server behind it is down"
        ),
        503: Refusal(ProblemKind.BUSY, "{server} is busy"),
        504: Refusal(
            ProblemKind.OFFLINE, "{server} cannot be reached: its gateway answers, the server behind it does not"
        ),
        507: Refusal(ProblemKind.NO_SPACE, "the account's space on {server} is used up"),
    }
)
"""The general meaning of a status, where the dialect has no other."""


HUB_QUOTA: Final = "The workspace's quota is used up"
"""The reason of a hub whose administrator limited the workspace, in each of its APIs."""
_QUOTA: Final = Refusal(
    ProblemKind.NO_SPACE,
    "the workspace's quota on {server} is used up, and changes to send stay queued: an administrator of the hub can "
    "raise it: raven-agent hub limit WORKSPACE --quota SIZE",
    complete=True,
)


def _of_the_hub(status: int, reason: str | None) -> Refusal | None:
    """Return the meaning of a refusal that the hub words alike in each of its APIs."""
    return _QUOTA if status == 507 and reason == HUB_QUOTA else None


def _general_meaning(status: int) -> Refusal:
    if status in _STATUSES:
        return _STATUSES[status]
    if status >= 500:
        return Refusal(ProblemKind.SERVER_FAULT, "{server} failed")
    if status < 400:
        return Refusal(ProblemKind.GARBLED, "{server} answered with an unexpected status")
    return Refusal(ProblemKind.BAD_REQUEST, "{server} refused the request")


def _decoded(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _clean(words: str, token: str) -> str:
    """Return a server's words on one line and without the token."""
    clean = "".join(char if char.isprintable() else " " for char in words)
    return (clean.replace(token, "[token]") if token else clean)[:_MAX_REASON]


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds of ``Retry-After``, at most an hour; None if it is missing or cannot be understood.

    A date is compared with the answer's own date, as our clock may be years off.
    """
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), MAX_RETRY_AFTER)
    until = http_date(value)
    if until is None:
        return None
    sent_at = http_date(headers.get("date", ""))
    return min(max(until - (now if sent_at is None else sent_at), 0.0), MAX_RETRY_AFTER)


def http_date(value: str) -> float | None:
    """Return a date of a header as seconds since the epoch; None if it cannot be understood."""
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
