"""Running the hub: opening its database, serving requests, signalling readiness, and stopping."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from agent.hub.auth import PUBLIC_KEY_ALGORITHMS, JwtTokens, SecretError, hub_secret
from agent.hub.client_timeouts import TimeoutH11Protocol
from agent.hub.connection_table import ConnectionTable, connection_limits
from agent.hub.domain.ids import new_uuid, system_clock
from agent.hub.domain.ports import StoreFull, StoreUnavailable
from agent.hub.door import Door, note_door
from agent.hub.drive_sockets import DriveSockets
from agent.hub.http_app import SHARED_WRITE_THREADS, WRITE_THREADS, HubApp
from agent.hub.hub_settings import HubSettings as HubSettings
from agent.hub.joining import Joining
from agent.hub.listeners import Listeners, open_listeners
from agent.hub.listening import DEFAULT_HOST as DEFAULT_HOST
from agent.hub.listening import PORT_FILE as PORT_FILE
from agent.hub.listening import FolderLock
from agent.hub.listening import ServeError as ServeError
from agent.hub.parent import watch_parent
from agent.hub.pinakes.context import PinakesContext
from agent.hub.pinakes.face import PinakesFace
from agent.hub.pinakes.hashes import ContentHashes, UnusableAlgorithm
from agent.hub.raven.endpoints import Hub
from agent.hub.scaidrive.context import DriveContext
from agent.hub.scaidrive.face import DriveFace
from agent.hub.scaidrive.limits import RateLimits
from agent.hub.store.blobs import FileBlobs, TableBlobs, blobs_of
from agent.hub.store.listener import CommitListener
from agent.hub.store.reserve import RESERVE_FILE, DiskReserve
from agent.hub.store.sql_store import SqlStore, StoreError, sqlite_url
from agent.hub.store.token_registry import Revocations, TokenRegistry
from agent.hub.tls import TlsGate, server_context
from agent.hub.token_rates import TokenRates
from agent.hub.upkeep import Upkeep
from agent.hub.websocket_protocol import MAX_FRAME_BYTES, websocket_protocol
from agent.process.idle_server import IdleServer

KEEP_ALIVE_SECONDS = 72
GRACE_SECONDS = 5
DATABASE_FILE = "hub.db"


@dataclass(frozen=True, slots=True)
class HubReady:
    """A hub that accepts requests.

    Attributes:
        door: its address for other machines; None if there is none.
        door_error: the reason why the wanted one could not be opened; empty otherwise.
    """

    url: str
    pid: int
    door: Door | None = None
    door_error: str = ""


@dataclass(frozen=True, slots=True)
class ServiceHooks:
    """Notifications for a service manager.

    Attributes:
        alive: called from the event loop as a sign of life.
        alive_every: seconds between two of them, None for never.
        stopping: called when shutdown begins.
    """

    alive: Callable[[], None]
    alive_every: float | None
    stopping: Callable[[], None]


def serve(
    settings: HubSettings, on_ready: Callable[[HubReady], None] | None = None, hooks: ServiceHooks | None = None
) -> None:
    """Serve until SIGTERM, SIGINT or the parent's end. `on_ready` is called once requests are accepted.

    Raises:
        ServeError: the port is taken, another hub serves the folder, or the secret or the certificate cannot be used.
        StoreError: the database cannot be opened, or is newer than this program.
    """
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise ServeError("TLS needs both a certificate and its key.")
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FolderLock(settings.data_dir):
        listeners = open_listeners(settings)
        note_door(settings.data_dir, listeners.door)
        store = open_store(settings.data_dir, settings.database_url)
        try:
            revocations = Revocations(TokenRegistry(store))
            secret = _secret(settings)
            tokens = _tokens(settings, secret, revocations)
            hub = Hub(store, tokens=tokens, body_limit=settings.body_limit)
            joining = None if secret is None else Joining(store, secret, hub.now, settings.name)
            app = _application(settings, hub, store, revocations, joining)
            _run(settings, app, store, listeners, on_ready, hooks)
        finally:
            listeners.close()
            store.close()


def open_store(data_dir: Path, database_url: str | None = None) -> SqlStore:
    """Open the hub's database: the given one, or the file in `data_dir`, which only its owner can read.

    Raises:
        StoreError: the database cannot be opened, or is newer than this program.
    """
    shown = data_dir / DATABASE_FILE if database_url is None else "at the given URL"
    try:
        if database_url is not None:
            return SqlStore(database_url)
        path = data_dir / DATABASE_FILE
        # SQLite gives its log the permissions of the database.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        reserve = DiskReserve(data_dir / RESERVE_FILE)
        try:
            return SqlStore(sqlite_url(path), reserve)
        except StoreFull:
            # The reserve was released by the failure, so the second attempt has its space.
            return SqlStore(sqlite_url(path), reserve)
    except StoreFull as error:
        raise StoreError(f"The disk of the hub's database {shown} is full: free some space and start again.") from error
    except StoreUnavailable as error:
        raise StoreError(f"The hub's database {shown} does not answer: {error}") from error


def _tokens(settings: HubSettings, secret: bytes | None, revocations: Revocations) -> JwtTokens:
    if secret is not None:
        return JwtTokens(secret, is_revoked=revocations.contains)
    assert settings.public_key is not None
    return JwtTokens(settings.public_key.read_bytes(), PUBLIC_KEY_ALGORITHMS, revocations.contains)


def _secret(settings: HubSettings) -> bytes | None:
    """Return the secret that signs tokens; None if another issuer signs them."""
    if settings.public_key is not None:
        return None
    try:
        return hub_secret(settings.data_dir, settings.secret_file)
    except SecretError as error:
        raise ServeError(str(error)) from error
    except OSError as error:
        raise ServeError(f"The secret cannot be read: {error.filename}: {error.strerror}.") from error


def _application(
    settings: HubSettings, hub: Hub, store: SqlStore, revocations: Revocations, joining: Joining | None
) -> HubApp:
    blobs = blobs_of(settings.data_dir, store)
    # Only space is lost if this fails.
    with contextlib.suppress(OSError, StoreUnavailable):
        blobs.sweep(hub.now())
    sockets = DriveSockets(store, hub.caller_of_token)
    hub.on_commit(sockets.notify)
    drive = DriveFace(
        DriveContext(
            store,
            blobs,
            hub.now,
            new_uuid,
            hub.announce,
            sockets.prefer,
        ),
        RateLimits(hub.now),
    )
    default = SHARED_WRITE_THREADS if store.is_shared else WRITE_THREADS
    table = ConnectionTable(connection_limits(behind_proxy=settings.behind_proxy))
    TimeoutH11Protocol.table = table
    return HubApp(
        hub,
        revocations=revocations,
        write_threads=settings.write_threads or default,
        open_metrics=not settings.behind_proxy,
        gauges={"open_connections": lambda: float(len(table))},
        rates=TokenRates(settings.rate_limit, time.monotonic),
        faces=(drive, _pinakes(settings, hub, store, blobs, revocations)),
        sockets=sockets,
        joining=joining,
    )


def _pinakes(
    settings: HubSettings, hub: Hub, store: SqlStore, blobs: FileBlobs | TableBlobs, revocations: Revocations
) -> PinakesFace:
    try:
        hashes = ContentHashes(store, blobs, settings.pinakes_hash)
    except UnusableAlgorithm as error:
        raise ServeError(str(error)) from error
    return PinakesFace(
        PinakesContext(
            store,
            blobs,
            hub.now,
            new_uuid,
            hub.announce,
            hashes,
            hub.signed_in_with,
            revocations.contains,
            lambda: secrets.token_urlsafe(32),
        )
    )


def _protocol(settings: HubSettings, listeners: Listeners) -> type[asyncio.Protocol]:
    if listeners.certificate is None:
        return TimeoutH11Protocol
    TlsGate.context = server_context(listeners.certificate, listeners.key)
    # Beside a door, the address of this machine alone stays as it was.
    TlsGate.plain_port = None if settings.door is None else int(listeners.main.getsockname()[1])
    return TlsGate


class _Server(IdleServer):
    def __init__(
        self, config: uvicorn.Config, app: HubApp, announce: Callable[[], None], hooks: ServiceHooks | None
    ) -> None:
        super().__init__(config)
        self._hooks = hooks
        self._app = app
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()

    async def main_loop(self) -> None:
        hooks = self._hooks
        signs = (
            asyncio.create_task(_signs_of_life(hooks.alive, hooks.alive_every)) if hooks and hooks.alive_every else None
        )
        await super().main_loop()
        if signs is not None:
            signs.cancel()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._hooks is not None:
            self._hooks.stopping()
        # Waiting polls would delay the shutdown until their wait ends.
        self._app.notifier.close()
        await super().shutdown(sockets)


async def _signs_of_life(alive: Callable[[], None], every: float) -> None:
    while True:
        alive()
        await asyncio.sleep(every)


def _run(
    settings: HubSettings,
    app: HubApp,
    store: SqlStore,
    listeners: Listeners,
    on_ready: Callable[[HubReady], None] | None,
    hooks: ServiceHooks | None,
) -> None:
    config = uvicorn.Config(
        app.asgi,
        http=_protocol(settings, listeners),
        interface="asgi3",
        ws=websocket_protocol(),
        ws_max_size=MAX_FRAME_BYTES,
        lifespan="off",
        log_config=None,  # the caller configures logging
        access_log=False,
        server_header=False,
        date_header=False,  # the application sends its own
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        proxy_headers=settings.behind_proxy,
    )

    def announce() -> None:
        if on_ready is not None:
            on_ready(HubReady(_url(settings, listeners), os.getpid(), listeners.door, listeners.door_error))

    server = _Server(config, app, announce, hooks)

    # Objects that exist now live as long as the process. Freezing them keeps later collections short.
    gc.collect()
    gc.freeze()

    async def main() -> None:
        if threading.current_thread() is threading.main_thread():
            # uvicorn raises the signal that stopped it again when it is done. This handler receives it, so that a
            # requested stop ends with exit code 0. It also makes each signal wake the event loop, by a byte: one that
            # another thread receives, or that comes just before the loop's wait, would not end that wait.
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, server.end)
        with watch_parent(settings.parent_pid, server.end), _commits_of_others(store, app), _upkeep(store):
            await server.serve(sockets=listeners.sockets)

    asyncio.run(main())


@contextmanager
def _commits_of_others(store: SqlStore, app: HubApp) -> Iterator[None]:
    if not store.is_shared:
        yield
        return
    listener = CommitListener(store, app.notifier.waited_for, app.commit_elsewhere)
    listener.start()
    try:
        yield
    finally:
        listener.stop()


@contextmanager
def _upkeep(store: SqlStore) -> Iterator[None]:
    upkeep = Upkeep(store, system_clock)
    upkeep.start()
    try:
        yield
    finally:
        upkeep.stop()


def _url(settings: HubSettings, listeners: Listeners) -> str:
    scheme = "http" if listeners.certificate is None or settings.door is not None else "https"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{scheme}://{host}:{listeners.main.getsockname()[1]}"
