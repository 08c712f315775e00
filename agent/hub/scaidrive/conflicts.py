"""Endpoints that list and resolve conflicts."""

from __future__ import annotations

from dataclasses import replace

from agent.hub.domain.drive_model import VersionConflict
from agent.hub.domain.listed_conflicts import announce_closed, of_raven
from agent.hub.domain.source_folders import ancestors
from agent.hub.scaidrive.applying import CLIENT_PREVAILS, ConflictRule
from agent.hub.scaidrive.context import DriveContext, ShareWriter, share_of, share_writer
from agent.hub.scaidrive.folders import moved_folder
from agent.hub.scaidrive.publishing import ClientVersion, publish, publish_beside, uploaded_version
from agent.hub.scaidrive.request import DriveRefusal, DriveRequest, choice, not_found
from agent.hub.scaidrive.wire import conflict_view


def list_conflicts(context: DriveContext, request: DriveRequest) -> object:
    """List the conflicts of the workspace, newest first: of a share, of a device, with or without resolved ones.

    Those of the other APIs are among them. A conflict of Raven's is resolved there.
    """
    share, device = request.query.get("share_id"), request.query.get("device_id")
    with context.store.read() as session:
        source = None if share is None else share_of(session, request.caller, share)
        number = None if source is None else source.number
        found = session.version_conflicts(request.caller.workspace, number, resolved=request.flag("include_resolved"))
        sources = {each.number: each for each in session.sources(request.caller.workspace)}
        for each in sources.values() if source is None else (source,):
            found += of_raven(session, each)
    found.sort(key=lambda conflict: (conflict.created_at, conflict.id), reverse=True)
    return [conflict_view(sources[each.source], each) for each in found if device in (None, each.device)]


def resolve(context: DriveContext, request: DriveRequest) -> object:
    """Resolve an open conflict.

    `SERVER_WINS` and `MANUAL` change no file: the first drops the client's version, the second says that a person has
    settled it. `CLIENT_WINS` and `LAST_WRITER_WINS` apply the refused change; the replaced version stays in the
    history. `KEEP_BOTH` puts the client's version beside the file.

    Raises:
        DriveRefusal: 404 for an unknown conflict, 409 for a resolved one, or if the change cannot be applied any more.
    """
    rule = ConflictRule(choice("query", "resolution", request.parameter("resolution"), list(ConflictRule)))
    with context.store.read() as session:
        known = session.version_conflict(request.caller.workspace, request.ids[0])
        source = None if known is None else session.source_by_number(request.caller.workspace, known.source)
    if known is None or source is None:
        raise not_found("Conflict")
    with share_writer(context, request.caller, source.id) as writer:
        conflict = writer.session.version_conflict(request.caller.workspace, known.id)
        if conflict is None or conflict.resolution is not None:
            raise DriveRefusal(409, "The conflict is resolved already", "SYNC_CONFLICT")
        if rule in CLIENT_PREVAILS:
            _apply_refused(context, writer, conflict)
        elif rule is ConflictRule.KEEP_BOTH and conflict.change == "updated":
            publish_beside(context, writer, conflict.path, _client(writer, conflict))
        closed = replace(conflict, resolution=rule.value, resolved_at=writer.now)
        writer.session.save_version_conflict(closed)
        announce_closed(writer.session, writer.transaction, closed)
    return conflict_view(source, closed)


def _client(writer: ShareWriter, conflict: VersionConflict) -> ClientVersion:
    hash_ = conflict.metadata.get("checksum_sha256")
    if conflict.client is None or not isinstance(hash_, str):
        raise DriveRefusal(409, "The client's version was never uploaded", "SYNC_CONFLICT")
    return uploaded_version(writer, hash_, None, conflict.client, None)


def _apply_refused(context: DriveContext, writer: ShareWriter, conflict: VersionConflict) -> None:
    if conflict.is_folder:
        folder = writer.folders.get(conflict.resource)
        if folder is None or folder.deleted_at is not None or conflict.new_path is None:
            raise DriveRefusal(409, "The folder was deleted", "SYNC_CONFLICT")
        moved_folder(writer, folder, conflict.new_path)
        return
    head = writer.head(conflict.resource)
    if conflict.change == "updated":
        path = conflict.path if head is None else head.path
        if head is None and writer.is_taken(path):
            raise DriveRefusal(409, "Another file has taken the path", "NAME_CONFLICT")
        publish(context, writer, path, _client(writer, conflict))
    elif conflict.change == "deleted":
        if head is not None:
            writer.transaction.delete(head.path, writer.operation, detail={"by": writer.by})
    elif head is None or conflict.new_path is None:
        raise DriveRefusal(409, "The file was deleted", "SYNC_CONFLICT")
    elif head.path != conflict.new_path:
        if writer.is_taken(conflict.new_path):
            raise DriveRefusal(409, "Another file or folder has taken the path", "NAME_CONFLICT")
        writer.folders.ensure(ancestors(conflict.new_path))
        writer.transaction.move(head.path, conflict.new_path, writer.operation, {"by": writer.by})
