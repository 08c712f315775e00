"""The strict server's HTTP API: each endpoint, in both spellings."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from msgspec.structs import replace

from strict_pinakes.server import LOGIN_SECONDS, PinError, StrictPinakes
from strict_pinakes.state import JSON, PinChange, PinConflict, PinDevice, PinSession
from strict_raven.wire import Response

CHUNK = 8
"""Bytes of a chunk where the client asks for none."""
_SPELLING = re.compile(r"/api/(v1/)?(.*)")
KINDS = ("desktop", "mobile", "tablet", "server", "other")


class PinRequest:
    """One request, with what its route found in the path, and the device that sent it."""

    def __init__(
        self,
        ids: list[str],
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
        device: PinDevice | None,
    ) -> None:
        self.ids = ids
        self.query = query
        self.headers = headers
        self.body = body
        self._device = device

    @property
    def device(self) -> PinDevice:
        """The device. Some calls need one."""
        if self._device is None:
            raise PinError(401, "X-Device-Token is missing")
        return self._device

    def json(self) -> JSON:
        """The body as an object."""
        try:
            found = json.loads(self.body)
        except ValueError as error:
            raise PinError(400, "the body is not JSON") from error
        if not isinstance(found, dict):
            raise PinError(400, "the body is not an object")
        return found


class PinakesApi:
    """Answers requests for a server.

    Attributes:
        statuses: every status answered so far, in order.
    """

    def __init__(self, server: StrictPinakes, chunk_size: int = CHUNK) -> None:
        self._server = server
        self._chunk_size = chunk_size
        self.statuses: list[int] = []
        routes: list[tuple[str, str, Callable[[PinRequest], Response]]] = [
            ("POST", "auth/refresh", self._refresh),
            ("POST", "sync/devices", self._register),
            ("GET", "sync/devices", self._devices),
            ("GET", "sync/devices/([^/]+)", lambda r: document(self._shown_device(self._own(r.ids[0])))),
            ("PUT", "sync/devices/([^/]+)", self._change_device),
            ("DELETE", "sync/devices/([^/]+)", self._remove_device),
            ("POST", "sync/devices/([^/]+)/token", self._new_token),
            ("GET", "sync/changes", self._changes),
            ("POST", "sync/ack", self._ack),
            ("POST", "sync/report", self._report),
            ("GET", "sync/conflicts", self._conflicts),
            ("POST", "sync/conflicts/([^/]+)/resolve", self._resolve),
            ("POST", "sync/upload", self._begin),
            ("GET", "sync/upload/([^/]+)", lambda r: document(self._shown_session(server.session(r.ids[0]), True))),
            ("DELETE", "sync/upload/([^/]+)", self._cancel),
            ("PUT", "sync/upload/([^/]+)/chunks/([0-9]+)", self._chunk),
            ("POST", "sync/upload/([^/]+)/complete", self._complete),
            ("GET", "sync/download/(.+)", self._download),
        ]
        self._routes = [(method, re.compile(path), call) for method, path, call in routes]

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Answer one request; header names are lower case."""
        split = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(split.query, keep_blank_values=True).items()}
        try:
            call, ids = self._route(method, split.path)
            self._authorize(headers)
            answer = call(PinRequest(ids, query, headers, body, self._device(headers)))
        except PinError as error:
            answer = document({"error": error.words}, error.status)
        self.statuses.append(answer.status)
        return answer

    def _route(self, method: str, path: str) -> tuple[Callable[[PinRequest], Response], list[str]]:
        traps, spelled = self._server.traps, _SPELLING.fullmatch(path)
        if spelled is None:
            raise PinError(404, "not found")
        versioned, plain = bool(spelled[1]), spelled[2]
        unknown = traps.only_unversioned if versioned else traps.only_versioned
        if (unknown and not plain.startswith("auth/")) or (plain.startswith("auth/") and not versioned):
            raise PinError(404, "not found")
        for verb, pattern, call in self._routes:
            found = pattern.fullmatch(plain)
            if found is not None and verb == method:
                return call, [unquote(each) for each in found.groups()]
        raise PinError(404, "not found")

    def _authorize(self, headers: Mapping[str, str]) -> None:
        ends = self._server.state.logins.get(headers.get("authorization", "").removeprefix("Bearer "))
        if ends is None or ends <= self._server.clock():
            raise PinError(401, "unauthorized")

    def _device(self, headers: Mapping[str, str]) -> PinDevice | None:
        token = headers.get("x-device-token")
        if token is None:
            return None
        found = next((each for each in self._server.state.devices.values() if each.token == token), None)
        if found is None:
            raise PinError(401, "unauthorized")
        return found

    def _at(self, moment: float) -> str:
        return datetime.fromtimestamp(moment, UTC).isoformat()

    def _path(self, path: str) -> str:
        return f"/{path}" if self._server.traps.slashes else path

    # The session

    def _refresh(self, request: PinRequest) -> Response:
        token = request.headers["authorization"].removeprefix("Bearer ")
        ends = self._server.clock() + LOGIN_SECONDS
        self._server.state.logins[token] = ends
        return document({} if self._server.traps.silent_refresh else {"expires_at": self._at(ends)})

    # Devices

    def _own(self, identifier: str) -> PinDevice:
        if identifier.startswith("foreign"):
            raise PinError(403, "forbidden")
        found = self._server.state.devices.get(identifier)
        if found is None:
            raise PinError(404, "no such device")
        return found

    def _shown_device(self, device: PinDevice) -> JSON:
        synced_at = None if device.synced_at is None else self._at(device.synced_at)
        shown = {
            "id": device.id, "name": device.name, "device_type": device.kind, "client_version": device.version,
            "os_info": device.os_info, "last_sync_at": synced_at, "last_seen_at": None, "sync_cursor": device.cursor,
            "enabled": device.enabled, "created_at": self._at(device.created_at),
        }  # fmt: skip
        if self._server.traps.no_os_info:
            del shown["os_info"]
        return shown

    def _register(self, request: PinRequest) -> Response:
        body, server = request.json(), self._server
        if body.get("device_type") not in KINDS or not body.get("name"):
            raise PinError(400, "device_type or name is invalid")
        made = PinDevice(
            server.new_id("device"), str(body["name"]), body["device_type"], str(body["client_version"]),
            str(body.get("os_info", "")), server.new_id("token"), server.clock(),
        )  # fmt: skip
        server.state.devices[made.id] = made
        return document({"device": self._shown_device(made), "device_token": made.token})

    def _devices(self, request: PinRequest) -> Response:
        return document([self._shown_device(each) for each in self._server.state.devices.values()])

    def _change_device(self, request: PinRequest) -> Response:
        found, body = self._own(request.ids[0]), request.json()
        changed = replace(found, name=body.get("name", found.name), enabled=body.get("enabled", found.enabled))
        self._server.state.devices[found.id] = changed
        return document(self._shown_device(changed))

    def _remove_device(self, request: PinRequest) -> Response:
        del self._server.state.devices[self._own(request.ids[0]).id]
        return Response(204, {}, b"")

    def _new_token(self, request: PinRequest) -> Response:
        changed = replace(self._own(request.ids[0]), token=self._server.new_id("token"))
        self._server.state.devices[changed.id] = changed
        return document({"device_token": changed.token})

    # Changes

    def _changes(self, request: PinRequest) -> Response:
        cursor, limit = request.query.get("cursor"), request.query.get("limit", "100")
        if cursor is None and self._server.traps.ack_ahead:
            cursor = str(request.device.cursor)
        cursor = cursor or "0"
        if not cursor.isdigit() or not limit.isdigit() or not 1 <= int(limit) <= 1000:
            raise PinError(400, "cursor or limit is invalid")
        found, newest, more = self._server.changes(int(cursor), int(limit))
        return document({"changes": [self._shown_change(each) for each in found], "cursor": newest, "has_more": more})

    def _shown_change(self, change: PinChange) -> JSON:
        shown = {
            "id": change.id, "sequence": change.sequence, "change_type": change.change, "path": self._path(change.path),
            "content_hash": change.hash, "file_size": change.size, "timestamp": self._at(change.at),
            "changed_by_device": None if self._server.traps.no_device else change.by,
        }  # fmt: skip
        return shown if change.old_path is None else {**shown, "old_path": self._path(change.old_path)}

    def _ack(self, request: PinRequest) -> Response:
        cursor = int(request.json()["cursor"]) + (1000 if self._server.traps.ack_ahead else 0)
        self._server.state.devices[request.device.id] = replace(
            request.device, cursor=cursor, synced_at=self._server.clock()
        )
        return document({"cursor": cursor})

    def _report(self, request: PinRequest) -> Response:
        server, device = self._server, request.device.id
        changes: list[JSON] = request.json()["changes"]
        for change in changes:
            if change["change_type"] not in ("created", "modified", "deleted"):
                raise PinError(400, "unknown change_type")
            if change["change_type"] != "deleted":
                server.require_path(change["path"])
        answer: JSON = {"accepted": [], "upload_required": [], "conflicts": []}
        for change in changes:
            path, digest, base, head = change["path"], change["content_hash"], change["base_hash"], None
            head = server.head_hash(path)
            if head == digest:
                answer["accepted"].append(self._path(path))
            elif server.is_stale(path, base):
                made = server.conflict(device, path, base, digest)
                answer["conflicts"].append(self._shown_conflict(made))
            elif digest is None:
                server.remove(path, device)
                answer["accepted"].append(self._path(path))
            elif server.traps.knows_contents and digest in server.state.contents:
                server.put(path, server.state.contents[digest], device)
                answer["accepted"].append(self._path(path))
            else:
                answer["upload_required"].append(self._path(path))
        if server.traps.forgets and answer["accepted"]:
            answer["accepted"].pop()
        server.state.reports += 1
        if server.traps.forgets_uploads and server.state.reports % 2 == 0 and answer["upload_required"]:
            answer["upload_required"].pop()
        return document(answer)

    # Conflicts

    def _shown_conflict(self, found: PinConflict) -> JSON:
        return {
            "id": found.id, "device_id": found.device, "path": self._path(found.path), "local_hash": found.local,
            "server_hash": found.server, "detected_at": self._at(found.at),
            "resolved_at": None if found.resolved_at is None else self._at(found.resolved_at),
            "resolution": found.resolution,
        }  # fmt: skip

    def _conflicts(self, request: PinRequest) -> Response:
        found = self._server.state.conflicts.values()
        return document([self._shown_conflict(each) for each in found if each.resolution is None])

    def _resolve(self, request: PinRequest) -> Response:
        return document(self._shown_conflict(self._server.resolve(request.ids[0], request.json()["resolution"])))

    # Contents

    def _shown_session(self, found: PinSession, whole: bool = False) -> JSON:
        shown: JSON = {
            "id": found.id, "target_path": self._path(found.path), "expected_hash": found.hash,
            "expected_size": found.size, "chunk_size": found.chunk_size, "chunk_count": found.count,
            "status": found.status, "created_at": self._at(found.created_at), "expires_at": self._at(found.created_at),
        }  # fmt: skip
        return {**shown, "received_chunks": [index for index, _ in found.chunks]} if whole else shown

    def _begin(self, request: PinRequest) -> Response:
        body = request.json()
        made = self._server.begin(
            request.device.id, body["target_path"], body["expected_hash"], int(body["expected_size"]),
            body.get("base_hash"), int(body.get("chunk_size", self._chunk_size)),
        )  # fmt: skip
        return document(self._shown_session(made))

    def _cancel(self, request: PinRequest) -> Response:
        del self._server.state.sessions[self._server.session(request.ids[0]).id]
        return Response(204, {}, b"")

    def _chunk(self, request: PinRequest) -> Response:
        index = int(request.ids[1])
        found = self._server.chunk(request.ids[0], index, request.body)
        return document(
            {
                "upload_id": found.id, "chunk_index": index, "offset": index * found.chunk_size,
                "size": len(request.body), "hash": self._server.hash(request.body),
            }
        )  # fmt: skip

    def _complete(self, request: PinRequest) -> Response:
        return document(self._shown_session(self._server.complete(request.ids[0])))

    def _download(self, request: PinRequest) -> Response:
        server = self._server
        found = server.state.files.get(request.ids[0])
        if found is None:
            raise PinError(404, "no such file")
        content = server.state.contents[found.hash]
        if server.traps.wrong_bytes and content:
            content = bytes([content[0] ^ 1]) + content[1:]
        tag = f'W/"{found.size}-{server.state.sequence}"' if server.traps.wrong_etag else f'"{found.hash}"'
        headers = {"content-type": "application/octet-stream", "etag": tag}
        asked = re.fullmatch(r"bytes=([0-9]+)-([0-9]*)", request.headers.get("range", ""))
        same = request.headers.get("if-range", tag) == tag or server.traps.ignores_if_range
        # There is no 416: a range behind the end is answered with the whole content.
        if asked is None or server.traps.ignores_ranges or not same or int(asked[1]) >= len(content):
            return Response(200, headers, content)
        end = min(int(asked[2] or len(content) - 1), len(content) - 1)
        start = int(asked[1])
        headers["content-range"] = f"bytes {start}-{end}/{len(content)}"
        return Response(206, headers, content[start : end + 1])


def document(data: Any, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(status, {"content-type": "application/json"}, json.dumps(data).encode())
