"""Endpoints that read files and their history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from agent.core.state_digest import state_digest
from agent.hub.answers import HubError, timestamp
from agent.hub.domain.model import Caller, FileVersion, Head, Source
from agent.hub.domain.ports import StoreSession
from agent.hub.raven.context import HubContext, source_of
from agent.hub.raven.text_stream import records_with_texts, with_array
from agent.hub.raven.wire import Stream, file_view

DEFAULT_VERSIONS = 20
"""Newest versions in an answer without `allVersions`."""

PIECE = 1000
"""Files in one query of a streamed listing."""
DIGESTED = 10_000
"""Files in one query of a digest."""


def list_files(context: HubContext, caller: Caller, body: Mapping[str, Any]) -> Stream | list[dict[str, object]]:
    """List present files in the order of their paths' UTF-8 bytes: a page with `limit`, else all, streamed."""
    after, limit = body.get("after"), body.get("limit")
    with context.store.read() as session:
        source = source_of(session, caller, body["sourceId"])
        if limit is not None:
            return [file_view(source, head) for head in session.files(source.number, after, limit)]
    return Stream(_pieces(context, source, after))


def _pieces(context: HubContext, source: Source, after: str | None) -> Iterator[bytes]:
    # Each piece has a transaction of its own, so that a slow client holds no snapshot. The order of paths is stable.
    separator = b""
    while True:
        with context.store.read() as session:
            heads = session.files(source.number, after, PIECE)
        if heads:
            yield separator + orjson.dumps([file_view(source, head) for head in heads])[1:-1]
            separator = b","
        if len(heads) < PIECE:
            return
        after = heads[-1].path


def digest(context: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """Return one hash over the paths and hashes of all present files, from one snapshot."""
    with context.store.read() as session:
        source = source_of(session, caller, body["sourceId"])
        return {"sourceId": source.id, "digest": state_digest(_hashes(session, source))}


def _hashes(session: StoreSession, source: Source) -> Iterator[list[tuple[str, str]]]:
    after: str | None = None
    while part := session.file_hashes(source.number, after, DIGESTED):
        yield part
        after = part[-1][0]


def read_file(context: HubContext, caller: Caller, body: Mapping[str, Any]) -> object:
    """Return a file with its text and versions: the newest 20, or with `allVersions` all.

    Raises:
        HubError: 404 for an unknown source or an absent file.
    """
    with context.store.read() as session:
        source, head = _source_and_head(session, caller, body)
        if head.hash is None or head.hidden:
            raise HubError(404, "File not found")
        versions = _versions(context, session, source, head, body)
        content = session.contents(source.workspace_number, {head.hash})[head.hash]
    return with_array(file_view(source, head) | {"content": content}, "versions", versions)


def history(context: HubContext, caller: Caller, body: Mapping[str, Any]) -> object:
    """Return the texts a path has had, oldest first, also after it was deleted.

    Raises:
        HubError: 404 for an unknown source or a path that never had a text.
    """
    with context.store.read() as session:
        source, head = _source_and_head(session, caller, body)
        versions = _versions(context, session, source, head, body)
    if not versions:
        raise HubError(404, "File not found")
    return with_array({"sourceId": source.id, "relativePath": head.path}, "versions", versions)


def _source_and_head(session: StoreSession, caller: Caller, body: Mapping[str, Any]) -> tuple[Source, Head]:
    source = source_of(session, caller, body["sourceId"])
    path = body["relativePath"]
    head = session.heads(source.number, [path]).get(path)
    if head is None:
        raise HubError(404, "File not found")
    return source, head


def _versions(
    context: HubContext, session: StoreSession, source: Source, head: Head, body: Mapping[str, Any]
) -> list[dict[str, object]] | Iterator[bytes]:
    found = session.versions(source.number, head.number, None if body.get("allVersions") else DEFAULT_VERSIONS)
    return records_with_texts(context, session, source, found, lambda version: (version.hash,), _version_view)


def _version_view(version: FileVersion, texts: Mapping[str, str]) -> dict[str, object]:
    return {
        "hash": version.hash,
        "origin": version.origin,
        "content": texts[version.hash],
        "recordedAt": timestamp(version.recorded_at),
    }
