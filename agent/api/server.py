"""Control API server: the agent's methods over HTTP on a unix socket that only its owner can open."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from agent.api import methods, metrics
from agent.api.context import ApiContext
from agent.api.followed import FOLLOWED
from agent.api.host_guard import HostOriginMiddleware
from agent.api.methods.common import readable
from agent.core.errors import AgentError, UsageError
from agent.process.idle_server import IdleServer
from agent.settings.errors import ConfigError

log = logging.getLogger(__name__)

_START_SECONDS = 15.0
_END_SECONDS = 4.0


class ControlServer:
    """Serves the control API between ``__enter__`` and ``__exit__``. The socket is made with mode 0600."""

    def __init__(self, context: ApiContext, path: Path) -> None:
        self._context = context
        self._path = path
        self._ending = threading.Event()
        routes = [
            Route("/v1/{method}", self._answer, methods=["POST"]),
            Route("/metrics", self._metrics, methods=["GET"]),
        ]
        app = Starlette(routes=routes, middleware=[Middleware(HostOriginMiddleware)])
        config = uvicorn.Config(
            app, http="h11", log_config=None, access_log=False, lifespan="off", date_header=False,
            timeout_graceful_shutdown=2,
        )  # fmt: skip
        self._server = IdleServer(config)
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self._socket = _listen(path)
        self._thread = threading.Thread(target=self._serve, name="control-api", daemon=True)

    def __enter__(self) -> ControlServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._server.end()
        self._thread.join(_END_SECONDS)
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def _serve(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    async def _answer(self, request: Request) -> Response:
        method = request.path_params["method"]
        try:
            params = _params(await request.body())
            if method in FOLLOWED:
                return StreamingResponse(self._follow(method, params), media_type="application/x-ndjson")
            result = await run_in_threadpool(methods.call, self._context, method, params)
        except AgentError as error:
            return _refusal(error.code, error.message, error.hint)
        except Exception as error:
            log.exception("%s failed", method)
            return _refusal("internal", f"the agent failed: {error!r}", "raven-agent logs")
        return JSONResponse({"result": result})

    async def _metrics(self, _request: Request) -> Response:
        found = await run_in_threadpool(methods.call, self._context, "metrics", {})
        return Response(found["text"], media_type=metrics.CONTENT_TYPE)

    async def _follow(self, method: str, params: dict[str, Any]) -> AsyncIterator[bytes]:
        followed = FOLLOWED[method]
        try:
            while not self._ending.is_set():
                document = await run_in_threadpool(methods.call, self._context, followed.method, params)
                for line in document if followed.is_list else (document,):
                    if followed.is_list:
                        params = {**params, "after": line["id"]}
                    yield json.dumps(line).encode() + b"\n"
                await asyncio.sleep(followed.seconds)
        except AgentError as error:
            yield json.dumps(_error(error.code, error.message, error.hint)).encode() + b"\n"


def _params(body: bytes) -> dict[str, Any]:
    """Return the parameters of a request. Raises UsageError if they are no JSON object."""
    try:
        found = json.loads(body or b"{}")
    except ValueError as error:
        raise UsageError(f"the request is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise UsageError("the request is not a JSON object")
    return found


def _error(code: str, message: str, hint: str | None) -> dict[str, Any]:
    """Return the error document. A message may quote a name that is not UTF-8, which JSON cannot hold."""
    return {"error": {"code": code, "message": readable(message), "hint": None if hint is None else readable(hint)}}


def _refusal(code: str, message: str, hint: str | None) -> JSONResponse:
    return JSONResponse(_error(code, message, hint), status_code=400)


def _listen(path: Path) -> socket.socket:
    """Return a listening socket at this path, with mode 0600 from the first moment.

    The caller holds the home's lock, so a socket that is there belongs to an agent that was killed. Anything else at
    the path is left alone.

    Raises:
        ConfigError: another kind of file, or another user's, is at the path.
    """
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.getuid():
            raise ConfigError(f"{path} is not a socket of this user", "move it away, and start the agent again")
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(64)
    return listener
