"""``apply``, its conflicts, and upload sessions."""

from __future__ import annotations

import hashlib
import posixpath
from typing import Any

from msgspec.structs import replace

from strict_scaidrive.server import DriveError, StrictScaiDrive
from strict_scaidrive.state import JSON, USER, DriveConflict, DriveFile, DriveSession, DriveVersion

SESSION_SECONDS = 86_400.0
LEAST_CHUNK = 64 * 1024
FORCING = ("LAST_WRITER_WINS", "CLIENT_WINS")
"""The words with which a change replaces a head that its machine has not seen."""


class Applying:
    """Carries out changes of devices on a server.

    Args:
        chunk_size: bytes of a chunk if the client asks for none.
    """

    def __init__(self, server: StrictScaiDrive, chunk_size: int) -> None:
        self._server = server
        self._chunk_size = chunk_size

    # Apply

    def apply(self, share: str, device: str, changes: list[JSON], resolution: str) -> tuple[list[JSON], list[str]]:
        """Carry out changes one by one; returns the applied ones and the ids of the conflicts."""
        server = self._server
        server.share(share, writing=True)
        if device not in server.state.devices:
            raise DriveError(404, "Device not found")
        before = server.snapshot()
        applied: list[JSON] = []
        conflicts: list[str] = []
        for change in changes:
            if resolution in FORCING and self._is_stale(change):
                server.forced.append(str(change["resource_id"]))
            found = self._change(share, device, change, resolution)
            if isinstance(found, DriveConflict):
                conflicts.append(found.id)
            else:
                version = None if found.deleted else found.head.id
                applied.append({"resource_id": found.id, "version_id": version, "change_id": server.new_id("chg")})
        if conflicts and server.traps.bare_409:
            opened = {key: value for key, value in server.state.conflicts.items() if key in conflicts}
            server.restore_backup(before)
            server.state.conflicts.update(opened)
            raise DriveError(409, "Version mismatch")
        return applied, conflicts

    def _is_stale(self, change: JSON) -> bool:
        """Whether the file of a change has another head than the one that the change was made of."""
        file, version = self._server.file(change["resource_id"]), change.get("version_id")
        made = next((each for each in file.versions if each.id == version), None)
        before = file.head.id if made is None else made.parent
        return change["change_type"] != "created" and not file.deleted and before != change.get("base_version_id")

    def _change(self, share: str, device: str, change: JSON, resolution: str) -> DriveFile | DriveConflict:
        server = self._server
        file = server.file(change["resource_id"])
        if file.share != share:
            raise DriveError(404, "File not found")
        base = change.get("base_version_id")
        wins = server.traps.compares_no_base or resolution in FORCING
        match change["change_type"]:
            case "created":
                return server.live_file(file.id)
            case "updated":
                return self._update(device, change, file, base, wins)
            case "deleted" if file.deleted:
                return file
            case "deleted" | "moved" | "renamed" if file.head.id != base and not wins:
                return self._conflict(device, change, file, None)
            case "deleted":
                server.remove(file, USER)
                return server.file(file.id)
            case "moved" | "renamed":
                return self._move(device, change, server.live_file(file.id))
        raise DriveError(422, [{"loc": ["body", "changes"], "msg": "unknown change_type", "type": "enum"}])

    def _update(
        self, device: str, change: JSON, file: DriveFile, base: str | None, wins: bool
    ) -> DriveFile | DriveConflict:
        server = self._server
        version = change.get("version_id")
        if file.deleted:
            return self._conflict(device, change, file, version)
        published = next((each for each in file.versions if each.id == version), None)
        if published is not None:
            # ``complete`` has made it the head already.
            if published.parent != base and not wins:
                return self._conflict(device, change, file, version)
            return file
        if version is None:
            if file.head.id != base:
                return self._conflict(device, change, file, None)
            raise DriveError(422, [{"loc": ["body", "version_id"], "msg": "field required", "type": "missing"}])
        of, staged = server.state.staged.get(version, (None, None))
        if of != file.id or staged is None:
            raise DriveError(404, "Version not found")
        if (file.head.id != base or staged.parent != base) and not wins:
            return self._conflict(device, change, file, version)
        del server.state.staged[version]
        return server.add_version(file, staged)

    def _move(self, device: str, change: JSON, file: DriveFile) -> DriveFile | DriveConflict:
        server = self._server
        folder, name = posixpath.split(str(change["new_path"]).removeprefix("/"))
        parent: str | None = None
        for part in folder.split("/") if folder else ():
            found = next((f for f in server.in_folder(file.share, parent)[0] if f.name == part), None)
            if found is None:
                raise DriveError(404, "Folder not found")
            parent = found.id
        try:
            return server.move(file, parent, name, USER)
        except DriveError:
            return self._conflict(device, change, file, None)

    def _conflict(self, device: str, change: JSON, file: DriveFile, client: str | None) -> DriveConflict:
        state = self._server.state
        metadata = tuple(sorted((change.get("metadata") or {}).items()))
        base = change.get("base_version_id")
        for each in state.conflicts.values():
            same = (each.device, each.file, each.base, each.client, each.metadata)
            if same == (device, file.id, base, client, metadata) and each.resolution is None:
                return each
        made = DriveConflict(
            self._server.new_id("cfl"), device, file.share, file.id, self._server.path_of(file), base, client,
            None if file.deleted else file.head.id, self._server.clock(), metadata,
        )  # fmt: skip
        state.conflicts[made.id] = made
        return made

    def resolve(self, identifier: str, resolution: str) -> DriveConflict:
        """Close a conflict; any word but SERVER_WINS would put the refused version over the head."""
        state = self._server.state
        found = state.conflicts.get(identifier)
        if found is None:
            raise DriveError(404, "Conflict not found")
        self._server.share(found.share)
        if found.resolution is not None:
            raise DriveError(409, "The conflict is resolved already")
        if resolution in FORCING and found.client in state.staged:
            self._server.forced.append(found.file)
            _, staged = state.staged.pop(found.client or "")
            self._server.add_version(self._server.live_file(found.file), staged)
        closed = replace(found, resolution=resolution, resolved_at=self._server.clock())
        state.conflicts[identifier] = closed
        return closed

    # Files in one request

    def create(self, share: str, folder: str | None, name: str, content: bytes) -> DriveFile:
        """Create a file from a form."""
        server = self._server
        server.share(share, writing=True)
        self._check_size(len(content))
        return server.create(share, server.live_folder(share, folder), name, content, USER)

    def _check_size(self, size: int) -> None:
        if size > self._server.most:
            raise DriveError(413, "The file is larger than the tenant allows")
        if self._server.traps.no_space:
            raise DriveError(507, "The share's quota is used up")

    # Sessions

    def begin(self, body: JSON) -> DriveSession:
        """Begin an upload session."""
        server = self._server
        share, size = server.share(str(body["share_id"]), writing=True).id, int(body["file_size"])
        self._check_size(size)
        chunk = int(body.get("chunk_size") or self._chunk_size)
        if body.get("chunk_size") and (chunk < LEAST_CHUNK or chunk & (chunk - 1)):
            raise DriveError(422, [{"loc": ["body", "chunk_size"], "msg": "no power of two", "type": "value_error"}])
        folder, replaces, name = body.get("folder_id"), body.get("replace_file_id"), str(body["file_name"])
        if replaces is not None:
            server.live_file(replaces)
        else:
            server.refuse_taken(share, server.live_folder(share, folder), name)
        made = DriveSession(
            server.new_id("upl"), share, folder, name, size, body.get("checksum_sha256"), replaces, chunk,
            server.clock(),
        )  # fmt: skip
        server.state.sessions[made.id] = made
        return made

    def session(self, identifier: str) -> DriveSession:
        """A session that was used within a day."""
        found = self._server.state.sessions.get(identifier)
        if found is None:
            raise DriveError(404, "Upload not found")
        if found.used_at + SESSION_SECONDS < self._server.clock():
            raise DriveError(410, "The upload expired")
        return found

    def chunk(self, identifier: str, index: int, content: bytes) -> None:
        """Take a chunk; the same one again is fine."""
        found = self.session(identifier)
        last = -(-found.size // found.chunk_size) - 1
        size = found.chunk_size if index < last else found.size - last * found.chunk_size
        if not 0 <= index <= last or len(content) != size:
            raise DriveError(422, [{"loc": ["path", "index"], "msg": "no such chunk", "type": "value_error"}])
        chunks = tuple(sorted({**dict(found.chunks), index: content}.items()))
        self._server.state.sessions[identifier] = replace(found, chunks=chunks, used_at=self._server.clock())

    def complete(self, identifier: str) -> tuple[str, str, str]:
        """Make the file, or the version; returns their ids and the hash. The same session again answers the same."""
        server, found = self._server, self.session(identifier)
        content = b"".join(part for _, part in found.chunks)
        digest = hashlib.sha256(content).hexdigest()
        if found.done is not None:
            return (*found.done, digest)
        if len(found.chunks) != -(-found.size // found.chunk_size):
            raise DriveError(400, "Chunks are missing")
        if found.hash is not None and found.hash != digest:
            raise DriveError(422, [{"loc": ["body"], "msg": "checksum mismatch", "type": "value_error"}])
        self._check_size(len(content))
        done = self._made(found, content)
        server.state.sessions[identifier] = replace(found, done=done, used_at=server.clock())
        return (*done, digest)

    def _made(self, found: DriveSession, content: bytes) -> tuple[str, str]:
        server = self._server
        if found.replaces is None:
            file = server.create(found.share, server.live_folder(found.share, found.folder), found.name, content, USER)
            return file.id, file.head.id
        file = server.live_file(found.replaces)
        version = server.new_version(file, content, USER)
        if server.traps.publishes:
            server.add_version(file, version)
        else:
            server.state.staged[version.id] = (file.id, version)
        return file.id, version.id

    def cancel(self, identifier: str) -> None:
        """Forget a session."""
        del self._server.state.sessions[self.session(identifier).id]


def shown_version(version: DriveVersion) -> dict[str, Any]:
    """A version as ``GET files/{id}/versions`` shows it, without its time."""
    return {
        "id": version.id, "version_number": version.number, "size": version.size, "checksum_sha256": version.hash,
        "created_by": version.by,
    }  # fmt: skip
