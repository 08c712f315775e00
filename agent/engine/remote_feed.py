"""From the server's ordered feed to the remote tree."""

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
from agent.core.model import Reason
from agent.engine.config import RunMode
from agent.engine.conflicts import ConflictTracker
from agent.engine.context import EngineContext
from agent.engine.effects import CheckFeedContinuity, Poll
from agent.engine.in_doubt import InDoubt
from agent.engine.in_flight import CONTENTS_LIMIT, PollCall
from agent.engine.messages import Call, ConnectionsReset, FeedContinuityChecked, PageArrived
from agent.engine.path_store import PathStore, remote_side, sent_side
from agent.engine.verification import Verification
from agent.index.activity import ActivityKind
from agent.index.operations import OperationState, OverwriteSuspect, StoredOperation
from agent.index.problems import PathProblem, ProblemOrigin
from agent.index.trees import PathRow

_CONTROL_ACTIVITY = {ControlSignal.PAUSED: ActivityKind.PAUSED, ControlSignal.RESUMED: ActivityKind.RESUMED}
_OVER = (OperationState.DONE, OperationState.ECHOED)
_BESIDE_PUSHES = 1.0
"""Seconds between two looks at the feed while batches are on their way: each of them is news there, and told by its
answer.
"""


class _PageContext(Struct):
    """What is loaded once for a page, and changed event by event."""

    rows: dict[str, PathRow]
    ours: dict[str, StoredOperation]
    changed: set[str] = field(default_factory=set)


class RemoteFeed:
    """Applies pages to the remote tree, knows our own echoes, and notices versions overwritten unseen."""

    def __init__(
        self,
        ctx: EngineContext,
        path_store: PathStore,
        conflict_tracker: ConflictTracker,
        in_doubt: InDoubt,
        verification: Verification,
    ) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._conflicts = conflict_tracker
        self._in_doubt = in_doubt
        self._verification = verification
        self._more = False
        self._others = False
        """The last page told of more than our own operations."""
        self._last_poll_at = 0.0

    def on_page(self, message: PageArrived) -> None:
        """Apply one page, unless another answer has moved the position since it was asked for."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        call = in_flight.polls.get(message.poll)
        ctx.retry_state.answered(Call.POLL)
        if message.last:
            in_flight.polls.pop(message.poll, None)
        if call is None or call.state != ctx.source_row.feed_state:
            return
        if not message.last:
            in_flight.polls[message.poll] = PollCall(message.page.state, 0.0)
        self._pass_over(message.page.past)
        self._apply(message.page)
        # The position and what it told are committed together; installs are derived from the trees afterwards.
        ctx.update_source_row(feed_state=message.page.state, cursor=message.page.cursor)
        self._more = message.page.more
        if message.page.events:
            in_flight.event_seen(ctx.now)
        if not message.page.more:
            in_flight.drained = max(in_flight.drained, message.poll)
            in_flight.drained_at = ctx.now
        in_flight.next_poll_at = ctx.now + self._interval()

    def _pass_over(self, past: int) -> None:
        """Our own events up to here were known beforehand, and not told."""
        in_flight = self._ctx.in_flight
        if past:
            self._in_doubt.passed_over(past)
            in_flight.newest_position = max(in_flight.newest_position, past)
        in_flight.forget_acknowledged(in_flight.newest_position)

    def _interval(self) -> float:
        """Seconds to the next poll where the server cannot be waited on: the longer nothing came, the longer."""
        setup = self._ctx.setup
        if setup.long_poll and setup.long_poll_seconds > 0:
            return 0.0
        quiet = self._ctx.now - self._ctx.in_flight.last_event_at
        if quiet > setup.idle_after:
            return setup.poll_idle
        return min(setup.poll_most, setup.poll_least + quiet / 15)

    def _apply(self, page: Page) -> None:
        ctx = self._ctx
        touched = {path for event in page.events for path in _paths_of(event)}
        told = [event for event in page.events if isinstance(event, Upsert | Delete | Move)]
        ids = [event.operation_id for event in told if event.operation_id]
        reading = _PageContext(self._path_store.rows(sorted(touched)), ctx.operations_by_id(ids))
        self._others = len(reading.ours) < len(page.events)
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
        """Whether a path the server names may be used at all; a refused one is one skipped file."""
        reason = paths.check(path)
        if reason is None:
            return True
        self._refuse(_shown(path), Reason.UNSAFE_PATH, f"the server's path is refused: {reason}")
        return False

    def _refuse(self, shown: str, reason: Reason, text: str) -> None:
        self._ctx.set_problem(PathProblem(shown, ProblemOrigin.REMOTE, reason, text, self._ctx.now))

    def _unreadable(self, event: Unreadable) -> None:
        """One event that cannot be understood is passed over by name; what it told is looked for in the listing."""
        shown = _shown(event.path) if event.path else f"event {event.position}"
        self._refuse(shown, Reason.GARBLED, f"what the server told at {event.position} is refused: {event.reason}")
        self._ctx.record_activity(shown, ActivityKind.EVENT_REFUSED, event.reason)
        self._verification.request()

    def _control(self, event: ControlEvent) -> None:
        self._ctx.update_source_row(remote_paused=event.signal is ControlSignal.PAUSED)
        self._ctx.record_activity("", _CONTROL_ACTIVITY[event.signal], "by the server")

    def _upsert(self, reading: _PageContext, event: Upsert) -> None:
        self._ctx.clear_problem(event.path, ProblemOrigin.REMOTE)
        self._told(reading, event.path, event.hash, event)

    def _delete(self, reading: _PageContext, event: Delete) -> None:
        self._ctx.clear_problem(event.path, ProblemOrigin.REMOTE)
        self._told(reading, event.path, None, event)

    def _move(self, reading: _PageContext, event: Move) -> None:
        self._told(reading, event.old_path, None, event)
        self._told(reading, event.path, event.hash, event)

    def _told(self, reading: _PageContext, path: str, digest: str | None, event: Upsert | Delete | Move) -> None:
        """The feed says a path now holds these bytes (None: nothing)."""
        row = reading.rows[path]
        entry = self._ours(reading, event.operation_id)
        if entry is not None and entry.state is OperationState.ACKED and entry.echoed == event.position:
            # The answer told as much, and the row has it.
            self._ctx.move_operations([entry], OperationState.ECHOED)
            return
        if entry is not None and entry.operation.path == path and entry.state not in _OVER:
            reading.rows[path] = self._echo(row, entry, event.position)
            reading.changed.add(path)
            return
        pending = self._ctx.open_operations.get(path)
        if pending:
            if self._echo_of_a_no_op(pending, digest):
                reading.rows[path] = replace(row, position=max(row.position, event.position))
                reading.changed.add(path)
                return
            if entry is None:
                self._suspect(pending[0], digest, event)
            if any(e.state is OperationState.ACKED for e in pending):
                # The server has acknowledged ours, so whatever is told before our echo lies below it.
                return
        if event.position <= row.position:
            if entry is None and isinstance(event, Upsert):
                self._told_late(row, event)
            return
        rev, remote_id = (event.rev, event.remote_id) if isinstance(event, Upsert) else (None, None)
        reading.rows[path] = replace(
            row, remote=remote_side(digest, rev), remote_id=remote_id or row.remote_id, position=event.position
        )
        reading.changed.add(path)
        if isinstance(event, Upsert) and event.content is not None:
            self._hold(event, event.content)

    def _ours(self, reading: _PageContext, operation_id: str | None) -> StoredOperation | None:
        """Our own operation as it stands now: earlier events of the same page may have added suspects to it."""
        entry = reading.ours.get(operation_id or "")
        if entry is None:
            return None
        current = self._ctx.open_operations.get(entry.operation.path, ())
        # No longer open: its outcome is known, unless it was given up and arrives after all.
        over = entry if entry.state is OperationState.ABANDONED else replace(entry, state=OperationState.DONE)
        return next((e for e in current if e.operation.id == operation_id), over)

    def _echo_of_a_no_op(self, pending: list[StoredOperation], digest: str | None) -> bool:
        """Where the feed is ordered, a push of what the server held already is acknowledged and has no event of its
        own: the event of whoever wrote the same stands in for it.
        """
        if not self._ctx.setup.ordered_feed:
            return False
        twins = [e for e in pending if e.state is OperationState.ACKED and e.operation.hash == digest]
        self._ctx.move_operations(twins, OperationState.ECHOED)
        return bool(twins)

    def _told_late(self, row: PathRow, event: Upsert) -> None:
        """A foreign version behind the path's newest event: it took its number first and became visible later. If
        our own write came over it unseen, it stands nowhere else.
        """
        ctx = self._ctx
        if ctx.setup.ordered_feed or event.hash in (row.base.hash, row.remote.hash):
            return
        for entry in ctx.operations_of(row.path):
            operation = entry.operation
            between = entry.after < event.position < (entry.echoed or 0)
            if entry.state is OperationState.ECHOED and between and event.hash not in (operation.base, operation.hash):
                if event.content is not None:
                    ctx.index.texts.put(event.hash, event.content)
                self._conflicts.lost_update(row, operation, event.hash)
                return

    def _echo(self, row: PathRow, entry: StoredOperation, position: int) -> PathRow:
        """Our own operation comes back: the proof that it was applied, and the place where in the order."""
        ctx = self._ctx
        operation = entry.operation
        later = any(e.seq > entry.seq for e in ctx.open_operations.get(operation.path, ()))
        if entry.state is not OperationState.ACKED:
            row = self._in_doubt.applied(row, entry)
        elif not later:
            row = replace(row, remote=sent_side(operation.hash, operation.size))
        ctx.move_operations([entry], OperationState.ECHOED, position)
        for suspect in entry.suspects:
            self._conflicts.lost_update(row, operation, suspect.hash)
        return replace(row, position=max(row.position, position))

    def _suspect(self, entry: StoredOperation, digest: str | None, event: Upsert | Delete | Move) -> None:
        """A foreign version told before our own echo was overwritten unseen, unless it is the base we had."""
        operation = entry.operation
        if digest == operation.base:
            suspects: tuple[OverwriteSuspect, ...] = ()
        elif digest is None or digest == operation.hash:
            return
        else:
            known = {suspect.hash for suspect in entry.suspects}
            if digest in known or self._ctx.setup.ordered_feed:
                return
            suspects = (*entry.suspects, OverwriteSuspect(digest, event.position))
            if isinstance(event, Upsert) and event.content is not None:
                self._ctx.index.texts.put(digest, event.content)
        if suspects != entry.suspects:
            self._ctx.index.operations.set_suspects(operation.id, suspects)
            self._ctx.replace_operation(replace(entry, suspects=suspects))

    def _superseded(self, reading: _PageContext, event: Superseded) -> None:
        if event.text is not None:
            self._ctx.index.texts.put(event.hash, event.text)
        row = reading.rows[event.path]
        if event.hash not in (row.base.hash, row.remote.hash, row.local.hash):
            self._conflicts.lost_update(row, None, event.hash)

    def _conflict_opened(self, reading: _PageContext, event: ConflictOpened) -> None:
        self._conflicts.on_server_conflict(reading.rows[event.path], event)

    def _conflict_closed(self, reading: _PageContext, event: ConflictClosed) -> None:
        row = self._conflicts.on_server_closed(reading.rows[event.path], event)
        if row is not None:
            reading.rows[event.path] = row
            reading.changed.add(event.path)

    def _hold(self, event: Upsert, content: bytes) -> None:
        in_flight = self._ctx.in_flight
        in_flight.keep_content(event.path, event.hash, content)
        if event.latest:
            in_flight.latest.add(event.path)

    def on_failed(self, poll: int | str | None) -> None:
        """A poll or the check of the feed's continuity failed: nothing the server said before may be relied on."""
        in_flight = self._ctx.in_flight
        in_flight.forget_continuity()
        in_flight.checking_continuity = False
        in_flight.forget_acknowledged()
        if isinstance(poll, int):
            in_flight.polls.pop(poll, None)

    def plan(self) -> None:
        """Ask for the feed where that is due."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if not in_flight.scan.complete or not ctx.may_call(Call.POLL) or in_flight.contents_size > CONTENTS_LIMIT:
            return
        if not self._server_is_known():
            return
        behind = ctx.source_row.feed_state
        current = {number: call for number, call in in_flight.polls.items() if call.state == behind}
        draining = any(number >= in_flight.drain_goal and not call.wait for number, call in current.items())
        beside = min(self._last_poll_at, ctx.now) + _BESIDE_PUSHES if in_flight.batch else 0.0
        if in_flight.drained < in_flight.drain_goal or self._more:
            # Reading on among our own operations while more of them are sent would never come to an end.
            if not draining and self._is_due(beside if self._more and not self._others else 0.0):
                self._poll(behind, 0.0)
        elif ctx.setup.run_mode is RunMode.DAEMON and not current and self._is_due(max(in_flight.next_poll_at, beside)):
            self._poll(
                behind, ctx.setup.long_poll_seconds if ctx.setup.long_poll and not in_flight.acknowledged_spans else 0.0
            )

    def _is_due(self, moment: float) -> bool:
        if moment > self._ctx.now:
            self._ctx.wake(moment)
        return moment <= self._ctx.now

    def _server_is_known(self) -> bool:
        """Whether the server is still the one whose feed was read; asks where that is not known."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if ctx.source_row.rejoin:
            return False
        if ctx.source_row.feed_state is None:
            in_flight.continuity_known = True
        elif not in_flight.continuity_known and not in_flight.checking_continuity and ctx.may_call(Call.STANDING):
            in_flight.checking_continuity = True
            ctx.emit(CheckFeedContinuity(ctx.source_row.feed_state))
        return in_flight.continuity_known

    def on_standing(self, message: FeedContinuityChecked) -> None:
        """The server told how it stands to what was read of it."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        in_flight.checking_continuity = False
        ctx.retry_state.answered(Call.STANDING)
        ctx.update_source_row(remote_paused=message.paused)
        if not message.behind:
            in_flight.continuity_known = True
            return
        self._verification.on_server_went_back()

    def on_woke(self, _message: ConnectionsReset) -> None:
        """What was waited for may never come, and much may have happened: the feed is read and the folder looked at.

        An answer to a poll given up here is nobody's; the fresh one tells the same.
        """
        ctx, in_flight = self._ctx, self._ctx.in_flight
        ctx.retry_state.connection_restored(ctx.now)
        in_flight.polls.clear()
        in_flight.next_poll_at = ctx.now
        in_flight.request_scan()
        ctx.request_drain()

    def _poll(self, state: str | None, wait: float) -> None:
        ctx, in_flight = self._ctx, self._ctx.in_flight
        in_flight.polls[in_flight.next_poll] = PollCall(state, wait)
        self._last_poll_at = ctx.now
        # One page after another where our own operations may come in between: whether to read on is decided anew.
        room = 0 if wait or in_flight.batch else CONTENTS_LIMIT - in_flight.contents_size
        ctx.emit(Poll(in_flight.next_poll, state, wait, tuple(in_flight.acknowledged_spans), room))
        in_flight.next_poll += 1


def _paths_of(event: FeedEvent) -> tuple[str, ...]:
    if isinstance(event, ControlEvent | Unreadable):
        return ()
    if isinstance(event, Move):
        return (event.old_path, event.path)
    return (event.path,)


def _shown(path: str) -> str:
    """A path the server sent as the index can hold it."""
    return path.encode("utf-8", "replace").decode().replace("\0", "�")
