"""The adapter of the ScaiDrive dialect. A source is a share; a connector is a device."""

from __future__ import annotations

import posixpath
import threading
from collections.abc import Callable, Iterator, Sequence, Set
from typing import Final

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
from agent.remotes.fields import row
from agent.remotes.http.client import HttpClient
from agent.remotes.http.failures import RemoteCallError, SideEffect
from agent.remotes.machine_list import MachineList
from agent.remotes.protocol import (
    CallRate,
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
from agent.remotes.scaidrive.batches import FileBatches
from agent.remotes.scaidrive.calls import CONTENT_COST, LIST_COST, MISSING, WRITE_COST, Calls, Limits, no_version
from agent.remotes.scaidrive.conflicts import ShareConflicts
from agent.remotes.scaidrive.devices import DriveDevices
from agent.remotes.scaidrive.feed import ShareFeed
from agent.remotes.scaidrive.machines import ShareMachines
from agent.remotes.scaidrive.preferences import SharePreferences
from agent.remotes.scaidrive.push import Sender
from agent.remotes.scaidrive.tree import ShareFolders
from agent.remotes.scaidrive.uploads import DriveUploads, session_of
from agent.remotes.scaidrive.wire import (
    ListedShare,
    VersionRow,
    share_body,
    share_of,
    shares_page_of,
)
from agent.remotes.scaidrive.wire_devices import device_body, device_id_of
from agent.remotes.source_admin import SourceAdmin

SHARES_PAGE: Final = 100
"""Shares requested at once."""
UPLOAD_COST: Final = CONTENT_COST + WRITE_COST
"""Cost of one new file: its content, and a call of ``apply`` that others share."""
DOWNLOAD_COST: Final = CONTENT_COST + 1
"""Cost of one file: its versions and its content."""
HEARTBEAT_SECONDS: Final = 300.0
ACKNOWLEDGE_SECONDS: Final = 60.0
"""Seconds between two reports of a share's cursor."""
_LIMITS: Final = Limits()


class ScaiDriveRemote:
    """``Remote`` for ScaiDrive's API. Safe to use from several threads.

    ``rev`` is the version id, ``remote_id`` the file id. A move changes neither.
    """

    def __init__(self, http: HttpClient, books: BookOf = no_books, limits: Limits = _LIMITS) -> None:
        self._http = http
        self._books = books
        self._capabilities = Capabilities(
            ordered_feed=True, keeps_history=False, hides_files=True, text_only=False, moves=True,
            inline_limit=limits.inline, listing=ListingCost.WALK, blind_resolve=True, client_made_id=True,
            conflict_events=False, server_mode=False, server_patterns=False, server_pause=False, resumable_uploads=True,
            heartbeat_seconds=HEARTBEAT_SECONDS, nudges=True, machines=True, rename_connector=True,
        )  # fmt: skip
        self._device = ""
        self._calls = Calls(http, limits)
        self._tree = ShareFolders(self._calls)
        batches = FileBatches(self._calls)
        self._feed = ShareFeed(self._calls, self._tree, batches, lambda: self._device)
        self._conflicts = ShareConflicts(self._calls)
        self._uploads = DriveUploads(self._calls)
        self._sender = Sender(self._calls, self._tree, self._uploads, batches, self._conflicts, self._is_writable)
        self._preferences = SharePreferences(self._calls, self._tree, books, lambda: self._device)
        self._acknowledged: dict[str, tuple[float, str | None]] = {}

    @property
    def capabilities(self) -> Capabilities:
        """See ``Remote``. The limit of calls is that of the newest answer."""
        limit = self._http.call_limit
        rate = None if not limit else CallRate(limit, UPLOAD_COST, DOWNLOAD_COST)
        known = self._capabilities
        return known if known.rate == rate else replace(known, rate=rate)

    # Account

    def register(self, name: str, platform: str, version: str, wanted_id: str | None = None) -> Registration:
        """See ``Remote``. The id is made by the client."""
        if wanted_id is None:
            problem = Problem(ProblemKind.BAD_REQUEST, "this server needs an id for the device")
            raise RemoteCallError(problem, SideEffect.NONE)
        answer = self._calls.post("sync/devices", body=device_body(wanted_id, name, platform, version))
        return self._registered(device_id_of(answer))

    def heartbeat(self, connector_id: str) -> Registration:
        """See ``Remote``. The answer is empty."""
        self._calls.post("sync/devices/{}/heartbeat", (connector_id,), may_be_empty=True)
        return self._registered(connector_id)

    def rename_connector(self, connector_id: str, name: str) -> bool:
        """See ``Remote``. The connector is the device."""
        self.device_admin.rename(connector_id, name)
        return True

    def _registered(self, device: str) -> Registration:
        self._device = device
        self._capabilities = replace(self._capabilities, max_bytes=self._calls.user().max_bytes)
        return Registration(device, self.capabilities)

    def sources(self) -> list[RemoteSource]:
        """See ``Remote``."""
        shares = sorted(self._shares(), key=lambda share: share.created_at, reverse=True)
        return [share.source for share in shares]

    def _shares(self) -> list[ListedShare]:
        found: dict[str, ListedShare] = {}
        offset = 0
        while True:
            query: dict[str, str | int] = {"limit": SHARES_PAGE, "offset": offset}
            page, total = shares_page_of(self._calls.get("users/me/shares", query=query, cost=LIST_COST))
            found.update((share.source.id, share) for share in page)
            offset += len(page)
            if not page or offset >= total:
                return list(found.values())

    def _is_writable(self, share: str) -> bool:
        return any(source.writable for source in self.sources() if source.id == share)

    def create_source(
        self, name: str, mode: Mode, connector_id: str, include: Sequence[str], exclude: Sequence[str]
    ) -> RemoteSource:
        """See ``Remote``. A personal share of the account's user; the server stores neither mode nor patterns."""
        answer = self._calls.post("shares", body=share_body(name, self._calls.user().id))
        return share_of(row(answer, "share")).source

    def pause(self, source_id: str) -> None:
        """See ``Remote``. Never called: the server has no pause."""
        raise _cannot("pause")

    def resume(self, source_id: str) -> None:
        """See ``Remote``. Never called: the server has no pause."""
        raise _cannot("resume")

    def is_paused(self, source_id: str) -> bool:
        """See ``Remote``. The server has no pause."""
        return False

    # Feed

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
        """See ``Remote``. The cursor of a quiet share is reported to the server, for its display only."""
        page = self._feed.pull(source_id, state, self._books(source_id))
        reported_at, cursor = self._acknowledged.get(source_id, (float("-inf"), None))
        if applied and not page.more and now >= reported_at + ACKNOWLEDGE_SECONDS:
            self._acknowledged[source_id] = now, self._feed.acknowledge(source_id, state, cursor)
        return page

    def was_restored_from_older_copy(self, source_id: str, state: str | None) -> bool:
        """See ``Remote``."""
        return self._feed.lacks(source_id, state)

    def listing(self, source_id: str) -> Iterator[list[RemoteFile]]:
        """See ``Remote``. The server lists no hashes."""
        for path, children in self._tree.walk(source_id):
            yield [
                RemoteFile(posixpath.join(path, child.name), None, None, child.id, child.size, child.mark)
                for child in children
            ]

    def state_digest(self, source_id: str) -> str:
        """See ``Remote``. Never called: the server has no digest."""
        raise _cannot("state_digest")

    def is_gone(self, source_id: str, path: str, remote_id: str) -> bool:
        """See ``Remote``. A deleted file is 410, or is shown as deleted; 404 proves nothing."""
        try:
            found = self._calls.file(remote_id)
        except RemoteCallError as failure:
            if failure.problem.kind not in MISSING:
                raise
            return failure.problem.kind is ProblemKind.GONE
        return found.deleted or found.path != path

    @property
    def source_admin(self) -> SourceAdmin | None:
        """See ``Remote``. There is none."""
        return None

    @property
    def machine_list(self) -> MachineList:
        """See ``Remote``. The devices of the account's user."""
        return ShareMachines(self._calls, self._device)

    @property
    def device_admin(self) -> DeviceAdmin:
        """See ``Remote``."""
        return DriveDevices(self._calls, self._device)

    @property
    def selective_sync(self) -> SelectiveSync:
        """See ``Remote``."""
        return self._preferences

    # Contents

    def fetch(self, source_id: str, transfer: Transfer, offset: int, sink: Sink) -> None:
        """See ``Remote``."""
        identifier = transfer.remote_id or self._id_at(source_id, transfer.path)
        identifier = identifier or self._deleted_id(source_id, transfer.path)
        if identifier is None:
            raise no_version()
        number = self._calls.number_of(identifier, transfer.rev, transfer.hash)
        self._calls.download(identifier, number, transfer.size, offset, sink)

    def head(self, source_id: str, path: str) -> RemoteHead | None:
        """See ``Remote``."""
        for find in (self._known_id, self._tree.file):
            identifier = find(source_id, path)
            versions = None if identifier is None else self._at(identifier, path)
            if identifier is not None and versions:
                newest = versions[0]
                content = self._calls.content(identifier, newest)
                past = tuple(_version(version, None) for version in versions)
                return RemoteHead(path, newest.hash, content, newest.rev, identifier, past, newest.size)
        return None

    def _at(self, identifier: str, path: str) -> list[VersionRow]:
        """Return the versions of a file if it is at the path; empty if it is not."""
        try:
            found = self._calls.file(identifier)
            return self._calls.versions(identifier) if found.path == path and not found.deleted else []
        except RemoteCallError as failure:
            if failure.problem.kind not in MISSING:
                raise
            return []

    def history(self, source_id: str, path: str, limit: int | None = None) -> list[RemoteVersion]:
        """See ``Remote``. A deleted file is found among the deleted ones of its folder."""
        for find in (self._known_id, self._tree.file, self._deleted_id):
            identifier = find(source_id, path)
            if identifier is None:
                continue
            try:
                versions = self._calls.versions(identifier)
            except RemoteCallError as failure:
                if failure.problem.kind not in MISSING:
                    raise
                continue
            return [_version(version, self._calls.content(identifier, version)) for version in versions[:limit]]
        return []

    def _known_id(self, share: str, path: str) -> str | None:
        entry = self._books(share).entry_at(path)
        return None if entry is None else entry.remote_id

    def _deleted_id(self, share: str, path: str) -> str | None:
        return self._tree.file(share, path, deleted=True)

    def _id_at(self, share: str, path: str) -> str | None:
        return self._known_id(share, path) or self._tree.file(share, path)

    # Changes

    def push(
        self,
        source_id: str,
        connector_id: str | None,
        batch: Sequence[Outgoing],
        on_resumable: OnResumable = not_resumable,
    ) -> PushAnswer:
        """See ``Remote``."""
        device = connector_id or self._device
        return self._sender.push(source_id, device, batch, self._books(source_id), on_resumable)

    def cancel(self, operation_id: str) -> None:
        """See ``Remote``."""
        self._uploads.cancel(operation_id)

    def recall(self, source_id: str, operation: Operation, resume: str | None) -> Outcome:
        """See ``Remote``. A version is proof if this user made it of our bytes, on our base.

        The server knows users and no devices there. The same edit on the same base from another machine of the user is
        as good as ours. A file that is only found at the path of a new one may have been moved there, so it proves
        nothing; the upload session names the file that it made.
        """
        named = replace(operation, remote_id=self._made_by_session(operation, resume) or operation.remote_id)
        identifier = named.remote_id or self._id_at(source_id, operation.old_path or operation.path)
        if identifier is None:
            identifier = self._id_at(source_id, operation.path)
        if identifier is not None and operation.verb is Verb.UPSERT and is_history_of_ours(named, identifier):
            made = self._made(identifier, operation)
            if made is not None:
                return Outcome(operation.id, Result.APPLIED, rev=made.rev, remote_id=identifier)
        if operation.verb is Verb.MOVE or identifier is None:
            return Outcome(operation.id, Result.UNCERTAIN)
        found = self._conflicts.own(source_id, self._device, operation, identifier)
        if found is None:
            return Outcome(operation.id, Result.UNCERTAIN)
        return Outcome(operation.id, Result.CONFLICT, self._conflicts.record(found, operation))

    def _made_by_session(self, operation: Operation, resume: str | None) -> str | None:
        session = session_of(resume, operation)
        if session is None:
            return None
        try:
            return self._uploads.status(session.session).file
        except RemoteCallError as failure:
            if failure.problem.kind not in MISSING:
                raise
            return None

    def _made(self, identifier: str, operation: Operation) -> VersionRow | None:
        try:
            versions = self._calls.versions(identifier)
        except RemoteCallError as failure:
            if failure.problem.kind not in MISSING:
                raise
            return None
        if operation.base is not None and operation.base_rev is None:
            return None
        user = self._calls.user().id
        for index, version in enumerate(versions):
            before = versions[index + 1].rev if index + 1 < len(versions) else None
            if (version.by, version.hash) == (user, operation.hash) and before == operation.base_rev:
                return version
        return None

    # Conflicts

    def conflicts(
        self, source_id: str, paths: Set[str] | None = None, with_texts: Set[str] | None = None
    ) -> Iterator[RemoteConflict]:
        """See ``Remote``. The text of a change that was refused before its upload is not on the server."""
        return self._conflicts.all(source_id, paths, with_texts)

    def resolve(
        self, source_id: str, conflict_id: str, choice: Resolution, content: bytes | None, expected_head: str | None
    ) -> None:
        """See ``Remote``. Only closes the conflict: the server's version stays, whatever the choice."""
        self._conflicts.close(conflict_id)

    def listen(self, stop: threading.Event, on_nudge: Callable[[Nudge], None]) -> None:
        """See ``Remote``."""
        # Imported here: a single command starts sooner without it.
        from agent.remotes.scaidrive.nudges import listen

        listen(self._http, self._device, stop, on_nudge)

    def abort_connections(self) -> None:
        """See ``Remote``."""
        self._http.abort_connections()

    def close(self) -> None:
        """See ``Remote``."""
        self._http.close()


def _version(version: VersionRow, content: bytes | None) -> RemoteVersion:
    return RemoteVersion(version.hash, version.at, version.by, version.size, content, version.rev)


def _cannot(what: str) -> RemoteCallError:
    return RemoteCallError(Problem(ProblemKind.BAD_REQUEST, f"the server has no {what}"), SideEffect.NONE)
