"""Endpoints for folders."""

from __future__ import annotations

from agent.hub.answers import timestamp
from agent.hub.domain.drive_model import ROOT, FolderRow
from agent.hub.domain.source_folders import files_in, parent_path
from agent.hub.scaidrive.context import (
    DriveContext,
    ShareWriter,
    folder_number,
    present_folder,
    share_of,
    share_writer,
    source_of_id,
    with_folders,
)
from agent.hub.scaidrive.files import joined, name_taken
from agent.hub.scaidrive.request import DriveRefusal, DriveRequest, maybe_text, text
from agent.hub.scaidrive.wire import ROOT_ID, Shown, file_id, folder_id, folder_view


def create_folder(context: DriveContext, request: DriveRequest) -> object:
    """Create a folder.

    Raises:
        DriveRefusal: 409 if its name is taken.
    """
    fields = request.fields()
    name = text(fields, "name")
    with share_writer(context, request.caller, text(fields, "share_id")) as writer:
        parent = writer.folder_path(folder_number(writer.source, maybe_text(fields, "parent_id")))
        path = joined(parent, name)
        if writer.is_taken(path):
            raise name_taken()
        return folder_view(writer.source, writer.folders.create(path, writer.operation))


def read_folder(context: DriveContext, request: DriveRequest) -> object:
    """Show a folder.

    Raises:
        DriveRefusal: 404, 410 for a deleted one.
    """
    with context.store.read() as session:
        source, number = source_of_id(session, request.caller, "fld", request.ids[0])
        return folder_view(source, present_folder(session.folder(source.number, number)))


def children(context: DriveContext, request: DriveRequest) -> object:
    """List a folder: its folders, then its files, by name.

    Raises:
        DriveRefusal: 404, 410 for a deleted one.
    """
    source = with_folders(context, request.caller, request.parameter("share_id"))
    with context.store.read() as session:
        source = share_of(session, request.caller, source.id)
        number = folder_number(source, request.ids[0])
        path = "" if number == ROOT else present_folder(session.folder(source.number, number)).path
        items: list[Shown] = [
            {
                "id": folder_id(source.number, row.number),
                "name": row.path.rpartition("/")[2],
                "type": "folder",
                "modified_at": timestamp(row.modified_at),
            }
            for row in session.folders_in(source.number, number)
        ]
        items += [
            {
                "id": file_id(source.number, listed.head.identity),
                "name": listed.head.path.rpartition("/")[2],
                "type": "file",
                "size": listed.size,
                "mime_type": listed.head.content_type,
                "modified_at": timestamp(listed.head.synced_at),
            }
            for listed in files_in(session, source.number, path)
        ]
    return {"items": items, "path": f"/{path}", "total": len(items)}


def rename_folder(context: DriveContext, request: DriveRequest) -> object:
    """Give a folder another name. Everything below it moves, and each file has a change of its own."""
    name = text(request.fields(), "name")
    share, number = _place(context, request)
    with share_writer(context, request.caller, share) as writer:
        folder = present_folder(writer.folders.get(number))
        return folder_view(writer.source, moved_folder(writer, folder, joined(parent_path(folder.path), name)))


def move_folder(context: DriveContext, request: DriveRequest) -> object:
    """Move a folder with everything below it to another folder of its share."""
    fields = request.fields()
    share, number = _place(context, request)
    target, wanted = maybe_text(fields, "target_folder_id"), maybe_text(fields, "target_share_id")
    with share_writer(context, request.caller, share) as writer:
        if wanted is not None and wanted.lower() != writer.source.id:
            raise DriveRefusal(400, "This hub does not move folders between shares")
        folder = present_folder(writer.folders.get(number))
        above = writer.folder_path(folder_number(writer.source, target))
        return folder_view(writer.source, moved_folder(writer, folder, joined(above, folder.path.rpartition("/")[2])))


def moved_folder(writer: ShareWriter, folder: FolderRow, path: str) -> FolderRow:
    """Move a present folder to a path, and return it.

    Raises:
        DriveRefusal: 409 if something is at the path, or the path is below the folder.
    """
    if path == folder.path:
        return folder
    if path.startswith(f"{folder.path}/"):
        raise DriveRefusal(409, "A folder cannot be moved into itself")
    if writer.is_taken(path):
        raise name_taken()
    return writer.folders.move(folder, path, writer.operation)


def delete_folder(context: DriveContext, request: DriveRequest) -> object:
    """Delete a folder with everything below it. Versions remain, also with `permanent`."""
    request.flag("permanent")
    share, number = _place(context, request)
    with share_writer(context, request.caller, share) as writer:
        writer.folders.delete(present_folder(writer.folders.get(number)), writer.operation)
    return None


def _place(context: DriveContext, request: DriveRequest) -> tuple[str, int]:
    if request.ids[0] == ROOT_ID:
        raise DriveRefusal(400, "The root folder cannot be changed")
    with context.store.read() as session:
        source, number = source_of_id(session, request.caller, "fld", request.ids[0])
    return source.id, number
