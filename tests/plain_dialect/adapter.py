"""The adapter of the plain dialect."""

from __future__ import annotations

import posixpath
import threading
from collections.abc import Callable, Iterator, Sequence, Set
from typing import Any

from msgspec.structs import replace

from agent.core.errors import Problem, ProblemKind
from agent.core.events import Page, Span
from agent.core.in_doubt import is_history_of_ours
from agent.core.model import Mode, Resolution
from agent.core.remote_records import (
    Operation,
    Outcome,
    RemoteConflict,
    RemoteFile,
    RemoteHead,
    RemoteVersion,
    Result,
    Verb,
)
from agent.core.supply import Transfer
from agent.remotes.book import BookOf, no_books
from agent.remotes.device_admin import DeviceAdmin
from agent.remotes.fields import number, row, rows, text
from agent.remotes.http.client import HttpClient
from agent.remotes.http.download import download
from agent.remotes.http.failures import RemoteCallError, SideEffect
from agent.remotes.http.profile import ApiProfile, Refusal
from agent.remotes.http.request import ApiRequest, Priority, encode_json
from agent.remotes.machine_list import MachineList
from agent.remotes.protocol import (
    Capabilities,
    ListingCost,
    Nudge,
    OnResumable,
    Outgoing,
    PushAnswer,
    Registration,
    RemoteSource,
    SelectiveSync,
    Sink,
    not_resumable,
)
from agent.remotes.source_admin import SourceAdmin
from plain_dialect.feed import Feed
from plain_dialect.files import Files, conflict_of, remote_versions
from plain_dialect.push import Pusher
from plain_dialect.state import INLINE
from plain_dialect.tree import MISSING, Tree, mark_of

_CURSOR_LOST = Refusal(ProblemKind.CURSOR_LOST, "{server} no longer knows our position in its feed")


def plain_profile(workspace: str) -> ApiProfile:
    """The conventions of the plain API. It has no workspaces."""
    return ApiProfile(
        "plain/v1/",
        unwrap=_unwrap,
        content_fields=frozenset({"content", "server_content"}),
        path_fields=frozenset({"path", "old_path", "new_path"}),
        meaning=_meaning,
        rate_limited=True,
    )


def _unwrap(value: Any) -> Any:
    if isinstance(value, dict) and "data" in value and value.keys() <= {"data", "status"}:
        return value["data"]
    return value


def _meaning(status: int, endpoint: str, body: Any) -> Refusal | None:
    return _CURSOR_LOST if (status, endpoint) == (400, "sources/{}/changes") else None


class PlainRemote:
    """``Remote`` for the plain server.

    Args:
        conflict_events: what it states. True is false: the feed names no conflicts. Runs of the simulation that were
            found while it stated this need it to reach their situation.
    """

    def __init__(self, http: HttpClient, books: BookOf = no_books, *, conflict_events: bool = False) -> None:
        self._http = http
        self._books = books
        self._capabilities = Capabilities(
            ordered_feed=True, text_only=False, moves=True, inline_limit=INLINE, listing=ListingCost.WALK,
            blind_resolve=True, conflict_events=conflict_events, client_made_id=True, server_mode=False,
            server_patterns=False, server_pause=False, resumable_uploads=True,
        )  # fmt: skip
        self._device = ""
        self._tree = Tree(http, books)
        self._files = Files(http)
        self._feed = Feed(http, self._files, self._tree)
        self._pusher = Pusher(http, self._files, self._tree, self._own_conflicts)

    @property
    def capabilities(self) -> Capabilities:
        """See ``Remote``."""
        return self._capabilities

    @property
    def source_admin(self) -> SourceAdmin | None:
        """See ``Remote``. There is none."""
        return None

    @property
    def device_admin(self) -> DeviceAdmin | None:
        """See ``Remote``. There is none."""
        return None

    @property
    def machine_list(self) -> MachineList | None:
        """See ``Remote``. There is none."""
        return None

    @property
    def selective_sync(self) -> SelectiveSync | None:
        """See ``Remote``. The server has none."""
        return None

    def register(self, name: str, platform: str, version: str, wanted_id: str | None = None) -> Registration:
        """See ``Remote``. The id is made by the client."""
        if wanted_id is None:
            problem = Problem(ProblemKind.BAD_REQUEST, "this dialect needs an id for the connector")
            raise RemoteCallError(problem, SideEffect.NONE)
        body = encode_json({"id": wanted_id, "name": name})
        return self._registered(self._http.request(ApiRequest("POST", "devices", body=body)).data)

    def heartbeat(self, connector_id: str) -> Registration:
        """See ``Remote``."""
        call = ApiRequest("POST", "devices/{}/beat", (connector_id,), body=b"{}")
        return self._registered(self._http.request(call).data)

    def rename_connector(self, connector_id: str, name: str) -> bool:
        """See ``Remote``. The server keeps the first name."""
        return False

    def _registered(self, data: Any) -> Registration:
        answer = row(data, "device")
        self._device = text(answer, "id")
        limits = number(answer, "inline_limit"), number(answer, "max_bytes")
        self._capabilities = replace(self._capabilities, inline_limit=limits[0], max_bytes=limits[1])
        self._pusher.inline_limit, self._pusher.max_bytes = limits
        return Registration(self._device, self._capabilities)

    def sources(self) -> list[RemoteSource]:
        """See ``Remote``."""
        found: list[RemoteSource] = []
        while True:
            call = ApiRequest("GET", "sources", query={"offset": len(found)})
            answer = row(self._http.request(call).data, "list")
            page = rows(answer.get("items"), "source")
            found += [_source(value) for value in page]
            if not page or len(found) >= number(answer, "total"):
                return found

    def create_source(
        self, name: str, mode: Mode, connector_id: str, include: Sequence[str], exclude: Sequence[str]
    ) -> RemoteSource:
        """See ``Remote``. The server stores neither mode nor patterns."""
        call = ApiRequest("POST", "sources", body=encode_json({"name": name}), cost=2)
        return _source(row(self._http.request(call).data, "source"))

    def pause(self, source_id: str) -> None:
        """See ``Remote``. Never called: the server has no pause."""
        raise _cannot("pause")

    def resume(self, source_id: str) -> None:
        """See ``Remote``. Never called: the server has no pause."""
        raise _cannot("resume")

    def pull(
        self,
        source_id: str,
        state: str | None,
        wait_seconds: float,
        now: float,
        known: Sequence[Span] = (),
        *,
        applied: bool = True,
    ) -> Page:
        """See ``Remote``."""
        return self._feed.pull(source_id, state, self._books(source_id))

    def push(
        self,
        source_id: str,
        connector_id: str | None,
        batch: Sequence[Outgoing],
        on_resumable: OnResumable = not_resumable,
    ) -> PushAnswer:
        """See ``Remote``."""
        return self._pusher.push(source_id, connector_id or self._device, batch, self._books(source_id), on_resumable)

    def cancel(self, operation_id: str) -> None:
        """See ``Remote``."""
        self._pusher.cancel(operation_id)

    def recall(self, source_id: str, operation: Operation, resume: str | None) -> Outcome:
        """See ``Remote``. A version is ours if this machine made it of our bytes, on our base.

        A new file counts if the log says that it was made at this path, and did not move here.
        """
        path = operation.old_path or operation.path
        identifier = operation.remote_id or self._id_at(source_id, path) or self._id_at(source_id, operation.path)
        versions = []
        if identifier is not None and self._is_of(source_id, operation, identifier):
            try:
                versions = self._files.versions(identifier)
            except RemoteCallError as failure:
                if failure.problem.kind not in MISSING:
                    raise
        for index, version in enumerate(versions):
            before = versions[index + 1].rev if index + 1 < len(versions) else None
            if (version.by, version.hash) == (self._device, operation.hash) and before == operation.base_rev:
                return Outcome(operation.id, Result.APPLIED, rev=version.rev, remote_id=identifier)
        wanted = (operation.path, operation.hash)
        own = self._own_conflicts(source_id) if operation.verb is not Verb.MOVE else ()
        found = next((c for c in own if (c.path, c.local_hash) == wanted and _is_base_of(c, operation)), None)
        return Outcome(operation.id, Result.UNCERTAIN if found is None else Result.CONFLICT, found)

    def _is_of(self, source: str, operation: Operation, identifier: str) -> bool:
        """Whether the history of a file is that of the operation's own file."""
        is_new = operation.verb is Verb.UPSERT and operation.base is None
        made_here = is_new and self._feed.made_at(source, identifier) == operation.path
        return made_here or is_history_of_ours(operation, identifier)

    def fetch(self, source_id: str, transfer: Transfer, offset: int, sink: Sink) -> None:
        """See ``Remote``."""
        identifier = transfer.remote_id or self._id_at(source_id, transfer.path)
        if identifier is None:
            problem = Problem(ProblemKind.NOT_FOUND, f"the server has no file at {transfer.path}")
            raise RemoteCallError(problem, SideEffect.NONE)
        query = {"rev": transfer.rev} if transfer.rev else {}
        call = ApiRequest("GET", "files/{}/content", (identifier,), query, cost=5, priority=Priority.BULK)
        download(self._http, call, transfer.size, offset, sink)

    def was_restored_from_older_copy(self, source_id: str, state: str | None) -> bool:
        """See ``Remote``."""
        return self._feed.lacks(source_id, state)

    def is_paused(self, source_id: str) -> bool:
        """See ``Remote``. The server has no pause."""
        return False

    def listing(self, source_id: str) -> Iterator[list[RemoteFile]]:
        """See ``Remote``. The server lists no hashes."""
        for path, children in self._tree.walk(source_id):
            yield [
                RemoteFile(
                    posixpath.join(path, text(c, "name")), None, None, text(c, "id"), number(c, "size"), mark_of(c)
                )
                for c in children
            ]

    def state_digest(self, source_id: str) -> str:
        """See ``Remote``. Never called: the server has no digest."""
        raise _cannot("state_digest")

    def is_gone(self, source_id: str, path: str, remote_id: str) -> bool:
        """See ``Remote``. The server hides no files."""
        return False

    def head(self, source_id: str, path: str) -> RemoteHead | None:
        """See ``Remote``."""
        for identifier in (self._known_id(source_id, path), self._tree.file(source_id, path)):
            found = None if identifier is None else self._files.head(identifier)
            if found is not None and found.path == path:
                versions = remote_versions(self._files.versions(found.id))
                return RemoteHead(path, found.hash, found.content, found.rev, found.id, versions, found.size)
        return None

    def history(self, source_id: str, path: str, limit: int | None = None) -> list[RemoteVersion]:
        """See ``Remote``. A deleted file is found in the log."""
        identifier = self._id_at(source_id, path) or self._feed.deleted_file(source_id, path)
        return [] if identifier is None else list(remote_versions(self._files.versions(identifier)))[:limit]

    def conflicts(
        self, source_id: str, paths: Set[str] | None = None, with_texts: Set[str] | None = None
    ) -> Iterator[RemoteConflict]:
        """See ``Remote``."""
        yield from (conflict for _, conflict in self._conflicts(source_id))

    def _own_conflicts(self, source_id: str) -> Iterator[RemoteConflict]:
        return (conflict for device, conflict in self._conflicts(source_id) if device == self._device)

    def _conflicts(self, source_id: str) -> Iterator[tuple[str, RemoteConflict]]:
        offset, more = 0, True
        while more:
            call = ApiRequest("GET", "sources/{}/conflicts", (source_id,), {"offset": offset})
            answer = row(self._http.request(call).data, "list")
            page = rows(answer.get("items"), "conflict")
            yield from ((text(value, "device"), conflict_of(value)) for value in page)
            offset, more = offset + len(page), answer.get("more") is True and bool(page)

    def resolve(
        self, source_id: str, conflict_id: str, choice: Resolution, content: bytes | None, expected_head: str | None
    ) -> None:
        """See ``Remote``. Only closes the conflict."""
        try:
            self._pusher.close(conflict_id)
        except RemoteCallError as failure:
            if failure.problem.kind is not ProblemKind.NOT_FOUND:
                raise
            self._feed.head(source_id)
            problem = Problem(ProblemKind.STALE, "the conflict is no longer open")
            raise RemoteCallError(problem, SideEffect.NONE) from failure

    def listen(self, stop: threading.Event, on_nudge: Callable[[Nudge], None]) -> None:
        """See ``Remote``. The server sends no nudges."""

    def abort_connections(self) -> None:
        """See ``Remote``."""
        self._http.abort_connections()

    def close(self) -> None:
        """See ``Remote``."""
        self._http.close()

    def _known_id(self, source: str, path: str) -> str | None:
        entry = self._books(source).entry_at(path)
        return None if entry is None else entry.remote_id

    def _id_at(self, source: str, path: str) -> str | None:
        return self._known_id(source, path) or self._tree.file(source, path)


def _is_base_of(found: RemoteConflict, operation: Operation) -> bool:
    """Whether a conflict may be about this base. Without a known revision it was sent with the head's, or none."""
    if operation.base is None or operation.base_rev is not None:
        return found.base_rev == operation.base_rev
    return found.base_rev is not None


def _source(value: Any) -> RemoteSource:
    writable = value.get("writable") is True
    return RemoteSource(text(value, "id"), text(value, "name"), Mode.BIDIRECTIONAL, None, False, writable=writable)


def _cannot(what: str) -> RemoteCallError:
    problem = Problem(ProblemKind.BAD_REQUEST, f"the server has no {what}")
    return RemoteCallError(problem, SideEffect.NONE)
