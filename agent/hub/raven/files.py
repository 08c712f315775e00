"""Reading files and their past."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from agent.hub.domain.model import Caller, Head, Source
from agent.hub.domain.ports import StoreSession
from agent.hub.raven.context import HubContext, source_of
from agent.hub.raven.wire import HubError, Stream, file_view, timestamp

NEWEST = 20
"""Versions answered unless all are asked for."""

PIECE = 1000
"""Files read in one go while a listing is streamed."""


def list_files(services: HubContext, caller: Caller, body: Mapping[str, Any]) -> Stream | list[dict[str, object]]:
    """Present files in the order of their paths' UTF-8 bytes: a page with `limit`, else all of them, streamed."""
    after, limit = body.get("after"), body.get("limit")
    with services.store.read() as session:
        source = source_of(session, caller, body["sourceId"])
        if limit is not None:
            return [file_view(source, head) for head in session.files(source.number, after, limit)]
    return Stream(_pieces(services, source, after))


def _pieces(services: HubContext, source: Source, after: str | None) -> Iterator[bytes]:
    # Each piece is a transaction of its own: a slow reader holds no snapshot, and the paths stay in order.
    separator = b""
    while True:
        with services.store.read() as session:
            heads = session.files(source.number, after, PIECE)
        if heads:
            yield separator + orjson.dumps([file_view(source, head) for head in heads])[1:-1]
            separator = b","
        if len(heads) < PIECE:
            return
        after = heads[-1].path


def read_file(services: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """A file with its text and newest versions.

    Raises:
        HubError: 404 for an unknown source or an absent file.
    """
    with services.store.read() as session:
        source, head = _known(session, caller, body)
        if head.hash is None:
            raise HubError(404, "File not found")
        versions = _versions(session, source, head, body)
        content = session.contents({head.hash})[head.hash]
    return file_view(source, head) | {"content": content, "versions": versions}


def history(services: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """The texts a path has had, oldest first, also after it was deleted.

    Raises:
        HubError: 404 for an unknown source or a path that never had a text.
    """
    with services.store.read() as session:
        source, head = _known(session, caller, body)
        versions = _versions(session, source, head, body)
    if not versions:
        raise HubError(404, "File not found")
    return {"sourceId": source.id, "relativePath": head.path, "versions": versions}


def _known(session: StoreSession, caller: Caller, body: Mapping[str, Any]) -> tuple[Source, Head]:
    source = source_of(session, caller, body["sourceId"])
    path = body["relativePath"]
    head = session.heads(source.number, [path]).get(path)
    if head is None:
        raise HubError(404, "File not found")
    return source, head


def _versions(session: StoreSession, source: Source, head: Head, body: Mapping[str, Any]) -> list[dict[str, object]]:
    found = session.versions(source.number, head.number, None if body.get("allVersions") else NEWEST)
    texts = session.contents({v.hash for v in found})
    return [
        {"hash": v.hash, "origin": v.origin, "content": texts[v.hash], "recordedAt": timestamp(v.recorded_at)}
        for v in found
    ]
