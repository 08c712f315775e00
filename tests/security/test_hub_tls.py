"""FU3: connections to a hub with TLS are limited before their handshake."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from agent.hub import tls
from agent.hub.client_timeouts import TimeoutH11Protocol
from agent.hub.connection_table import ConnectionLimits, ConnectionTable
from agent.hub.tls import TlsGate
from agent.process.idle_server import IdleServer
from support.certificates import self_signed

Serve = Callable[[ConnectionLimits], Any]


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Answer every request with its scheme."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": scope["scheme"].encode()})


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """A server with TLS on this event loop: its port, its table and a context that trusts it."""
    made = self_signed(tmp_path)
    monkeypatch.setattr(TlsGate, "context", made.server_context(), raising=False)

    @asynccontextmanager
    async def serving(limits: ConnectionLimits) -> AsyncIterator[tuple[int, ConnectionTable, ssl.SSLContext]]:
        table = ConnectionTable(limits)
        monkeypatch.setattr(TimeoutH11Protocol, "table", table)
        config = uvicorn.Config(
            answer, http=TlsGate, interface="asgi3", ws="none", lifespan="off", log_config=None, date_header=False
        )
        server = IdleServer(config)
        listener = socket.create_server(("127.0.0.1", 0))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield listener.getsockname()[1], table, ssl.create_default_context(cafile=str(made.certificate))
        finally:
            server.end()
            await asyncio.wait_for(task, 10)

    return serving


async def became(predicate: Callable[[], bool]) -> bool:
    """Return True if the predicate becomes true within 10 s."""
    for _ in range(1000):
        if predicate():
            return True
        await asyncio.sleep(0.01)
    return False


def run(claim: Awaitable[None]) -> None:
    """Run a coroutine, for at most 30 s."""

    async def limited() -> None:
        await asyncio.wait_for(claim, 30)

    asyncio.run(limited())


def test_fu3_a_silent_handshake_is_counted_and_closed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """FU3: a client that sends nothing, or no TLS, is in the table at once and soon out of it, and is disconnected."""
    monkeypatch.setattr(tls, "HANDSHAKE_SECONDS", 0.5)

    async def claim() -> None:
        async with serve(ConnectionLimits(10, 10)) as (port, table, _):
            silent, idle = await asyncio.open_connection("127.0.0.1", port)
            assert await became(lambda: len(table) == 1)
            noisy, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            for reader in (noisy, silent):
                with suppress(ConnectionResetError):
                    assert not (await reader.read()).startswith(b"HTTP")
            assert await became(lambda: len(table) == 0)
            for one in (idle, writer):
                one.close()

    run(claim())


def test_fu3_handshakes_of_one_address_are_limited(serve: Serve) -> None:
    """FU3: the third silent connection closes the first; a client that speaks TLS is answered beside them."""

    async def claim() -> None:
        async with serve(ConnectionLimits(10, 2)) as (port, table, trusting), AsyncExitStack() as held:
            readers = []
            for number in range(3):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                held.callback(writer.close)
                readers.append(reader)
                assert await became(lambda number=number: len(table) == min(number + 1, 2))  # type: ignore[misc]
            with suppress(ConnectionResetError):
                assert await asyncio.wait_for(readers[0].read(), 3) == b""
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
            for _ in range(2):
                writer.write(b"GET / HTTP/1.1\r\nhost: hub\r\n\r\n")
                assert (await reader.readuntil(b"https")).startswith(b"HTTP/1.1 200")
            assert len(table) == 2
            writer.close()
            assert await became(lambda: len(table) == 1)

    run(claim())


def test_a_request_sent_with_the_handshake_is_answered(serve: Serve) -> None:
    """What arrives together with the last bytes of the handshake is not lost."""

    async def claim() -> None:
        async with serve(ConnectionLimits(10, 10)) as (port, _, trusting):
            loop = asyncio.get_running_loop()
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = trusting.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            began = loop.time()
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    incoming.write(await reader.read(65_536))
            client.write(b"GET / HTTP/1.1\r\nhost: hub\r\n\r\n")
            writer.write(outgoing.read())
            received = b""
            while b"https" not in received:
                incoming.write(await reader.read(65_536))
                with suppress(ssl.SSLWantReadError):
                    while part := client.read(65_536):
                        received += part
            assert received.startswith(b"HTTP/1.1 200") and loop.time() - began < 5
            writer.close()

    run(claim())
