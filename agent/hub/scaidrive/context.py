"""Dependencies of the drive face's endpoints, look-ups by id, and the transaction that changes a share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from agent.hub.domain.drive_model import ROOT, Device, FolderRow
from agent.hub.domain.drive_ports import Blobs
from agent.hub.domain.locked_source import UnknownSource, locked_source
from agent.hub.domain.model import Caller, Clock, Head, NewId, Source, SourceStatus
from agent.hub.domain.ports import Growth, Store, StoreSession
from agent.hub.domain.source_folders import SourceFolders
from agent.hub.domain.source_transaction import SourceTransaction
from agent.hub.scaidrive.request import DriveRefusal, not_found
from agent.hub.scaidrive.wire import ROOT_ID, parsed_id

DEFAULT_CHUNK: Final = 4_194_304
LARGEST_FILE: Final = 2**42
"""Bytes of the largest file, 4 TiB."""

BATCH_FILES: Final = 500
BATCH_BYTES: Final = 4_194_304
"""Bytes of the contents in one batch."""


@dataclass(frozen=True, slots=True)
class DriveContext:
    """Dependencies of the endpoints.

    Attributes:
        committed: called with a source's id after a transaction that added events to it is durable.
        preference_changed: called with user, device and source after a preference was written.
        chunk_size: bytes of a chunk of an upload if the client asks for no size.
        largest_file: bytes of the largest file that is taken.
        batch_files: files of the largest batch; 0: the hub takes and gives files one by one only.
    """

    store: Store
    blobs: Blobs
    clock: Clock
    new_id: NewId
    committed: Callable[[str], None]
    preference_changed: Callable[[Caller, str, str], None]
    chunk_size: int = DEFAULT_CHUNK
    largest_file: int = LARGEST_FILE
    batch_files: int = BATCH_FILES


@dataclass(frozen=True, slots=True)
class ShareWriter:
    """A locked share: its transaction and its folders.

    Attributes:
        unused: uploads whose content was known already. Their bytes are removed after the commit.
    """

    session: StoreSession
    source: Source
    transaction: SourceTransaction
    folders: SourceFolders
    by: str
    operation: str
    now: int
    unused: list[str] = field(default_factory=list)

    def head(self, identity: int) -> Head | None:
        """Return the head of a file, None if it is absent.

        Raises:
            DriveRefusal: 404 if there was never such a file.
        """
        path = self.path_of(identity)
        self.transaction.load_heads([path])
        found = self.transaction.head(path)
        return found if found is not None and found.identity == identity else None

    def path_of(self, identity: int) -> str:
        """Return the path where a file is, or was last.

        Raises:
            DriveRefusal: 404 if there was never such a file.
        """
        moved = self.transaction.moved.get(identity)
        if moved is not None:
            return moved
        known = self.session.head_by_identity(self.source.number, identity)
        if known is None:
            raise not_found("File")
        return known.path

    def is_taken(self, path: str) -> bool:
        """Return True if a file or a folder is at a path."""
        self.transaction.load_heads([path])
        return self.transaction.head(path) is not None or path in self.folders.at([path])

    def folder_path(self, number: int) -> str:
        """Return the path of a present folder.

        Raises:
            DriveRefusal: 404 for an unknown folder, 410 for a deleted one.
        """
        return "" if number == ROOT else present_folder(self.folders.get(number)).path


def writer_of(
    context: DriveContext, caller: Caller, session: StoreSession, transaction: SourceTransaction
) -> ShareWriter:
    """Return the writer of a locked share.

    Raises:
        DriveRefusal: 403 while the share is paused.
    """
    source = transaction.source
    if source.status is not SourceStatus.ACTIVE:
        raise DriveRefusal(403, f"The share is {source.status.value}")
    now = context.clock()
    folders = SourceFolders(session, transaction, caller.user, now)
    folders.load()
    operation = f"drive-{caller.user}-{context.new_id()}"
    return ShareWriter(session, source, transaction, folders, caller.user, operation, now)


@contextmanager
def share_writer(
    context: DriveContext, caller: Caller, share: str, growth: Growth = Growth.CONTENT
) -> Iterator[ShareWriter]:
    """Open one transaction on one locked share. It is written at the end of the block, and announced once durable.

    Raises:
        DriveRefusal: 404 for an unknown share, 403 while it is paused.
    """
    try:
        with locked_source(context, caller.workspace, share.lower(), growth) as (session, transaction):
            writer = writer_of(context, caller, session, transaction)
            yield writer
            writer.folders.flush()
    except UnknownSource:
        raise not_found("Share") from None
    if writer.unused:
        context.blobs.discard(writer.unused)


def check_size(context: DriveContext, size: int) -> None:
    """Refuse a file that is too large.

    Raises:
        DriveRefusal: 413.
    """
    if size > context.largest_file:
        message = f"The file is larger than the {context.largest_file} bytes that this hub takes"
        raise DriveRefusal(413, message, "PAYLOAD_TOO_LARGE")


def share_of(session: StoreSession, caller: Caller, share: str) -> Source:
    """Return a share of the caller's workspace.

    Raises:
        DriveRefusal: 404, the same for an unknown share and for one of another workspace.
    """
    found = session.source(caller.workspace, share.lower())
    if found is None:
        raise not_found("Share")
    return found


def device_of(session: StoreSession, caller: Caller, device: str) -> Device:
    """Return a device of the caller.

    Raises:
        DriveRefusal: 404.
    """
    found = session.device(caller.workspace, caller.user, device)
    if found is None:
        raise not_found("Device")
    return found


def source_of_id(session: StoreSession, caller: Caller, kind: str, text: str) -> tuple[Source, int]:
    """Return the share and the number that the id of a file or a folder names.

    Raises:
        DriveRefusal: 404.
    """
    thing = "File" if kind == "fil" else "Folder"
    numbers = parsed_id(kind, text)
    source = None if numbers is None else session.source_by_number(caller.workspace, numbers[0])
    if numbers is None or source is None:
        raise not_found(thing)
    return source, numbers[1]


def file_of(session: StoreSession, caller: Caller, text: str) -> tuple[Source, Head]:
    """Return a file, present or deleted.

    Raises:
        DriveRefusal: 404.
    """
    source, identity = source_of_id(session, caller, "fil", text)
    head = session.head_by_identity(source.number, identity)
    if head is None:
        raise not_found("File")
    return source, head


def present_file(session: StoreSession, caller: Caller, text: str) -> tuple[Source, Head]:
    """Return a present file.

    Raises:
        DriveRefusal: 404 for an unknown file, 410 for a deleted one.
    """
    source, head = file_of(session, caller, text)
    if head.hash is None:
        raise DriveRefusal(410, "The file was deleted")
    return source, head


def present_folder(folder: FolderRow | None) -> FolderRow:
    """Return a folder that is there.

    Raises:
        DriveRefusal: 404 for None, 410 for a deleted one.
    """
    if folder is None:
        raise not_found("Folder")
    if folder.deleted_at is not None:
        raise DriveRefusal(410, "The folder was deleted")
    return folder


def folder_number(source: Source, text: str | None) -> int:
    """Return the number in the id of a folder of this share; no id is the root.

    Raises:
        DriveRefusal: 404.
    """
    if text is None or text == ROOT_ID:
        return ROOT
    numbers = parsed_id("fld", text)
    if numbers is None or numbers[0] != source.number:
        raise not_found("Folder")
    return numbers[1]


def with_folders(context: DriveContext, caller: Caller, share: str) -> Source:
    """Return a share after every folder of its files has a row.

    Raises:
        DriveRefusal: 404.
    """
    with context.store.read() as session:
        source = share_of(session, caller, share)
    if source.folders_cursor >= source.last_cursor:
        return source
    with context.store.write(Growth.SMALL) as session:
        locked = session.locked_source(caller.workspace, source.id)
        if locked is None:
            raise not_found("Share")
        transaction = SourceTransaction(session, locked, context.clock(), context.new_id)
        folders = SourceFolders(session, transaction, locked.created_by, context.clock())
        folders.load()
        folders.flush()
        return transaction.flush()
