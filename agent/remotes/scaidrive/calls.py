"""The requests of ScaiDrive's API that several parts use, with their costs and their answers decoded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any, Final

from msgspec import Struct

from agent.core.errors import Problem, ProblemKind
from agent.remotes.fields import sha256
from agent.remotes.http.client import HttpClient
from agent.remotes.http.decode import DecodeLimits
from agent.remotes.http.download import download
from agent.remotes.http.failures import RemoteCallError, SideEffect
from agent.remotes.http.request import ApiRequest, Priority, encode_json
from agent.remotes.protocol import Sink
from agent.remotes.scaidrive.wire import AccountUser, FileRow, VersionRow, file_of, user_of, versions_of

MISSING: Final = (ProblemKind.NOT_FOUND, ProblemKind.GONE)
"""Not there, or not for this account. Alone it proves no delete."""
LIST_COST: Final = 2
WRITE_COST: Final = 2
CONTENT_COST: Final = 5
_NUMBERS: Final = 4096
"""Versions whose numbers are remembered."""


class Limits(Struct, frozen=True):
    """Sizes in bytes, and rows a page. Tests use small ones.

    Attributes:
        inline: the largest content that heads and pages carry.
        multipart: the largest new file that is sent in one request.
        chunk: the size of a chunk to request; None lets the server choose.
        page: changes requested at once.
        walked: files of one page of the first walk.
        contents: contents in bytes after which a page ends.
        together: changes in one call of ``apply``.
    """

    inline: int = 1 << 20
    multipart: int = 4 << 20
    chunk: int | None = None
    page: int = 200
    walked: int = 50
    contents: int = 8 << 20
    together: int = 20


class Calls:
    """Single requests of one account. Safe to use from several threads."""

    def __init__(self, http: HttpClient, limits: Limits) -> None:
        self._http = http
        self.limits = limits
        self._lock = Lock()
        self._user: AccountUser | None = None
        self._numbers: OrderedDict[tuple[str, str], int] = OrderedDict()

    def get(
        self,
        endpoint: str,
        ids: tuple[str, ...] = (),
        query: Mapping[str, str | int] | None = None,
        *,
        cost: int = 1,
        priority: Priority = Priority.OWN,
        limits: DecodeLimits = DecodeLimits.PAGE,
    ) -> Any:
        """Return the data of a GET."""
        call = ApiRequest("GET", endpoint, ids, query or {}, limits=limits, cost=cost, priority=priority)
        return self._http.request(call).data

    def post(
        self,
        endpoint: str,
        ids: tuple[str, ...] = (),
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str | int] | None = None,
        may_be_empty: bool = False,
        cost: int = WRITE_COST,
        priority: Priority = Priority.OWN,
    ) -> Any:
        """Return the data of a POST; None for an empty answer, where that is a success."""
        call = ApiRequest(
            "POST", endpoint, ids, query or {}, None if body is None else encode_json(body),
            limits=DecodeLimits.PAGE, may_be_empty=may_be_empty, cost=cost, priority=priority,
        )  # fmt: skip
        return self._http.request(call).data

    def send(self, request: ApiRequest) -> Any:
        """Return the data of any other request."""
        return self._http.request(request).data

    def user(self) -> AccountUser:
        """Return the account's user, which is requested once."""
        with self._lock:
            known = self._user
        if known is None:
            known = user_of(self.get("users/me", limits=DecodeLimits.RECORD))
            with self._lock:
                self._user = known
        return known

    def file(self, identifier: str) -> FileRow:
        """Return a file's record. Raises NOT_FOUND, or GONE for a deleted one."""
        return file_of(self.get("files/{}", (identifier,), limits=DecodeLimits.RECORD))

    def place(self, identifier: str) -> str | None:
        """Return the relative path of a file; None if it was deleted. Raises NOT_FOUND, which may mean hidden."""
        try:
            found = self.file(identifier)
        except RemoteCallError as failure:
            if failure.problem.kind is ProblemKind.GONE:
                return None
            raise
        return None if found.deleted else found.path

    def versions(self, identifier: str) -> list[VersionRow]:
        """Return every version of a file, newest first. Raises NOT_FOUND, or GONE for a deleted one."""
        found = versions_of(self.get("files/{}/versions", (identifier,)))
        with self._lock:
            for version in found:
                self._numbers[identifier, version.rev] = version.number
                self._numbers.move_to_end((identifier, version.rev))
            while len(self._numbers) > _NUMBERS:
                self._numbers.popitem(last=False)
        return found

    def head(self, identifier: str) -> VersionRow | None:
        """Return a file's newest version; None if the file is not there, or not for this account."""
        try:
            found = self.versions(identifier)
        except RemoteCallError as failure:
            if failure.problem.kind in MISSING:
                return None
            raise
        return found[0] if found else None

    def number_of(self, identifier: str, rev: str | None, digest: str) -> int:
        """Return the number of a version, by its id or else its hash. Raises NOT_FOUND, or GONE."""
        with self._lock:
            known = self._numbers.get((identifier, rev or ""))
        if known is not None:
            return known
        for version in self.versions(identifier):
            if version.rev == rev or (rev is None and version.hash == digest):
                return version.number
        raise no_version()

    def download(self, identifier: str, version: int, size: int, offset: int, sink: Sink) -> None:
        """Stream the content of a version; see ``Remote.fetch``."""
        call = ApiRequest(
            "GET", "sync/download/{}", (identifier,), {"version": version}, cost=CONTENT_COST, priority=Priority.BULK
        )
        download(self._http, call, size, offset, sink)

    def content(self, identifier: str, version: VersionRow) -> bytes | None:
        """Return a small content; None if it is large, no longer there, or not what its hash says."""
        if version.size > self.limits.inline:
            return None
        received = bytearray()
        try:
            self.download(identifier, version.number, version.size, 0, lambda _, piece: received.extend(piece))
        except RemoteCallError as failure:
            if failure.problem.kind in MISSING:
                return None
            raise
        content = bytes(received)
        return content if sha256(content) == version.hash else None


def no_folder(path: str) -> RemoteCallError:
    """Return the failure of a folder that the server does not list."""
    return RemoteCallError(Problem(ProblemKind.NOT_FOUND, f"the server has no folder {path}"), SideEffect.NONE)


def no_version() -> RemoteCallError:
    """Return the failure of a version that the server does not list."""
    return RemoteCallError(Problem(ProblemKind.NOT_FOUND, "the server no longer has this version"), SideEffect.NONE)
