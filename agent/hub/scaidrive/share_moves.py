"""Moves of files and folders to another share of the workspace.

A log belongs to one share. So a move is a new file in one share and a deleted one in the other, in one transaction.
The new file has a new id. The versions of before remain with the old id, as those of a deleted file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from agent.hub.domain.drive_model import FolderRow
from agent.hub.domain.model import Caller, Head, VersionOrigin
from agent.hub.domain.ports import Growth
from agent.hub.domain.source_folders import ancestors, files_below
from agent.hub.domain.source_transaction import SourceTransaction
from agent.hub.scaidrive.context import DriveContext, ShareWriter, folder_number, present_folder, writer_of
from agent.hub.scaidrive.paths import joined, name_taken
from agent.hub.scaidrive.request import DriveRefusal, not_found


@contextmanager
def two_share_writers(
    context: DriveContext, caller: Caller, share: str, target: str
) -> Iterator[tuple[ShareWriter, ShareWriter]]:
    """Open one transaction on two locked shares. It is written at the end of the block, and announced once durable.

    Raises:
        DriveRefusal: 404 for an unknown share, 403 while one of them is paused.
    """
    with context.store.write(Growth.CONTENT) as session:
        transactions = {}
        # In one order, so that two moves in opposite directions do not wait for each other.
        for id_ in sorted((share, target)):
            locked = session.locked_source(caller.workspace, id_)
            if locked is None:
                raise not_found("Share")
            transactions[id_] = SourceTransaction(session, locked, context.clock(), context.new_id)
        writers = {id_: writer_of(context, caller, session, each) for id_, each in transactions.items()}
        yield writers[share], writers[target]
        for writer in writers.values():
            writer.folders.flush()
            writer.transaction.flush()
    for writer in writers.values():
        if writer.transaction.cursor != writer.source.last_cursor:
            context.committed(writer.source.id)


def move_file_to_share(
    context: DriveContext, caller: Caller, place: tuple[str, int], target: tuple[str, str | None]
) -> Head:
    """Move a present file, and return the new one.

    Args:
        place: the file's share and identity.
        target: the other share, and the id of its folder; None for the root.

    Raises:
        DriveRefusal: 404 for an unknown share or folder, 409 if the name is taken there, 410 for a deleted file.
    """
    with two_share_writers(context, caller, place[0], target[0]) as (source, into):
        head = source.head(place[1])
        if head is None:
            raise DriveRefusal(410, "The file was deleted")
        path = _free_path(into, target[1], head.path)
        into.folders.ensure(ancestors(path))
        made = _copied(into, head, path)
        source.transaction.delete(head.path, source.operation, detail={"by": source.by})
        return made


def move_folder_to_share(
    context: DriveContext, caller: Caller, place: tuple[str, int], target: tuple[str, str | None]
) -> FolderRow:
    """Move a present folder with everything below it, and return the new one.

    Args:
        place: the folder's share and number.
        target: the other share, and the id of its folder; None for the root.

    Raises:
        DriveRefusal: as for a file.
    """
    with two_share_writers(context, caller, place[0], target[0]) as (source, into):
        folder = present_folder(source.folders.get(place[1]))
        path = _free_path(into, target[1], folder.path)
        made = into.folders.create(path, into.operation)
        for row in sorted(source.session.folders_below(source.source.number, folder.path), key=lambda each: each.path):
            into.folders.create(path + row.path[len(folder.path) :], into.operation)
        heads = [listed.head for listed in files_below(source.session, source.source.number, folder.path)]
        into.transaction.load_heads(path + head.path[len(folder.path) :] for head in heads)
        for head in heads:
            _copied(into, head, path + head.path[len(folder.path) :])
        source.folders.delete(folder, source.operation)
        return made


def _free_path(into: ShareWriter, folder: str | None, path: str) -> str:
    wanted = joined(into.folder_path(folder_number(into.source, folder)), path.rpartition("/")[2])
    if into.is_taken(wanted):
        raise name_taken()
    return wanted


def _copied(into: ShareWriter, head: Head, path: str) -> Head:
    assert head.hash is not None
    return into.transaction.upsert(
        path,
        head.hash,
        VersionOrigin.CONNECTOR,
        into.operation,
        content_type=head.content_type,
        hidden=head.hidden,
        detail={"by": into.by},
    )
