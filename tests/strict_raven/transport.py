"""httpx without a network: requests go straight to a handler in the same process."""

from __future__ import annotations

import httpx

from strict_raven.faults import ConnectionLost
from strict_raven.wire import Handler


class HandlerTransport(httpx.BaseTransport):
    """Sends each request to the handler; a lost connection is a `ReadError`, as over a real one."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        headers = {name.lower().decode(): value.decode("latin-1") for name, value in request.headers.raw}
        path = request.url.raw_path.decode("ascii")
        try:
            response = self._handler(request.method, path, headers, request.read())
        except ConnectionLost as error:
            raise httpx.ReadError("the server closed the connection without an answer", request=request) from error
        sent = dict(response.headers)
        if response.body:
            sent.setdefault("content-length", str(len(response.body)))
        # A stream is not read here, nor decoded: whoever asked does that.
        return httpx.Response(response.status, headers=sent, stream=httpx.ByteStream(response.body))
