"""The hub's second API, asked in this process."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jsonschema_rs
import orjson

from agent.hub.answers import Response
from agent.hub.domain.drive_ports import Blobs
from agent.hub.domain.model import Caller
from agent.hub.scaidrive.context import DriveContext
from agent.hub.scaidrive.face import DriveFace, match
from agent.hub.scaidrive.limits import RateLimits
from agent.hub.scaidrive.openapi import ANSWERS, ERROR
from agent.hub.store.blobs import FileBlobs, TableBlobs
from hub.fixtures import USER, WORKSPACE, InProcess

Json = Any
BOUNDARY = "b0undary"


def form(content: bytes, filename: str, **texts: str) -> bytes:
    """A form with one file."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in texts.items()
    ]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
    parts.append(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n")
    return b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])


@cache
def validator(name: str) -> Any:
    """The check of an answer against the OpenAPI document."""
    return jsonschema_rs.Draft202012Validator(ERROR if name == "error" else ANSWERS[name], validate_formats=True)


class Drive:
    """One user of the hub's second API, with a device and a share.

    Args:
        raven: the hub, for Raven's face on the same data.
        blobs: a folder for files, None for rows of the database.
    """

    def __init__(self, raven: InProcess, blobs: Path | None = None, *, user: str = USER, device: str = "dev") -> None:
        self.raven = raven
        store: Blobs = TableBlobs(raven.store) if blobs is None else FileBlobs(blobs, raven.store)
        self.committed: list[str] = []
        self.preferences: list[tuple[str, str]] = []
        numbers = iter(range(1, 1_000_000))
        self.context = DriveContext(
            raven.store, store, raven.wall, lambda: f"00000000-0000-4000-8000-{next(numbers):012d}",
            self.committed.append, lambda _, dev, share: self.preferences.append((dev, share)),
        )  # fmt: skip
        self.limits = RateLimits(raven.wall)
        self.face = DriveFace(self.context, self.limits)
        self.caller = Caller(user, WORKSPACE)
        self.device = device
        self.share = ""

    def send(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, *,
        limited: bool = False, prefix: str = "/api/v1/", **query: object,
    ) -> Response:  # fmt: skip
        """One request."""
        found = match(method, prefix + path)
        assert found is not None, (method, path)
        text = urlencode({name: str(value) for name, value in query.items()})
        return self.face.handle(found, self.caller, text, headers or {}, body, limited=limited)

    def ask(self, method: str, path: str, body: Json = None, **query: object) -> tuple[int, Json]:
        """Status and decoded answer."""
        answer = self.send(method, path, b"" if body is None else orjson.dumps(body), **query)  # type: ignore[arg-type]
        data = answer.read()
        shown = orjson.loads(data) if data else None
        if answer.status != 204:
            found = match(method, f"/api/v1/{path}")
            assert found is not None
            validator(found.route.name if answer.status < 400 else "error").validate(shown)
        return answer.status, shown

    def ok(self, method: str, path: str, body: Json = None, **query: object) -> Json:
        """The answer of a success."""
        status, answer = self.ask(method, path, body, **query)
        assert status in (200, 201, 204), (method, path, status, answer)
        return answer

    def refused(self, method: str, path: str, body: Json = None, **query: object) -> int:
        """Status of a refusal, which has a detail."""
        status, answer = self.ask(method, path, body, **query)
        assert status >= 400 and answer["detail"], (status, answer)
        return status

    def set_up(self) -> Drive:
        """Register the device and create the share."""
        self.ok(
            "POST", "sync/devices",
            {"device_id": self.device, "device_name": "laptop", "platform": "linux", "client_version": "1.2.0"},
        )  # fmt: skip
        owner = self.ok("GET", "users/me")["id"]
        self.share = self.ok("POST", "shares", {"name": "s", "share_type": "project", "owner_id": owner})["id"]
        return self

    def create(self, name: str, content: bytes, folder: str | None = None) -> Json:
        """A new file from a form."""
        texts = {"share_id": self.share, "name": name} | ({} if folder is None else {"folder_id": folder})
        answer = self.send(
            "POST", "files", form(content, name, **texts),
            {"content-type": f"multipart/form-data; boundary={BOUNDARY}"},
        )  # fmt: skip
        assert answer.status == 201, answer.read()
        return orjson.loads(answer.read())

    def upload(self, content: bytes, chunk: int = 65_536, **body: object) -> Json:
        """The answer of a completed upload."""
        wanted = {
            "share_id": self.share, "file_name": "f", "file_size": len(content), "chunk_size": chunk,
            "checksum_sha256": hashlib.sha256(content).hexdigest(), **body,
        }  # fmt: skip
        begun = self.ok("POST", "uploads", wanted)
        for index in range(begun["total_chunks"]):
            piece = content[index * chunk : (index + 1) * chunk]
            assert self.send("PUT", f"uploads/{begun['session_id']}/chunks/{index}", piece).status == 204
        return self.ok("POST", f"uploads/{begun['session_id']}/complete")

    def apply(self, *changes: Json, resolution: str = "MANUAL") -> Json:
        """The answer of `apply`."""
        body = {
            "device_id": self.device, "share_id": self.share, "conflict_resolution": resolution,
            "changes": list(changes),
        }  # fmt: skip
        return self.ok("POST", "sync/apply", body)

    def update(self, file: str, base: str | None, content: bytes, resolution: str = "MANUAL") -> Json:
        """Upload a version of a file and apply it."""
        made = self.upload(content, replace_file_id=file)
        return self.apply(updated(file, base, made["version_id"]), resolution=resolution)

    def changes(self, cursor: int = 0, limit: int = 5000) -> list[Json]:
        """Every change behind a cursor."""
        found: list[Json] = []
        while True:
            page = self.ok("GET", "sync/changes", share_id=self.share, cursor=cursor, limit=limit)
            found += page["changes"]
            if not page["has_more"]:
                return found
            assert page["cursor"] > cursor
            cursor = page["cursor"]

    def versions(self, file: str) -> list[Json]:
        """The versions of a file, newest first."""
        return list(self.ok("GET", f"files/{file}/versions")["versions"])

    def content(self, file: str, **query: object) -> bytes:
        """The content of a file."""
        answer = self.send("GET", f"sync/download/{file}", **query)  # type: ignore[arg-type]
        assert answer.status in (200, 206), answer.read()
        return answer.read()

    def tree(self, folder: str = "root") -> dict[str, bytes]:
        """Path and content of every file, found by walking."""
        found: dict[str, bytes] = {}
        listed = self.ok("GET", f"folders/{folder}/children", share_id=self.share)
        for item in listed["items"]:
            if item["type"] == "folder":
                found |= self.tree(item["id"])
            else:
                found[f"{listed['path'].rstrip('/')}/{item['name']}"] = self.content(item["id"])
        return found


def updated(file: str, base: str | None, version: str | None, **more: object) -> Json:
    """A change of `apply` that publishes a version."""
    change = {"resource_type": "file", "resource_id": file, "change_type": "updated"}
    return {**change, "version_id": version, "base_version_id": base, "new_path": None, **more}


def deleted(file: str, base: str | None) -> Json:
    """A change of `apply` that deletes a file."""
    return {"resource_type": "file", "resource_id": file, "change_type": "deleted", "base_version_id": base}


def moved(resource: str, path: str, base: str | None = None, kind: str = "file") -> Json:
    """A change of `apply` that moves a file or a folder."""
    change = {"resource_type": kind, "resource_id": resource, "change_type": "moved"}
    return {**change, "base_version_id": base, "new_path": path}
