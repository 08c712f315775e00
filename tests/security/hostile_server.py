"""A server whose answers are any bytes at any pace, and bare sockets that send any bytes."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from socketserver import TCPServer
from typing import Any

from strict_raven import WORKSPACE, Response, StrictRaven
from strict_raven import token as strict_token
from support.servers import Server

Chunks = Callable[[], Iterator[bytes]]
"""Makes the raw bytes of an answer, head and all; the connection ends after the last."""


def head(status: int = 200, **headers: str | int) -> bytes:
    """The beginning of a raw answer of JSON."""
    lines = [f"HTTP/1.1 {status} X", "content-type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def whole(body: bytes, status: int = 200, **headers: str | int) -> Chunks:
    """An answer sent at once, with a length that fits."""
    return lambda: iter([head(status, content_length=len(body), **headers), body])


def repeated(before: bytes, part: bytes, times: int, after: bytes = b"") -> Chunks:
    """An answer that ends with the connection: a part over and over between a beginning and an end."""
    return lambda: chain([head(connection="close"), before], (part for _ in range(times)), [after])


class WildServer(Server):
    """The strict server behind a listener that gives other answers to the requests it is told.

    Attributes:
        raven: the strict server, which still answers every other request.
        seen: path and lower-case headers of every request.
    """

    name = "wild"

    def __init__(self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.raven = StrictRaven()
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.ending = threading.Event()
        self._answers: dict[str, Chunks] = {}
        self._listener = _Listener(self, host, tls)
        self._thread = threading.Thread(target=self._listener.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        scheme = "http" if tls is None else "https"
        super().__init__(f"{scheme}://{host}:{self._listener.server_port}", WORKSPACE, strict_token())

    def answer(self, ending: str, chunks: Chunks) -> None:
        """From now on, answer every request whose path ends so with these bytes."""
        self._answers[ending] = chunks

    def behave(self) -> None:
        """Answer as the strict server does again."""
        self._answers.clear()

    def chosen(self, path: str) -> Chunks | None:
        """The bytes this path is answered with, if not the strict server's."""
        return next((chunks for ending, chunks in self._answers.items() if path.endswith(ending)), None)

    @classmethod
    @contextlib.contextmanager
    def serving(cls, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[WildServer]:
        """A server that is ready; it is ended with the block."""
        server = cls(tls, host)
        try:
            yield server
        finally:
            server.ending.set()
            server.close()
            server.end()

    def end(self) -> None:
        """Stop listening."""
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()

    @property
    def source(self) -> Mapping[str, Any]:
        """The newest source."""
        return dict(self.client.ok("sources/list")[0])


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, wild: WildServer, host: str, tls: ssl.SSLContext | None) -> None:
        self.wild = wild
        self._tls = tls
        super().__init__((host, 0), _Connection)

    def server_bind(self) -> None:
        """Bind without asking a name server who we are."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "wild", self.socket.getsockname()[1]

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: a handshake that fails is the client's affair."""
        with contextlib.suppress(OSError):
            if self._tls is None:
                super().finish_request(request, client_address)
                return
            with self._tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False) as held:
                held.do_handshake()
                super().finish_request(held, client_address)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    server: _Listener

    def do_POST(self) -> None:
        """Give the chosen bytes, else what the strict server says."""
        wild = self.server.wild
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        wild.seen.append((self.path, headers))
        chunks = wild.chosen(self.path)
        if chunks is None:
            self._send(wild.raven.handle("POST", self.path, headers, body))
            return
        self.close_connection = True
        with contextlib.suppress(OSError):
            for part in chunks():
                self.wfile.write(part)
                self.wfile.flush()

    def _send(self, response: Response) -> None:
        self.send_response_only(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def raw_post(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """A request as bytes."""
    lines = [f"POST /api/local-sync/{path} HTTP/1.1", "host: hub", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def exchange_bytes(address: tuple[str, int], sent: bytes, seconds: float = 10.0) -> bytes:
    """What a server answers to these bytes until it ends the connection or nothing comes any more."""
    received = b""
    with socket.create_connection(address, timeout=seconds) as connection, contextlib.suppress(OSError):
        with contextlib.suppress(OSError):
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65_536):
            received += part
    return received


def documents(raw: bytes) -> list[Any]:
    """The JSON bodies of the answers in a stream of bytes."""
    found = []
    for part in raw.split(b"\r\n\r\n"):
        with contextlib.suppress(ValueError):
            found.append(json.JSONDecoder().raw_decode(part.decode("utf-8", "replace"))[0])
    return found
