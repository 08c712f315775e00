"""Wire format of the drive face: ids, records, errors. Paths begin with a slash there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import orjson

from agent.hub.answers import JSON_TYPE, HubError, Response, event_id, timestamp
from agent.hub.domain.drive_model import (
    ROOT,
    Device,
    DevicePreference,
    DriveVersion,
    FolderRow,
    UploadSession,
    VersionConflict,
)
from agent.hub.domain.model import DEFAULT_CONTENT_TYPE, Event, EventType, Head, Source
from agent.hub.domain.source_folders import parent_path
from agent.hub.scaidrive.request import DriveRefusal

ROOT_ID: Final = "root"
_ID: Final = re.compile(r"(fil|fld|ver)_(\d{1,9})-(\d{1,15})", re.ASCII)
_UPLOAD_VERSION: Final = re.compile(r"ver_u([0-9a-f-]{36})", re.ASCII)

Shown = dict[str, object]


def file_id(source: int, identity: int) -> str:
    """Return the id of a file."""
    return f"fil_{source}-{identity}"


def folder_id(source: int, number: int) -> str | None:
    """Return the id of a folder, None for the root."""
    return None if number == ROOT else f"fld_{source}-{number}"


def version_id(source: int, revision: int | None) -> str | None:
    """Return the id of a version by the cursor of the event that brought it."""
    return None if revision is None else f"ver_{source}-{revision}"


def upload_version_id(upload: str) -> str:
    """Return the id of an uploaded version that `apply` has not published."""
    return f"ver_u{upload}"


def parsed_id(kind: str, text: str) -> tuple[int, int] | None:
    """Return the numbers in an id of the kind `fil`, `fld` or `ver`, or None if it is none."""
    found = _ID.fullmatch(text)
    return None if found is None or found[1] != kind else (int(found[2]), int(found[3]))


def upload_of_version(text: str) -> str | None:
    """Return the upload that an unpublished version's id names, or None."""
    found = _UPLOAD_VERSION.fullmatch(text)
    return None if found is None else found[1]


def document(status: int, data: object) -> Response:
    """Return an answer with a JSON document."""
    return Response(status, orjson.dumps(data), {"content-type": JSON_TYPE})


def refusal(error: HubError) -> Response:
    """Return the answer to a refused request."""
    message = error.message if isinstance(error.message, str) else "; ".join(error.message)
    code = error.code if isinstance(error, DriveRefusal) else None
    fault = error.fault if isinstance(error, DriveRefusal) else None
    body: Shown = {"detail": message if fault is None else [fault]}
    if code is not None:
        body["error"] = {"code": code, "message": message}
    headers = {"content-type": JSON_TYPE}
    if error.close:
        headers["connection"] = "close"
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    return Response(error.status, orjson.dumps(body), headers)


def device_view(device: Device) -> Shown:
    """Return a device."""
    return {
        "id": device.id,
        "device_id": device.id,
        "device_name": device.name,
        "platform": device.platform,
        "client_version": device.version,
        "is_active": device.is_active,
        "last_seen_at": timestamp(device.last_seen_at),
        "created_at": timestamp(device.created_at),
    }


def preference_view(preference: DevicePreference) -> Shown:
    """Return a preference."""
    return {
        "share_id": preference.source,
        "sync_enabled": preference.sync_enabled,
        "selected_folders": preference.selected,
        "excluded_folders": preference.excluded,
    }


def share_view(source: Source, used: int) -> Shown:
    """Return a share. Every member of the workspace may write, so everybody has the role of an owner."""
    return {
        "id": source.id,
        "tenant_id": source.workspace,
        "name": source.name,
        "type": "project",
        "share_type": "project",
        "description": None,
        "role": "owner",
        "owner_id": source.created_by,
        "is_public": False,
        "is_deleted": False,
        "quota_bytes": None,
        "used_bytes": used,
        "settings": {},
        "created_at": timestamp(source.created_at),
        "modified_at": timestamp(source.updated_at),
    }


def file_view(
    source: Source, head: Head, folder: int, size: int, authors: Mapping[int, tuple[int, str | None]]
) -> Shown:
    """Return a present file. `authors` has time and user of the events that created and last changed it."""
    created_at, created_by = authors.get(head.identity, (source.created_at, None))
    _, modified_by = authors.get(head.revision, (0, None))
    return {
        "id": file_id(source.number, head.identity),
        "tenant_id": source.workspace,
        "share_id": source.id,
        "folder_id": folder_id(source.number, folder),
        "name": head.path.rpartition("/")[2],
        "path": f"/{head.path}",
        "mime_type": head.content_type,
        "size": size,
        "checksum_sha256": head.hash,
        "version": head.version,
        "owner_id": source.created_by,
        "created_by": created_by or source.created_by,
        "created_at": timestamp(created_at),
        "modified_by": modified_by or source.created_by,
        "modified_at": timestamp(head.synced_at),
        "is_deleted": False,
    }


def version_view(source: Source, version: DriveVersion) -> Shown:
    """Return a version."""
    return {
        "id": version_id(source.number, version.cursor),
        "version_number": version.number,
        "size": version.size,
        "checksum_sha256": version.hash,
        "created_by": version.by or source.created_by,
        "created_at": timestamp(version.recorded_at),
    }


def folder_view(source: Source, folder: FolderRow) -> Shown:
    """Return a folder."""
    return {
        "id": folder_id(source.number, folder.number),
        "tenant_id": source.workspace,
        "share_id": source.id,
        "parent_id": folder_id(source.number, folder.parent),
        "name": folder.path.rpartition("/")[2],
        "path": f"/{folder.path}",
        "owner_id": folder.created_by,
        "created_by": folder.created_by,
        "created_at": timestamp(folder.created_at),
        "modified_at": timestamp(folder.modified_at),
        "is_deleted": folder.deleted_at is not None,
    }


def change_view(source: Source, event: Event) -> Shown | None:
    """Return a change, or None for an event that this API does not show."""
    detail = event.detail or {}
    if event.identity is None or detail.get("half"):
        return None
    if event.type is EventType.FOLDER:
        paths = detail.get("from"), detail.get("path")
        return _change(source, event, "folder", str(detail["change"]), paths, None, {})
    if event.type is EventType.DELETE:
        return _change(source, event, "file", "deleted", (event.path, None), None, {})
    if event.type is not EventType.UPSERT or not (event.version or "from" in detail):
        return None
    old: object = detail.get("from")
    if old is not None:
        same_folder = parent_path(str(old)) == parent_path(str(event.path))
        change, revision, number = "renamed" if same_folder else "moved", detail["revision"], detail["version"]
        # A file below a renamed folder keeps its name, and is still called renamed.
        change = str(detail.get("change", change))
    else:
        change, revision, number = "created" if event.version == 1 else "updated", event.cursor, event.version
        old = None if event.version == 1 else event.path
    metadata = {
        "size": event.size,
        "mime_type": event.extra.get("contentType", DEFAULT_CONTENT_TYPE),
        "checksum_sha256": event.hash,
        "version": number,
    }
    version = f"ver_{source.number}-{revision}"
    return _change(source, event, "file", change, (old, event.path), version, metadata)


def _change(
    source: Source,
    event: Event,
    kind: str,
    change: str,
    paths: tuple[object, object],
    version: str | None,
    metadata: Shown,
) -> Shown:
    old, new = (None if path is None else f"/{path}" for path in paths)
    assert event.identity is not None
    by_folder = kind == "folder"
    resource = folder_id(source.number, event.identity) if by_folder else file_id(source.number, event.identity)
    return {
        "id": f"chg_{event_id(source, event)}",
        "tenant_id": source.workspace,
        "share_id": source.id,
        "resource_type": kind,
        "resource_id": resource,
        "change_type": change,
        "changed_by": (event.detail or {}).get("by") or source.created_by,
        "changed_at": timestamp(event.created_at),
        "old_path": old,
        "new_path": new,
        "version_id": version,
        "metadata": metadata,
    }


def conflict_view(source: Source, conflict: VersionConflict) -> Shown:
    """Return a conflict."""
    resource = (folder_id if conflict.is_folder else file_id)(source.number, conflict.resource)
    return {
        "id": conflict.id,
        "device_id": conflict.device,
        "share_id": source.id,
        "resource_type": "folder" if conflict.is_folder else "file",
        "resource_id": resource,
        "change_type": conflict.change,
        "path": f"/{conflict.path}",
        "new_path": None if conflict.new_path is None else f"/{conflict.new_path}",
        "base_version_id": version_id(source.number, conflict.base),
        "client_version_id": None if conflict.client is None else upload_version_id(conflict.client),
        "server_version_id": version_id(source.number, conflict.server),
        "resolution": conflict.resolution,
        "created_at": timestamp(conflict.created_at),
        "resolved_at": None if conflict.resolved_at is None else timestamp(conflict.resolved_at),
        "metadata": conflict.metadata,
    }


def upload_view(upload: UploadSession, received: list[int]) -> Shown:
    """Return the state of an upload."""
    result = upload.result or {}
    return {
        "session_id": upload.id,
        "status": "active" if upload.result is None else "completed",
        "chunk_size": upload.chunk_size,
        "received_chunks": received,
        "total_chunks": upload.total_chunks,
        "file_id": result.get("file_id"),
        "version_id": result.get("version_id"),
    }
