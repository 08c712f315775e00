"""The network layer below httpx, with a deadline for every wait.

httpx limits each single read, so a server that sends one byte per read could hold a call for ever. Here the head of an
answer has one deadline, counted from the start of the call, and each chunk of its body has another.
"""

from __future__ import annotations

import contextlib
import math
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from agent.core.errors import UsageError
from agent.remotes.http.address import WRONG_CERTIFICATE, PinnedContext

HEAD_SECONDS: Final = "head_seconds"
"""Request extension: seconds within which the head of the answer must be there. Missing: no limit."""

_SLICE: Final = 64 * 1024
"""Bytes written between two checks of the deadline."""
_READ_SIZE: Final = 1024 * 1024
"""Bytes read at once, if so many are there."""
_CONNECTIONS: Final = 100
_KEPT: Final = 20

EXCEPTIONS: Final[Mapping[type[BaseException], type[httpx.TransportError]]] = MappingProxyType(
    {
        httpcore.ConnectTimeout: httpx.ConnectTimeout,
        httpcore.ReadTimeout: httpx.ReadTimeout,
        httpcore.WriteTimeout: httpx.WriteTimeout,
        httpcore.PoolTimeout: httpx.PoolTimeout,
        httpcore.TimeoutException: httpx.TimeoutException,
        httpcore.ConnectError: httpx.ConnectError,
        httpcore.ReadError: httpx.ReadError,
        httpcore.WriteError: httpx.WriteError,
        httpcore.NetworkError: httpx.NetworkError,
        httpcore.ProxyError: httpx.ProxyError,
        httpcore.UnsupportedProtocol: httpx.UnsupportedProtocol,
        httpcore.LocalProtocolError: httpx.LocalProtocolError,
        httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
        httpcore.ProtocolError: httpx.ProtocolError,
        httpcore.ConnectionNotAvailable: httpx.ConnectError,
    }
)
"""The httpx exception for each exception of httpcore."""


class DeadlineTransport(httpx.BaseTransport):
    """Connections to one server, through the environment's proxy where there is one for it.

    Args:
        url: the server; selects the proxy.
        trust: the trusted certificates; None for plain http.
        keep: seconds an idle connection is kept.
        trust_env: use the proxy that the environment names.
        ticks: monotonic seconds.

    Raises:
        UsageError: the environment names a proxy that cannot be used.
    """

    def __init__(
        self,
        url: httpx.URL,
        trust: ssl.SSLContext | None,
        keep: float,
        *,
        trust_env: bool,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deadline = _Deadline(ticks)
        self._streams = _OpenStreams()
        self._pool = httpcore.ConnectionPool(
            ssl_context=trust,
            proxy=_proxy_for(url) if trust_env else None,
            max_connections=_CONNECTIONS,
            max_keepalive_connections=_KEPT,
            keepalive_expiry=keep,
            network_backend=_Backend(self._deadline, self._streams),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the answer's body is read when it is iterated.

        Raises:
            httpx.TransportError: the network failed.
        """
        url = request.url
        asked = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with translated(), self._deadline.within(request.extensions.get(HEAD_SECONDS, math.inf)):
            answer = self._pool.handle_request(asked)
        read = request.extensions.get("timeout", {}).get("read") or math.inf
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer, self._deadline, read),
            extensions=dict(answer.extensions),
        )

    def close(self) -> None:
        """Close the connections; a call in progress fails, a later one too, and neither leaves a connection open."""
        self._streams.refuse()
        self._pool.close()
        self._streams.close()


class _Deadline(threading.local):
    """The deadline of this thread's call. A call never changes threads."""

    def __init__(self, ticks: Callable[[], float]) -> None:
        self._ticks = ticks
        self._moment = math.inf

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Set the deadline to so many seconds from now."""
        self._moment = self._ticks() + seconds
        try:
            yield
        finally:
            self._moment = math.inf

    def limit(self, timeout: float | None, late: type[Exception]) -> float | None:
        """Return a timeout that ends no later than the deadline. Raises ``late`` if the deadline has passed."""
        left = self._moment - self._ticks()
        if left <= 0:
            raise late("the call has taken too long as a whole")
        return timeout if math.isinf(left) else min(left, math.inf if timeout is None else timeout)


class _OpenStreams:
    """The streams of one transport. None is left open, also by a thread that connects while the transport closes.

    The pool forgets a connection that is not made yet when it closes, so the pool alone is not enough.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[_Stream] = weakref.WeakSet()
        self._refused = False

    def add(self, stream: _Stream) -> _Stream:
        """Return the stream. Raises ``httpcore.ConnectError``, and closes the stream, if the transport is closed."""
        with self._lock:
            refused = self._refused
            if not refused:
                self._open.add(stream)
        if refused:
            stream.close()
            raise httpcore.ConnectError("the client is closed")
        return stream

    def refuse(self) -> None:
        """Refuse every stream from now on."""
        with self._lock:
            self._refused = True

    def close(self) -> None:
        """Close the streams that are open."""
        for stream in list(self._open):
            stream.close()


class _Body(httpx.SyncByteStream):
    """An answer's body; each chunk must arrive within the time of one read."""

    def __init__(self, answer: httpcore.Response, deadline: _Deadline, read: float) -> None:
        self._answer = answer
        self._deadline = deadline
        self._read = read

    def __iter__(self) -> Iterator[bytes]:
        chunks = iter(self._answer.iter_stream())
        while True:
            # Not around the yield: the reader may start another call on this thread.
            with translated(), self._deadline.within(self._read):
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk

    def close(self) -> None:
        self._answer.close()


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, deadline: _Deadline, streams: _OpenStreams) -> None:
        self._inner = inner
        self._deadline = deadline
        self._streams = streams

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        # The parser takes more than it asked for, so a large answer comes in few chunks.
        return self._inner.read(max(max_bytes, _READ_SIZE), self._deadline.limit(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _SLICE):
            self._inner.write(buffer[start : start + _SLICE], self._deadline.limit(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._deadline.limit(timeout, httpcore.ConnectTimeout)
        secured = self._inner.start_tls(ssl_context, server_hostname, left)
        if isinstance(ssl_context, PinnedContext):
            # Before the first byte of a request: no token reaches a machine with another certificate.
            session = secured.get_extra_info("ssl_object")
            if session is None or not ssl_context.accepts(session):
                secured.close()
                raise httpcore.ConnectError(WRONG_CERTIFICATE)
        return self._streams.add(_Stream(secured, self._deadline, self._streams))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    def __init__(self, deadline: _Deadline, streams: _OpenStreams) -> None:
        self._inner = httpcore.SyncBackend()
        self._deadline = deadline
        self._streams = streams

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = self._deadline.limit(timeout, httpcore.ConnectTimeout)
        stream = self._inner.connect_tcp(host, port, left, local_address, socket_options)
        return self._streams.add(_Stream(stream, self._deadline, self._streams))

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise httpx's exception in place of each one of httpcore."""
    try:
        yield
    except Exception as exc:
        known = next((EXCEPTIONS[cls] for cls in type(exc).__mro__ if cls in EXCEPTIONS), None)
        if known is None:
            raise
        raise known(str(exc)) from exc


def _proxy_for(url: httpx.URL) -> httpcore.Proxy | None:
    """Return the proxy that the environment names for this server, if any.

    Raises:
        UsageError: it names one that cannot be used.
    """
    proxies = getproxies()
    named = proxies.get(url.scheme) or proxies.get("all")
    if not named or proxy_bypass(url.host):
        return None
    try:
        proxy = httpx.URL(named if "://" in named else f"http://{named}")
    except httpx.InvalidURL as exc:
        raise UsageError("the proxy the environment names is no address") from exc
    if proxy.scheme not in ("http", "https"):
        raise UsageError(f"a {proxy.scheme} proxy cannot be used", "set HTTPS_PROXY to an http proxy, or NO_PROXY")
    auth = (proxy.username.encode(), proxy.password.encode()) if proxy.userinfo else None
    place = httpcore.URL(scheme=proxy.raw_scheme, host=proxy.raw_host, port=proxy.port, target=b"/")
    return httpcore.Proxy(place, auth=auth)
