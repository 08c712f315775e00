"""The network below httpx, with an end to every wait.

httpx bounds each read; a server that sends one byte within each bound could hold a call for ever. Here the head of an
answer has one deadline, counted from the beginning of the call, and each piece of its body another.
"""

from __future__ import annotations

import contextlib
import math
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from agent.core.errors import UsageError

HEAD_SECONDS: Final = "head_seconds"
"""The request's extension that says within how many seconds the head of its answer must be there; none: no limit."""

_SLICE: Final = 64 * 1024
"""Bytes written between two looks at the clock."""
_READ_SIZE: Final = 1024 * 1024
"""Bytes read at once, if there are so many."""
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
"""What stands in httpx for each exception of the layer below it."""


class DeadlineTransport(httpx.BaseTransport):
    """Connections to one server, through the environment's proxy where there is one for it.

    Args:
        url: the server; decides about the proxy.
        trust: whose certificates are believed.
        keep: seconds an idle connection is kept.
        trust_env: whether a proxy named by the environment is used.
        ticks: seconds that only ever go forward.

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
        self._until = _Deadline(ticks)
        self._pool = httpcore.ConnectionPool(
            ssl_context=trust,
            proxy=_proxy_for(url) if trust_env else None,
            max_connections=_CONNECTIONS,
            max_keepalive_connections=_KEPT,
            keepalive_expiry=keep,
            network_backend=_Backend(self._until),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One answer; its body is read as it is asked for.

        Raises:
            httpx.TransportError: whatever the network did.
        """
        url = request.url
        asked = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _translated(), self._until.within(request.extensions.get(HEAD_SECONDS, math.inf)):
            answer = self._pool.handle_request(asked)
        read = request.extensions.get("timeout", {}).get("read") or math.inf
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer, self._until, read),
            extensions=dict(answer.extensions),
        )

    def close(self) -> None:
        """Give the connections back."""
        self._pool.close()


class _Deadline(threading.local):
    """The moment at which this thread's call gives up; a call stays on its thread."""

    def __init__(self, ticks: Callable[[], float]) -> None:
        self._ticks = ticks
        self._moment = math.inf

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Give up after so many seconds from now."""
        self._moment = self._ticks() + seconds
        try:
            yield
        finally:
            self._moment = math.inf

    def cut(self, timeout: float | None, late: type[Exception]) -> float | None:
        """A timeout that ends no later than the call does. Raises ``late`` where that has passed."""
        left = self._moment - self._ticks()
        if left <= 0:
            raise late("the call has taken too long as a whole")
        return timeout if math.isinf(left) else min(left, math.inf if timeout is None else timeout)


class _Body(httpx.SyncByteStream):
    """An answer's body; each piece has to come whole within the time one read may take."""

    def __init__(self, answer: httpcore.Response, until: _Deadline, read: float) -> None:
        self._answer = answer
        self._until = until
        self._read = read

    def __iter__(self) -> Iterator[bytes]:
        pieces = iter(self._answer.iter_stream())
        while True:
            # Not around the yield: whoever reads may start another call on this thread.
            with _translated(), self._until.within(self._read):
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece

    def close(self) -> None:
        self._answer.close()


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, until: _Deadline) -> None:
        self._inner = inner
        self._until = until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        # More than asked for is handed to the same parser: a large answer comes in few pieces.
        return self._inner.read(max(max_bytes, _READ_SIZE), self._until.cut(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _SLICE):
            self._inner.write(buffer[start : start + _SLICE], self._until.cut(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._until.cut(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left), self._until)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    def __init__(self, until: _Deadline) -> None:
        self._inner = httpcore.SyncBackend()
        self._until = until

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = self._until.cut(timeout, httpcore.ConnectTimeout)
        stream = self._inner.connect_tcp(host, port, left, local_address, socket_options)
        return _Stream(stream, self._until)

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except Exception as exc:
        known = next((EXCEPTIONS[cls] for cls in type(exc).__mro__ if cls in EXCEPTIONS), None)
        if known is None:
            raise
        raise known(str(exc)) from exc


def _proxy_for(url: httpx.URL) -> httpcore.Proxy | None:
    """The proxy the environment names for this server, if any.

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
