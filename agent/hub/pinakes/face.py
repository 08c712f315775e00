"""Pinakes' API as one synchronous function from request to response. HTTP, threads and waiting are layered above."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl

import msgspec
import orjson

from agent.hub.answers import JSON_TYPE, QUOTA_MESSAGE, HubError, Response
from agent.hub.domain.model import Caller
from agent.hub.domain.ports import QuotaExceeded, StoreFull, StoreUnavailable
from agent.hub.face import FaceMatch, clean_path
from agent.hub.pinakes import changes, conflicts, devices, downloads, report, sessions, uploads
from agent.hub.pinakes.context import MOST_CHUNK, PinakesContext, PinakesRequest
from agent.hub.pinakes.openapi import document
from agent.hub.pinakes.route import PinakesRoute
from agent.hub.pinakes.wire import ErrorBody

PREFIXES: Final = ("/pinakes/api/v1/", "/pinakes/api/", "/api/")
"""Both spellings, and the second one without a prefix: there `/api/v1/` is ScaiDrive's."""
DESCRIPTIONS: Final = tuple(f"{prefix}openapi.json" for prefix in PREFIXES)
"""Paths of the OpenAPI document, which needs no token."""
BUSY_RETRY_SECONDS: Final = 2
FULL_RETRY_SECONDS: Final = 30
REST: Final = "{*}"
"""The rest of a path, slashes included, as its last part."""


def _get(path: str, handler: Callable[[PinakesContext, PinakesRequest], object]) -> PinakesRoute:
    return PinakesRoute("GET", path, handler)


def _write(
    method: str, path: str, handler: Callable[[PinakesContext, PinakesRequest], object], status: int = 200
) -> PinakesRoute:
    return PinakesRoute(method, path, handler, status, writes=True)


ROUTES: Final = (
    PinakesRoute("POST", "auth/login", sessions.login, writes=True, needs_token=False),
    _write("POST", "auth/refresh", sessions.refresh),
    _write("POST", "auth/logout", sessions.logout),
    _get("auth/me", sessions.me),
    _write("POST", "sync/devices", devices.register),
    _get("sync/devices", devices.list_devices),
    _get("sync/devices/{}", devices.read_device),
    _write("PUT", "sync/devices/{}", devices.change_device),
    _write("DELETE", "sync/devices/{}", devices.remove_device, 204),
    _write("POST", "sync/devices/{}/token", devices.renew_token),
    _get("sync/changes", changes.changes),
    _write("POST", "sync/ack", changes.acknowledge),
    _write("POST", "sync/report", report.report),
    _get("sync/conflicts", conflicts.list_conflicts),
    _write("POST", "sync/conflicts/{}/resolve", conflicts.resolve),
    _write("POST", "sync/upload", uploads.begin_upload),
    _get("sync/upload/{}", uploads.read_upload),
    _write("DELETE", "sync/upload/{}", uploads.cancel_upload, 204),
    PinakesRoute("PUT", "sync/upload/{}/chunks/{}", uploads.put_chunk, body_limit=MOST_CHUNK, writes=True),
    _write("POST", "sync/upload/{}/complete", uploads.complete_upload),
    _get(f"sync/download/{REST}", downloads.download),
)
"""Every endpoint."""


@dataclass(frozen=True, slots=True)
class PinakesMatch:
    """The endpoint of a request, and the variable parts of its path."""

    route: PinakesRoute
    ids: tuple[str, ...]


def match(method: str, path: str) -> PinakesMatch | None:
    """Return the endpoint of a request, or None if no route matches."""
    clean = clean_path(path)
    prefix = next((each for each in PREFIXES if clean.startswith(each)), None)
    if prefix is None:
        return None
    parts = clean[len(prefix) :].split("/")
    for route in ROUTES:
        ids = _fitting(route, parts) if route.method == method else None
        if ids is not None:
            return PinakesMatch(route, ids)
    return None


def _fitting(route: PinakesRoute, parts: list[str]) -> tuple[str, ...] | None:
    """Return the variable parts of a path, or None if it is not the route's."""
    wanted = route.path.split("/")
    if wanted[-1] == REST and len(parts) >= len(wanted):
        parts = [*parts[: len(wanted) - 1], "/".join(parts[len(wanted) - 1 :])]
    if len(parts) != len(wanted):
        return None
    pairs = list(zip(wanted, parts, strict=True))
    if not all(want in ("{}", REST, part) for want, part in pairs):
        return None
    return tuple(part for want, part in pairs if want in ("{}", REST))


@lru_cache(maxsize=1)
def description() -> bytes:
    """Return the OpenAPI document of every endpoint."""
    return orjson.dumps(document(ROUTES))


class PinakesFace:
    """Pinakes' API on the hub's store."""

    def __init__(self, context: PinakesContext) -> None:
        self._context = context

    def match(self, method: str, path: str) -> PinakesMatch | None:
        """As in `ApiFace`."""
        return match(method, path)

    def description(self, path: str) -> bytes | None:
        """As in `ApiFace`."""
        return description() if path in DESCRIPTIONS else None

    def made_token(self, token: str) -> bool:
        """As in `ApiFace`."""
        return token.startswith(sessions.PREFIX)

    def session_caller(self, token: str) -> Caller | None:
        """As in `ApiFace`."""
        return sessions.session_caller(self._context, token)

    def handle(
        self, found: FaceMatch, caller: Caller, query: str, headers: Mapping[str, str], body: bytes, *, limited: bool
    ) -> Response:
        """As in `ApiFace`. This API states no rate limit."""
        assert isinstance(found, PinakesMatch)
        try:
            if len(body) > found.route.body_limit:
                raise HubError(413, "Request body is too large")
            request = PinakesRequest(caller, found.ids, _query(query), headers, body)
            data = self._context.hashes.retrying(lambda: found.route.handler(self._context, request))
        except (HubError, QuotaExceeded, StoreFull, StoreUnavailable) as error:
            return self.failed(error)
        if isinstance(data, Response):
            return data
        if found.route.status == 204:
            return Response(204, b"", {})
        return Response(found.route.status, msgspec.json.encode({} if data is None else data))

    def failed(self, error: Exception) -> Response:
        """As in `ApiFace`."""
        match error:
            case HubError():
                return _refusal(error)
            case QuotaExceeded():
                return _refusal(HubError(507, QUOTA_MESSAGE, retry_after=FULL_RETRY_SECONDS))
            case StoreFull():
                full = HubError(507, "The hub's disk is full", retry_after=FULL_RETRY_SECONDS)
                return replace(_refusal(full), store_error="the disk is full")
            case StoreUnavailable():
                lost = HubError(503, "The hub's database is not available", retry_after=BUSY_RETRY_SECONDS)
                return replace(_refusal(lost), store_error=str(error))
            case _:
                return _refusal(HubError(500, "Internal server error"))


def _refusal(error: HubError) -> Response:
    message = error.message if isinstance(error.message, str) else "; ".join(error.message)
    headers = {"content-type": JSON_TYPE}
    if error.close:
        headers["connection"] = "close"
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    return Response(error.status, msgspec.json.encode(ErrorBody(message)), headers)


def _query(text: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=64))
    except ValueError:
        raise HubError(400, "The query is malformed") from None
