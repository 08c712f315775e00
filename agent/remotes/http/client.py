"""One JSON call to one server: the token goes to this origin only, answers and waits are bounded, failures are
``RemoteCallError``.
"""

from __future__ import annotations

import contextlib
import enum
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
from msgspec import Struct

from agent import __version__
from agent.core.errors import Problem, ProblemKind, UsageError
from agent.core.net import is_loopback
from agent.remotes.http.connections import Connections
from agent.remotes.http.decode import MAX_ANSWER, DecodeLimits, decoded
from agent.remotes.http.failures import (
    HTTPX_ERRORS,
    AnswerTooLarge,
    RemoteCallError,
    SideEffect,
    malformed,
    of_exception,
    of_status,
)
from agent.remotes.http.transport import HEAD_SECONDS, DeadlineTransport

LEAST_RATE: Final = 4096
"""Bytes a second a request must go and an answer come with on average, beyond the time one write or read may take: a
server that takes or sends a byte now and then would otherwise hold a call for ever."""
LARGE_BODY: Final = 1024 * 1024
"""Bytes; a reset under a larger body means that the server hung up on its size."""
LATE_SECONDS: Final = 10.0
"""How much later than it was asked to wait a server may answer before the connection counts as dead."""
_MAX_ERROR: Final = 64 * 1024
_KEEP_ALIVE: Final = 60.0
"""Seconds; below the 72 s after which the real server closes an idle connection."""


class PlainHttp(enum.Enum):
    """Whether a token may travel unencrypted to another machine."""

    REFUSE = "refuse"
    ALLOW = "allow"


class Timeouts(Struct, frozen=True):
    """Seconds for each part of a call; a wait on the server is added to ``read``."""

    connect: float = 10.0
    read: float = 30.0
    write: float = 30.0


_TIMEOUTS: Final = Timeouts()


class HttpResponse(Struct, frozen=True):
    """A decoded 2xx answer without its envelope, and its size in bytes."""

    data: Any
    size: int


class HttpClient:
    """Calls to one server on behalf of one account. Safe to use from several threads.

    Args:
        base_url: the server's address, with or without the closing ``/api``.
        token_provider: asked before every call, so that a renewed token is used at once; "" means none.
        workspace: sent as ``x-workspace-id``.
        transport: replaces the network (tests, simulation).
        ca_file: certificates to trust beside the system's.
        clock: seconds since the epoch, for ``Retry-After`` dates.
        ticks: seconds that only ever go forward, for how long an answer takes.

    Raises:
        UsageError: the address cannot be used, or is plain http to another machine and that is not allowed.
    """

    def __init__(
        self,
        base_url: str,
        token_provider: Callable[[], str],
        workspace: str,
        *,
        transport: httpx.BaseTransport | None = None,
        ca_file: Path | None = None,
        timeouts: Timeouts = _TIMEOUTS,
        plain_http: PlainHttp = PlainHttp.REFUSE,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        url = _checked(base_url, plain_http)
        self._root = str(url).rstrip("/").removesuffix("/api") + "/api/local-sync/"
        self._token_provider = token_provider
        self._workspace = workspace
        self._timeouts = timeouts
        self._clock = clock
        self._ticks = ticks
        self._connections = Connections()
        if transport is None:
            trust = _trust(ca_file) if url.scheme == "https" else None
            # A proxy from the environment has no business between the agent and its own machine.
            transport = DeadlineTransport(url, trust, _KEEP_ALIVE, trust_env=not is_loopback(url.host))
        self._client = httpx.Client(
            transport=transport,
            follow_redirects=False,
            trust_env=False,
            # The real server prefers a cookie over the token, so none is ever kept.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            headers={
                "accept": "application/json",
                "accept-encoding": "identity",
                "content-type": "application/json",
                "user-agent": f"raven-agent/{__version__}",
            },
            event_hooks={"request": [self._watch]},
        )

    def call(
        self,
        endpoint: str,
        body: Mapping[str, Any],
        wait_seconds: float = 0.0,
        bounds: DecodeLimits = DecodeLimits.WHOLE,
    ) -> HttpResponse:
        """POST ``body`` to ``endpoint`` (below ``/api/local-sync/``).

        Args:
            wait_seconds: how much longer than usual the server may take to begin its answer.
            bounds: how large the answer may be.

        Raises:
            CallFailed: whatever went wrong; no other exception passes.
        """
        try:
            encoded = orjson.dumps(body)
        except TypeError as exc:
            problem = Problem(ProblemKind.BAD_REQUEST, "the request holds text that is not valid Unicode")
            raise RemoteCallError(problem, SideEffect.NONE) from exc
        return self.send(endpoint, encoded, wait_seconds, bounds)

    def send(
        self, endpoint: str, encoded: bytes, wait_seconds: float = 0.0, bounds: DecodeLimits = DecodeLimits.WHOLE
    ) -> HttpResponse:
        """``call`` with a body that is encoded already, so that its size could be looked at first."""
        token = self._token()
        times = self._timeouts
        read = wait_seconds + LATE_SECONDS if wait_seconds else times.read
        timeout = httpx.Timeout(times.connect, read=read, write=times.write)
        headers = {"authorization": f"Bearer {token}", "x-workspace-id": self._workspace}
        head = times.connect + times.write + read + len(encoded) / LEAST_RATE
        request = self._client.build_request(
            "POST",
            self._root + endpoint,
            content=encoded,
            headers=headers,
            timeout=timeout,
            extensions={HEAD_SECONDS: head},
        )
        started, cuts = False, self._connections.cuts
        try:
            with contextlib.closing(self._client.send(request, stream=True)) as response:
                started = True
                if not response.is_success:
                    body = self._read_error(response)
                    raise of_status(response.status_code, response.headers, body, token, self._clock())
                raw = self._read(response, bounds)
                data = decoded(raw, response.headers.get("content-type", ""), bounds, token)
                return HttpResponse(data, len(raw))
        except HTTPX_ERRORS as exc:
            if self._connections.cuts != cuts:
                # Whatever it looks like, a large body refused for one: it was cut off here.
                raise RemoteCallError(
                    Problem(ProblemKind.OFFLINE, "the connection was given up"), SideEffect.POSSIBLE
                ) from exc
            if started and isinstance(exc, httpx.RemoteProtocolError):
                raise malformed("the server's answer was cut short") from exc
            raise of_exception(exc, len(encoded), LARGE_BODY) from exc

    def abort_connections(self) -> None:
        """End every connection: calls under way fail as OFFLINE at once, the next ones connect anew."""
        self._connections.abort_connections()

    def _watch(self, request: httpx.Request) -> None:
        request.extensions = {**request.extensions, "trace": self._connections.trace}

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _read(self, response: httpx.Response, bounds: DecodeLimits) -> bytearray:
        if _is_packed(response):
            raise malformed("the server's answer is compressed, which was not asked for")
        most = min(bounds.size, MAX_ANSWER)
        parts = bytearray()
        for chunk in self._chunks(response):
            parts += chunk
            if len(parts) > most:
                raise AnswerTooLarge(f"the server's answer is larger than {most} bytes")
        return parts

    def _read_error(self, response: httpx.Response) -> bytes:
        """The beginning of an error body. One that breaks off takes nothing from what the status already says."""
        if _is_packed(response):
            return b""
        parts = bytearray()
        try:
            for chunk in self._chunks(response):
                parts += chunk
                if len(parts) > _MAX_ERROR:
                    break
        except HTTPX_ERRORS:
            return b""
        return bytes(parts)

    def _chunks(self, response: httpx.Response) -> Iterator[bytes]:
        """A body as it comes, for as long as it comes fast enough."""
        began, size = self._ticks(), 0
        for chunk in response.iter_bytes():
            size += len(chunk)
            if self._ticks() - began > self._timeouts.read + size / LEAST_RATE:
                raise httpx.ReadTimeout("the answer only trickles", request=response.request)
            yield chunk

    def _token(self) -> str:
        token = self._token_provider()
        # A token outside visible ASCII would end in an exception that quotes it.
        if token.isascii() and token.isprintable() and token and " " not in token:
            return token
        sentence = "the token holds characters no token has" if token else "there is no token for this server"
        raise RemoteCallError(Problem(ProblemKind.SIGNED_OUT, sentence), SideEffect.NONE)


def _is_packed(response: httpx.Response) -> bool:
    """Whether the body is compressed. It was not asked for, and a few bytes could be unpacked into any number."""
    return response.headers.get("content-encoding", "").strip().lower() not in ("", "identity")


def _checked(base_url: str, plain_http: PlainHttp) -> httpx.URL:
    try:
        url = httpx.URL(base_url.strip())
    except httpx.InvalidURL as exc:
        raise UsageError(f"not a server address: {base_url}") from exc
    if url.userinfo:
        raise UsageError("a server address must not hold a user name or password")
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        raise UsageError(f"not a server address: {base_url}", "it looks like https://raven.example.org")
    if url.scheme == "http" and plain_http is PlainHttp.REFUSE and not is_loopback(url.host):
        raise UsageError(
            f"{base_url} is not encrypted: the token could be read on the way",
            "use https, or pass --insecure-http if the network is trusted",
        )
    return url


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as exc:
            raise UsageError(f"cannot read certificates from {ca_file}") from exc
    return context
