"""Versions that a client uploaded and `apply` or `resolve` makes the head."""

from __future__ import annotations

from msgspec import Struct

from agent.hub.domain.contents import type_of
from agent.hub.domain.model import Head, VersionOrigin
from agent.hub.domain.siblings import free_sibling
from agent.hub.domain.source_folders import ancestors
from agent.hub.scaidrive.context import DriveContext, ShareWriter
from agent.hub.scaidrive.request import not_found
from agent.hub.scaidrive.uploads import is_published, published
from agent.hub.scaidrive.wire import parsed_id, upload_of_version


class ClientVersion(Struct, frozen=True):
    """A recorded content that a client wants to be the head.

    Attributes:
        upload: the upload that brought it, None for an earlier version of the file.
        revision: cursor of the version, None if it was never the head.
    """

    hash: str
    size: int
    hidden: bool
    mime_type: str | None
    upload: str | None
    revision: int | None


def client_version(
    context: DriveContext, writer: ShareWriter, identity: int | None, version: str | None
) -> ClientVersion | None:
    """Return the version with an id of the wire, None for no id.

    Raises:
        DriveRefusal: 404 if the id is not that of an uploaded or earlier version of the file.
    """
    if version is None:
        return None
    assert identity is not None
    upload = upload_of_version(version)
    if upload is not None:
        return _uploaded(writer, identity, upload)
    numbers = parsed_id("ver", version)
    found = (
        None
        if numbers is None or numbers[0] != writer.source.number
        else next(
            (each for each in writer.session.drive_versions(numbers[0], identity) if each.cursor == numbers[1]), None
        )
    )
    if found is None:
        raise not_found("Version")
    return ClientVersion(found.hash, found.size, found.hidden, None, None, found.cursor)


def _uploaded(writer: ShareWriter, identity: int, upload: str) -> ClientVersion:
    found = writer.session.upload(writer.source.workspace, writer.by, upload)
    if found is None or found.result is None or (found.source, found.replaces) != (writer.source.number, identity):
        raise not_found("Version")
    hash_ = str(found.result["checksum_sha256"])
    numbers = parsed_id("ver", str(found.result["version_id"])) if is_published(dict(found.result)) else None
    return uploaded_version(writer, hash_, found.mime_type, upload, None if numbers is None else numbers[1])


def uploaded_version(
    writer: ShareWriter, hash_: str, mime_type: str | None, upload: str, revision: int | None
) -> ClientVersion:
    """Return the version that an upload brought."""
    size = writer.session.known_content(writer.source.workspace_number, hash_)
    if size is None:
        raise not_found("Version")
    hidden = writer.session.is_hidden_content(writer.source.workspace_number, hash_)
    return ClientVersion(hash_, size, hidden, mime_type, upload, revision)


def publish(context: DriveContext, writer: ShareWriter, path: str, client: ClientVersion) -> Head:
    """Make a recorded content the head of a loaded path. The content that it replaces stays among the versions."""
    writer.folders.ensure(ancestors(path))
    head = writer.transaction.upsert(
        path,
        client.hash,
        VersionOrigin.CONNECTOR,
        writer.operation,
        content_type=type_of(path, client.mime_type, hidden=client.hidden),
        hidden=client.hidden,
        detail={"by": writer.by},
    )
    if client.upload is not None:
        known = writer.session.upload(writer.source.workspace, writer.by, client.upload)
        if known is not None and known.result is not None:
            # A client that lost the answer of `apply` finds the version by its upload.
            result = published(dict(known.result), writer.source.number, head.revision)
            writer.session.finish_upload(client.upload, result, writer.now)
    return head


def publish_beside(context: DriveContext, writer: ShareWriter, path: str, client: ClientVersion) -> Head:
    """Make a recorded content a new file beside a path."""
    wanted = free_sibling(path, writer.now, lambda each: not writer.is_taken(each))
    return publish(context, writer, wanted, client)
