"""The server's feed, applied to the remote tree.

``core/feed.py`` judges each event; this module carries the judgements out.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct, field
from msgspec.structs import replace

from agent.core import paths
from agent.core.events import (
    ConflictClosed,
    ConflictOpened,
    ControlEvent,
    ControlSignal,
    Delete,
    FeedEvent,
    Move,
    Page,
    Superseded,
    Unreadable,
    Upsert,
)
from agent.core.feed import (
    EchoState,
    EventKind,
    PastPush,
    PathKnowledge,
    PendingPush,
    judge_event,
    overwritten_late,
)
from agent.core.model import Reason, side_of
from agent.core.remote_records import Operation
from agent.core.version import Version
from agent.engine.conflicts import ConflictTracker
from agent.engine.context import EngineContext
from agent.engine.feed_polling import FeedPolling
from agent.engine.in_doubt import InDoubt
from agent.engine.messages import PageArrived
from agent.engine.path_store import PathStore, left
from agent.engine.server_conflicts import ServerConflicts
from agent.engine.verification import Verification
from agent.index.activity import ActivityKind
from agent.index.operations import OperationState, OverwriteSuspect, StoredOperation
from agent.index.problems import PathProblem, ProblemOrigin
from agent.index.trees import PathRow

_CONTROL_ACTIVITY = {ControlSignal.PAUSED: ActivityKind.PAUSED, ControlSignal.RESUMED: ActivityKind.RESUMED}
_OVER = (OperationState.DONE, OperationState.ECHOED)


class _PageContext(Struct):
    """Rows and operations of a page, loaded once and changed event by event."""

    rows: dict[str, PathRow]
    ours: dict[str, StoredOperation]
    changed: set[str] = field(default_factory=set)


class RemoteFeed:
    """Applies pages to the remote tree, recognises our own events and versions that were replaced unseen."""

    def __init__(
        self,
        ctx: EngineContext,
        path_store: PathStore,
        conflict_tracker: ConflictTracker,
        server_conflicts: ServerConflicts,
        in_doubt: InDoubt,
        verification: Verification,
        polling: FeedPolling,
    ) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._conflicts = conflict_tracker
        self._server_conflicts = server_conflicts
        self._in_doubt = in_doubt
        self._verification = verification
        self._polling = polling

    def on_page(self, message: PageArrived) -> None:
        """Apply one page, unless the saved position has moved since it was asked for."""
        ctx = self._ctx
        if not self._polling.is_current(message):
            return
        self._pass_over(message.page.past)
        self._apply(message.page)
        ctx.index.folders.put(ctx.source, message.page.folders)
        ctx.index.folders.drop(ctx.source, message.page.folders_gone)
        # The position and the events before it are committed together; the trees say what to install.
        ctx.update_source_row(feed_state=message.page.state, cursor=message.page.cursor)
        self._polling.on_page_applied(message)

    def _pass_over(self, past: int) -> None:
        """Skip our own events up to this position: each is acknowledged, so the poll asked the adapter to omit them."""
        in_flight = self._ctx.in_flight
        if past:
            self._in_doubt.passed_over(past)
            in_flight.newest_position = max(in_flight.newest_position, past)
        in_flight.forget_acknowledged(at_end=False)

    def _apply(self, page: Page) -> None:
        ctx = self._ctx
        touched = {path for event in page.events for path in _paths_of(event)}
        changes = [event for event in page.events if isinstance(event, Upsert | Delete | Move)]
        ids = [event.operation_id for event in changes if event.operation_id]
        reading = _PageContext(self._path_store.rows(sorted(touched)), ctx.operations_by_id(ids))
        self._polling.others = len(reading.ours) < len(page.events)
        handlers: dict[type, Callable[..., None]] = {
            Upsert: self._upsert, Delete: self._delete, Move: self._move, Superseded: self._superseded,
            ConflictOpened: self._conflict_opened, ConflictClosed: self._conflict_closed,
        }  # fmt: skip
        for event in page.events:
            ctx.in_flight.newest_position = max(ctx.in_flight.newest_position, event.position)
            if isinstance(event, ControlEvent):
                self._control(event)
            elif isinstance(event, Unreadable):
                self._unreadable(event)
            elif all(self._usable(path) for path in _paths_of(event)):
                handlers[type(event)](reading, event)
        self._path_store.change(reading.rows[path] for path in sorted(reading.changed))
        ctx.in_flight.mark_changed(reading.changed)

    def _usable(self, path: str) -> bool:
        """Return True if a path from the server is safe. A refused path is one skipped file."""
        reason = paths.check(path)
        if reason is None:
            return True
        self._refuse(_shown(path), Reason.UNSAFE_PATH, f"the server's path is refused: {reason}")
        return False

    def _refuse(self, shown: str, reason: Reason, text: str) -> None:
        self._ctx.set_problem(PathProblem(shown, ProblemOrigin.REMOTE, reason, text, self._ctx.now))

    def _unreadable(self, event: Unreadable) -> None:
        """Skip an event that cannot be decoded and name it; the verification finds what it reported."""
        shown = _shown(event.path) if event.path else f"event {event.position}"
        self._refuse(shown, Reason.GARBLED, f"event {event.position} of the server is refused: {event.reason}")
        self._ctx.record_activity(shown, ActivityKind.EVENT_REFUSED, event.reason)
        self._verification.request()

    def _control(self, event: ControlEvent) -> None:
        self._ctx.update_source_row(remote_paused=event.signal is ControlSignal.PAUSED)
        self._ctx.record_activity("", _CONTROL_ACTIVITY[event.signal], "by the server")

    def _upsert(self, reading: _PageContext, event: Upsert) -> None:
        self._ctx.clear_problem(event.path, ProblemOrigin.REMOTE)
        self._apply_version(reading, event.path, event.version, event, self._ours(reading, event.operation_id))

    def _delete(self, reading: _PageContext, event: Delete) -> None:
        self._ctx.clear_problem(event.path, ProblemOrigin.REMOTE)
        self._apply_version(reading, event.path, None, event, self._ours(reading, event.operation_id))
        self._server_conflicts.on_deleted(event.path)

    def _move(self, reading: _PageContext, event: Move) -> None:
        """Apply a move: an upsert of the new path, and the end of the file at the old path if it is known there."""
        self._ctx.clear_problem(event.path, ProblemOrigin.REMOTE)
        self._apply_version(reading, event.path, event.version, event, self._ours(reading, event.operation_id))
        left = reading.rows[event.old_path].remote
        if left.is_file and (None in (left.remote_id, event.remote_id) or left.remote_id == event.remote_id):
            # The operation, if it is ours, is that of the new path.
            self._apply_version(reading, event.old_path, None, event, None)
            self._server_conflicts.on_deleted(event.old_path)

    def _apply_version(
        self,
        reading: _PageContext,
        path: str,
        version: Version | None,
        event: Upsert | Delete | Move,
        entry: StoredOperation | None,
    ) -> None:
        """Apply the event "this path now holds these bytes".

        Args:
            reading: rows and operations of the page.
            path: the path.
            version: what it holds; None is "no file".
            event: the event that says so.
            entry: the operation of ours that the event names.
        """
        row = reading.rows[path]
        pending = self._ctx.open_operations.get(path)
        if entry is None and not pending and path not in self._ctx.moves.leaving and event.position > row.position:
            # The common case without the work of a judgement: ``judge_event`` would say NEW_HEAD.
            self._new_head(reading, row, version, event)
            return
        digest = None if version is None else version.hash
        judgement = judge_event(digest, event.position, _echo_state(entry, path, event.position), self._knowledge(row))
        if judgement.suspects is not None and pending:
            self._set_suspects(pending[0], judgement.suspects, event)
        match judgement.kind:
            case EventKind.COUNTED if entry is not None:
                self._ctx.move_operations([entry], OperationState.ECHOED)
                self._complete_revision(reading, row, version, event.position)
            case EventKind.OWN_ECHO if entry is not None:
                reading.rows[path] = self._echo(row, entry, version, event.position)
                reading.changed.add(path)
                self._leave(reading, entry.operation)
            case EventKind.NO_OP_ECHO:
                same = [e for e in pending or () if e.state is OperationState.ACKED and e.operation.hash == digest]
                self._ctx.move_operations(same, OperationState.ECHOED)
                reading.rows[path] = replace(row, position=max(row.position, event.position))
                reading.changed.add(path)
                self._complete_revision(reading, reading.rows[path], version, event.position)
            case EventKind.NEW_HEAD:
                self._new_head(reading, row, version, event)
            case EventKind.OLDER if entry is None and isinstance(event, Upsert):
                self._check_late(row, event)
            case _:
                # BELOW_OURS, or an older event that can lose no text: the row is newer.
                pass

    def _leave(self, reading: _PageContext, operation: Operation) -> None:
        """Record at the old path of our own move that its file is away."""
        path = operation.old_path
        if path is not None:
            reading.rows[path] = left(reading.rows.get(path) or self._path_store.row(path), operation)
            reading.changed.add(path)

    def _knowledge(self, row: PathRow) -> PathKnowledge:
        pending = tuple(
            PendingPush(
                entry.operation.hash,
                entry.operation.base,
                acknowledged=entry.state is OperationState.ACKED,
                suspects=tuple(suspect.hash for suspect in entry.suspects),
            )
            for entry in self._ctx.open_operations.get(row.path, ())
        )
        leaving = self._ctx.moves.leaving.get(row.path)
        if leaving is not None and leaving.state is OperationState.ACKED:
            # For this path an acknowledged move is a delete.
            pending += (PendingPush(None, leaving.operation.base, acknowledged=True),)
        return PathKnowledge(row.position, pending, self._ctx.setup.ordered_feed)

    def _new_head(
        self, reading: _PageContext, row: PathRow, version: Version | None, event: Upsert | Delete | Move
    ) -> None:
        reading.rows[row.path] = replace(row, remote=side_of(version), position=event.position)
        reading.changed.add(row.path)
        if isinstance(event, Upsert) and event.content is not None:
            self._keep_content(event, event.content)

    def _complete_revision(self, reading: _PageContext, row: PathRow, version: Version | None, position: int) -> None:
        """Complete the remote side by its own event: the answer need not say the revision, nor the file's id."""
        remote = row.remote
        if version is None or version.rev is None or version.hash != remote.hash or row.position != position:
            return
        newest = replace(remote, rev=version.rev, remote_id=version.remote_id or remote.remote_id)
        completed = _with_known_base(replace(row, remote=newest), version)
        if completed != row:
            reading.rows[row.path] = completed
            reading.changed.add(row.path)

    def _ours(self, reading: _PageContext, operation_id: str | None) -> StoredOperation | None:
        """Return our own operation with this id, or None. Earlier events of the same page may have changed it."""
        entry = reading.ours.get(operation_id or "")
        if entry is None:
            return None
        current = self._ctx.open_operations.get(entry.operation.path, ())
        # No longer open: its outcome is known, unless it was given up and arrives after all.
        over = entry if entry.state is OperationState.ABANDONED else replace(entry, state=OperationState.DONE)
        return next((e for e in current if e.operation.id == operation_id), over)

    def _check_late(self, row: PathRow, event: Upsert) -> None:
        """Park another machine's version that our push has replaced before the feed showed it."""
        ctx = self._ctx
        agreed = (row.base.hash, row.remote.hash)
        if ctx.setup.ordered_feed or event.hash in agreed:
            # ``overwritten_late`` would say None; the operations need not be read.
            return
        echoed = {
            PastPush(e.after, e.echoed or 0, e.operation.base, e.operation.hash): e.operation
            for e in ctx.operations_of(row.path)
            if e.state is OperationState.ECHOED
        }
        push = overwritten_late(event.hash, event.position, ctx.setup.ordered_feed, agreed, echoed)
        if push is not None:
            if event.content is not None:
                ctx.index.texts.put(event.hash, event.content)
            self._conflicts.lost_update(row, echoed[push], event.version)

    def _echo(self, row: PathRow, entry: StoredOperation, version: Version | None, position: int) -> PathRow:
        """Take in our own event: the operation was applied, at this place in the order."""
        ctx = self._ctx
        operation = entry.operation
        # The event's revision is that of its own content.
        own = version if version is not None and version.hash == operation.hash else None
        made = operation.result(own.rev if own else None, own.remote_id if own else None)
        leaving = ctx.moves.leaving.get(operation.path)
        open_here = [*ctx.open_operations.get(operation.path, ()), *([] if leaving is None else [leaving])]
        later = [e for e in open_here if e.seq > entry.seq]
        if entry.state is not OperationState.ACKED:
            # The answer has not come, or was lost: the event is the answer.
            row = self._in_doubt.applied(row, entry, made)
        elif not later or (
            row.remote.hash == operation.hash and all(e.state is not OperationState.ACKED for e in later)
        ):
            # The server holds this version until a later operation of ours is acknowledged.
            row = _with_known_base(replace(row, remote=side_of(made)), made)
        ctx.move_operations([self._in_doubt.record_result(entry, made)], OperationState.ECHOED, position)
        row = replace(row, position=max(row.position, position))
        for suspect in entry.suspects:
            # Its event came before ours and after our base, so our operation replaced it unseen.
            self._conflicts.lost_update(row, operation, suspect.version)
        return row

    def _set_suspects(self, entry: StoredOperation, hashes: tuple[str, ...], event: Upsert | Delete | Move) -> None:
        known = {suspect.hash: suspect for suspect in entry.suspects}
        rev = None if isinstance(event, Delete) else event.rev
        suspects = tuple(known.get(digest) or OverwriteSuspect(digest, event.position, rev) for digest in hashes)
        if isinstance(event, Upsert) and event.content is not None and event.hash in hashes:
            self._ctx.index.texts.put(event.hash, event.content)
        self._ctx.index.operations.set_suspects(entry.operation.id, suspects)
        self._ctx.replace_operation(replace(entry, suspects=suspects))

    def _superseded(self, reading: _PageContext, event: Superseded) -> None:
        if event.text is not None:
            self._ctx.index.texts.put(event.hash, event.text)
        row = reading.rows[event.path]
        if event.hash not in (row.base.hash, row.remote.hash, row.local.hash):
            self._conflicts.lost_update(row, None, Version(event.hash, None, event.rev))

    def _conflict_opened(self, reading: _PageContext, event: ConflictOpened) -> None:
        self._server_conflicts.on_opened(reading.rows[event.path], event)

    def _conflict_closed(self, reading: _PageContext, event: ConflictClosed) -> None:
        row = self._server_conflicts.on_closed(reading.rows[event.path], event)
        if row is not None:
            reading.rows[event.path] = row
            reading.changed.add(event.path)

    def _keep_content(self, event: Upsert, content: bytes) -> None:
        in_flight = self._ctx.in_flight
        in_flight.keep_content(event.path, event.hash, content)
        if event.latest:
            in_flight.latest.add(event.path)


def _with_known_base(row: PathRow, made: Version | None) -> PathRow:
    """Return the row with this revision at its base, if that has the same content and its revision was not known.

    The next event of the same page may put another version at the remote side.
    """
    base = row.base
    if made is None or made.rev is None or base.hash != made.hash or base.rev is not None:
        return row
    return replace(row, base=replace(base, rev=made.rev, remote_id=made.remote_id or base.remote_id))


def _echo_state(entry: StoredOperation | None, path: str, position: int) -> EchoState:
    if entry is None:
        return EchoState.NONE
    if entry.state is OperationState.ACKED and entry.echoed == position:
        return EchoState.COUNTED
    return EchoState.OPEN if entry.operation.path == path and entry.state not in _OVER else EchoState.OVER


def _paths_of(event: FeedEvent) -> tuple[str, ...]:
    if isinstance(event, ControlEvent | Unreadable):
        return ()
    if isinstance(event, Move):
        return (event.old_path, event.path)
    return (event.path,)


def _shown(path: str) -> str:
    """Return a path from the server in a form that the index can hold."""
    return path.encode("utf-8", "replace").decode().replace("\0", "�")
