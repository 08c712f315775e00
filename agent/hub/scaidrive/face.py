"""The drive face as one synchronous function from request to response. HTTP, threads and waiting are layered above."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl

import orjson

from agent.hub.answers import JSON_TYPE, QUOTA_MESSAGE, HubError, Response
from agent.hub.domain.model import Caller
from agent.hub.domain.ports import QuotaExceeded, StoreFull, StoreUnavailable
from agent.hub.face import FaceMatch, clean_path
from agent.hub.scaidrive import (
    applying,
    batches,
    changes,
    conflicts,
    devices,
    downloads,
    files,
    folders,
    shares,
    uploads,
)
from agent.hub.scaidrive.batches import BATCH_BODY
from agent.hub.scaidrive.context import DriveContext
from agent.hub.scaidrive.limits import RateLimits
from agent.hub.scaidrive.openapi import document as openapi_document
from agent.hub.scaidrive.request import DriveRefusal, DriveRequest
from agent.hub.scaidrive.route import SMALL_BODY, DriveHandler, DriveRoute
from agent.hub.scaidrive.uploads import MOST_CHUNK
from agent.hub.scaidrive.wire import document, refusal

PREFIXES: Final = ("/api/v1/", "/scaidrive/api/v1/")
WRAPPED_PREFIX: Final = "/scaidrive-data/api/v1/"
"""Answers below it are wrapped in `data`, as a part of the documentation shows them."""
FORM_BODY: Final = MOST_CHUNK + 65_536
BUSY_RETRY_SECONDS: Final = 2
FULL_RETRY_SECONDS: Final = 30
DESCRIPTIONS: Final = tuple(f"{prefix}openapi.json" for prefix in PREFIXES)
"""Paths of the OpenAPI document, which needs no token."""


def _get(path: str, cost: int, handler: DriveHandler) -> DriveRoute:
    return DriveRoute("GET", path, cost, handler)


def _write(
    method: str, path: str, handler: DriveHandler, status: int = 200, cost: int = 2, limit: int = SMALL_BODY
) -> DriveRoute:
    return DriveRoute(method, path, cost, handler, status, limit, writes=True)


ROUTES: Final = (
    _get("users/me", 1, shares.me),
    _get("users/me/shares", 2, shares.list_shares),
    _get("shares", 2, shares.list_shares),
    _write("POST", "shares", shares.create_share, 201),
    _get("shares/{}", 1, shares.read_share),
    _write("POST", "sync/devices", devices.register, 201),
    _get("sync/devices", 2, devices.list_devices),
    _write("PATCH", "sync/devices/{}", devices.change_device),
    _write("DELETE", "sync/devices/{}", devices.remove_device, 204),
    _write("POST", "sync/devices/{}/heartbeat", devices.heartbeat, 204, cost=1),
    _get("sync/devices/{}/preferences", 1, devices.list_preferences),
    _write("PUT", "sync/devices/{}/preferences", devices.set_preferences),
    _write("PUT", "sync/devices/{}/preferences/{}", devices.set_preference),
    DriveRoute("GET", "sync/status", 1, devices.status, writes=True),
    _get("sync/changes", 1, changes.changes),
    _write("POST", "sync/cursor", devices.advance),
    _write("POST", "sync/apply", applying.apply),
    _get("sync/download/{}", 5, downloads.download),
    _get("sync/conflicts", 2, conflicts.list_conflicts),
    _write("POST", "sync/conflicts/{}/resolve", conflicts.resolve),
    _write("POST", "files", files.create_file, 201, 5, FORM_BODY),
    _write("POST", "files/batch", batches.create_files, 200, 5, BATCH_BODY),
    DriveRoute("POST", "files/contents", 5, batches.read_files),
    DriveRoute("GET", "files/{}", 1, files.read_file, writes=True),
    _write("PATCH", "files/{}", files.rename_file),
    _write("DELETE", "files/{}", files.delete_file, 204),
    _write("POST", "files/{}/move", files.move_file),
    _get("files/{}/versions", 1, files.list_versions),
    _get("files/{}/content", 5, downloads.download),
    _write("POST", "folders", folders.create_folder, 201),
    _get("folders/{}", 1, folders.read_folder),
    _write("PATCH", "folders/{}", folders.rename_folder),
    _write("DELETE", "folders/{}", folders.delete_folder, 204),
    _write("POST", "folders/{}/move", folders.move_folder),
    DriveRoute("GET", "folders/{}/children", 2, folders.children, writes=True),
    _write("POST", "uploads", uploads.begin_upload, 201),
    _get("uploads/{}", 1, uploads.read_upload),
    _write("DELETE", "uploads/{}", uploads.cancel_upload, 204),
    _write("PUT", "uploads/{}/chunks/{}", uploads.put_chunk, 204, 5, MOST_CHUNK),
    _write("POST", "uploads/{}/complete", uploads.complete_upload),
)
"""Every endpoint. A read that may have to add rows for folders counts as a write."""


@lru_cache(maxsize=1)
def description() -> bytes:
    """Return the OpenAPI document of every endpoint."""
    return orjson.dumps(openapi_document(ROUTES))


@dataclass(frozen=True, slots=True)
class DriveMatch:
    """The endpoint of a request, the variable parts of its path, and True if its answer is wrapped."""

    route: DriveRoute
    ids: tuple[str, ...]
    wrapped: bool


def match(method: str, path: str) -> DriveMatch | None:
    """Return the endpoint of a request, or None if no route matches. Doubled and trailing slashes are ignored."""
    clean = clean_path(path)
    wrapped = clean.startswith(WRAPPED_PREFIX)
    prefix = WRAPPED_PREFIX if wrapped else next((each for each in PREFIXES if clean.startswith(each)), None)
    if prefix is None:
        return None
    parts = clean[len(prefix) :].split("/")
    for route in _BY_LENGTH.get((method, len(parts)), ()):
        wanted = route.path.split("/")
        if all(want in ("{}", part) for want, part in zip(wanted, parts, strict=True)):
            ids = tuple(part for want, part in zip(wanted, parts, strict=True) if want == "{}")
            return DriveMatch(route, ids, wrapped)
    return None


_BY_LENGTH: Final[dict[tuple[str, int], list[DriveRoute]]] = {}
for _route in ROUTES:
    _BY_LENGTH.setdefault((_route.method, _route.path.count("/") + 1), []).append(_route)


class DriveFace:
    """ScaiDrive's API on the hub's store.

    Args:
        limits: counts the tokens of each user.
    """

    def __init__(self, context: DriveContext, limits: RateLimits) -> None:
        self._context = context
        self._limits = limits

    def match(self, method: str, path: str) -> DriveMatch | None:
        """As in `ApiFace`."""
        return match(method, path)

    def description(self, path: str) -> bytes | None:
        """As in `ApiFace`."""
        return description() if path in DESCRIPTIONS else None

    def made_token(self, token: str) -> bool:
        """As in `ApiFace`: this API gives out no tokens."""
        return False

    def session_caller(self, token: str) -> Caller | None:
        """As in `ApiFace`."""
        return None

    def handle(
        self, found: FaceMatch, caller: Caller, query: str, headers: Mapping[str, str], body: bytes, *, limited: bool
    ) -> Response:
        """As in `ApiFace`."""
        assert isinstance(found, DriveMatch)
        is_free, rate = self._limits.take(f"{caller.workspace}\0{caller.user}", found.route.cost, enforced=limited)
        if not is_free:
            answer = self._limits.refusal(rate)
        else:
            try:
                answer = self._answer(found, caller, query, headers, body)
            except (HubError, QuotaExceeded, StoreFull, StoreUnavailable) as error:
                answer = self.failed(error)
        return replace(answer, headers=answer.headers | rate)

    def failed(self, error: Exception) -> Response:
        """As in `ApiFace`."""
        match error:
            case downloads.RangeRefusal():
                answer = refusal(error)
                return replace(answer, headers=answer.headers | dict(error.headers))
            case HubError():
                return refusal(error)
            case QuotaExceeded():
                return refusal(HubError(507, QUOTA_MESSAGE, retry_after=FULL_RETRY_SECONDS))
            case StoreFull():
                full = HubError(507, "The hub's disk is full", retry_after=FULL_RETRY_SECONDS)
                return replace(refusal(full), store_error="the disk is full")
            case StoreUnavailable():
                lost = HubError(503, "The hub's database is not available", retry_after=BUSY_RETRY_SECONDS)
                return replace(refusal(lost), store_error=str(error))
            case _:
                return refusal(HubError(500, "Internal server error"))

    def _answer(
        self, found: DriveMatch, caller: Caller, query: str, headers: Mapping[str, str], body: bytes
    ) -> Response:
        if len(body) > found.route.body_limit:
            raise HubError(413, "Request body is too large")
        request = DriveRequest(caller, found.ids, _query(query), headers, body)
        data = found.route.handler(self._context, request)
        if isinstance(data, Response):
            return data
        if found.route.status == 204:
            return Response(204, b"", {})
        if found.wrapped:
            return Response(found.route.status, orjson.dumps({"data": data}), {"content-type": JSON_TYPE})
        return document(found.route.status, data)


def _query(text: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=64))
    except ValueError:
        raise DriveRefusal(400, "The query is malformed") from None
