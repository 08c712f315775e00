"""The Raven dialect: the released Raven server, and the embedded hub, which offers more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any, Final

from agent.core.errors import Problem, ProblemKind
from agent.core.events import Page, Span
from agent.core.model import SENTINEL_BASE, Mode, Resolution
from agent.core.remote_records import (
    Operation,
    Outcome,
    RemoteConflict,
    RemoteFile,
    RemoteHead,
    RemoteVersion,
    Result,
)
from agent.core.supply import Transfer
from agent.remotes.device_admin import DeviceAdmin
from agent.remotes.fields import row, rows, text
from agent.remotes.http.client import HttpClient
from agent.remotes.http.decode import DecodeLimits
from agent.remotes.http.failures import AnswerTooLarge, RemoteCallError, SideEffect, malformed
from agent.remotes.machine_list import MachineList
from agent.remotes.protocol import (
    Capabilities,
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
from agent.remotes.raven.feed import Feed
from agent.remotes.raven.machines import RavenMachines
from agent.remotes.raven.position import FeedPosition
from agent.remotes.raven.push import Pusher
from agent.remotes.raven.source_admin import RavenSourceAdmin
from agent.remotes.raven.wire import (
    NO_CONFLICT,
    NO_FILE,
    capabilities_of,
    conflict_of,
    file_of,
    matching,
    newest_first,
    source_of,
    stale,
    version_of,
)
from agent.remotes.source_admin import SourceAdmin

LISTING_PAGE: Final = 1000
"""Files requested at once. A server that does not page answers with all of them."""
CONFLICTS_PAGE: Final = 50
"""Conflicts requested at once, likewise."""


class RavenRemote:
    """``Remote`` for Raven's local-sync API. Safe to use from several threads.

    Raven compares contents, so ``rev`` is the hash everywhere. A path is the only identity: ``remote_id`` is None.
    """

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self._capabilities = Capabilities()
        self._connector_id: str | None = None
        self._feed = Feed(http)
        self._pusher = Pusher(http, self.conflicts)

    @property
    def capabilities(self) -> Capabilities:
        """See ``Remote``. The released server states none."""
        return self._capabilities

    @property
    def selective_sync(self) -> SelectiveSync | None:
        """See ``Remote``. The server has none."""
        return None

    @property
    def source_admin(self) -> SourceAdmin:
        """See ``Remote``. The released server has none of its calls."""
        return RavenSourceAdmin(self._http)

    @property
    def device_admin(self) -> DeviceAdmin | None:
        """See ``Remote``. There is none."""
        return None

    @property
    def machine_list(self) -> MachineList | None:
        """See ``Remote``. The released server has none."""
        return RavenMachines(self._http, self._connector_id) if self._capabilities.machines else None

    def register(self, name: str, platform: str, version: str, wanted_id: str | None = None) -> Registration:
        """See ``Remote``. The released server creates a new connector with an id of its own each time."""
        answer = self._row("connectors/register", {"name": name, "platform": platform, "version": version})
        return self._registered(text(answer, "id"), answer)

    def heartbeat(self, connector_id: str) -> Registration:
        """See ``Remote``."""
        answer = self._row("connectors/heartbeat", {"connectorId": connector_id})
        return self._registered(text(answer, "connectorId"), answer)

    def rename_connector(self, connector_id: str, name: str) -> bool:
        """See ``Remote``. The released server has no such call."""
        if not self._capabilities.rename_connector:
            return False
        body = {"connectorId": connector_id, "name": name}
        self._http.call("connectors/rename", body, limits=DecodeLimits.RECORD)
        return True

    def sources(self) -> list[RemoteSource]:
        """See ``Remote``. Sources with a mode this release does not know are left out."""
        answer = self._http.call("sources/list", {})
        return [source for value in rows(answer.data, "source") if (source := source_of(value)) is not None]

    def create_source(
        self, name: str, mode: Mode, connector_id: str, include: Sequence[str], exclude: Sequence[str]
    ) -> RemoteSource:
        """See ``Remote``."""
        body = {
            "name": name,
            "mode": mode.value,
            "connectorId": connector_id,
            "includePatterns": list(include),
            "excludePatterns": list(exclude),
        }
        source = source_of(self._row("sources", body))
        if source is None:
            raise malformed("the server created a source with another mode than requested")
        return source

    def pause(self, source_id: str) -> None:
        """See ``Remote``."""
        self._http.call("sources/pause", {"sourceId": source_id}, limits=DecodeLimits.RECORD)

    def resume(self, source_id: str) -> None:
        """See ``Remote``."""
        self._http.call("sources/resume", {"sourceId": source_id}, limits=DecodeLimits.RECORD)

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
        """See ``Remote``. The last minute of a feed that is not ordered is read again a few times."""
        # The server takes the position of a poll that names its connector for what that connector has.
        alive = self._connector_id if applied and self._capabilities.poll_heartbeat else None
        return self._feed.pull(source_id, state, wait_seconds, now, self._capabilities, known, alive)

    def push(
        self,
        source_id: str,
        connector_id: str | None,
        batch: Sequence[Outgoing],
        on_resumable: OnResumable = not_resumable,
    ) -> PushAnswer:
        """See ``Remote``. Each content travels inside its request, so no upload is ever resumed."""
        return self._pusher.push(source_id, connector_id if self._capabilities.connector_id else None, batch)

    def cancel(self, operation_id: str) -> None:
        """See ``Remote``. A request of one operation is not divided, so nothing can be stopped."""

    def recall(self, source_id: str, operation: Operation, resume: str | None) -> Outcome:
        """See ``Remote``. The server keeps no outcomes that could be read; sending again shows them on the hub."""
        return Outcome(operation.id, Result.UNCERTAIN)

    def fetch(self, source_id: str, transfer: Transfer, offset: int, sink: Sink) -> None:
        """See ``Remote``. The server knows no ranges: the content comes whole, from the head or from the history."""
        content = self._content(source_id, transfer.path, transfer.hash)
        if content is None:
            problem = Problem(ProblemKind.NOT_FOUND, f"the server no longer has this version of {transfer.path}")
            raise RemoteCallError(problem, SideEffect.NONE)
        sink(0, content)

    def last_cursor(self, source_id: str) -> int:
        """Return the number of the source's last event. Below our cursor: the server was restored from an older copy.

        Raises:
            RemoteError: PAUSED while the source is paused; any other failed call.
        """
        return self._pusher.last_cursor(source_id)

    def was_restored_from_older_copy(self, source_id: str, state: str | None) -> bool:
        """See ``Remote``. After a restore the server uses numbers again, so the id of the event is compared."""
        position = FeedPosition.from_json(state)
        if position.id_suffix or (position.cursor and self._capabilities.ordered_feed):
            return not self._feed.still_has(source_id, position)
        try:
            return position.cursor > 0 and self.last_cursor(source_id) < position.cursor
        except RemoteCallError as failure:
            if failure.problem.kind is ProblemKind.PAUSED:
                return False
            raise

    def is_paused(self, source_id: str) -> bool:
        """See ``Remote``."""
        return any(source.paused for source in self.sources() if source.id == source_id)

    def listing(self, source_id: str) -> Iterator[list[RemoteFile]]:
        """See ``Remote``. A server that does not know ``limit`` answers with every file."""
        after: dict[str, str] = {}
        previous: set[str] = set()
        while True:
            body = {"sourceId": source_id, "limit": LISTING_PAGE, **after}
            page = [file_of(value) for value in rows(self._http.call("sources/files", body).data, "file")]
            if any(file.path in previous for file in page):
                # The server ignored ``after`` too: the first answer held everything, by chance exactly one page.
                return
            yield page
            if len(page) != LISTING_PAGE:
                return
            previous = {file.path for file in page}
            after = {"after": page[-1].path}

    def state_digest(self, source_id: str) -> str:
        """See ``Remote``."""
        return text(self._row("sources/digest", {"sourceId": source_id}), "digest")

    def is_gone(self, source_id: str, path: str, remote_id: str) -> bool:
        """See ``Remote``. The server hides no files."""
        return False

    def head(self, source_id: str, path: str) -> RemoteHead | None:
        """See ``Remote``. The versions come without their texts.

        If the history is too large for one answer, the head is taken from the listing and the feed.
        """
        try:
            answer = self._row("sources/file", {"sourceId": source_id, "relativePath": path}, DecodeLimits.WHOLE)
        except AnswerTooLarge:
            return self._head_from_feed(source_id, path)
        except RemoteCallError as failure:
            if _is_missing(failure, NO_FILE):
                return None
            raise
        digest = text(answer, "lastSyncedHash")
        versions = [version_of(value) for value in rows(answer.get("versions"), "version")]
        content = matching(text(answer, "content"), digest)
        return _head(path, digest, content, newest_first(versions))

    def history(self, source_id: str, path: str, limit: int | None = None) -> list[RemoteVersion]:
        """See ``Remote``. Empty for a path that the server never had."""
        # Without ``allVersions`` a server answers with its newest ones; their number is its own choice.
        body = {"sourceId": source_id, "relativePath": path, **({} if limit else {"allVersions": True})}
        try:
            answer = self._row("sources/history", body, DecodeLimits.WHOLE)
        except AnswerTooLarge:
            return self._feed.versions(source_id, path)
        except RemoteCallError as failure:
            if _is_missing(failure, NO_FILE):
                return self._feed.versions(source_id, path)
            raise
        return newest_first([version_of(value) for value in rows(answer.get("versions"), "version")])[:limit]

    def conflicts(
        self, source_id: str, paths: Set[str] | None = None, with_texts: Set[str] | None = None
    ) -> Iterator[RemoteConflict]:
        """See ``Remote``. A refused push of empty text is taken for a refused delete; see ``conflict_of``.

        A server that does not know ``limit`` answers with every conflict and both its texts. The answer is therefore
        read row by row.
        """
        after: dict[str, str] = {}
        previous: set[str] = set()
        while True:
            page: list[str] = []
            body = {"sourceId": source_id, "limit": CONFLICTS_PAGE, **after}
            for value in self._http.rows("sources/conflicts", body):
                conflict = conflict_of(row(value, "conflict"))
                if conflict.id in previous:
                    # The server ignored ``after``: the first answer held everything, by chance exactly one page.
                    return
                page.append(conflict.id)
                yield conflict
            if len(page) != CONFLICTS_PAGE:
                return
            previous, after = set(page), {"after": page[-1]}

    def resolve(
        self, source_id: str, conflict_id: str, choice: Resolution, content: bytes | None, expected_head: str | None
    ) -> None:
        """See ``Remote``. ``expected_head`` None means "no file"; only servers with ``expected_hash`` check it."""
        body: dict[str, Any] = {"sourceId": source_id, "conflictId": conflict_id, "resolution": choice.value}
        if content is not None:
            body["resolvedContent"] = _as_text(content)
        if self._capabilities.expected_hash:
            body["expectedRemoteHash"] = expected_head or SENTINEL_BASE
        try:
            self._http.call("sources/conflicts/resolve", body, limits=DecodeLimits.RECORD)
        except RemoteCallError as failure:
            if _is_missing(failure, NO_CONFLICT):
                raise stale("the conflict is no longer open") from failure
            raise

    def listen(self, stop: threading.Event, on_nudge: Callable[[Nudge], None]) -> None:
        """See ``Remote``. The server sends no nudges."""

    def abort_connections(self) -> None:
        """See ``Remote``."""
        self._http.abort_connections()

    def close(self) -> None:
        """See ``Remote``."""
        self._http.close()

    def _row(
        self, endpoint: str, body: Mapping[str, Any], limits: DecodeLimits = DecodeLimits.RECORD
    ) -> Mapping[str, Any]:
        return row(self._http.call(endpoint, body, limits=limits).data, "record")

    def _content(self, source_id: str, path: str, digest: str) -> bytes | None:
        head = self.head(source_id, path)
        if head is not None and head.hash == digest:
            return head.content
        versions = [old.content for old in self.history(source_id, path) if old.hash == digest]
        return next((content for content in versions if content is not None), None)

    def _registered(self, connector_id: str, answer: Mapping[str, Any]) -> Registration:
        self._capabilities = capabilities_of(answer)
        self._connector_id = connector_id
        return Registration(connector_id, self._capabilities)

    def _head_from_feed(self, source_id: str, path: str) -> RemoteHead | None:
        digest = next((f.hash for page in self.listing(source_id) for f in page if f.path == path), None)
        if digest is None:
            return None
        versions = self._feed.versions(source_id, path)
        content = next((version.content for version in versions if version.hash == digest), None)
        return _head(path, digest, content, versions)


def _head(path: str, digest: str, content: bytes | None, versions: Sequence[RemoteVersion]) -> RemoteHead:
    if content is None:
        raise malformed("the server's text of a file does not match its hash")
    past = tuple(RemoteVersion(old.hash, old.recorded_at, old.origin, old.size, None, old.hash) for old in versions)
    return RemoteHead(path, digest, content, digest, None, past, len(content))


def _as_text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as exc:
        problem = Problem(ProblemKind.BAD_REQUEST, "the resolved content is not UTF-8 text")
        raise RemoteCallError(problem, SideEffect.NONE) from exc


def _is_missing(failure: RemoteCallError, reason: str) -> bool:
    return failure.problem.kind is ProblemKind.NOT_FOUND and failure.reason == reason
