"""Download one content with a range, and pass it on in pieces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from msgspec.structs import replace

from agent.remotes.http.client import HttpClient
from agent.remotes.http.failures import RemoteCallError, malformed
from agent.remotes.http.request import ApiRequest
from agent.remotes.protocol import Sink

_NOT_SATISFIABLE: Final = 416


def accept_any(headers: Mapping[str, str]) -> None:
    """Accept every answer: the version is named by its address."""


def download(
    http: HttpClient,
    request: ApiRequest,
    size: int,
    offset: int,
    sink: Sink,
    accept: Callable[[Mapping[str, str]], None] = accept_any,
) -> None:
    """Pass the content from ``offset`` on to ``sink``, or from 0 if the server does not continue there.

    Args:
        request: the request for the whole content.
        size: bytes of the whole content.
        accept: called with the headers of the answer before its first piece; raises if it is another version.

    Raises:
        RemoteCallError: GARBLED if the server's content has another size, begins elsewhere or ends early; any other
            failed call. An exception of ``sink`` passes unchanged.
    """
    if 0 < offset < size:
        part = replace(request, headers={**request.headers, "range": f"bytes={offset}-"})
        try:
            return _receive(http, part, size, offset, sink, accept)
        except RemoteCallError as failure:
            if failure.status != _NOT_SATISFIABLE:
                raise
    return _receive(http, request, size, 0, sink, accept)


def _receive(
    http: HttpClient,
    request: ApiRequest,
    size: int,
    offset: int,
    sink: Sink,
    accept: Callable[[Mapping[str, str]], None],
) -> None:
    with http.stream(request) as content:
        accept(content.headers)
        if content.start not in (0, offset):
            raise malformed("the server sent another part of the file than requested")
        if content.total not in (None, size):
            raise malformed(f"the server's file has {content.total} bytes instead of {size}")
        at = content.start
        for piece in content.pieces:
            if at + len(piece) > size:
                raise malformed(f"the server's file is longer than {size} bytes")
            sink(at, piece)
            at += len(piece)
        if at != size:
            raise malformed(f"the server's file ended after {at} of {size} bytes")
