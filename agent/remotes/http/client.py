"""Calls to one server: JSON, lists read row by row, and contents in pieces.

The token is sent to this origin only. Answers and waits are bounded. Every failure is a ``RemoteCallError``.
"""

from __future__ import annotations

import contextlib
import functools
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
from msgspec import Struct
from msgspec.structs import replace

from agent import __version__
from agent.core.errors import Problem, ProblemKind, UsageError
from agent.core.net import is_loopback
from agent.remotes.http.address import PlainHttp, checked_address, trusted_certificates
from agent.remotes.http.budget import CallBudget
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
from agent.remotes.http.profile import ApiProfile
from agent.remotes.http.request import ApiRequest, ContentStream, FilePart, HttpResponse, encode_json
from agent.remotes.http.transport import HEAD_SECONDS, DeadlineTransport

if TYPE_CHECKING:
    from agent.remotes.http.websocket import WebSocket

LEAST_RATE: Final = 4096
"""Bytes a second: the least average rate of a request and of an answer, beyond the time one write or read may take.
Without it, a server that sends a byte now and then could hold a call for ever."""
LATE_SECONDS: Final = 10.0
"""Seconds after the end of a long poll at which a connection without an answer counts as dead."""
MAX_STREAM: Final = 4 * 1024 * 1024 * 1024
"""Bytes of a streamed list. Only one row of it is in memory, so this only ends an answer that never ends."""
_MAX_ERROR: Final = 64 * 1024
"""Bytes of an error body that are read."""
_KEEP_ALIVE: Final = 60.0
"""Seconds an idle connection is kept. The real server closes one after 72 s."""
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose requests state their length even if it is 0."""
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")


class Timeouts(Struct, frozen=True):
    """Seconds for each part of a call. The wait of a long poll is added to ``read``."""

    connect: float = 10.0
    read: float = 30.0
    write: float = 30.0


_TIMEOUTS: Final = Timeouts()
Trace = Callable[[str, dict[str, Any]], None]


class _Body(httpx.SyncByteStream):
    """The body of a request."""

    def __init__(self, body: bytes | FilePart | None) -> None:
        self._pieces: Iterable[bytes] = (body or b"",) if isinstance(body, bytes | None) else body

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces


@functools.lru_cache(maxsize=256)
def _url(address: str) -> httpx.URL:
    """Parse an address. Most requests of an agent go to a dozen of them."""
    return httpx.URL(address)


class HttpClient:
    """Calls to one server for one account. Safe to use from several threads.

    Args:
        base_url: the server's address, with or without the profile's ``address_ending``.
        token_provider: called before every request, so that a renewed token is used at once; "" means none.
        profile: the conventions of the dialect.
        name: the account's name, for messages.
        transport: replaces the network (tests, simulation).
        ca_file: certificates to trust beside the system's.
        pin: sha256 of the one certificate to accept, in hexadecimal; empty to check the certificate by its name.
        clock: seconds since the epoch, for ``Retry-After`` dates.
        ticks: monotonic seconds, for the rate of an answer.

    Raises:
        UsageError: the address cannot be used, or is plain http with a pin, or to another machine without permission.
    """

    def __init__(
        self,
        base_url: str,
        token_provider: Callable[[], str],
        profile: ApiProfile,
        *,
        name: str = "",
        transport: httpx.BaseTransport | None = None,
        ca_file: Path | None = None,
        pin: str = "",
        timeouts: Timeouts = _TIMEOUTS,
        plain_http: PlainHttp = PlainHttp.REFUSE,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        url = checked_address(base_url, plain_http)
        address = str(url).rstrip("/").removesuffix(profile.address_ending)
        self._server = f"{name} ({address})" if name else address
        self._root = f"{address}/{profile.base_path}"
        self._profile = profile
        self._token_provider = token_provider
        self._timeouts = timeouts
        self._clock = clock
        self._ticks = ticks
        self._connections = Connections()
        self._websockets = Connections()
        self._budget = CallBudget(self._server, clock, ticks) if profile.rate_limited else None
        if pin and url.scheme != "https":
            raise UsageError(f"{address} is not encrypted, and its certificate is pinned", "raven-agent servers")
        trust = trusted_certificates(ca_file, pin) if transport is None and url.scheme == "https" else None
        # No proxy is used between the agent and its own machine.
        proxied = not is_loopback(url.host)
        # Without ``httpx.Client``: it keeps cookies, which the real server prefers to the token, and its work for one
        # request costs more than the agent's own.
        self._transport = transport or DeadlineTransport(url, trust, _KEEP_ALIVE, trust_env=proxied)
        # A connection that becomes a WebSocket is none of the pool's.
        self._for_websocket: Callable[[], contextlib.AbstractContextManager[httpx.BaseTransport]] = lambda: (
            contextlib.nullcontext(transport)
            if transport is not None
            else contextlib.closing(DeadlineTransport(url, trust, _KEEP_ALIVE, trust_env=proxied))
        )
        self._headers = {
            "host": url.netloc.decode("ascii"),
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": f"raven-agent/{__version__}",
            **profile.headers,
        }

    @property
    def call_limit(self) -> int | None:
        """Cost of the calls that the server allows in a minute; None if no answer has stated it."""
        return None if self._budget is None else self._budget.limit

    def call(
        self,
        endpoint: str,
        body: Mapping[str, Any],
        wait_seconds: float = 0.0,
        limits: DecodeLimits = DecodeLimits.WHOLE,
    ) -> HttpResponse:
        """POST ``body`` as JSON. See ``request``."""
        return self.send(endpoint, encode_json(body), wait_seconds, limits)

    def send(
        self, endpoint: str, encoded: bytes, wait_seconds: float = 0.0, limits: DecodeLimits = DecodeLimits.WHOLE
    ) -> HttpResponse:
        """POST a body that is encoded already, so that the caller knows its size. Otherwise as ``call``."""
        return self.request(ApiRequest("POST", endpoint, body=encoded, wait_seconds=wait_seconds, limits=limits))

    def request(self, request: ApiRequest) -> HttpResponse:
        """Send one request and decode its answer.

        Raises:
            RemoteCallError: the call failed.
            DiskError: an opened file in the body could not be read, or changed; the request was not completed.
        """
        token = self._token()
        with self._answer(request, token) as response:
            if request.may_be_empty and response.status_code == httpx.codes.NO_CONTENT:
                return HttpResponse(None, 0, response.status_code, response.headers)
            raw = self._read(response, request.limits)
            kind = response.headers.get("content-type", "")
            data = decode_answer(raw, kind, request.limits, token, self._profile)
            return HttpResponse(data, len(raw), response.status_code, response.headers)

    def rows(self, endpoint: str, body: Mapping[str, Any]) -> Generator[Any]:
        """POST ``body`` and iterate over the rows of the answer's list while it arrives.

        One row is in memory at a time. An answer that turns out cut, or no list, raises after its last complete row.

        Raises:
            RemoteCallError: the call failed; no other exception passes.
        """
        token = self._token()
        with self._answer(ApiRequest("POST", endpoint, body=encode_json(body)), token) as response:
            _refuse_compression(response)
            reader, size = RowReader(response.headers.get("content-type", ""), token, self._profile), 0
            for chunk in self._chunks(response):
                size += len(chunk)
                if size > MAX_STREAM:
                    raise AnswerTooLarge(f"the server's answer is larger than {MAX_STREAM} bytes")
                yield from reader.feed(chunk)
            reader.finish()

    @contextlib.contextmanager
    def stream(self, request: ApiRequest) -> Iterator[ContentStream]:
        """Send one request and give its answer as a content in pieces, of which one is in memory at a time.

        A ``Range`` header that the server ignores is visible in ``ContentStream.start``.

        Raises:
            RemoteCallError: the call failed, also while the pieces are iterated; no other exception passes.
        """
        with self._answer(request, self._token()) as response:
            _refuse_compression(response)
            start, total = _place(response)
            yield ContentStream(start, total, self._chunks(response), response.headers)

    @contextlib.contextmanager
    def websocket(self, request: ApiRequest) -> Iterator[WebSocket]:
        """Open a WebSocket on a connection of its own, and close it at the end of the block.

        ``abort_connections`` and ``close`` end it at once.

        Raises:
            RemoteCallError: it could not be opened, or broke; no other exception passes.
        """
        # Imported here: a single command starts sooner without it.
        from agent.remotes.http.websocket import WebSocket, upgrade_headers

        token, aborts = self._token(), self._connections.aborts
        headers = upgrade_headers()
        try:
            with self._for_websocket() as transport:
                built = self._built(replace(request, headers=headers), token, 0, self._trace_websocket)
                response = transport.handle_request(built)
                with contextlib.closing(_body_of(response)):
                    if response.status_code != httpx.codes.SWITCHING_PROTOCOLS and not response.is_success:
                        raise self._refused(request, response, token)
                    times = self._timeouts
                    yield WebSocket(response, headers, times.write, lambda: self._token() != token, self._ticks)
        except HTTPX_ERRORS as exc:
            raise self._failed(exc, aborts, 0) from exc

    def _trace_websocket(self, event: str, info: dict[str, Any]) -> None:
        self._connections.trace(event, info)
        self._websockets.trace(event, info)

    @contextlib.contextmanager
    def _answer(self, request: ApiRequest, token: str) -> Iterator[httpx.Response]:
        """Send one request; gives its 2xx answer, unread, and translates every failure until it is read."""
        claim = None if self._budget is None else self._budget.take(request.cost, request.priority)
        size = request.size
        started, aborts = False, self._connections.aborts
        try:
            response = self._transport.handle_request(self._built(request, token, size))
            with contextlib.closing(_body_of(response)):
                started = True
                if claim is not None:
                    claim.answered(response.status_code, response.headers)
                if not response.is_success:
                    raise self._refused(request, response, token)
                yield response
        except HTTPX_ERRORS as exc:
            raise self._failed(exc, aborts, size, started=started) from exc
        finally:
            if claim is not None:
                claim.end()

    def _failed(self, exc: Exception, aborts: int, size: int, *, started: bool = False) -> RemoteCallError:
        if self._connections.aborts != aborts:
            # The connection was closed by this agent, whatever the exception suggests.
            problem = Problem(ProblemKind.OFFLINE, f"the connection to {self._server} was given up")
            return RemoteCallError(problem, SideEffect.POSSIBLE)
        if started and isinstance(exc, httpx.RemoteProtocolError):
            return malformed("the server's answer was cut short")
        return of_exception(exc, size, self._profile.hangs_up_above, self._server)

    def _built(self, request: ApiRequest, token: str, size: int, trace: Trace | None = None) -> httpx.Request:
        times = self._timeouts
        read = request.wait_seconds + LATE_SECONDS if request.wait_seconds else times.read
        headers = {**self._headers, "authorization": f"Bearer {token}", **request.headers}
        if request.body is not None:
            headers["content-type"] = request.content_type
        if request.body is not None or request.method in _WITH_BODY:
            headers["content-length"] = str(size)
        return httpx.Request(
            request.method,
            _url(self._root + request.target),
            headers=headers,
            stream=_Body(request.body),
            extensions={
                "timeout": {"connect": times.connect, "read": read, "write": times.write, "pool": times.connect},
                HEAD_SECONDS: times.connect + times.write + read + size / LEAST_RATE,
                "trace": trace or self._connections.trace,
            },
        )

    def _refused(self, request: ApiRequest, response: httpx.Response, token: str) -> RemoteCallError:
        body, now = self._read_error(response), self._clock()
        return of_status(
            response.status_code, response.headers, body, token, now, self._server, request.endpoint, self._profile
        )

    def abort_connections(self) -> None:
        """Close every connection: calls in progress fail as OFFLINE at once, later ones connect again."""
        self._connections.abort_connections()

    def close(self) -> None:
        """Close the connections."""
        self._websockets.abort_connections()
        self._transport.close()

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
        # Not by ``iter_bytes``, which would decompress. A compressed answer is refused before.
        for chunk in _body_of(response):
            size += len(chunk)
            if self._ticks() - began > self._timeouts.read + size / LEAST_RATE:
                raise httpx.ReadTimeout("the answer arrives too slowly")
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


def _body_of(response: httpx.Response) -> httpx.SyncByteStream:
    assert isinstance(response.stream, httpx.SyncByteStream)
    return response.stream


def _refuse_compression(response: httpx.Response) -> None:
    # It was not requested, and a few bytes can decompress into any number.
    if _is_compressed(response):
        raise malformed("the server's answer is compressed, which was not requested")


def _is_compressed(response: httpx.Response) -> bool:
    return response.headers.get("content-encoding", "").strip().lower() not in ("", "identity")


def _place(response: httpx.Response) -> tuple[int, int | None]:
    """Return the offset of an answer's first byte, and the size of the whole content if the server states it.

    Raises:
        RemoteCallError: GARBLED, a part without its place.
    """
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        length = response.headers.get("content-length", "")
        return 0, int(length) if length.isascii() and length.isdigit() else None
    found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    if found is None:
        raise malformed("the server sent a part of a file without saying which one")
    start, total = found.groups()
    return int(start), None if total == "*" else int(total)
