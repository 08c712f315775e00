"""httpx without a network: requests go straight to a handler in the same process."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType

import httpx

from strict_raven.faults import ConnectionLost
from strict_raven.wire import Handler


class HandlerTransport(httpx.BaseTransport):
    """Sends each request to the handler; a lost connection is a `ReadError`, as over a real one."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        headers = _decoded(tuple(request.headers.raw))
        path = request.url.raw_path.decode("ascii")
        try:
            response = self._handler(request.method, path, headers, request.read())
        except ConnectionLost as error:
            raise httpx.ReadError("the server closed the connection without an answer", request=request) from error
        sent = _built(tuple(response.headers.items()), len(response.body))
        # A stream is not read here, nor decoded: whoever asked does that.
        return httpx.Response(response.status, headers=sent, stream=httpx.ByteStream(response.body))


@functools.lru_cache(maxsize=1000)
def _decoded(raw: tuple[tuple[bytes, bytes], ...]) -> Mapping[str, str]:
    """The headers of a request as handlers read them."""
    return MappingProxyType({name.lower().decode(): value.decode("latin-1") for name, value in raw})


@functools.lru_cache(maxsize=1000)
def _built(headers: tuple[tuple[str, str], ...], size: int) -> httpx.Headers:
    """The headers of a response, with the size of a body that has one. A response has a copy of them."""
    sent = dict(headers)
    if size:
        sent.setdefault("content-length", str(size))
    return httpx.Headers(sent)
