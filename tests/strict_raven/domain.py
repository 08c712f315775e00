"""The strict server: the real server's answers and faults, in memory, without a clock or chance of its own."""

from __future__ import annotations

import copy
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from strict_raven import auth, conflicts, files, sources, validation
from strict_raven.columns import DatabaseError
from strict_raven.context import Caller, Context
from strict_raven.races import Dice, Races
from strict_raven.state import JSON, Conflict, File, Source, State, Version
from strict_raven.wire import BODY_LIMIT, HttpError, Response, data_response, error_response, parse

PREFIX = "/api/local-sync/"
RELEASED_FAULT = "Cannot read properties of undefined (reading 'toISOString')"
_TIMES = re.compile(rb'"(createdAt|lastHeartbeatAt|lastSyncedAt|recordedAt|resolvedAt)":')

Endpoint = Callable[[Context, Caller, JSON], Any]

ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType(
    {
        "connectors/register": sources.register,
        "connectors/heartbeat": sources.heartbeat,
        "sources": sources.create,
        "sources/list": sources.list_sources,
        "sources/pause": sources.pause,
        "sources/resume": sources.resume,
        "sources/files": files.list_files,
        "sources/file": files.show_file,
        "sources/file/update": files.update,
        "sources/push-batch": files.push_batch,
        "sources/history": files.history,
        "sources/deltas": sources.deltas,
        "sources/conflicts": conflicts.list_open,
        "sources/conflicts/preview": conflicts.preview,
        "sources/conflicts/resolve": conflicts.resolve,
    }
)


@dataclass(frozen=True, slots=True)
class Logged:
    """One request as it was answered; sizes in bytes, `at` in Unix seconds."""

    method: str
    path: str
    status: int
    request_size: int
    response_size: int
    at: float


def seeded_ids(seed: int) -> Callable[[], str]:
    """A source of ids that gives the same UUIDs for the same seed."""
    chance = random.Random(f"ids {seed}")

    def new_id() -> str:
        digits = f"{chance.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-7{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"

    return new_id


class StrictRaven:
    """A server as faulty as the real one. `handle` answers a request; the other methods are for the tests alone.

    Attributes:
        released_fault: while true, every answer that would show a row is a 500, as in the released version; what the
            request does is done nevertheless.
        log: every request answered.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        ids: Callable[[], str] | None = None,
        races: Races | None = None,
        accounts: Mapping[str, str] | None = None,
        secret: str = auth.SECRET,
        released_fault: bool = False,
    ) -> None:
        chances = races or Races()
        new_id = ids or seeded_ids(chances.seed)
        self._context = Context(State(), clock, new_id, Dice(chances), set(), {})
        self._accounts = dict(accounts or {auth.USER: auth.WORKSPACE})
        self._secret = secret
        self._lock = threading.RLock()
        self.released_fault = released_fault
        self.log: list[Logged] = []

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Answer one request; header names are lower case. Requests from several threads are answered in turn."""
        with self._lock:
            now = self._context.clock()
            try:
                response = self._answer(method, path, headers, body)
            except HttpError as error:
                response = error_response(error, path, now)
            except DatabaseError as error:
                response = error_response(HttpError(500, str(error)), path, now)
            self.log.append(Logged(method, path, response.status, len(body), len(response.body), now))
            return response

    def sign_with(self, secret: str) -> None:
        """Change the secret of the tokens. Every token that was given out before is refused."""
        self._secret = secret

    def _answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        route = re.sub("/+", "/", path.partition("?")[0]).removesuffix("/")
        name = route.removeprefix(PREFIX)
        if method != "POST" or not route.startswith(PREFIX) or name not in ENDPOINTS:
            raise HttpError(404, f"Cannot {method} {path}")
        if len(body) > BODY_LIMIT:
            raise HttpError(413, "Request body is too large")
        decoded = _decode(headers.get("content-type", ""), body)
        caller = auth.authenticate(headers, self._accounts, self._secret, self._context.clock())
        cleaned = validation.clean(decoded, validation.SCHEMAS[name])
        response = data_response(ENDPOINTS[name](self._context, caller, cleaned))
        if self.released_fault and _TIMES.search(response.body):
            raise HttpError(500, RELEASED_FAULT)
        return response

    def snapshot(self) -> State:
        """A copy of everything stored, as a backup of the database would hold it."""
        with self._lock:
            return copy.deepcopy(self._context.state)

    def restore(self, backup: State) -> None:
        """Put an older copy back: what came after it is forgotten, numbers are given out a second time."""
        with self._lock:
            self._context.state = copy.deepcopy(backup)
            for source in self._context.state.sources.values():
                self._context.conflicts_ever.update(source.conflicts)

    def sources(self) -> tuple[Source, ...]:
        """All sources, oldest first."""
        return tuple(self._context.state.sources.values())

    def heads(self, source_id: str) -> dict[str, str]:
        """Path -> text of every file of the source."""
        with self._lock:
            return {path: file.content for path, file in self._context.state.sources[source_id].files.items()}

    def file(self, source_id: str, path: str) -> File | None:
        """One file, or None."""
        return self._context.state.sources[source_id].files.get(path)

    def versions(self, source_id: str, path: str) -> tuple[Version, ...]:
        """The history of one file, oldest first; empty when it is not there."""
        file = self.file(source_id, path)
        return tuple(file.versions) if file else ()

    def conflicts_ever(self) -> tuple[Conflict, ...]:
        """Every conflict ever opened, with its status now; those a delete took away are `wiped`."""
        return tuple(self._context.conflicts_ever.values())

    def texts_ever(self) -> frozenset[str]:
        """sha256 of every text any event, version or conflict ever held, over restores too."""
        with self._lock:
            return frozenset(self._context.texts)


def _decode(content_type: str, body: bytes) -> Any:
    """The body as the web framework passes it.

    Raises:
        HttpError: 400 or 415.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        if not body:
            raise HttpError(400, "Body cannot be empty when content-type is set to 'application/json'")
        try:
            return parse(body)
        except ValueError as error:
            raise HttpError(400, "Body is not valid JSON but content-type is set to 'application/json'") from error
    if kind not in ("", "text/plain"):
        raise HttpError(415, f"Unsupported Media Type: {content_type}")
    return None
