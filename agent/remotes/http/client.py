"""JSON calls to one server.

The token is sent to this origin only. Answers and waits are bounded. Every failure is a ``RemoteCallError``.
"""

from __future__ import annotations

import contextlib
import enum
import ssl
import time
from collections.abc import Callable, Generator, Iterator, Mapping
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
from agent.remotes.http.decode import MAX_ANSWER, DecodeLimits, RowReader, decode_answer
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
"""Bytes a second: the least average rate of a request and of an answer, beyond the time one write or read may take.
Without it, a server that sends a byte now and then could hold a call for ever."""
LARGE_BODY: Final = 1024 * 1024
"""Bytes; a reset under a larger body means that the server refused its size."""
LATE_SECONDS: Final = 10.0
"""Seconds after the end of a long poll at which a connection without an answer counts as dead."""
MAX_STREAM: Final = 4 * 1024 * 1024 * 1024
"""Bytes of a streamed list. Only one row of it is in memory, so this only ends an answer that never ends."""
_MAX_ERROR: Final = 64 * 1024
"""Bytes of an error body that are read."""
_KEEP_ALIVE: Final = 60.0
"""Seconds an idle connection is kept. The real server closes one after 72 s."""


class PlainHttp(enum.Enum):
    """Permission to send a token unencrypted to another machine."""

    REFUSE = "refuse"
    ALLOW = "allow"


class Timeouts(Struct, frozen=True):
    """Seconds for each part of a call. The wait of a long poll is added to ``read``."""

    connect: float = 10.0
    read: float = 30.0
    write: float = 30.0


_TIMEOUTS: Final = Timeouts()


class HttpResponse(Struct, frozen=True):
    """The data of a 2xx answer, without its envelope, and the answer's size in bytes."""

    data: Any
    size: int


class HttpClient:
    """Calls to one server for one account. Safe to use from several threads.

    Args:
        base_url: the server's address, with or without the closing ``/api``.
        token_provider: called before every request, so that a renewed token is used at once; "" means none.
        workspace: sent as ``x-workspace-id``.
        name: the account's name, for messages.
        transport: replaces the network (tests, simulation).
        ca_file: certificates to trust beside the system's.
        clock: seconds since the epoch, for ``Retry-After`` dates.
        ticks: monotonic seconds, for the rate of an answer.

    Raises:
        UsageError: the address cannot be used, or is plain http to another machine without permission.
    """

    def __init__(
        self,
        base_url: str,
        token_provider: Callable[[], str],
        workspace: str,
        *,
        name: str = "",
        transport: httpx.BaseTransport | None = None,
        ca_file: Path | None = None,
        timeouts: Timeouts = _TIMEOUTS,
        plain_http: PlainHttp = PlainHttp.REFUSE,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        url = _checked(base_url, plain_http)
        address = str(url).rstrip("/").removesuffix("/api")
        self._server = f"{name} ({address})" if name else address
        self._root = str(url).rstrip("/").removesuffix("/api") + "/api/local-sync/"
        self._token_provider = token_provider
        self._workspace = workspace
        self._timeouts = timeouts
        self._clock = clock
        self._ticks = ticks
        self._connections = Connections()
        if transport is None:
            trust = _trust(ca_file) if url.scheme == "https" else None
            # No proxy is used between the agent and its own machine.
            transport = DeadlineTransport(url, trust, _KEEP_ALIVE, trust_env=not is_loopback(url.host))
        self._client = httpx.Client(
            transport=transport,
            follow_redirects=False,
            trust_env=False,
            # The real server prefers a cookie to the token, so no cookie is kept.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            headers={
                "accept": "application/json",
                "accept-encoding": "identity",
                "content-type": "application/json",
                "user-agent": f"raven-agent/{__version__}",
            },
            event_hooks={"request": [self._trace_connection]},
        )

    def call(
        self,
        endpoint: str,
        body: Mapping[str, Any],
        wait_seconds: float = 0.0,
        limits: DecodeLimits = DecodeLimits.WHOLE,
    ) -> HttpResponse:
        """POST ``body`` to ``endpoint`` (below ``/api/local-sync/``).

        Args:
            wait_seconds: seconds added to the time the server may take to begin its answer.
            limits: the largest answer that is accepted.

        Raises:
            RemoteCallError: the call failed; no other exception passes.
        """
        return self.send(endpoint, _encoded(body), wait_seconds, limits)

    def send(
        self, endpoint: str, encoded: bytes, wait_seconds: float = 0.0, limits: DecodeLimits = DecodeLimits.WHOLE
    ) -> HttpResponse:
        """POST a body that is encoded already, so that the caller knows its size. Otherwise as ``call``."""
        token = self._token()
        with self._answer(endpoint, encoded, wait_seconds, token) as response:
            raw = self._read(response, limits)
            data = decode_answer(raw, response.headers.get("content-type", ""), limits, token)
            return HttpResponse(data, len(raw))

    def rows(self, endpoint: str, body: Mapping[str, Any]) -> Generator[Any]:
        """POST ``body`` and iterate over the rows of the answer's list while it arrives.

        One row is in memory at a time. An answer that turns out cut, or no list, raises after its last complete row.

        Raises:
            RemoteCallError: the call failed; no other exception passes.
        """
        token = self._token()
        with self._answer(endpoint, _encoded(body), 0.0, token) as response:
            _refuse_compression(response)
            reader, size = RowReader(response.headers.get("content-type", ""), token), 0
            for chunk in self._chunks(response):
                size += len(chunk)
                if size > MAX_STREAM:
                    raise AnswerTooLarge(f"the server's answer is larger than {MAX_STREAM} bytes")
                yield from reader.feed(chunk)
            reader.finish()

    @contextlib.contextmanager
    def _answer(self, endpoint: str, encoded: bytes, wait_seconds: float, token: str) -> Iterator[httpx.Response]:
        """Send one request; gives its 2xx answer, unread, and translates every failure until it is read."""
        times = self._timeouts
        read = wait_seconds + LATE_SECONDS if wait_seconds else times.read
        request = self._client.build_request(
            "POST",
            self._root + endpoint,
            content=encoded,
            headers={"authorization": f"Bearer {token}", "x-workspace-id": self._workspace},
            timeout=httpx.Timeout(times.connect, read=read, write=times.write),
            extensions={HEAD_SECONDS: times.connect + times.write + read + len(encoded) / LEAST_RATE},
        )
        started, aborts = False, self._connections.aborts
        try:
            with contextlib.closing(self._client.send(request, stream=True)) as response:
                started = True
                if not response.is_success:
                    body = self._read_error(response)
                    raise of_status(response.status_code, response.headers, body, token, self._clock(), self._server)
                yield response
        except HTTPX_ERRORS as exc:
            if self._connections.aborts != aborts:
                # The connection was closed by this agent, whatever the exception suggests.
                problem = Problem(ProblemKind.OFFLINE, f"the connection to {self._server} was given up")
                raise RemoteCallError(problem, SideEffect.POSSIBLE) from exc
            if started and isinstance(exc, httpx.RemoteProtocolError):
                raise malformed("the server's answer was cut short") from exc
            raise of_exception(exc, len(encoded), LARGE_BODY, self._server) from exc

    def abort_connections(self) -> None:
        """Close every connection: calls in progress fail as OFFLINE at once, later ones connect again."""
        self._connections.abort_connections()

    def _trace_connection(self, request: httpx.Request) -> None:
        request.extensions = {**request.extensions, "trace": self._connections.trace}

    def close(self) -> None:
        """Close the client and its connections."""
        self._client.close()

    def _read(self, response: httpx.Response, limits: DecodeLimits) -> bytearray:
        _refuse_compression(response)
        most = min(limits.size, MAX_ANSWER)
        parts = bytearray()
        for chunk in self._chunks(response):
            parts += chunk
            if len(parts) > most:
                raise AnswerTooLarge(f"the server's answer is larger than {most} bytes")
        return parts

    def _read_error(self, response: httpx.Response) -> bytes:
        """Read the beginning of an error body. The status alone decides if the body cannot be read."""
        if _is_compressed(response):
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
        """Iterate over a body while it arrives fast enough."""
        began, size = self._ticks(), 0
        for chunk in response.iter_bytes():
            size += len(chunk)
            if self._ticks() - began > self._timeouts.read + size / LEAST_RATE:
                raise httpx.ReadTimeout("the answer arrives too slowly", request=response.request)
            yield chunk

    def _token(self) -> str:
        token = self._token_provider()
        # A token with other characters would raise an exception that quotes it.
        if token.isascii() and token.isprintable() and token and " " not in token:
            return token
        sentence = f"the token for {self._server} holds characters that no token has"
        if not token:
            sentence = f"there is no token for {self._server}"
        raise RemoteCallError(Problem(ProblemKind.SIGNED_OUT, sentence), SideEffect.NONE)


def _encoded(body: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError as exc:
        problem = Problem(ProblemKind.BAD_REQUEST, "the request holds text that is not valid Unicode")
        raise RemoteCallError(problem, SideEffect.NONE) from exc


def _refuse_compression(response: httpx.Response) -> None:
    # It was not requested, and a few bytes can decompress into any number.
    if _is_compressed(response):
        raise malformed("the server's answer is compressed, which was not requested")


def _is_compressed(response: httpx.Response) -> bool:
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
