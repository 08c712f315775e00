"""Batches of small files: many are created in one transaction, or read in one request.

ScaiDrive's documentation has neither. The hub states in ``users/me`` that it takes them. A client that does not know
them uses the documented endpoints.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from agent.hub.domain.contents import ReceivedContent, small_content
from agent.hub.domain.drive_model import INLINE_BYTES, DriveVersion
from agent.hub.domain.model import Head, Source
from agent.hub.domain.ports import StoreSession
from agent.hub.domain.source_folders import ancestors
from agent.hub.domain.text import path_fault
from agent.hub.scaidrive.context import BATCH_BYTES, DriveContext, ShareWriter, share_of, share_writer
from agent.hub.scaidrive.files import record_content
from agent.hub.scaidrive.request import (
    DriveRequest,
    Fields,
    maybe_integer,
    maybe_text,
    text,
    wrong_field,
)
from agent.hub.scaidrive.wire import Shown, file_id, parsed_id, version_id, version_view

BATCH_BODY: Final = 2 * BATCH_BYTES
"""Bytes of the largest body of a batch: its contents are a third longer in Base64, and each has a path."""
_TAKEN: Final = "A file or folder of this name exists already"


class BatchRefusal(Struct, frozen=True):
    """The reason one file of a batch is refused, with the status that its own request would have had."""

    status: int
    detail: str


class BatchFile(Struct, frozen=True):
    """One new file of a batch, ready to be recorded."""

    path: str
    content: ReceivedContent


def create_files(context: DriveContext, request: DriveRequest) -> object:
    """Create small files with the folders above them, in one transaction. Each file has a status of its own.

    Raises:
        DriveRefusal: 404 for an unknown share, 413 for too many bytes, 422 for a wrong field.
    """
    fields = request.fields()
    share = text(fields, "share_id")
    files = [_new_file(context, row) for row in _rows(context, fields)]
    with share_writer(context, request.caller, share) as writer:
        shown = _recorded(context, writer, files)
    return {"files": shown}


def _rows(context: DriveContext, fields: Fields) -> list[Mapping[str, Any]]:
    rows = fields.get("files")
    if not isinstance(rows, list) or len(rows) > context.batch_files or not all(isinstance(row, dict) for row in rows):
        reason = f"Input should be a list of at most {context.batch_files} objects"
        raise wrong_field("body", "files", reason, "list_type")
    return rows


def _new_file(context: DriveContext, row: Mapping[str, Any]) -> BatchFile | BatchRefusal:
    path = text(row, "path", None).removeprefix("/")
    fault = path_fault(path)
    if fault is not None:
        return BatchRefusal(422, fault.removeprefix("relativePath "))
    encoded = row.get("content")
    if not isinstance(encoded, str):
        raise wrong_field("body", "content", "Input should be a valid string", "string_type")
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise wrong_field("body", "content", "Input should be Base64") from None
    if len(data) > min(INLINE_BYTES, context.largest_file):
        return BatchRefusal(413, "The file is too large for a batch")
    content = small_content(data)
    if maybe_text(row, "checksum_sha256") not in (None, content.hash):
        return BatchRefusal(400, "The content does not have the promised checksum_sha256")
    return BatchFile(path, content)


def _recorded(context: DriveContext, writer: ShareWriter, files: list[BatchFile | BatchRefusal]) -> list[Shown]:
    """Record the files whose places are free; return the answer for each."""
    paths = {file.path for file in files if isinstance(file, BatchFile)}
    above = {path: tuple(ancestors(path)) for path in paths}
    writer.transaction.load_heads(paths.union(*above.values()))
    folders = set(writer.folders.at(paths))
    judged: list[BatchFile | BatchRefusal] = []
    made: set[str] = set()
    for file in files:
        if isinstance(file, BatchFile):
            # No place may be a file and a folder, or two files. What this batch makes counts too.
            inside_file = any(each in made or writer.transaction.head(each) is not None for each in above[file.path])
            is_taken = file.path in folders or file.path in made or writer.transaction.head(file.path) is not None
            if inside_file or is_taken:
                judged.append(BatchRefusal(409, _TAKEN))
                continue
            made.add(file.path)
            folders.update(above[file.path])
        judged.append(file)
    writer.folders.ensure({folder for path in made for folder in above[path]})
    return [_created(context, writer, file) for file in judged]


def _created(context: DriveContext, writer: ShareWriter, file: BatchFile | BatchRefusal) -> Shown:
    if isinstance(file, BatchRefusal):
        return {"status": file.status, "detail": file.detail}
    head = record_content(context, writer, file.path, file.content, None)
    source = writer.source.number
    return {
        "status": 201,
        "file_id": file_id(source, head.identity),
        "version_id": version_id(source, head.revision),
        "path": f"/{head.path}",
        "checksum_sha256": head.hash,
    }


class _Wanted(Struct, frozen=True):
    """One file of a batch to read: the number of its version, and the hash of a content that the client has."""

    name: str
    identity: int | None
    version: int | None
    known: str | None


def read_files(context: DriveContext, request: DriveRequest) -> object:
    """Return the newest version and the content of several files.

    The version is null for a file that is not there, or whose newest version is another than requested. The content is
    null if the client has it, if it is not stored in its row, or if the answer would be too large.

    Raises:
        DriveRefusal: 404 for an unknown share, 422 for a wrong field.
    """
    fields = request.fields()
    with context.store.read() as session:
        source = share_of(session, request.caller, text(fields, "share_id"))
        wanted = [_wanted(source, row) for row in _rows(context, fields)]
        heads = session.present_heads(source.number, {each.identity for each in wanted if each.identity is not None})
        versions = _newest(session, source, heads)
        given = _given(wanted, versions)
        found = [_fits(each, versions) for each in wanted]
        hashes = {version.hash for place, version in enumerate(found) if version is not None and place in given}
        contents = session.contents_in_rows(source.workspace_number, hashes)
    rows = zip(wanted, found, strict=True)
    return {
        "files": [
            _shown(source, each, version, contents.get(version.hash) if version and place in given else None)
            for place, (each, version) in enumerate(rows)
        ]
    }


def _wanted(source: Source, row: Mapping[str, Any]) -> _Wanted:
    name = text(row, "file_id", None)
    numbers = parsed_id("fil", name)
    identity = numbers[1] if numbers is not None and numbers[0] == source.number else None
    return _Wanted(name, identity, maybe_integer(row, "version", 1), maybe_text(row, "known_sha256"))


def _newest(session: StoreSession, source: Source, heads: Mapping[int, Head]) -> dict[int, DriveVersion]:
    sizes = session.content_sizes(source.workspace_number, {head.hash for head in heads.values() if head.hash})
    authors = session.event_authors(source.number, {head.revision for head in heads.values()})
    found: dict[int, DriveVersion] = {}
    for identity, head in heads.items():
        at, by = authors.get(head.revision, (head.synced_at, None))
        assert head.hash is not None
        found[identity] = DriveVersion(head.revision, head.version, head.hash, sizes[head.hash], at, by, head.hidden)
    return found


def _fits(wanted: _Wanted, versions: Mapping[int, DriveVersion]) -> DriveVersion | None:
    found = None if wanted.identity is None else versions.get(wanted.identity)
    return found if found is not None and wanted.version in (None, found.number) else None


def _given(wanted: list[_Wanted], versions: Mapping[int, DriveVersion]) -> set[int]:
    """Return the places in the request of those files whose content the client lacks, as many as one answer holds."""
    given: set[int] = set()
    room = BATCH_BYTES
    for place, each in enumerate(wanted):
        version = _fits(each, versions)
        if version is not None and version.hash != each.known and version.size <= min(room, INLINE_BYTES):
            room -= version.size
            given.add(place)
    return given


def _shown(source: Source, wanted: _Wanted, version: DriveVersion | None, content: bytes | None) -> Shown:
    return {
        "file_id": wanted.name,
        "version": None if version is None else version_view(source, version),
        "content": None if content is None else base64.b64encode(content).decode(),
    }
