"""The hub's third API, asked in this process."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

import jsonschema_rs
import orjson
from blake3 import blake3

from agent.hub.answers import HubError, Response
from agent.hub.auth import JwtTokens, bearer_token
from agent.hub.domain.drive_ports import Blobs
from agent.hub.domain.ids import new_uuid
from agent.hub.domain.model import Caller
from agent.hub.pinakes.context import PinakesContext
from agent.hub.pinakes.face import PinakesFace, match
from agent.hub.pinakes.hashes import ContentHashes
from agent.hub.store.blobs import FileBlobs, TableBlobs
from hub.fixtures import SECRET, USER, InProcess, token

Json = Any
CHUNK = 524_288


class Pinakes:
    """One user of the hub's third API, with a device.

    Args:
        raven: the hub, for Raven's face on the same data.
        blobs: a folder for files, None for rows of the database.
    """

    def __init__(
        self, raven: InProcess, blobs: Path | None = None, *, user: str = USER, algorithm: str = "sha256"
    ) -> None:
        self.raven = raven
        self.algorithm = algorithm
        store: Blobs = TableBlobs(raven.store) if blobs is None else FileBlobs(blobs, raven.store)
        self.committed: list[str] = []
        self.revoked: set[str] = set()
        secrets = iter(range(1, 1_000_000))
        jwt = JwtTokens(SECRET, is_revoked=self.revoked.__contains__)
        self.context = PinakesContext(
            raven.store, store, raven.wall, new_uuid,
            self.committed.append, ContentHashes(raven.store, store, algorithm),
            lambda given: jwt.signed_in(given, raven.wall()), self.revoked.__contains__,
            lambda: f"secret-{id(self)}-{next(secrets)}",
        )  # fmt: skip
        self.face = PinakesFace(self.context)
        self.bearer = token(user=user)
        self.device_token = ""
        self.device = ""

    def hash(self, content: bytes | str) -> str:
        """A content's hash in the algorithm of this API."""
        data = content.encode() if isinstance(content, str) else content
        return blake3(data).hexdigest() if self.algorithm == "blake3" else hashlib.sha256(data).hexdigest()

    def send(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, *,
        prefix: str = "/pinakes/api/v1/", **query: object,
    ) -> Response:  # fmt: skip
        """One request, with the token of the user and that of the device."""
        found = match(method, prefix + unquote(path))
        assert found is not None, (method, path)
        sent = {"authorization": f"Bearer {self.bearer}", "x-device-token": self.device_token, **(headers or {})}
        caller: Caller | None = Caller("", "")
        if found.route.needs_token:
            bearer = bearer_token(sent) or ""
            made = self.face.made_token(bearer)
            caller = self.face.session_caller(bearer) if made else self.raven.hub.caller_of(sent)
        if caller is None:
            return self.face.failed(HubError(401, "Unauthorized"))
        text = urlencode({name: str(value) for name, value in query.items()})
        return self.face.handle(found, caller, text, sent, body, limited=False)

    def ask(self, method: str, path: str, body: Json = None, **query: object) -> tuple[int, Json]:
        """Status and decoded answer, which fits the OpenAPI document."""
        answer = self.send(method, path, b"" if body is None else orjson.dumps(body), **query)  # type: ignore[arg-type]
        data = answer.read()
        shown = orjson.loads(data) if data else None
        if data:
            validated(method, path, answer.status, shown)
        return answer.status, shown

    def ok(self, method: str, path: str, body: Json = None, **query: object) -> Json:
        """The answer of a success."""
        status, answer = self.ask(method, path, body, **query)
        assert status in (200, 204), (method, path, status, answer)
        return answer

    def refused(self, method: str, path: str, body: Json = None, **query: object) -> tuple[int, str]:
        """Status and message of a refusal."""
        status, answer = self.ask(method, path, body, **query)
        assert status >= 400, (status, answer)
        return status, answer["error"]

    def set_up(self, name: str = "laptop") -> Pinakes:
        """Register the device."""
        made = self.ok("POST", "sync/devices", {"name": name, "device_type": "desktop", "client_version": "1.2.0"})
        self.device, self.device_token = made["device"]["id"], made["device_token"]
        return self

    def beside(self, name: str) -> Pinakes:
        """Another device of the same user on the same hub."""
        other = Pinakes.__new__(Pinakes)
        other.__dict__.update(self.__dict__)
        return other.set_up(name)

    def report(self, *changes: Json) -> Json:
        """The answer to reported changes."""
        return self.ok("POST", "sync/report", {"changes": list(changes)})

    def change(self, path: str, content: bytes | str | None, base: bytes | str | None, **more: Json) -> Json:
        """A reported change: a content over a base, both None for "no file"."""
        kind = "deleted" if content is None else "created" if base is None else "modified"
        data = content.encode() if isinstance(content, str) else content
        return {
            "path": path, "change_type": kind, "content_hash": None if data is None else self.hash(data),
            "file_size": len(data or b""), "local_mtime": None, "base_hash": None if base is None else self.hash(base),
            **more,
        }  # fmt: skip

    def begin(self, path: str, content: bytes | str, base: bytes | str | None, **more: Json) -> Json:
        """A new upload session."""
        data = content.encode() if isinstance(content, str) else content
        body = {
            "target_path": path, "expected_hash": self.hash(data), "expected_size": len(data),
            "base_hash": None if base is None else self.hash(base), "chunk_size": CHUNK, **more,
        }  # fmt: skip
        return self.ok("POST", "sync/upload", body)

    def send_chunks(self, session: Json, content: bytes, *indexes: int) -> None:
        """Send chunks: the given ones, or all."""
        size = session["chunk_size"]
        for index in indexes or range(session["chunk_count"]):
            piece = content[index * size : (index + 1) * size]
            answer = self.send("PUT", f"sync/upload/{session['id']}/chunks/{index}", piece)
            shown = orjson.loads(answer.read())
            wanted = {"chunk_index": index, "offset": index * size, "size": len(piece), "hash": self.hash(piece)}
            assert (answer.status, shown) == (200, {"upload_id": session["id"], **wanted})

    def upload(self, path: str, content: bytes | str, base: bytes | str | None = None) -> tuple[int, Json]:
        """Upload a content over a base; status and answer of its completion."""
        data = content.encode() if isinstance(content, str) else content
        session = self.begin(path, data, base)
        self.send_chunks(session, data)
        return self.ask("POST", f"sync/upload/{session['id']}/complete")

    def put(self, path: str, content: bytes | str, base: bytes | str | None = None) -> None:
        """Make a content the head of a path."""
        assert self.report(self.change(path, content, base))["upload_required"] == [path]
        status, answer = self.upload(path, content, base)
        assert (status, answer["status"]) == (200, "completed")

    def changes(self, cursor: int = 0, limit: int = 1000) -> list[Json]:
        """Every change behind a cursor."""
        found: list[Json] = []
        while True:
            page = self.ok("GET", "sync/changes", cursor=cursor, limit=limit)
            found += page["changes"]
            if not page["has_more"]:
                return found
            assert page["cursor"] > cursor
            cursor = page["cursor"]

    def content(self, path: str) -> bytes | None:
        """The content of a path; None for no file."""
        answer = self.send("GET", f"sync/download/{quote(path)}")
        data = answer.read()
        if answer.status == 404:
            return None
        assert answer.status == 200 and answer.headers["etag"] == f'"{self.hash(data)}"'
        return data

    def conflicts(self) -> list[Json]:
        """Open conflicts, newest first."""
        return list(self.ok("GET", "sync/conflicts"))


def validated(method: str, path: str, status: int, shown: Json) -> None:
    """Check an answer against the OpenAPI document."""
    found = match(method, f"/pinakes/api/v1/{unquote(path)}")
    assert found is not None
    key = f"{method} {found.route.path}"
    if status < 400 and key not in SCHEMAS:
        assert shown == {}
        return
    jsonschema_rs.Draft202012Validator(SCHEMAS["error" if status >= 400 else key]).validate(shown)


def _schemas() -> dict[str, Json]:
    import msgspec

    from agent.hub.pinakes.openapi import ANSWERS
    from agent.hub.pinakes.wire import ErrorBody

    return {key: msgspec.json.schema(kind) for key, kind in {**ANSWERS, "error": ErrorBody}.items()}


SCHEMAS = _schemas()
