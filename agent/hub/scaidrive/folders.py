"""Endpoints for folders."""

from __future__ import annotations

from agent.hub.answers import timestamp
from agent.hub.domain.drive_model import ROOT, FolderRow
from agent.hub.domain.model import Head, Source
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
from agent.hub.scaidrive.paths import joined, name_taken
from agent.hub.scaidrive.request import DriveRefusal, DriveRequest, maybe_text, text
from agent.hub.scaidrive.share_moves import move_folder_to_share
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
    """List a folder: its folders, then its files, by name; with `include_deleted` the deleted ones too.

    Raises:
        DriveRefusal: 404, 410 for a deleted one.
    """
    deleted = request.flag("include_deleted")
    source = with_folders(context, request.caller, request.parameter("share_id"))
    with context.store.read() as session:
        source = share_of(session, request.caller, source.id)
        number = folder_number(source, request.ids[0])
        row = None if number == ROOT else session.folder(source.number, number)
        path = "" if number == ROOT else (row if deleted and row is not None else present_folder(row)).path
        items = [_folder_item(source, each) for each in session.folders_in(source.number, number, deleted=deleted)]
        items += [_file_item(source, each.head, each.size) for each in files_in(session, source.number, path)]
        if deleted:
            gone = session.deleted_files_in(source.number, path)
            items += [_file_item(source, head, None) for head in gone]
    return {"items": items, "path": f"/{path}", "total": len(items)}


def _folder_item(source: Source, row: FolderRow) -> Shown:
    return {
        "id": folder_id(source.number, row.number),
        "name": row.path.rpartition("/")[2],
        "type": "folder",
        "modified_at": timestamp(row.modified_at),
        "is_deleted": row.deleted_at is not None,
    }


def _file_item(source: Source, head: Head, size: int | None) -> Shown:
    return {
        "id": file_id(source.number, head.identity),
        "name": head.path.rpartition("/")[2],
        "type": "file",
        "mime_type": head.content_type,
        "modified_at": timestamp(head.synced_at),
        "is_deleted": head.hash is None,
    } | ({} if size is None else {"size": size})


def rename_folder(context: DriveContext, request: DriveRequest) -> object:
    """Give a folder another name. Everything below it moves, and each file has a change of its own."""
    name = text(request.fields(), "name")
    share, number = _place(context, request)
    with share_writer(context, request.caller, share) as writer:
        folder = present_folder(writer.folders.get(number))
        return folder_view(writer.source, moved_folder(writer, folder, joined(parent_path(folder.path), name)))


def move_folder(context: DriveContext, request: DriveRequest) -> object:
    """Move a folder with everything below it to another folder of its share, or to another share with new ids."""
    fields = request.fields()
    share, number = _place(context, request)
    target, wanted = maybe_text(fields, "target_folder_id"), maybe_text(fields, "target_share_id")
    if wanted is not None and wanted.lower() != share:
        made = move_folder_to_share(context, request.caller, (share, number), (wanted.lower(), target))
        with context.store.read() as session:
            return folder_view(share_of(session, request.caller, wanted), made)
    with share_writer(context, request.caller, share) as writer:
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
