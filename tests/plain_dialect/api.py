"""The plain server's HTTP API: routes, JSON, ranges and rate limits. One handler, like those of the other servers."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from plain_dialect.server import PlainServer
from plain_dialect.state import JSON, ROOT, ApiError, Change, StoredConflict, StoredFile
from strict_raven.wire import Response

BASE = "/plain/v1/"
TOKEN = "plain-token"
PERIOD = 60.0
COSTS = {"content": 5, "chunk": 5, "commit": 2, "children": 2}
"""What a call costs, by its name; the others cost 1."""
SHARES_PAGE = 50

_RANGE = re.compile(r"bytes=(\d+)-")


class Request:
    """One request, with what its route found in the path."""

    def __init__(self, ids: list[str], query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> None:
        self.ids = ids
        self.query = query
        self.headers = headers
        self.body = body

    def json(self) -> JSON:
        """The body as an object."""
        try:
            found = json.loads(self.body)
        except ValueError as error:
            raise ApiError(422, "not JSON") from error
        if not isinstance(found, dict):
            raise ApiError(422, "not an object")
        return found

    def number(self, name: str, default: int) -> int:
        """A whole number of the query."""
        value = self.query.get(name, str(default))
        if not value.isdigit():
            raise ApiError(400, f"{name} is no number")
        return int(value)


class PlainApi:
    """Answers requests of any number of clients for one server."""

    def __init__(self, server: PlainServer) -> None:
        self._server = server
        self.tokens = {TOKEN}
        self.statuses: set[int] = set()
        """Every status answered so far."""
        routes: list[tuple[str, str, str, Callable[[Request], Response]]] = [
            ("POST", "devices", "", self._register),
            ("POST", "devices/{}/beat", "", self._beat),
            ("GET", "sources", "", self._sources),
            ("POST", "sources", "", self._create_source),
            ("GET", "sources/{}", "", self._source),
            ("GET", "sources/{}/changes", "changes", self._changes),
            ("GET", "sources/{}/children", "children", self._children),
            ("POST", "sources/{}/folders", "", self._create_folder),
            ("POST", "sources/{}/commits", "commit", self._commit),
            ("GET", "sources/{}/conflicts", "", self._conflicts),
            ("POST", "conflicts/{}/close", "", self._close_conflict),
            ("GET", "files/{}", "", self._file),
            ("GET", "files/{}/versions", "", self._versions),
            ("GET", "files/{}/content", "content", self._content),
            ("POST", "sources/{}/uploads", "", self._begin_upload),
            ("GET", "uploads/{}", "", self._upload),
            ("DELETE", "uploads/{}", "", self._cancel_upload),
            ("PUT", "uploads/{}/chunks/{}", "chunk", self._chunk),
        ]
        self._routes = [
            (method, re.compile(template.replace("{}", "([^/]+)")), name, call)
            for method, template, name, call in routes
        ]

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Answer one request; header names are lower case."""
        split = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        try:
            name, call, ids = self._route(method, split.path)
            if headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
                raise ApiError(401, "unauthorized")
            self._spend(COSTS.get(name, 1))
            answer = call(Request(ids, query, headers, body))
        except ApiError as error:
            answer = _document(error.status, {"detail": error.detail})
            if error.status == 429:
                answer = Response(429, {**answer.headers, "retry-after": str(int(PERIOD))}, answer.body)
        self.statuses.add(answer.status)
        return dataclasses.replace(answer, headers={**answer.headers, **self._rate_headers()})

    def _route(self, method: str, path: str) -> tuple[str, Callable[[Request], Response], list[str]]:
        for wanted, pattern, name, call in self._routes:
            found = pattern.fullmatch(path.removeprefix(BASE)) if path.startswith(BASE) else None
            if found is not None and wanted == method:
                return name, call, [unquote(each) for each in found.groups()]
        raise ApiError(404, "no such route")

    # Rate limits

    def _spent(self) -> int:
        now, state = self._server.clock(), self._server.state
        state.spent = [(at, cost) for at, cost in state.spent if at > now - PERIOD]
        return sum(cost for _, cost in state.spent)

    def _spend(self, cost: int) -> None:
        limit = self._server.traps.limit
        if limit is None:
            return
        if self._spent() + cost > limit:
            raise ApiError(429, "too many calls")
        self._server.state.spent.append((self._server.clock(), cost))

    def _rate_headers(self) -> dict[str, str]:
        limit = self._server.traps.limit
        if limit is None:
            return {}
        left = str(max(limit - self._spent(), 0))
        reset = str(int(self._server.clock() + PERIOD))
        return {"x-ratelimit-limit": str(limit), "x-ratelimit-remaining": left, "x-ratelimit-reset": reset}

    # Account

    def _register(self, request: Request) -> Response:
        body = request.json()
        return self._answer(self._features(self._server.register(str(body["id"]), str(body["name"])).id), 201)

    def _beat(self, request: Request) -> Response:
        if request.ids[0] not in self._server.state.devices:
            raise ApiError(404, "no such device")
        return self._answer(self._features(request.ids[0]))

    def _features(self, device: str) -> JSON:
        sizes = self._server.sizes
        return {"id": device, "inline_limit": sizes.inline, "chunk_size": sizes.chunk, "max_bytes": sizes.most}

    def _sources(self, request: Request) -> Response:
        shares = [share for share in reversed(self._server.state.shares.values()) if not share.hidden]
        start = request.number("offset", 0)
        page = [
            {"id": s.id, "name": s.name, "writable": not s.readers_only} for s in shares[start : start + SHARES_PAGE]
        ]
        return self._answer({"items": page, "total": len(shares)})

    def _create_source(self, request: Request) -> Response:
        share = self._server.add_share(str(request.json()["name"]))
        return self._answer({"id": share.id, "name": share.name, "writable": True}, 201)

    def _source(self, request: Request) -> Response:
        share = self._server.share(request.ids[0])
        return self._answer({"id": share.id, "cursor": self._server.state.position})

    # The feed and the tree

    def _changes(self, request: Request) -> Response:
        source = self._server.share(request.ids[0]).id
        position = self._server.state.position
        limit = min(request.number("limit", 100), 100)
        cursor = request.number("cursor", position)
        entries, more = self._server.changes(source, cursor, limit)
        reached = entries[-1].position if more else position
        return self._answer({"changes": [self._change(each) for each in entries], "cursor": reached, "more": more})

    def _change(self, change: Change) -> JSON:
        shown = {
            "id": change.id, "position": change.position, "resource": change.resource,
            "resource_id": change.resource_id, "kind": change.kind, "old_path": change.old_path,
            "new_path": change.new_path, "rev": change.rev, "by": change.by,
        }  # fmt: skip
        if change.resource == "folder":
            shown["parent"] = self._server.state.folders[change.resource_id].parent
        if change.resource == "file" and not self._server.traps.no_hash:
            shown |= {"hash": change.hash, "size": change.size, **self._inline(change.hash, change.size)}
        return shown

    def _inline(self, digest: str | None, size: int | None) -> JSON:
        if digest is None or size is None or size > self._server.sizes.inline:
            return {}
        content = self._server.state.contents.get(digest)
        return {} if content is None else {"content": base64.b64encode(content).decode()}

    def _children(self, request: Request) -> Response:
        source = self._server.share(request.ids[0]).id
        identifier = request.query.get("folder", ROOT)
        folder = None if identifier == ROOT else identifier
        if folder is not None and (found := self._server.state.folders.get(folder)) is not None and found.deleted:
            raise ApiError(410, "the folder was deleted")
        if folder is not None and folder not in self._server.state.folders:
            raise ApiError(404, "no such folder")
        folders, files = self._server.in_folder(source, folder)
        rows: list[JSON] = [{"id": f.id, "name": f.name, "type": "folder"} for f in folders]
        rows += [
            {"id": f.id, "name": f.name, "type": "file", "size": f.head.size, "mark": f"{f.head.size}@{f.changed_at}"}
            for f in files
        ]
        start, limit = request.number("offset", 0), request.number("limit", 100)
        page = rows[start : start + limit]
        return self._answer({"items": page, "more": start + limit < len(rows)})

    def _create_folder(self, request: Request) -> Response:
        body = request.json()
        made = self._server.add_folder(request.ids[0], body.get("parent"), str(body["name"]), body.get("device"))
        return self._answer({"id": made.id, "name": made.name}, 201)

    # Files

    def _file(self, request: Request) -> Response:
        file = self._live(request.ids[0])
        return self._answer(self._shown(file))

    def _live(self, identifier: str) -> StoredFile:
        file = self._server.file(identifier)
        if file.deleted:
            raise ApiError(410, "the file was deleted")
        return file

    def _shown(self, file: StoredFile) -> JSON:
        head = file.head
        return {
            "id": file.id, "source": file.source, "path": self._server.path_of(file), "rev": head.rev,
            "hash": head.hash, "size": head.size, "mark": f"{head.size}@{file.changed_at}",
            **self._inline(head.hash, head.size),
        }  # fmt: skip

    def _versions(self, request: Request) -> Response:
        file = self._server.file(request.ids[0])
        rows = [
            {
                "rev": each.rev, "number": each.number, "hash": each.hash, "size": each.size, "by": each.by,
                "at": each.at, **self._inline(each.hash, each.size),
            }
            for each in reversed(file.revisions)
        ]  # fmt: skip
        return self._answer({"versions": rows, "path": self._server.path_of(file)})

    def _content(self, request: Request) -> Response:
        file = self._server.file(request.ids[0])
        rev = request.query.get("rev", file.head.rev)
        digest = next((each.hash for each in file.revisions if each.rev == rev), None)
        content = self._server.state.contents.get(digest or "")
        if digest is None or content is None:
            raise ApiError(410, "this version was deleted")
        traps = self._server.traps
        if traps.wrong_bytes and content:
            content = content[:-1] + bytes([content[-1] ^ 1])
        headers = {"content-type": "application/octet-stream", "etag": digest}
        start = self.start_of(request)
        if start is None:
            return Response(200, headers, content)
        if start >= len(content) or traps.refuses_ranges:
            raise ApiError(416, "the range cannot be satisfied")
        place = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return Response(206, {**headers, "content-range": place}, content[start:])

    def start_of(self, request: Request) -> int | None:
        """The offset that a request asks for; None for the whole content."""
        asked = _RANGE.fullmatch(request.headers.get("range", ""))
        return None if asked is None or self._server.traps.ignores_ranges else int(asked[1])

    # Commits and conflicts

    def _commit(self, request: Request) -> Response:
        body = request.json()
        for item in body["items"]:
            if item.get("content") is not None:
                item["content"] = base64.b64decode(item["content"])
                if len(item["content"]) > self._server.sizes.inline:
                    raise ApiError(413, "the content must be uploaded")
        results = self._server.commit(request.ids[0], str(body["device"]), body["items"])
        if self._server.traps.counts_only:
            states = [each["status"] for each in results]
            return self._answer({"applied": states.count("applied"), "conflicts": states.count("conflict")})
        shown = [self._result(each) for each in results]
        return self._answer({"results": [*shown[:-1], None] if self._server.traps.forgets else shown})

    def _result(self, result: JSON) -> JSON:
        if result["status"] != "conflict":
            return result
        return {**result, "conflict": self._conflict(self._server.state.conflicts[result["conflict"]])}

    def _conflicts(self, request: Request) -> Response:
        source = self._server.share(request.ids[0]).id
        found = [each for each in self._server.state.conflicts.values() if each.source == source and each.open]
        start = request.number("offset", 0)
        page = list(reversed(found))[start : start + 20]
        return self._answer({"items": [self._conflict(each) for each in page], "more": start + 20 < len(found)})

    def _conflict(self, conflict: StoredConflict) -> JSON:
        state = self._server.state
        file = state.files.get(conflict.file or "")
        base = next((each.hash for each in file.revisions if each.rev == conflict.base_rev), None) if file else None
        shown: dict[str, Any] = {
            "id": conflict.id, "device": conflict.device, "file": conflict.file, "path": conflict.path,
            "base_rev": conflict.base_rev, "base_hash": base, "hash": conflict.hash, "size": conflict.size,
            "server_rev": conflict.server_rev, "server_hash": conflict.server_hash, "at": conflict.at,
        }  # fmt: skip
        shown |= self._inline(conflict.hash, conflict.size)
        server = state.contents.get(conflict.server_hash or "")
        if server is not None and len(server) <= self._server.sizes.inline:
            shown["server_content"] = base64.b64encode(server).decode()
        return shown

    def _close_conflict(self, request: Request) -> Response:
        self._server.close_conflict(request.ids[0])
        return self._answer({"id": request.ids[0]})

    # Uploads

    def _begin_upload(self, request: Request) -> Response:
        body = request.json()
        upload = self._server.uploads.begin(request.ids[0], str(body["hash"]), int(body["size"]))
        return self._answer({"id": upload.id, "chunk_size": self._server.sizes.chunk}, 201)

    def _upload(self, request: Request) -> Response:
        upload = self._server.uploads.get(request.ids[0])
        received = [index for index, _ in upload.chunks]
        shown = {"id": upload.id, "received": received, "hash": upload.hash, "size": upload.size}
        return self._answer({**shown, "chunk_size": self._server.sizes.chunk})

    def _cancel_upload(self, request: Request) -> Response:
        self._server.uploads.cancel(request.ids[0])
        return Response(204, {}, b"")

    def _chunk(self, request: Request) -> Response:
        upload, index = request.ids
        self._server.uploads.add_chunk(upload, int(index) if index.isdigit() else -1, request.body)
        return Response(204, {}, b"")

    def _answer(self, data: JSON, status: int = 200) -> Response:
        return _document(status, {"data": data, "status": "success"} if self._server.traps.envelope else data)


def _document(status: int, data: JSON) -> Response:
    return Response(status, {"content-type": "application/json"}, json.dumps(data).encode())
