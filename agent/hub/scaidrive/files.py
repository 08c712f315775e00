"""Endpoints for files: create, show, rename, move, delete, versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent.hub.domain.contents import ReceivedContent, received_content, row_of, type_of
from agent.hub.domain.model import Head, Source, VersionOrigin
from agent.hub.domain.ports import StoreSession
from agent.hub.domain.source_folders import ancestors, parent_path
from agent.hub.scaidrive.context import (
    DriveContext,
    ShareWriter,
    check_size,
    file_of,
    folder_number,
    present_file,
    share_of,
    share_writer,
    source_of_id,
    with_folders,
)
from agent.hub.scaidrive.forms import form_of
from agent.hub.scaidrive.paths import joined, name_taken
from agent.hub.scaidrive.request import DriveRefusal, DriveRequest, maybe_text, text
from agent.hub.scaidrive.share_moves import move_file_to_share
from agent.hub.scaidrive.wire import Shown, file_view, version_view

_Wanted = Callable[[ShareWriter, Head], str]


def put_content(
    context: DriveContext,
    writer: ShareWriter,
    path: str,
    content: ReceivedContent,
    mime_type: str | None,
) -> Head:
    """Make a content the head of a loaded path, with all its folders."""
    writer.folders.ensure(ancestors(path))
    return record_content(context, writer, path, content, mime_type)


def record_content(
    context: DriveContext,
    writer: ShareWriter,
    path: str,
    content: ReceivedContent,
    mime_type: str | None,
) -> Head:
    """Make a content the head of a loaded path whose folders have rows."""
    row = row_of(context.blobs, writer.session, writer.source.workspace_number, content)
    if row is not None:
        writer.transaction.add_content(content.hash, row)
    elif content.upload is not None:
        writer.unused.append(content.upload)
    return writer.transaction.upsert(
        path,
        content.hash,
        VersionOrigin.CONNECTOR,
        writer.operation,
        content_type=type_of(path, mime_type, hidden=content.hidden),
        hidden=content.hidden,
        detail={"by": writer.by},
    )


def create_file(context: DriveContext, request: DriveRequest) -> object:
    """Create a file from a form.

    Raises:
        DriveRefusal: 409 if its name is taken.
    """
    form = form_of(request)
    check_size(context, len(form.content))
    content = received_content(context.blobs, context.new_id, form.content)
    try:
        with share_writer(context, request.caller, text(form.fields, "share_id")) as writer:
            folder = writer.folder_path(folder_number(writer.source, maybe_text(form.fields, "folder_id")))
            path = joined(folder, maybe_text(form.fields, "name") or form.name)
            if writer.is_taken(path):
                raise name_taken()
            head = put_content(context, writer, path, content, maybe_text(form.fields, "mime_type"))
            number = writer.folders.at([folder])[folder].number if folder else 0
    except BaseException:
        if content.upload is not None:
            context.blobs.discard([content.upload])
        raise
    authors = {head.identity: (writer.now, request.caller.user)}
    return file_view(writer.source, head, number, content.size, authors)


def read_file(context: DriveContext, request: DriveRequest) -> object:
    """Show a file.

    Raises:
        DriveRefusal: 404, 410 for a deleted one.
    """
    with context.store.read() as session:
        source, _ = present_file(session, request.caller, request.ids[0])
    with_folders(context, request.caller, source.id)
    with context.store.read() as session:
        return shown_file(session, *present_file(session, request.caller, request.ids[0]))


def shown_file(session: StoreSession, source: Source, head: Head) -> Shown:
    """Return a present file in wire form."""
    folder = parent_path(head.path)
    row = session.folders_at(source.number, [folder]).get(folder) if folder else None
    size = session.known_content(source.workspace_number, head.hash or "") or 0
    authors: Mapping[int, tuple[int, str | None]] = session.event_authors(source.number, {head.identity, head.revision})
    return file_view(source, head, 0 if row is None else row.number, size, authors)


def list_versions(context: DriveContext, request: DriveRequest) -> object:
    """List every content a file has had, newest first, also after it was deleted."""
    with context.store.read() as session:
        source, head = file_of(session, request.caller, request.ids[0])
        versions = session.drive_versions(source.number, head.identity)
    return {"versions": [version_view(source, each) for each in reversed(versions)], "total": len(versions)}


def rename_file(context: DriveContext, request: DriveRequest) -> object:
    """Give a file another name in its folder."""
    name = text(request.fields(), "name")
    return _moved(context, request, lambda writer, head: joined(parent_path(head.path), name))


def move_file(context: DriveContext, request: DriveRequest) -> object:
    """Move a file to another folder of its share, or to another share, where it gets a new id."""
    fields = request.fields()
    target, share = maybe_text(fields, "target_folder_id"), maybe_text(fields, "target_share_id")
    with context.store.read() as session:
        source, identity = source_of_id(session, request.caller, "fil", request.ids[0])
    if share is not None and share.lower() != source.id:
        place = source.id, identity
        made = move_file_to_share(context, request.caller, place, (share.lower(), target))
        with context.store.read() as session:
            return shown_file(session, share_of(session, request.caller, share), made)

    def wanted(writer: ShareWriter, head: Head) -> str:
        folder = writer.folder_path(folder_number(writer.source, target))
        return joined(folder, head.path.rpartition("/")[2])

    return _moved(context, request, wanted)


def _moved(context: DriveContext, request: DriveRequest, wanted: _Wanted) -> object:
    with context.store.read() as session:
        source, identity = source_of_id(session, request.caller, "fil", request.ids[0])
    with share_writer(context, request.caller, source.id) as writer:
        head = writer.head(identity)
        if head is None:
            raise DriveRefusal(410, "The file was deleted")
        path = wanted(writer, head)
        if path != head.path:
            if writer.is_taken(path):
                raise name_taken()
            writer.folders.ensure(ancestors(path))
            writer.transaction.move(head.path, path, writer.operation, {"by": writer.by})
    return read_file(context, request)


def delete_file(context: DriveContext, request: DriveRequest) -> object:
    """Delete a file. Its versions remain, also with `permanent`: this hub never removes a content."""
    request.flag("permanent")
    with context.store.read() as session:
        source, identity = source_of_id(session, request.caller, "fil", request.ids[0])
    with share_writer(context, request.caller, source.id) as writer:
        head = writer.head(identity)
        if head is None:
            raise DriveRefusal(410, "The file was deleted")
        writer.transaction.delete(head.path, writer.operation, detail={"by": writer.by})
    return None
