"""The adapter of the Pinakes dialect. A source is a top-level folder of the account; a connector is a device.

``rev`` is the server's content hash. There are no file ids, no history, and no moves in reports.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence, Set
from typing import Final

from agent.core.errors import Problem, ProblemKind
from agent.core.events import Page, Span
from agent.core.model import Mode, Resolution
from agent.core.remote_records import Operation, Outcome, RemoteConflict, RemoteFile, RemoteHead, RemoteVersion, Result
from agent.core.supply import Transfer
from agent.remotes.book import BookOf, no_books
from agent.remotes.device_admin import DeviceAdmin
from agent.remotes.http.client import HttpClient
from agent.remotes.http.failures import RemoteCallError, SideEffect
from agent.remotes.issued_tokens import MemorySecret, SecretStore
from agent.remotes.machine_list import MachineList
from agent.remotes.pinakes.calls import PinakesCalls, PinakesLimits
from agent.remotes.pinakes.conflicts import AccountConflicts
from agent.remotes.pinakes.contents import AccountContents
from agent.remotes.pinakes.device_admin import AccountDevices
from agent.remotes.pinakes.devices import PinakesDevices
from agent.remotes.pinakes.feed import AccountFeed
from agent.remotes.pinakes.hashing import SHA256, ContentHashing
from agent.remotes.pinakes.machines import AccountMachines
from agent.remotes.pinakes.report import PinakesParts, push_operations
from agent.remotes.pinakes.scope import folder_source, scope_of, whole_source
from agent.remotes.pinakes.upload import PinakesUploads, pair_of, session_of
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

HEARTBEAT_SECONDS: Final = 300.0
ACKNOWLEDGE_SECONDS: Final = 60.0
"""Seconds between two reports of a source's cursor."""
_LISTED: Final = 500
"""Files in one page of a listing."""
_LIMITS: Final = PinakesLimits()


class PinakesRemote:
    """``Remote`` for Pinakes' API. Safe to use from several threads.

    Args:
        algorithm: of the server's content hashes; one of ``HASHES``.
        secret: keeps the device's token over restarts; by default until the adapter ends.

    Raises:
        UsageError: the algorithm is not known, or its package is not installed.
    """

    def __init__(
        self, http: HttpClient, books: BookOf = no_books, *, algorithm: str = SHA256,
        secret: SecretStore | None = None, limits: PinakesLimits = _LIMITS,
    ) -> None:  # fmt: skip
        self._http = http
        self._books = books
        self.capabilities = Capabilities(
            ordered_feed=True, keeps_history=False, history=False, text_only=False, inline_limit=limits.inline,
            listing=ListingCost.FOLD, blind_resolve=True, conflict_events=False, client_made_id=True, server_mode=False,
            server_patterns=False, server_pause=False, resumable_uploads=True, heartbeat_seconds=HEARTBEAT_SECONDS,
            machines=True, rename_connector=True,
        )  # fmt: skip
        self._calls = PinakesCalls(http, limits)
        self._hashing = ContentHashing(algorithm, pair_of)
        self.devices = PinakesDevices(self._calls, secret or MemorySecret())
        self._calls.device = self.devices
        self._contents = AccountContents(self._calls, self._hashing, self._stated)
        self._feed = AccountFeed(self._calls, self._contents, self._hashing, self._device)
        self._conflicts = AccountConflicts(self._calls, self._contents, self._hashing, self._device)
        self._uploads = PinakesUploads(self._calls)
        self._parts = PinakesParts(self._calls, self._contents, self._hashing, self._uploads, self._conflicts)
        self._made: list[RemoteSource] = []
        """Sources that were made here and may have no file yet, newest first: the server knows files only."""
        self._acknowledged: dict[str, tuple[float, int]] = {}

    def _device(self) -> str | None:
        return self.devices.id

    def _stated(self, path: str) -> str | None:
        found = self._feed.fold().get(path)
        return None if found is None else found.rev

    # Account

    @property
    def source_admin(self) -> SourceAdmin | None:
        """See ``Remote``. There is none."""
        return None

    @property
    def machine_list(self) -> MachineList:
        """See ``Remote``. The devices of the account; their positions count the whole account."""
        return AccountMachines(self._calls, self.devices)

    @property
    def device_admin(self) -> DeviceAdmin:
        """See ``Remote``."""
        return AccountDevices(self.devices)

    @property
    def selective_sync(self) -> SelectiveSync | None:
        """See ``Remote``. The server has none."""
        return None

    def register(self, name: str, platform: str, version: str, wanted_id: str | None = None) -> Registration:
        """See ``Remote``. The connector's id is ours; the server's id of the device is kept with its token."""
        if wanted_id is None:
            problem = Problem(ProblemKind.BAD_REQUEST, "this server needs an id for the device")
            raise RemoteCallError(problem, SideEffect.NONE)
        self.devices.register(name, platform, version, wanted_id)
        return Registration(wanted_id, self.capabilities)

    def heartbeat(self, connector_id: str) -> Registration:
        """See ``Remote``. The server has no heartbeat: the device is read."""
        self.devices.check(connector_id)
        return Registration(connector_id, self.capabilities)

    def rename_connector(self, connector_id: str, name: str) -> bool:
        """See ``Remote``. The device of the connector is renamed."""
        self.devices.rename(connector_id, name)
        return True

    def sources(self) -> list[RemoteSource]:
        """See ``Remote``. Every change is read: the server lists no files."""
        made_at: dict[str, str] = {}
        for path, file in self._feed.fold().items():
            top, below, _ = path.partition("/")
            if below:
                made_at[top] = min(made_at.get(top, file.at), file.at)
        known = {source.name: source for source in self._made}
        folders = sorted(made_at, key=lambda name: made_at[name], reverse=True)
        return [*self._made, *(folder_source(name) for name in folders if name not in known), whole_source()]

    def create_source(
        self, name: str, mode: Mode, connector_id: str, include: Sequence[str], exclude: Sequence[str]
    ) -> RemoteSource:
        """See ``Remote``. Nothing is sent: the folder exists with its first file."""
        source = folder_source(name)
        self._made = [source, *(each for each in self._made if each != source)]
        return source

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
        """See ``Remote``. The cursor of a quiet source is reported to the server, for its display only."""
        page = self._feed.pull(scope_of(source_id), state, self._books(source_id))
        reported_at, cursor = self._acknowledged.get(source_id, (float("-inf"), 0))
        if applied and state is not None and not page.more and now >= reported_at + ACKNOWLEDGE_SECONDS:
            # The given state, not the new one: it is committed.
            self._acknowledged[source_id] = now, self._feed.acknowledge(state, cursor)
        return page

    def was_restored_from_older_copy(self, source_id: str, state: str | None) -> bool:
        """See ``Remote``."""
        return self._feed.lacks(state)

    def listing(self, source_id: str) -> Iterator[list[RemoteFile]]:
        """See ``Remote``. Every change is read. A hash that cannot be translated is the mark instead."""
        scope, book = scope_of(source_id), self._books(source_id)
        page: list[RemoteFile] = []
        for path, file in sorted(self._feed.fold().items()):
            inside = scope.inside(path)
            if inside is None:
                continue
            digest = self._hashing.sha256_of(file.rev, inside, book)
            page.append(RemoteFile(inside, digest, file.rev, None, file.size, file.rev))
            if len(page) == _LISTED:
                yield page
                page = []
        yield page

    def state_digest(self, source_id: str) -> str:
        """See ``Remote``. Never called: the server has no digest."""
        raise _cannot("state_digest")

    # Contents

    def fetch(self, source_id: str, transfer: Transfer, offset: int, sink: Sink) -> None:
        """See ``Remote``."""
        path = scope_of(source_id).full(transfer.path)
        self._contents.fetch(path, transfer.rev, transfer.hash, transfer.size, offset, sink)

    def is_gone(self, source_id: str, path: str, remote_id: str) -> bool:
        """See ``Remote``. The server hides no files."""
        return False

    def head(self, source_id: str, path: str) -> RemoteHead | None:
        """See ``Remote``. There are no versions."""
        found = self._contents.head(scope_of(source_id).full(path), self._books(source_id), path)
        if found is None:
            return None
        return RemoteHead(path, found.hash, found.content, found.rev, None, (), found.size)

    def history(self, source_id: str, path: str, limit: int | None = None) -> list[RemoteVersion]:
        """See ``Remote``. The server keeps none."""
        scope_of(source_id)
        return []

    # Changes

    def push(
        self,
        source_id: str,
        connector_id: str | None,
        batch: Sequence[Outgoing],
        on_resumable: OnResumable = not_resumable,
    ) -> PushAnswer:
        """See ``Remote``."""
        try:
            scope = scope_of(source_id)
        except RemoteCallError as failure:
            return PushAnswer(tuple(Outcome(o.operation.id, Result.NOT_SENT) for o in batch), failure.problem)
        return push_operations(self._parts, scope, batch, self._books(source_id), on_resumable)

    def cancel(self, operation_id: str) -> None:
        """See ``Remote``."""
        self._uploads.cancel(operation_id)

    def recall(self, source_id: str, operation: Operation, resume: str | None) -> Outcome:
        """See ``Remote``. A completed upload is proof, and so is our open conflict about the same content."""
        scope, book = scope_of(source_id), self._books(source_id)
        digest: str | None = None
        if operation.hash is not None:
            pair = pair_of(resume)
            known = self._hashing.server_hash_of(operation.hash, operation.path, book)
            digest = pair[1] if pair is not None and pair[0] == operation.hash else known
            session = session_of(resume, operation.hash)
            found = None if session is None else self._uploads.status(session, operation.size)
            if found is not None and found.completed:
                return Outcome(operation.id, Result.APPLIED, rev=digest)
            if digest is None:
                return Outcome(operation.id, Result.UNCERTAIN)
        conflict = self._conflicts.own(scope.full(operation.path), digest)
        if conflict is None:
            return Outcome(operation.id, Result.UNCERTAIN)
        return Outcome(operation.id, Result.CONFLICT, self._conflicts.record(conflict, scope, book, operation))

    # Conflicts

    def conflicts(
        self, source_id: str, paths: Set[str] | None = None, with_texts: Set[str] | None = None
    ) -> Iterator[RemoteConflict]:
        """See ``Remote``. The text of a refused change is not on the server."""
        return self._conflicts.all(scope_of(source_id), self._books(source_id), paths, with_texts)

    def resolve(
        self, source_id: str, conflict_id: str, choice: Resolution, content: bytes | None, expected_head: str | None
    ) -> None:
        """See ``Remote``. Only closes the conflict: the server's version stays, whatever the choice."""
        self._conflicts.close(conflict_id)

    def listen(self, stop: threading.Event, on_nudge: Callable[[Nudge], None]) -> None:
        """See ``Remote``. The server reports nothing by itself."""

    def abort_connections(self) -> None:
        """See ``Remote``."""
        self._http.abort_connections()

    def close(self) -> None:
        """See ``Remote``."""
        self._http.close()


def _cannot(what: str) -> RemoteCallError:
    problem = Problem(ProblemKind.BAD_REQUEST, f"the server has no {what}")
    return RemoteCallError(problem, SideEffect.NONE)
