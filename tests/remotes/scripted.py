"""Servers that are one function, for answers no real server gives on purpose."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from agent.remotes.http.client import HttpClient
from agent.remotes.http.failures import RemoteCallError
from agent.remotes.raven.profile import raven_profile

TOKEN = "eyJ-a-token-nobody-may-see"
Handler = Callable[[httpx.Request], httpx.Response]


def client(handler: Handler, url: str = "https://raven.test", token: str = TOKEN) -> HttpClient:
    """Calls answered by a function."""
    return HttpClient(
        url,
        lambda: token,
        raven_profile("w"),
        transport=httpx.MockTransport(handler),
        clock=lambda: 1_000_000.0,
    )


def failed(handler: Handler, body: dict[str, object] | None = None) -> RemoteCallError:
    """How a call to this server fails."""
    with pytest.raises(RemoteCallError) as error:
        client(handler).call("sources/list", body or {})
    return error.value


def answering(status: int, message: object = None, **headers: str) -> Handler:
    """A server with one answer for everything, worded as the real one does."""
    document = {"statusCode": status, "message": message, "timestamp": "", "path": ""}
    return lambda _: httpx.Response(status, json=document, headers=headers)


def raising(exc: Exception) -> Handler:
    """A network that fails."""

    def handler(_: httpx.Request) -> httpx.Response:
        raise exc

    return handler
