"""`apply`: each change of a device is compared with the present version under the share's lock.

A change that was made on another version than the present one is a conflict. The resolution of the request decides
about it: `MANUAL` opens it, the others settle it at once and record how.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import groupby
from typing import Any, Final

from msgspec import Struct

from agent.hub.domain.drive_model import FolderRow, VersionConflict
from agent.hub.domain.listed_conflicts import announce_opened
from agent.hub.domain.model import Head
from agent.hub.domain.source_folders import ancestors
from agent.hub.domain.text import path_fault
from agent.hub.scaidrive.context import (
    DriveContext,
    ShareWriter,
    device_of,
    share_of,
    share_writer,
)
from agent.hub.scaidrive.folders import moved_folder
from agent.hub.scaidrive.publishing import ClientVersion, client_version, publish, publish_beside
from agent.hub.scaidrive.request import (
    DriveRefusal,
    DriveRequest,
    choice,
    maybe_text,
    not_found,
    text,
    wrong_field,
)
from agent.hub.scaidrive.wire import Shown, conflict_view, folder_id, parsed_id, version_id

MAX_CHANGES: Final = 1000


class ConflictRule(StrEnum):
    """Rules for a conflict, in the words of the wire."""

    LAST_WRITER_WINS = "LAST_WRITER_WINS"
    KEEP_BOTH = "KEEP_BOTH"
    SERVER_WINS = "SERVER_WINS"
    CLIENT_WINS = "CLIENT_WINS"
    MANUAL = "MANUAL"


CLIENT_PREVAILS: Final = frozenset({ConflictRule.LAST_WRITER_WINS, ConflictRule.CLIENT_WINS})
_FILE_CHANGES: Final = ("created", "updated", "deleted", "moved", "renamed")
_DETAILS: Final = ("checksum_sha256", "size")


class DeviceChange(Struct, frozen=True):
    """One change of a device.

    Attributes:
        resource: identity of the file or number of the folder, None for a folder to create.
        version: id of the version that the client uploaded.
        base: id of the version that the change was made on.
        path: path afterwards, without the leading slash.
    """

    is_folder: bool
    change: str
    resource: int | None
    version: str | None
    base: str | None
    path: str | None
    metadata: Mapping[str, object]


class ChangeApplied(Struct, frozen=True):
    """A change that took effect, or that had taken effect before."""

    resource: str | None
    version: str | None


def apply(context: DriveContext, request: DriveRequest) -> object:
    """Apply changes of a device in order. A folder's change is a transaction of its own.

    Raises:
        DriveRefusal: 404 for an unknown share, device, file or version; 410 for a deleted one; 422 for a wrong field.
    """
    fields = request.fields()
    word = maybe_text(fields, "conflict_resolution") or ConflictRule.LAST_WRITER_WINS
    rule = ConflictRule(choice("body", "conflict_resolution", word, list(ConflictRule)))
    device = text(fields, "device_id")
    with context.store.read() as session:
        source = share_of(session, request.caller, text(fields, "share_id"))
        device_of(session, request.caller, device)
    raw = fields.get("changes")
    if not isinstance(raw, list) or len(raw) > MAX_CHANGES or not all(isinstance(row, dict) for row in raw):
        raise wrong_field("body", "changes", f"Input should be a list of at most {MAX_CHANGES} objects", "list_type")
    changes = [_change(source.number, row) for row in raw]
    applied: list[Shown] = []
    conflicts: list[Shown] = []
    cursor = source.last_cursor
    for is_folder, group in groupby(changes, key=lambda change: change.is_folder):
        for part in ([change] for change in group) if is_folder else (list(group),):
            with share_writer(context, request.caller, source.id) as writer:
                applier = ChangeApplier(context, writer, device, rule)
                for change in part:
                    for found in applier.apply(change):
                        if isinstance(found, VersionConflict):
                            conflicts.append(conflict_view(source, found))
                        else:
                            number = len(applied)
                            applied.append(
                                {
                                    "resource_id": found.resource,
                                    "version_id": found.version,
                                    "change_id": f"{writer.operation}-{number}",
                                }
                            )
                cursor = writer.transaction.cursor
    return {"applied": applied, "conflicts": conflicts, "cursor": cursor}


def _change(source: int, row: Mapping[str, Any]) -> DeviceChange:
    kind = choice("body", "resource_type", text(row, "resource_type"), ("file", "folder"))
    change = choice("body", "change_type", text(row, "change_type"), _FILE_CHANGES)
    is_folder = kind == "folder"
    is_new_folder = is_folder and change == "created"
    named = maybe_text(row, "resource_id", None) if is_new_folder else text(row, "resource_id", None)
    numbers = None if named is None else parsed_id("fld" if is_folder else "fil", named)
    if not is_new_folder and (numbers is None or numbers[0] != source):
        raise not_found(kind.title())
    path = maybe_text(row, "new_path", None)
    if path is None and (is_new_folder or change in ("moved", "renamed")):
        raise wrong_field("body", "new_path", "Field required", "missing")
    plain = None if path is None else path.removeprefix("/")
    fault = None if plain is None else path_fault(plain)
    if fault is not None:
        raise wrong_field("body", "new_path", fault.removeprefix("relativePath "))
    extra = row.get("metadata")
    details = {key: extra[key] for key in _DETAILS if key in extra} if isinstance(extra, dict) else {}
    return DeviceChange(
        is_folder,
        change,
        numbers[1] if numbers is not None and not is_new_folder else None,
        maybe_text(row, "version_id"),
        maybe_text(row, "base_version_id"),
        plain,
        details,
    )


class ChangeApplier:
    """Applies changes of one device to one locked share.

    Args:
        rule: decides about conflicts.
    """

    def __init__(self, context: DriveContext, writer: ShareWriter, device: str, rule: ConflictRule) -> None:
        self._context = context
        self._writer = writer
        self._device = device
        self._rule = rule

    def apply(self, change: DeviceChange) -> Iterator[ChangeApplied | VersionConflict]:
        """Apply one change. Yields what took effect, and the conflict, if there was one."""
        if change.is_folder:
            yield from self._folder(change)
            return
        assert change.resource is not None
        head = self._writer.head(change.resource)
        if change.change == "created":
            if head is None:
                raise DriveRefusal(410, "The file was deleted")
            yield self._applied(head)
        elif change.change == "updated":
            yield from self._update(change, head)
        elif change.change == "deleted":
            yield from self._delete(change, head)
        else:
            yield from self._move(change, head)

    def _update(self, change: DeviceChange, head: Head | None) -> Iterator[ChangeApplied | VersionConflict]:
        writer, client = self._writer, client_version(self._context, self._writer, change.resource, change.version)
        if client is not None and head is not None and client.revision == head.revision:
            # The version is the head already: the same change again, or one that nothing has to do for.
            yield self._applied(head)
            return
        if self._fits(change, head):
            if client is None:
                raise wrong_field("body", "version_id", "Field required", "missing")
            assert head is not None
            yield self._applied(publish(self._context, writer, head.path, client))
            return
        path = writer.path_of(self._resource(change)) if head is None else head.path
        can_publish = client is not None and (head is not None or not writer.is_taken(path))
        if self._rule in CLIENT_PREVAILS and client is not None and can_publish:
            self._conflict(change, head, path, client, self._rule)
            yield self._applied(publish(self._context, writer, path, client))
        elif self._rule is ConflictRule.KEEP_BOTH and client is not None:
            publish_beside(self._context, writer, path, client)
            yield self._conflict(change, head, path, client, self._rule)
        else:
            yield self._conflict(change, head, path, client, self._settled_by_server())

    def _delete(self, change: DeviceChange, head: Head | None) -> Iterator[ChangeApplied | VersionConflict]:
        if head is None:
            yield ChangeApplied(self._shown(change), None)
            return
        if not self._fits(change, head):
            if self._rule not in CLIENT_PREVAILS:
                yield self._conflict(change, head, head.path, None, self._settled_by_server())
                return
            self._conflict(change, head, head.path, None, self._rule)
        self._writer.transaction.delete(head.path, self._writer.operation, detail={"by": self._writer.by})
        yield ChangeApplied(self._shown(change), None)

    def _move(self, change: DeviceChange, head: Head | None) -> Iterator[ChangeApplied | VersionConflict]:
        writer = self._writer
        assert change.path is not None
        if head is None:
            yield self._conflict(change, head, writer.path_of(self._resource(change)), None, self._settled_by_server())
            return
        if head.path == change.path:
            yield self._applied(head)
            return
        is_stale = change.base is not None and not self._fits(change, head)
        # No rule replaces another file by a move: the two contents have not been compared.
        if writer.is_taken(change.path) or (is_stale and self._rule not in CLIENT_PREVAILS):
            settled = None if self._rule in CLIENT_PREVAILS else self._settled_by_server()
            yield self._conflict(change, head, head.path, None, settled)
            return
        if is_stale:
            self._conflict(change, head, head.path, None, self._rule)
        writer.folders.ensure(ancestors(change.path))
        detail = {"by": writer.by}
        yield self._applied(writer.transaction.move(head.path, change.path, writer.operation, detail))

    def _folder(self, change: DeviceChange) -> Iterator[ChangeApplied | VersionConflict]:
        writer = self._writer
        if change.change == "created":
            assert change.path is not None
            known = writer.folders.at([change.path]).get(change.path)
            if known is None and writer.is_taken(change.path):
                raise DriveRefusal(409, "A file of this name exists already", "NAME_CONFLICT")
            made = known or writer.folders.create(change.path, writer.operation)
            yield ChangeApplied(folder_id(writer.source.number, made.number), None)
            return
        folder = writer.folders.get(self._resource(change))
        if folder is None:
            raise not_found("Folder")
        if change.change in ("moved", "renamed"):
            yield from self._move_folder(change, folder)
            return
        if change.change == "deleted" and folder.deleted_at is None:
            writer.folders.delete(folder, writer.operation)
        yield ChangeApplied(self._shown(change), None)

    def _move_folder(self, change: DeviceChange, folder: FolderRow) -> Iterator[ChangeApplied | VersionConflict]:
        assert change.path is not None
        try:
            if folder.deleted_at is not None:
                raise DriveRefusal(409, "The folder was deleted")
            moved_folder(self._writer, folder, change.path)
        except DriveRefusal:
            yield self._conflict(change, None, folder.path, None, self._settled_by_server())
            return
        yield ChangeApplied(self._shown(change), None)

    def _settled_by_server(self) -> ConflictRule | None:
        """Return the rule under which the server's side stays and nothing is open, or None for an open conflict."""
        return self._rule if self._rule in (ConflictRule.SERVER_WINS, ConflictRule.KEEP_BOTH) else None

    def _fits(self, change: DeviceChange, head: Head | None) -> bool:
        """Return True if the change was made on the present version."""
        if head is None or change.base is None:
            return False
        return change.base == version_id(self._writer.source.number, head.revision)

    def _applied(self, head: Head) -> ChangeApplied:
        source = self._writer.source.number
        return ChangeApplied(f"fil_{source}-{head.identity}", version_id(source, head.revision))

    def _resource(self, change: DeviceChange) -> int:
        assert change.resource is not None
        return change.resource

    def _shown(self, change: DeviceChange) -> str | None:
        source, number = self._writer.source.number, self._resource(change)
        return folder_id(source, number) if change.is_folder else f"fil_{source}-{number}"

    def _conflict(
        self,
        change: DeviceChange,
        head: Head | None,
        path: str,
        client: ClientVersion | None,
        settled: ConflictRule | None,
    ) -> VersionConflict:
        """Record a conflict. The same one that is open already is returned instead."""
        writer = self._writer
        base = None if change.base is None else parsed_id("ver", change.base)
        made = VersionConflict(
            id=f"cfl_{self._context.new_id()}",
            source=writer.source.number,
            user=writer.by,
            device=self._device,
            is_folder=change.is_folder,
            resource=self._resource(change),
            change=change.change,
            path=path,
            new_path=change.path if change.change in ("moved", "renamed") else None,
            base=None if base is None else base[1],
            client=None if client is None else client.upload,
            server=None if head is None else head.revision,
            metadata=change.metadata if client is None else {"checksum_sha256": client.hash, "size": client.size},
            created_at=writer.now,
            resolution=settled,
            resolved_at=None if settled is None else writer.now,
        )
        for known in writer.session.version_conflicts(writer.source.workspace, writer.source.number, resolved=False):
            if settled is None and _is_same(known, made):
                return known
        writer.session.save_version_conflict(made)
        if settled is None:
            announce_opened(writer.session, writer.transaction, made)
        return made


def _is_same(one: VersionConflict, other: VersionConflict) -> bool:
    def key(conflict: VersionConflict) -> tuple[object, ...]:
        c = conflict
        return c.user, c.device, c.is_folder, c.resource, c.change, c.new_path, c.base, c.client, dict(c.metadata)

    return key(one) == key(other)
