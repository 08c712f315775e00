"""From the server's ordered feed to the remote tree."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct, field
from msgspec.structs import replace

from agent.core import paths
from agent.core.model import Reason
from agent.core.stream import (
    ConflictClosed,
    ConflictOpened,
    Control,
    Delete,
    Event,
    Move,
    Page,
    Signal,
    Superseded,
    Unreadable,
    Upsert,
)
from agent.engine.desk import Desk
from agent.engine.effects import AskStanding, Poll
from agent.engine.keeper import Keeper, remote_side, sent_side
from agent.engine.messages import Call, PageArrived, StandingTold, Woke
from agent.engine.outstanding import CONTENTS_LIMIT, PollCall
from agent.engine.parking import Parking
from agent.engine.settling import Settling
from agent.engine.setup import Attendance
from agent.engine.verifying import Verifying
from agent.index.notes import PathProblem, ProblemOrigin
from agent.index.operations import Entry, Stage, Suspect
from agent.index.trees import Row

_OVER = (Stage.DONE, Stage.ECHOED)
_BESIDE_PUSHES = 1.0
"""Seconds between two looks at the feed while batches are on their way: each of them is news there, and told by its
answer.
"""


class _Reading(Struct):
    """What is loaded once for a page, and changed event by event."""

    rows: dict[str, Row]
    ours: dict[str, Entry]
    changed: set[str] = field(default_factory=set)


class Feeding:
    """Applies pages to the remote tree, knows our own echoes, and notices versions overwritten unseen."""

    def __init__(self, desk: Desk, keeper: Keeper, parking: Parking, settling: Settling, verifying: Verifying) -> None:
        self._desk = desk
        self._keeper = keeper
        self._parking = parking
        self._settling = settling
        self._verifying = verifying
        self._more = False
        self._others = False
        """The last page told of more than our own operations."""
        self._last_poll_at = 0.0

    def on_page(self, message: PageArrived) -> None:
        """Apply one page, unless another answer has moved the position since it was asked for."""
        desk, out = self._desk, self._desk.out
        call = out.polls.get(message.poll)
        desk.channels.answered(Call.POLL)
        if message.last:
            out.polls.pop(message.poll, None)
        if call is None or call.state != desk.standing.feed_state:
            return
        if not message.last:
            out.polls[message.poll] = PollCall(message.page.state, 0.0)
        self._pass_over(message.page.past)
        self._apply(message.page)
        # The position and what it told are committed together; installs are derived from the trees afterwards.
        desk.set_standing(feed_state=message.page.state, cursor=message.page.cursor)
        self._more = message.page.more
        if message.page.events:
            out.last_event_at = desk.now
        if not message.page.more:
            out.drained = max(out.drained, message.poll)
            out.drained_at = desk.now
        out.next_poll_at = desk.now + self._interval()

    def _pass_over(self, past: int) -> None:
        """Our own events up to here were known beforehand, and not told."""
        out = self._desk.out
        if past:
            self._settling.passed_over(past)
            out.newest_position = max(out.newest_position, past)
        out.known = [span for span in out.known if span.last > out.newest_position]

    def _interval(self) -> float:
        """Seconds to the next poll where the server cannot be waited on: the longer nothing came, the longer."""
        setup = self._desk.setup
        if setup.long_poll:
            return 0.0
        quiet = self._desk.now - self._desk.out.last_event_at
        if quiet > setup.idle_after:
            return setup.poll_idle
        return min(setup.poll_most, setup.poll_least + quiet / 15)

    def _apply(self, page: Page) -> None:
        desk = self._desk
        touched = {path for event in page.events for path in _paths_of(event)}
        told = [event for event in page.events if isinstance(event, Upsert | Delete | Move)]
        ids = [event.operation_id for event in told if event.operation_id]
        reading = _Reading(self._keeper.rows(sorted(touched)), desk.entries_by_id(ids))
        self._others = len(reading.ours) < len(page.events)
        handlers: dict[type, Callable[..., None]] = {
            Upsert: self._upsert, Delete: self._delete, Move: self._move, Superseded: self._superseded,
            ConflictOpened: self._conflict_opened, ConflictClosed: self._conflict_closed,
        }  # fmt: skip
        for event in page.events:
            desk.out.newest_position = max(desk.out.newest_position, event.position)
            if isinstance(event, Control):
                self._control(event)
            elif isinstance(event, Unreadable):
                self._unreadable(event)
            elif all(self._usable(path) for path in _paths_of(event)):
                handlers[type(event)](reading, event)
        self._keeper.change(reading.rows[path] for path in sorted(reading.changed))
        desk.out.touched |= reading.changed

    def _usable(self, path: str) -> bool:
        """Whether a path the server names may be used at all; a refused one is one skipped file."""
        complaint = paths.check(path)
        if complaint is None:
            return True
        self._refuse(_shown(path), Reason.UNSAFE_PATH, f"the server's path is refused: {complaint}")
        return False

    def _refuse(self, shown: str, reason: Reason, text: str) -> None:
        self._desk.set_problem(PathProblem(shown, ProblemOrigin.REMOTE, reason, text, self._desk.now))

    def _unreadable(self, event: Unreadable) -> None:
        """One event that cannot be understood is passed over by name; what it told is looked for in the listing."""
        shown = _shown(event.path) if event.path else f"event {event.position}"
        self._refuse(shown, Reason.GARBLED, f"what the server told at {event.position} is refused: {event.complaint}")
        self._desk.note(shown, "event_refused", event.complaint)
        self._verifying.want()

    def _control(self, event: Control) -> None:
        self._desk.set_standing(remote_paused=event.signal is Signal.PAUSED)
        self._desk.note("", event.signal.value, "by the server")

    def _upsert(self, reading: _Reading, event: Upsert) -> None:
        self._desk.lift_problem(event.path, ProblemOrigin.REMOTE)
        self._told(reading, event.path, event.hash, event)

    def _delete(self, reading: _Reading, event: Delete) -> None:
        self._desk.lift_problem(event.path, ProblemOrigin.REMOTE)
        self._told(reading, event.path, None, event)

    def _move(self, reading: _Reading, event: Move) -> None:
        self._told(reading, event.old_path, None, event)
        self._told(reading, event.path, event.hash, event)

    def _told(self, reading: _Reading, path: str, digest: str | None, event: Upsert | Delete | Move) -> None:
        """The feed says a path now holds these bytes (None: nothing)."""
        row = reading.rows[path]
        entry = self._ours(reading, event.operation_id)
        if entry is not None and entry.stage is Stage.ACKED and entry.echoed == event.position:
            # The answer told as much, and the row has it.
            self._desk.move_operations([entry], Stage.ECHOED)
            return
        if entry is not None and entry.operation.path == path and entry.stage not in _OVER:
            reading.rows[path] = self._echo(row, entry, event.position)
            reading.changed.add(path)
            return
        pending = self._desk.open_operations.get(path)
        if pending:
            if self._echo_of_a_no_op(pending, digest):
                reading.rows[path] = replace(row, position=max(row.position, event.position))
                reading.changed.add(path)
                return
            if entry is None:
                self._suspect(pending[0], digest, event)
            if any(e.stage is Stage.ACKED for e in pending):
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

    def _ours(self, reading: _Reading, operation_id: str | None) -> Entry | None:
        """Our own operation as it stands now: earlier events of the same page may have added suspects to it."""
        entry = reading.ours.get(operation_id or "")
        if entry is None:
            return None
        current = self._desk.open_operations.get(entry.operation.path, ())
        # No longer open: its outcome is known, unless it was given up and arrives after all.
        over = entry if entry.stage is Stage.ABANDONED else replace(entry, stage=Stage.DONE)
        return next((e for e in current if e.operation.id == operation_id), over)

    def _echo_of_a_no_op(self, pending: list[Entry], digest: str | None) -> bool:
        """Where the feed is ordered, a push of what the server held already is acknowledged and has no event of its
        own: the event of whoever wrote the same stands in for it.
        """
        if not self._desk.setup.ordered_feed:
            return False
        twins = [e for e in pending if e.stage is Stage.ACKED and e.operation.hash == digest]
        self._desk.move_operations(twins, Stage.ECHOED)
        return bool(twins)

    def _told_late(self, row: Row, event: Upsert) -> None:
        """A foreign version behind the path's newest event: it took its number first and became visible later. If
        our own write came over it unseen, it stands nowhere else.
        """
        desk = self._desk
        if desk.setup.ordered_feed or event.hash in (row.base.hash, row.remote.hash):
            return
        for entry in desk.entries_of(row.path):
            operation = entry.operation
            between = entry.after < event.position < (entry.echoed or 0)
            if entry.stage is Stage.ECHOED and between and event.hash not in (operation.base, operation.hash):
                if event.content is not None:
                    desk.index.conflicts.put_text(event.hash, event.content)
                self._parking.lost_update(row, operation, event.hash)
                return

    def _echo(self, row: Row, entry: Entry, position: int) -> Row:
        """Our own operation comes back: the proof that it was applied, and the place where in the order."""
        desk = self._desk
        operation = entry.operation
        later = any(e.seq > entry.seq for e in desk.open_operations.get(operation.path, ()))
        if entry.stage is not Stage.ACKED:
            row = self._settling.applied(row, entry)
        elif not later:
            row = replace(row, remote=sent_side(operation.hash, operation.size))
        desk.move_operations([entry], Stage.ECHOED, position)
        for suspect in entry.suspects:
            self._parking.lost_update(row, operation, suspect.hash)
        return replace(row, position=max(row.position, position))

    def _suspect(self, entry: Entry, digest: str | None, event: Upsert | Delete | Move) -> None:
        """A foreign version told before our own echo was overwritten unseen, unless it is the base we had."""
        operation = entry.operation
        if digest == operation.base:
            suspects: tuple[Suspect, ...] = ()
        elif digest is None or digest == operation.hash:
            return
        else:
            known = {suspect.hash for suspect in entry.suspects}
            if digest in known or self._desk.setup.ordered_feed:
                return
            suspects = (*entry.suspects, Suspect(digest, event.position))
            if isinstance(event, Upsert) and event.content is not None:
                self._desk.index.conflicts.put_text(digest, event.content)
        if suspects != entry.suspects:
            self._desk.index.operations.set_suspects(operation.id, suspects)
            self._desk.replace_entry(replace(entry, suspects=suspects))

    def _superseded(self, reading: _Reading, event: Superseded) -> None:
        if event.text is not None:
            self._desk.index.conflicts.put_text(event.hash, event.text)
        row = reading.rows[event.path]
        if event.hash not in (row.base.hash, row.remote.hash, row.local.hash):
            self._parking.lost_update(row, None, event.hash)

    def _conflict_opened(self, reading: _Reading, event: ConflictOpened) -> None:
        self._parking.on_server_conflict(reading.rows[event.path], event)

    def _conflict_closed(self, reading: _Reading, event: ConflictClosed) -> None:
        row = self._parking.on_server_closed(reading.rows[event.path], event)
        if row is not None:
            reading.rows[event.path] = row
            reading.changed.add(event.path)

    def _hold(self, event: Upsert, content: bytes) -> None:
        out = self._desk.out
        out.hold(event.path, event.hash, content)
        if event.latest:
            out.latest.add(event.path)

    def plan(self) -> None:
        """Ask for the feed where that is due."""
        desk, out = self._desk, self._desk.out
        if not out.looked or not desk.may_call(Call.POLL) or out.contents_size > CONTENTS_LIMIT:
            return
        if not self._server_is_known():
            return
        behind = desk.standing.feed_state
        current = {number: call for number, call in out.polls.items() if call.state == behind}
        draining = any(number >= out.drain_goal and not call.wait for number, call in current.items())
        beside = min(self._last_poll_at, desk.now) + _BESIDE_PUSHES if out.batch else 0.0
        if out.drained < out.drain_goal or self._more:
            # Reading on among our own operations while more of them are sent would never come to an end.
            if not draining and self._is_due(beside if self._more and not self._others else 0.0):
                self._poll(behind, 0.0)
        elif desk.setup.attendance is Attendance.FOLLOW and not current and self._is_due(max(out.next_poll_at, beside)):
            self._poll(behind, desk.setup.long_poll_seconds if desk.setup.long_poll and not out.known else 0.0)

    def _is_due(self, moment: float) -> bool:
        if moment > self._desk.now:
            self._desk.wake(moment)
        return moment <= self._desk.now

    def _server_is_known(self) -> bool:
        """Whether the server is still the one whose feed was read; asks where that is not known."""
        desk, out = self._desk, self._desk.out
        if desk.standing.rejoin:
            return False
        if desk.standing.feed_state is None:
            out.standing_known = True
        elif not out.standing_known and not out.asking_standing and desk.may_call(Call.STANDING):
            out.asking_standing = True
            desk.emit(AskStanding(desk.standing.feed_state))
        return out.standing_known

    def on_standing(self, message: StandingTold) -> None:
        """The server told how it stands to what was read of it."""
        desk, out = self._desk, self._desk.out
        out.asking_standing = False
        desk.channels.answered(Call.STANDING)
        desk.set_standing(remote_paused=message.paused)
        if not message.behind:
            out.standing_known = True
            return
        self._verifying.on_server_went_back()

    def on_woke(self, _message: Woke) -> None:
        """What was waited for may never come, and much may have happened: the feed is read and the folder looked at.

        An answer to a poll given up here is nobody's; the fresh one tells the same.
        """
        desk, out = self._desk, self._desk.out
        desk.channels.line_is_new(desk.now)
        out.polls.clear()
        out.next_poll_at = desk.now
        out.look_wanted = True
        desk.request_drain()

    def _poll(self, state: str | None, wait: float) -> None:
        desk, out = self._desk, self._desk.out
        out.polls[out.next_poll] = PollCall(state, wait)
        self._last_poll_at = desk.now
        # One page after another where our own operations may come in between: whether to read on is decided anew.
        room = 0 if wait or out.batch else CONTENTS_LIMIT - out.contents_size
        desk.emit(Poll(out.next_poll, state, wait, tuple(out.known), room))
        out.next_poll += 1


def _paths_of(event: Event) -> tuple[str, ...]:
    if isinstance(event, Control | Unreadable):
        return ()
    if isinstance(event, Move):
        return (event.old_path, event.path)
    return (event.path,)


def _shown(path: str) -> str:
    """A path the server sent as the index can hold it."""
    return path.encode("utf-8", "replace").decode().replace("\0", "�")
