"""A daemon that says what it is told to: real HTTP on a real socket, named by a real lock file."""

from __future__ import annotations

import contextlib
import json
import os
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from agent.settings.home import Home


@dataclass(frozen=True)
class Refusal:
    """An error the agent answers with."""

    code: str
    message: str = "no"
    hint: str | None = None


@dataclass(frozen=True)
class Raw:
    """Bytes in place of an answer."""

    body: bytes
    status: int = 200


@dataclass
class FakeAgent:
    """Answers by method: a document, a list of them for a stream, a Refusal, Raw bytes, or a function of the params."""

    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def params(self, method: str) -> dict[str, Any]:
        """What the newest call of this method was given."""
        return next(params for name, params in reversed(self.calls) if name == method)


@contextlib.contextmanager
def serving(home: Home, agent: FakeAgent) -> Iterator[None]:
    """Hold the home as a daemon would, for as long as the body runs."""
    home.create()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            method = self.path.removeprefix("/v1/")
            params = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            agent.calls.append((method, params))
            answer = agent.answers.get(method, Refusal("not_found", f"no method {method}"))
            if callable(answer):
                answer = answer(params)
            self._send(method, answer)

        def _send(self, method: str, answer: Any) -> None:
            if isinstance(answer, Raw):
                status, body = answer.status, answer.body
            elif isinstance(answer, Refusal):
                error = {"code": answer.code, "message": answer.message, "hint": answer.hint}
                status, body = 400, json.dumps({"error": error}).encode()
            elif method in {"status_watch", "activity_follow"}:
                status, body = 200, b"".join(json.dumps(document).encode() + b"\n" for document in answer)
            else:
                status, body = 200, json.dumps({"result": answer}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            # The command may hang up before it has read everything.
            with contextlib.suppress(BrokenPipeError):
                self.end_headers()
                self.wfile.write(body)

        def address_string(self) -> str:
            return "socket"

        def log_message(self, format: str, *args: object) -> None:
            return

    with socketserver.ThreadingUnixStreamServer(str(home.socket), Handler) as server:
        server.daemon_threads = True
        home.lock_file.write_text(json.dumps({"pid": os.getpid(), "socket": str(home.socket)}))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            home.socket.unlink()
            home.lock_file.unlink()
