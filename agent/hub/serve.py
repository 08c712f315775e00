"""Running the hub: where it listens, what it refuses, when it is ready, when it ends."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import gc
import os
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from agent.core.net import is_loopback
from agent.hub.auth import PUBLIC_KEY_ALGORITHMS, JwtTokens, SecretError, hub_secret
from agent.hub.client_timeouts import TimeoutH11Protocol
from agent.hub.http_app import HubApp
from agent.hub.parent import watch_parent
from agent.hub.raven.endpoints import BODY_LIMIT, Hub
from agent.hub.store.sql_store import SqlStore, sqlite_url
from agent.process.idle_server import IdleServer

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8674
KEEP_ALIVE_SECONDS = 72
GRACE_SECONDS = 5

DATABASE_FILE = "hub.db"
PORT_FILE = "port"
LOCK_FILE = "lock"


class ServeError(Exception):
    """The hub does not start; the message is a sentence for the person who started it."""


@dataclass(frozen=True, slots=True)
class HubReady:
    """A hub that takes requests."""

    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class ServiceHooks:
    """What a service manager wants to know of a hub besides its being ready.

    Attributes:
        beat: called from the event loop as a sign of life.
        every: seconds between two of them; None where nobody waits for any.
        ending: called when the end begins.
    """

    beat: Callable[[], None]
    every: float | None
    ending: Callable[[], None]


@dataclass(frozen=True, slots=True)
class HubSettings:
    """How to serve.

    Attributes:
        data_dir: the hub's own folder: database, secret, remembered port. Made 0700 if it is not there.
        host, port: where to listen. Port None: 8674 or the one remembered; if it is taken, another free one, which
            is remembered. Port 0: any free one. Another number: that one or none.
        database_url: a database elsewhere than in `data_dir`.
        tls_cert, tls_key: PEM files; with them the hub speaks HTTPS.
        behind_proxy: a proxy on the way terminates TLS, so plain HTTP off loopback is meant.
        public_key: a PEM file; tokens are then signed by somebody else (RS256, ES256) and not with the hub's secret.
        body_limit: bytes of a request body.
        parent_pid: end when this process ends.
    """

    data_dir: Path
    host: str = DEFAULT_HOST
    port: int | None = None
    database_url: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False
    public_key: Path | None = None
    body_limit: int = BODY_LIMIT
    parent_pid: int | None = None


def serve(
    settings: HubSettings, on_ready: Callable[[HubReady], None] | None = None, watch: ServiceHooks | None = None
) -> None:
    """Serve until SIGTERM, SIGINT or the parent's end; `on_ready` is called once requests are taken, and who keeps
    `watch` is told from then on.

    Raises:
        ServeError: the listener would be open without TLS, its port is taken, another hub serves the folder,
            or the secret in it cannot be used.
        StoreError: the database is newer than this program.
    """
    _check_exposure(settings)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _Lock(settings.data_dir / LOCK_FILE):
        listener = _listen(settings)
        store = open_store(settings.data_dir, settings.database_url)
        try:
            hub = Hub(store, tokens=_tokens(settings), body_limit=settings.body_limit)
            _run(settings, HubApp(hub), listener, on_ready, watch)
        finally:
            listener.close()
            store.close()


def open_store(data_dir: Path, database_url: str | None = None) -> SqlStore:
    """The hub's database: the given one, or the file in `data_dir`, which only its owner can read.

    Raises:
        StoreError: the database is newer than this program.
    """
    if database_url is not None:
        return SqlStore(database_url)
    path = data_dir / DATABASE_FILE
    # SQLite gives its log the database's permissions.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    return SqlStore(sqlite_url(path))


def _tokens(settings: HubSettings) -> JwtTokens:
    if settings.public_key is not None:
        return JwtTokens(settings.public_key.read_bytes(), PUBLIC_KEY_ALGORITHMS)
    try:
        return JwtTokens(hub_secret(settings.data_dir))
    except SecretError as error:
        raise ServeError(str(error)) from error


def _check_exposure(settings: HubSettings) -> None:
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise ServeError("TLS needs both a certificate and its key.")
    if settings.tls_cert is not None or settings.behind_proxy or is_loopback(settings.host):
        return
    raise ServeError(
        f"The hub does not listen on {settings.host} in plain HTTP, where tokens and texts could be read on the way: "
        "give it a TLS certificate and key, or say that it stands behind a proxy which has them."
    )


def _listen(settings: HubSettings) -> socket.socket:
    memory = settings.data_dir / PORT_FILE
    if settings.port is not None:
        try:
            return _bind(settings.host, settings.port)
        except OSError as error:
            raise ServeError(f"The hub cannot listen on {settings.host}:{settings.port}: {error.strerror}.") from error
    wanted = _remembered(memory)
    try:
        return _bind(settings.host, wanted)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise ServeError(f"The hub cannot listen on {settings.host}: {error.strerror}.") from error
    listener = _bind(settings.host, 0)
    memory.write_text(f"{listener.getsockname()[1]}\n")
    memory.chmod(0o600)
    return listener


def _remembered(memory: Path) -> int:
    try:
        port = int(memory.read_text())
    except (FileNotFoundError, ValueError):
        return DEFAULT_PORT
    return port if 0 < port < 65536 else DEFAULT_PORT


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener


class _Lock:
    """One hub a folder: two would not hear of each other's commits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> None:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise ServeError(f"Another hub serves {self._path.parent} (process {holder}).") from None
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def __exit__(self, *_: object) -> None:
        # The file stays: removing it could take away a lock that somebody has just been given.
        os.close(self._descriptor)


class _Server(IdleServer):
    def __init__(
        self, config: uvicorn.Config, app: HubApp, announce: Callable[[], None], watch: ServiceHooks | None
    ) -> None:
        super().__init__(config)
        self._watch = watch
        self._app = app
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()

    async def main_loop(self) -> None:
        watch = self._watch
        beating = asyncio.create_task(_beat(watch.beat, watch.every)) if watch and watch.every else None
        await super().main_loop()
        if beating is not None:
            beating.cancel()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._watch is not None:
            self._watch.ending()
        # Waiting polls would hold the shutdown for as long as they wait.
        self._app.notifier.close()
        await super().shutdown(sockets)


async def _beat(beat: Callable[[], None], every: float) -> None:
    while True:
        beat()
        await asyncio.sleep(every)


def _run(
    settings: HubSettings,
    app: HubApp,
    listener: socket.socket,
    on_ready: Callable[[HubReady], None] | None,
    watch: ServiceHooks | None,
) -> None:
    config = uvicorn.Config(
        app.asgi,
        http=TimeoutH11Protocol,
        lifespan="off",
        log_config=None,  # whoever serves says where the log goes
        access_log=False,
        server_header=False,
        date_header=False,  # the application sends its own
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        proxy_headers=settings.behind_proxy,
    )

    def announce() -> None:
        if on_ready is not None:
            on_ready(HubReady(_url(settings, listener), os.getpid()))

    server = _Server(config, app, announce, watch)

    # What is there by now stays: looking through it again and again for what could go is work for nothing.
    gc.collect()
    gc.freeze()

    async def main() -> None:
        with watch_parent(settings.parent_pid, server.end):
            await server.serve(sockets=[listener])

    # The server raises the signal that ended it once more when it is done; a handler of ours takes it, so that a
    # requested end is exit code 0.
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: server.end())
    asyncio.run(main())


def _url(settings: HubSettings, listener: socket.socket) -> str:
    scheme = "http" if settings.tls_cert is None else "https"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{scheme}://{host}:{listener.getsockname()[1]}"
