"""Requests and answers of the strict server: routes, JSON, forms, errors and rate limits."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from strict_raven.wire import Response
from strict_scaidrive.server import DriveError, StrictScaiDrive
from strict_scaidrive.state import JSON

BASE = "/api/v1/"
PERIOD = 60.0


class DriveRequest:
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
            raise DriveError(422, [{"loc": ["body"], "msg": "not JSON", "type": "json_invalid"}]) from error
        if not isinstance(found, dict):
            raise DriveError(422, [{"loc": ["body"], "msg": "not an object", "type": "dict_type"}])
        return found

    def fields(self) -> dict[str, str]:
        """The body as a form of names and values."""
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}

    def form(self) -> tuple[dict[str, str], bytes]:
        """The body as multipart/form-data: its texts, and the content of ``file``."""
        head = f"content-type: {self.headers['content-type']}\r\n\r\n".encode()
        message = BytesParser(policy=HTTP).parsebytes(head + self.body)
        texts: dict[str, str] = {}
        content: bytes | None = None
        mark = b"--" + str(message.get_boundary()).encode()
        for part in self.body.split(mark)[1:-1]:
            # By hand, as the e-mail parser changes line ends in contents.
            described, _, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
            value = value.removesuffix(b"\r\n")
            name = re.search(rb'name="([^"]*)"', described)
            if name is None:
                raise DriveError(422, [{"loc": ["body"], "msg": "a part without a name", "type": "value_error"}])
            if name[1] == b"file":
                content = value
            else:
                texts[name[1].decode()] = value.decode()
        if content is None or "share_id" not in texts:
            raise DriveError(422, [{"loc": ["body", "file"], "msg": "field required", "type": "missing"}])
        return texts, content

    def text(self, name: str) -> str:
        """A required parameter of the query."""
        if name not in self.query:
            raise DriveError(422, [{"loc": ["query", name], "msg": "field required", "type": "missing"}])
        return self.query[name]

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number of the query."""
        value = self.query.get(name, str(default))
        if not value.isdigit() or not least <= int(value) <= most:
            raise DriveError(422, [{"loc": ["query", name], "msg": "out of range", "type": "value_error"}])
        return int(value)


class DriveRoute(NamedTuple):
    """One endpoint: verb, path with ``{}`` for ids, cost, and whether it needs a token."""

    method: str
    template: str
    cost: int
    call: Callable[[DriveRequest], Response]
    public: bool = False


class DriveRouter:
    """Finds the endpoint of each request, checks the token and the limits, and translates errors.

    Attributes:
        statuses: every status answered so far, in order.
    """

    def __init__(self, server: StrictScaiDrive, routes: Sequence[DriveRoute]) -> None:
        self._server = server
        self._routes = [(each, re.compile(each.template.replace("{}", "([^/]+)"))) for each in routes]
        self.statuses: list[int] = []

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Answer one request; header names are lower case."""
        split = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(split.query, keep_blank_values=True).items()}
        try:
            route, ids = self._route(method, split.path)
            if not route.public:
                self._authorize(headers)
            self._spend(route.cost)
            answer = route.call(DriveRequest(ids, query, headers, body))
        except DriveError as error:
            answer = self._error(error)
        self.statuses.append(answer.status)
        return Response(answer.status, {**answer.headers, **self._rate_headers()}, answer.body)

    def _route(self, method: str, path: str) -> tuple[DriveRoute, list[str]]:
        for route, pattern in self._routes:
            found = pattern.fullmatch(path.removeprefix(BASE)) if path.startswith(BASE) else None
            if found is not None and route.method == method:
                return route, [unquote(each) for each in found.groups()]
        raise DriveError(404, "Not Found")

    def _authorize(self, headers: Mapping[str, str]) -> None:
        ends = self._server.state.access.get(headers.get("authorization", "").removeprefix("Bearer "))
        if ends is None or ends <= self._server.clock():
            raise DriveError(401, "Could not validate credentials")

    def _error(self, error: DriveError) -> Response:
        if error.status != 429:
            return document(error.status, {"detail": error.detail})
        wait = int(PERIOD)
        details = {"dimension": "token", "limit": self._server.traps.limit, "window_seconds": wait}
        body = {"code": "RATE_LIMITED", "message": error.detail, "retry_after": wait, "details": details}
        answer = document(429, {"status": "error", "error": body, "meta": {"request_id": "req_1"}})
        return Response(429, {**answer.headers, "retry-after": str(wait)}, answer.body)

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
            raise DriveError(429, "Too many requests")
        self._server.state.spent.append((self._server.clock(), cost))

    def _rate_headers(self) -> dict[str, str]:
        limit = self._server.traps.limit
        if limit is None:
            return {}
        left = str(max(limit - self._spent(), 0))
        reset = str(int(self._server.clock() + PERIOD))
        return {"x-ratelimit-limit": str(limit), "x-ratelimit-remaining": left, "x-ratelimit-reset": reset}


def document(status: int, data: Any) -> Response:
    """A JSON answer."""
    return Response(status, {"content-type": "application/json"}, json.dumps(data).encode())
