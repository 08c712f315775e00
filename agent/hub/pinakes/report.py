"""Reported changes: each is compared with the head under the account's lock.

A deleted file and a moved one are done at once. A content is wanted first: its upload names the same base, and
`complete` compares it again in its own transaction.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

from msgspec import Struct

from agent.hub.answers import HubError
from agent.hub.domain.drive_model import Device
from agent.hub.domain.model import Head, Source
from agent.hub.domain.ports import StoreSession
from agent.hub.domain.source_transaction import SourceTransaction
from agent.hub.domain.text import path_fault
from agent.hub.pinakes.conflicts import RefusedChange, base_revision, conflict_document, record_conflict
from agent.hub.pinakes.context import PinakesContext, PinakesRequest, account_writer, device_of
from agent.hub.pinakes.wire import DELETED, MOVED, ConflictBody, ReportBody, ReportedChange, ReportRequest


class ReportVerdict(Enum):
    """Decision about a reported change, or about a complete upload."""

    NOTHING = "nothing"
    """The account is as the change wants it."""
    APPLY = "apply"
    CONFLICT = "conflict"


def judge(wanted: str | None, base: str | None, head: str | None) -> ReportVerdict:
    """Decide about a change of one path, by hashes; None is "no file".

    Equal contents never conflict, whatever their base.
    """
    if wanted == head:
        return ReportVerdict.NOTHING
    # A missing base means that the path must be free; it never means "overwrite".
    return ReportVerdict.APPLY if base == head else ReportVerdict.CONFLICT


class WantedChange(Struct, frozen=True):
    """A reported change whose fields fit each other. Hashes are in lower case.

    Attributes:
        hash: None for a delete.
        base: None: the path must be free.
        old_path: of a move; its file must have the base.
    """

    path: str
    kind: str
    hash: str | None
    size: int
    base: str | None
    old_path: str | None

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths that it concerns."""
        return (self.path,) if self.old_path is None else (self.path, self.old_path)


def report(context: PinakesContext, request: PinakesRequest) -> ReportBody:
    """Take the changes of a device, in order.

    Raises:
        HubError: 400 for a malformed change, 401 without a device. Nothing was changed then.
    """
    wanted = [_checked(change) for change in request.decoded(ReportRequest).changes]
    return _report(context, request, wanted)


def _report(context: PinakesContext, request: PinakesRequest, wanted: Collection[WantedChange]) -> ReportBody:
    accepted: list[str] = []
    uploads: list[str] = []
    conflicts: list[ConflictBody] = []
    with account_writer(context, request.caller) as (session, transaction):
        device = device_of(session, request)
        transaction.load_heads(path for change in wanted for path in change.paths)
        reporter = _Reporter(context, session, transaction, device)
        for change in wanted:
            verdict = reporter.take(change)
            if verdict is ReportVerdict.NOTHING:
                accepted.append(change.path)
            elif verdict is ReportVerdict.APPLY:
                uploads.append(change.path)
            else:
                base = base_revision(context, session, transaction, change.path, change.base)
                refused = RefusedChange(change.path, change.hash, change.size, base, None, {})
                made = record_conflict(context, session, transaction, device, refused)
                conflicts.append(conflict_document(context, session, transaction.source, made))
    return ReportBody(accepted, uploads, conflicts)


class _Reporter:
    """Takes reported changes of one device in one transaction."""

    def __init__(
        self, context: PinakesContext, session: StoreSession, transaction: SourceTransaction, device: Device
    ) -> None:
        self._context = context
        self._session = session
        self._transaction = transaction
        self._operation = f"pinakes-{device.user}-{context.new_id()}"
        self._detail = {"by": device.user, "device": device.id}

    def take(self, change: WantedChange) -> ReportVerdict:
        """Return NOTHING for a change that is done now, APPLY for one whose content is wanted, CONFLICT for neither."""
        if change.old_path is not None:
            return self._move(change, change.old_path)
        head = self._transaction.head(change.path)
        verdict = judge(change.hash, change.base, self._shown(head))
        if verdict is ReportVerdict.APPLY and change.kind == DELETED:
            self._transaction.delete(change.path, self._operation, detail=self._detail)
            return ReportVerdict.NOTHING
        return verdict

    def _move(self, change: WantedChange, old_path: str) -> ReportVerdict:
        old, target = self._transaction.head(old_path), self._transaction.head(change.path)
        if target is not None:
            # A move that is reported again has been done; any other file in the way is not replaced.
            is_done = old is None and self._shown(target) == change.base
            return ReportVerdict.NOTHING if is_done else ReportVerdict.CONFLICT
        if old is None or self._shown(old) != change.base:
            return ReportVerdict.CONFLICT
        self._transaction.move(old_path, change.path, self._operation, self._detail)
        return ReportVerdict.NOTHING

    def _shown(self, head: Head | None) -> str | None:
        return shown_hash(self._context, self._session, self._transaction.source, head)


def shown_hash(context: PinakesContext, session: StoreSession, source: Source, head: Head | None) -> str | None:
    """Return the hash of a head in this API's algorithm, None for no file. Raises UnhashedContent."""
    if head is None or head.hash is None:
        return None
    return context.hashes.stored(session, source.workspace_number, [head.hash])[head.hash]


def _checked(change: ReportedChange) -> WantedChange:
    check_path(change.path)
    is_delete, is_move = change.change_type == DELETED, change.change_type == MOVED
    if is_move:
        if change.old_path is None or change.base_hash is None or change.old_path == change.path:
            raise HubError(400, "A moved file needs its other path and its base_hash")
        check_path(change.old_path)
    elif not is_delete and (change.content_hash is None or change.file_size is None):
        raise HubError(400, "A file needs its content_hash and its file_size")
    wanted = None if is_delete else _lower(change.base_hash if is_move else change.content_hash)
    old = change.old_path if is_move else None
    return WantedChange(change.path, change.change_type, wanted, change.file_size or 0, _lower(change.base_hash), old)


def check_path(path: str) -> None:
    """Refuse a path that no machine should write.

    Raises:
        HubError: 400.
    """
    fault = path_fault(path)
    if fault is not None:
        raise HubError(400, fault.replace("relativePath", "The path"))


def _lower(hash_: str | None) -> str | None:
    return None if hash_ is None else hash_.lower()
