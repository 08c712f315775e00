"""The strict server's HTTP API: each endpoint of the documentation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from strict_raven.wire import Response
from strict_scaidrive.accounts import DriveAccounts
from strict_scaidrive.applying import Applying, shown_version
from strict_scaidrive.routing import DriveRequest, DriveRoute, DriveRouter, document
from strict_scaidrive.server import DriveError, StrictScaiDrive
from strict_scaidrive.state import JSON, TENANT, USER, DriveChange, DriveConflict, DriveFile, DriveFolder

TOKEN = "drive-token"
CHUNK = 8
"""Bytes of a chunk, unless the server is made with another size."""
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class ScaiDriveApi:
    """Answers requests of any number of clients for one server.

    Attributes:
        statuses: every status answered so far, in order.
    """

    def __init__(self, server: StrictScaiDrive, chunk_size: int = CHUNK) -> None:
        self._server = server
        self.applying = Applying(server, chunk_size)
        self.accounts = DriveAccounts(server)
        server.state.access[TOKEN] = float("inf")
        account = self.accounts
        self._router = DriveRouter(server, [
            DriveRoute("GET", "auth/config", 1, account.config, public=True),
            DriveRoute("POST", "auth/token", 1, account.token, public=True),
            DriveRoute("GET", "users/me", 1, lambda request: self._answer(account.me())),
            DriveRoute("GET", "users/me/shares", 2, lambda request: self._answer(account.shares(request))),
            DriveRoute("POST", "shares", 2, lambda request: self._answer(account.create_share(request), 201)),
            DriveRoute("POST", "sync/devices", 2, lambda request: self._answer(account.register(request), 201)),
            DriveRoute("GET", "sync/devices", 2, lambda request: self._answer(account.devices())),
            DriveRoute("PATCH", "sync/devices/{}", 2, lambda request: self._answer(account.change_device(request))),
            DriveRoute("DELETE", "sync/devices/{}", 2, account.remove_device),
            DriveRoute("POST", "sync/devices/{}/heartbeat", 1, account.heartbeat),
            DriveRoute("GET", "sync/devices/{}/preferences", 1, lambda r: self._answer(account.preferences(r))),
            DriveRoute("PUT", "sync/devices/{}/preferences", 2, lambda r: self._answer(account.set_preferences(r))),
            DriveRoute("PUT", "sync/devices/{}/preferences/{}", 2, lambda r: self._answer(account.set_preference(r))),
            DriveRoute("GET", "sync/status", 1, self._status),
            DriveRoute("GET", "sync/changes", 1, self._changes),
            DriveRoute("POST", "sync/cursor", 2, self._cursor),
            DriveRoute("POST", "sync/apply", 2, self._apply),
            DriveRoute("GET", "sync/download/{}", 5, self._download),
            DriveRoute("GET", "files/{}/content", 5, self._download),
            DriveRoute("GET", "sync/conflicts", 2, self._conflicts),
            DriveRoute("POST", "sync/conflicts/{}/resolve", 2, self._resolve),
            DriveRoute("GET", "folders/{}/children", 2, self._children),
            DriveRoute("GET", "folders/{}", 1, self._read_folder),
            DriveRoute("POST", "folders", 2, self._create_folder),
            DriveRoute("POST", "files", 5, self._create_file),
            DriveRoute("GET", "files/{}", 1, self._file),
            DriveRoute("POST", "files/{}/move", 2, self._move_file),
            DriveRoute("GET", "files/{}/versions", 1, self._versions),
            DriveRoute("POST", "uploads", 2, self._begin_upload),
            DriveRoute("GET", "uploads/{}", 1, self._upload),
            DriveRoute("DELETE", "uploads/{}", 2, self._cancel_upload),
            DriveRoute("PUT", "uploads/{}/chunks/{}", 5, self._chunk),
            DriveRoute("POST", "uploads/{}/complete", 2, self._complete),
        ])  # fmt: skip
        self.statuses = self._router.statuses

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Answer one request; header names are lower case."""
        return self._router.handle(method, path, headers, body)

    def _answer(self, data: Any, status: int = 200) -> Response:
        return document(status, {"data": data, "status": "success"} if self._server.traps.envelope else data)

    # The log

    def _status(self, request: DriveRequest) -> Response:
        server = self._server
        share = server.share(request.text("share_id")).id
        device = self.accounts.device(request.text("device_id")).id
        position = server.state.cursors.setdefault((device, share), server.state.position)
        pending = sum(entry.share == share and entry.position > position for entry in server.state.log)
        is_open = any(each.share == share and each.resolution is None for each in server.state.conflicts.values())
        shown = {
            "cursor_position": position,
            "last_sync_at": server.state.synced.get((device, share)),
            "pending_changes": pending,
            "has_conflicts": is_open,
        }
        return self._answer(shown)

    def _changes(self, request: DriveRequest) -> Response:
        server = self._server
        share = server.share(request.text("share_id")).id
        limit = request.number("limit", 1000, 1, 5000)
        position = server.state.position
        cursor = request.query.get("cursor", str(position))
        if not cursor.isdigit():
            raise DriveError(400, "The cursor is malformed or unknown")
        entries, more = server.changes(share, int(cursor), limit)
        reached = entries[-1].position if more and entries else position
        if more and server.traps.sparse_pages:
            reached = int(cursor) + limit
        shown = [self._change(each) for each in entries]
        return self._answer({"changes": shown, "cursor": reached, "has_more": more, "share_id": share})

    def _change(self, change: DriveChange) -> JSON:
        traps, version = self._server.traps, change.version
        quiet = traps.no_metadata and change.change in ("moved", "renamed")
        metadata: JSON = {}
        if version is not None and not traps.no_metadata:
            metadata = {"size": version.size, "mime_type": "application/octet-stream"}
            if not traps.no_hash:
                metadata |= {"checksum_sha256": version.hash, "version": version.number}
        return {
            "id": change.id, "tenant_id": TENANT, "share_id": change.share, "resource_type": change.kind,
            "resource_id": change.resource, "change_type": change.change, "changed_by": change.by,
            "changed_at": iso_time(change.at), "old_path": _slash(change.old_path), "new_path": _slash(change.new_path),
            "version_id": None if version is None or quiet else version.id, "metadata": metadata,
        }  # fmt: skip

    def _cursor(self, request: DriveRequest) -> Response:
        state = self._server.state
        share = self._server.share(request.text("share_id")).id
        device = self.accounts.device(request.text("device_id")).id
        position = request.number("position", 0, 0, 2**53)
        if position > state.position:
            raise DriveError(400, "The position is beyond the newest change")
        state.cursors[device, share] = max(position, state.cursors.get((device, share), 0))
        at = state.synced[device, share] = iso_time(self._server.clock())
        return self._answer({"cursor_position": state.cursors[device, share], "last_sync_at": at})

    # Changes of devices

    def _apply(self, request: DriveRequest) -> Response:
        body, traps = request.json(), self._server.traps
        applied, conflicts = self.applying.apply(
            str(body["share_id"]), str(body["device_id"]), body["changes"],
            str(body.get("conflict_resolution", "LAST_WRITER_WINS")),
        )  # fmt: skip
        if traps.counts_only:
            return self._answer({"applied": len(applied), "conflicts": len(conflicts)})
        shown = [self._conflict(self._server.state.conflicts[each]) for each in conflicts]
        listed = applied[:-1] if traps.forgets else applied
        return self._answer({"applied": listed, "conflicts": shown, "cursor": self._server.state.position})

    def _conflict(self, conflict: DriveConflict) -> JSON:
        resolved = None if conflict.resolved_at is None else iso_time(conflict.resolved_at)
        return {
            "id": conflict.id, "device_id": conflict.device, "share_id": conflict.share, "resource_type": "file",
            "resource_id": conflict.file, "path": f"/{conflict.path}", "base_version_id": conflict.base,
            "client_version_id": conflict.client, "server_version_id": conflict.server,
            "resolution": conflict.resolution, "created_at": iso_time(conflict.at), "resolved_at": resolved,
            "metadata": dict(conflict.metadata),
        }  # fmt: skip

    def _conflicts(self, request: DriveRequest) -> Response:
        found = list(self._server.state.conflicts.values())
        if "share_id" in request.query:
            share = self._server.share(request.query["share_id"]).id
            found = [each for each in found if each.share == share]
        if "device_id" in request.query:
            found = [each for each in found if each.device == request.query["device_id"]]
        if request.query.get("include_resolved", "false") != "true":
            found = [each for each in found if each.resolution is None]
        return self._answer([self._conflict(each) for each in found])

    def _resolve(self, request: DriveRequest) -> Response:
        return self._answer(self._conflict(self.applying.resolve(request.ids[0], request.text("resolution"))))

    # Folders and files

    def _children(self, request: DriveRequest) -> Response:
        server, identifier = self._server, request.ids[0]
        share = server.share(request.text("share_id")).id
        deleted = request.query.get("include_deleted", "false") == "true"
        folder = None if identifier == "root" else identifier
        if not deleted:
            server.live_folder(share, folder)
        folders, files = server.in_folder(share, folder, deleted=deleted)
        items: list[JSON] = [{"id": f.id, "name": f.name, "type": "folder"} for f in folders]
        items += [
            {
                "id": f.id, "name": f.name, "type": "file", "size": f.head.size, "mime_type": "text/plain",
                "modified_at": iso_time(f.modified_at),
            }
            for f in files
        ]  # fmt: skip
        return self._answer({"items": items, "path": f"/{server.folder_path(folder)}", "total": len(items)})

    def _read_folder(self, request: DriveRequest) -> Response:
        found = self._server.state.folders.get(request.ids[0])
        if found is None:
            raise DriveError(404, "Folder not found")
        self._server.live_folder(found.share, found.id)
        return self._answer(self._folder(found))

    def _create_folder(self, request: DriveRequest) -> Response:
        body = request.json()
        share = self._server.share(str(body["share_id"]), writing=True).id
        return self._answer(
            self._folder(self._server.add_folder(share, body.get("parent_id"), str(body["name"]), USER)), 201
        )

    def _folder(self, folder: DriveFolder) -> JSON:
        at = iso_time(folder.at)
        return {
            "id": folder.id, "tenant_id": TENANT, "share_id": folder.share, "parent_id": folder.parent,
            "name": folder.name, "path": f"/{self._server.folder_path(folder.id)}", "owner_id": USER,
            "created_by": USER, "created_at": at, "modified_at": at, "is_deleted": folder.deleted,
        }  # fmt: skip

    def _create_file(self, request: DriveRequest) -> Response:
        texts, content = request.form()
        name = texts.get("name", "unnamed")
        made = self.applying.create(texts["share_id"], texts.get("folder_id"), name, content)
        return self._answer(self._shown(made), 201)

    def _file(self, request: DriveRequest) -> Response:
        return self._answer(self._shown(self._server.live_file(request.ids[0])))

    def _move_file(self, request: DriveRequest) -> Response:
        server, body = self._server, request.json()
        file = server.live_file(request.ids[0])
        server.share(file.share, writing=True)
        share, folder = body.get("target_share_id") or file.share, body.get("target_folder_id")
        if share != file.share:
            return self._answer(self._shown(server.move_to_share(file, share, folder, USER)))
        server.live_folder(share, folder)
        return self._answer(self._shown(server.move(file, folder, file.name, USER)))

    def _shown(self, file: DriveFile) -> JSON:
        head, at = file.head, iso_time(file.modified_at)
        return {
            "id": file.id, "tenant_id": TENANT, "share_id": file.share, "folder_id": file.folder, "name": file.name,
            "path": f"/{self._server.path_of(file)}", "mime_type": "text/plain", "size": head.size,
            "checksum_sha256": head.hash, "version": head.number, "owner_id": USER, "created_by": USER,
            "created_at": at, "modified_by": head.by, "modified_at": at, "is_deleted": file.deleted,
        }  # fmt: skip

    def _versions(self, request: DriveRequest) -> Response:
        file = self._server.file(request.ids[0])
        rows = [{**shown_version(each), "created_at": iso_time(each.at)} for each in reversed(file.versions)]
        return self._answer({"versions": rows, "total": len(rows)})

    def _download(self, request: DriveRequest) -> Response:
        file = self._server.file(request.ids[0])
        wanted = request.number("version", file.head.number, 1, 2**31)
        version = next((each for each in file.versions if each.number == wanted), None)
        if version is None:
            raise DriveError(404, "Version not found")
        content, traps = self._server.state.contents[version.hash], self._server.traps
        if traps.wrong_bytes and content:
            content = content[:-1] + bytes([content[-1] ^ 1])
        headers = {"content-type": "application/octet-stream", "accept-ranges": "bytes"}
        asked = _RANGE.fullmatch(request.headers.get("range", ""))
        if asked is None or traps.ignores_ranges:
            return Response(200, headers, content)
        start, end = int(asked[1]), int(asked[2] or len(content) - 1)
        if start >= len(content) or traps.refuses_ranges:
            raise DriveError(416, "The range cannot be satisfied")
        part = content[start : end + 1]
        place = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
        return Response(206, {**headers, "content-range": place}, part)

    # Uploads

    def _begin_upload(self, request: DriveRequest) -> Response:
        made = self.applying.begin(request.json())
        total = -(-made.size // made.chunk_size)
        return self._answer({"session_id": made.id, "chunk_size": made.chunk_size, "total_chunks": total}, 201)

    def _upload(self, request: DriveRequest) -> Response:
        found = self.applying.session(request.ids[0])
        file, version = found.done or (None, None)
        shown = {
            "status": "active" if found.done is None else "completed", "received_chunks": [i for i, _ in found.chunks],
            "total_chunks": -(-found.size // found.chunk_size), "file_id": file, "version_id": version,
        }  # fmt: skip
        return self._answer(shown)

    def _cancel_upload(self, request: DriveRequest) -> Response:
        self.applying.cancel(request.ids[0])
        return Response(204, {}, b"")

    def _chunk(self, request: DriveRequest) -> Response:
        session, index = request.ids
        self.applying.chunk(session, int(index) if index.isdigit() else -1, request.body)
        return Response(204, {}, b"")

    def _complete(self, request: DriveRequest) -> Response:
        file, version, digest = self.applying.complete(request.ids[0])
        return self._answer({"file_id": file, "version_id": version, "checksum_sha256": digest})


def iso_time(seconds: float) -> str:
    """A Unix time as RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _slash(path: str | None) -> str | None:
    return None if path is None else f"/{path}"


def show_folder(server: StrictScaiDrive, path: str, *, hidden: bool) -> None:
    """Take the user's right to see a folder, or give it back."""
    found = next(f for f in server.state.folders.values() if server.folder_path(f.id) == path)
    server.state.folders[found.id] = replace(found, hidden=hidden)


def hide(server: StrictScaiDrive, share: str) -> None:
    """Take the user's right to see a share."""
    server.state.shares[share] = replace(server.state.shares[share], hidden=True)
