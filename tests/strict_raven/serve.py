"""A handler behind a real socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from strict_raven.faults import ConnectionLost
from strict_raven.wire import BODY_LIMIT, Handler, Response

_DRAINED = 4 * BODY_LIMIT
"""Bodies up to this size are read to their end; the connection of a larger one is reset while it is still sent."""


class Connection(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 72

    server: HandlerServer

    def handle_one_request(self) -> None:
        """As the base class does it, for any method."""
        try:
            self.raw_requestline = self.rfile.readline(65_537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            self._answer()
            self.wfile.flush()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        if length > _DRAINED:
            self.close_connection = True
            return
        body = self.receive(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            response = self.server.handler(self.command, self.path, headers, body)
        except ConnectionLost:
            self.close_connection = True
            return
        self.send(response)

    def receive(self, length: int) -> bytes:
        """Read a body of this many bytes."""
        return self.rfile.read(length)

    def send(self, response: Response) -> None:
        """Send an answer."""
        self.send_head(response, len(response.body))
        self.wfile.write(response.body)

    def send_head(self, response: Response, length: int) -> None:
        """Send the status and the headers of an answer with a body of this many bytes."""
        self.send_response_only(response.status, HTTPStatus(response.status).phrase)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if response.status != HTTPStatus.NO_CONTENT:
            self.send_header("content-length", str(length))
        self.end_headers()


class HandlerServer(ThreadingHTTPServer):
    """A server on loopback. ``connection``: reads requests and sends answers."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: Handler, port: int, connection: type[Connection] = Connection) -> None:
        self.handler = handler
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), connection)

    def server_bind(self) -> None:
        """Bind; unlike the base class, without asking a name server who 127.0.0.1 is."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """As the base class does it; also remembers the connection."""
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """As the base class does it; also forgets the connection."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End every open connection, so that a stopped server answers no request, not even over a kept-alive one."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving(handler: Handler, port: int = 0) -> Iterator[str]:
    """Serve the handler on loopback from a thread; gives the URL. Port 0 is any free one."""
    server = HandlerServer(handler, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        server.hang_up()
        thread.join()
