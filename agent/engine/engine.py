"""The engine of one source: messages in, effects out.

``step`` writes what the messages tell into the index and derives, from the index and from what is outstanding, what
to do next. It is one transaction: an effect is only ever asked for once everything it stands on is durable.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from agent.core.errors import Problem, ProblemKind
from agent.core.model import ABSENT, Purpose, Reason
from agent.core.reconcile import Step
from agent.engine import messages as m
from agent.engine.desk import Desk
from agent.engine.effects import Committed, Effect, Recover, Rested, WakeAt
from agent.engine.feeding import Feeding
from agent.engine.holding import Holding
from agent.engine.keeper import Keeper, remote_side
from agent.engine.observing import Observing
from agent.engine.outstanding import HeldDeletes, Tally
from agent.engine.parking import Parking
from agent.engine.pulling import Pulling
from agent.engine.pushing import Pushing
from agent.engine.resolving import Resolving
from agent.engine.settling import Settling
from agent.engine.setup import Attendance, Setup
from agent.engine.stashing import Stashing
from agent.engine.verifying import Verifying
from agent.engine.view import Concerns, SourceView, concerns, view
from agent.engine.wishes import Wishes
from agent.index.conflicts import State
from agent.index.notes import PathProblem, ProblemOrigin
from agent.index.store import Index
from agent.index.trees import Row

_OPERATIONS_KEPT = 14 * 86400.0
_ACTIVITY_KEPT = 90 * 86400.0
_PATIENT = frozenset({ProblemKind.BUSY, ProblemKind.GARBLED, ProblemKind.SERVER_FAULT})
_PATIENCE = 3
_JUMP = 1.0
"""Seconds by which a clock may run back without having been set."""
_BAD_HEAD_AGAIN = 60.0
RECOVER_AGAIN = 10.0
"""Seconds between two tries to find out what became of interrupted changes."""


class Engine:
    """One source's state machine over the index. Not safe for several threads: its owner calls it from one."""

    def __init__(self, index: Index, setup: Setup, rng: random.Random) -> None:
        desk = self._desk = Desk(index, setup, rng)
        keeper = self._keeper = Keeper(desk)
        self._stashing = Stashing(desk)
        self._parking = Parking(desk, keeper, self._stashing)
        self._holding = Holding(desk, keeper)
        self._settling = Settling(desk, keeper, self._parking)
        self._observing = Observing(desk, keeper)
        self._pushing = Pushing(desk, keeper, self._settling, self._holding, self._observing)
        self._pulling = Pulling(desk, keeper, self._holding)
        self._resolving = Resolving(desk, keeper, self._parking, self._pulling, self._stashing)
        self._verifying = Verifying(desk, keeper, self._parking)
        self._feeding = Feeding(desk, keeper, self._parking, self._settling, self._verifying)
        self._wishes = Wishes(desk, keeper, self._settling, self._verifying, self._stashing, self._recover)
        self._handlers: dict[type, Callable[[Any], None]] = {
            m.Started: self._on_started,
            m.TimePassed: lambda _message: None,
            m.Noticed: self._observing.on_noticed,
            m.FilesSeen: self._observing.on_files_seen,
            m.LookEnded: self._observing.on_look_ended,
            m.PathsLooked: self._observing.on_paths_looked,
            m.LookAgain: self._observing.on_look_again,
            m.PageArrived: self._feeding.on_page,
            m.BatchAnswered: self._pushing.on_answer,
            m.HeadArrived: self._on_head,
            m.ListingArrived: self._verifying.on_listing,
            m.StandingTold: self._feeding.on_standing,
            m.Woke: self._feeding.on_woke,
            m.ConflictsArrived: self._parking.on_conflicts,
            m.Stashed: self._stashing.on_stashed,
            m.CloseAnswered: self._resolving.on_close_answered,
            m.ChangesLanded: self._on_landed,
            m.RecoveryFailed: self._on_recovery_failed,
            m.CallFailed: self._on_failed,
            m.Resolve: self._resolving.on_resolve,
            m.Restore: self._pulling.on_restore,
            m.Pause: self._wishes.on_pause,
            m.Resume: self._wishes.on_resume,
            m.ApproveDeletes: self._holding.on_approve,
            m.UndoDeletes: self._holding.on_undo,
            m.Retry: self._wishes.on_retry,
            m.SyncNow: self._wishes.on_sync_now,
        }

    @property
    def tally(self) -> Tally:
        """What has been done since this engine was made."""
        return self._desk.tally

    @property
    def max_bytes(self) -> int | None:
        """The largest content the server took, once learned. Safe to read from any thread."""
        return self._desk.standing.max_bytes

    @property
    def held(self) -> HeldDeletes | None:
        """Deletes that wait for a person."""
        return self._desk.out.held

    def view(self) -> SourceView:
        """The source as ``status`` shows it."""
        return view(self._desk, at_rest=self._at_rest())

    @property
    def happened(self) -> list[tuple[str, str, str | None, str | None]]:
        """What the last step added to the activity: (path, what, detail, operation id)."""
        return self._desk.happened

    @property
    def trouble(self) -> Problem | None:
        """What is wrong with the server or the way there."""
        return self._desk.trouble

    def concerns(self) -> Concerns:
        """What of the source a person is to be told of. From any thread."""
        return concerns(self._desk)

    def refusal(self, decision: m.Resolve) -> str | None:
        """Why a decision was not taken in; None if it is being carried out, or was."""
        conflict = next((c for c in self._desk.parked.values() if c.id == decision.conflict), None)
        if conflict is None or conflict.state is not State.OPEN:
            return None
        return conflict.note or "the file or the server's version changed since; please look again"

    def step(self, now: float, *messages: m.Message) -> list[Effect]:
        """Take messages in and say what to do. ``now``: seconds since the epoch."""
        desk = self._desk
        before = desk.now
        desk.now, desk.due, desk.effects, desk.happened = now, None, [], []
        with desk.index.transaction():
            if now < before - _JUMP:
                self._on_clock_back(before)
            for message in messages:
                self._handlers[type(message)](message)
            self._plan()
            desk.flush()
        self._keeper.let_go()
        return desk.effects

    def configure(self, now: float, setup: Setup) -> list[Effect]:
        """Go on with another setup: the server turned out to be able to do more, or a person changed the mode."""
        desk = self._desk
        changed_mode = setup.mode is not desk.setup.mode
        desk.setup = setup
        if changed_mode:
            with desk.index.transaction():
                self._keeper.rederive()
        return self.step(now, m.TimePassed())

    def _on_clock_back(self, before: float) -> None:
        """The clock was set back: every moment written down lies in a future that may take years to come."""
        desk, out = self._desk, self._desk.out
        desk.channels.reset()
        out.deferred.clear()
        out.next_poll_at = desk.now
        out.last_event_at = min(out.last_event_at, desk.now)
        out.noticed = dict.fromkeys(out.noticed, (desk.now, desk.now))
        out.racy = dict.fromkeys(out.racy, desk.now)
        out.look_began = desk.now
        out.wake_at = None
        out.look_wanted = True
        if desk.now < out.paused_until < float("inf"):
            out.paused_until -= before - desk.now
        desk.set_standing(looked_at=None, verified_at=None)
        self._verifying.want()

    # Messages that concern several parts

    def _on_started(self, _message: m.Started) -> None:
        desk = self._desk
        desk.out.started = True
        # As after activity: much may have come while nobody asked.
        desk.out.last_event_at = desk.now
        # What was stored may have been sent by the process before: it is settled, never simply sent again.
        self._settling.doubt(desk.unanswered_entries())
        desk.moved.update(row.path for row in desk.index.trees.with_step(desk.source, Step.PARK))
        desk.moved.update(desk.parked)
        desk.index.operations.prune(desk.source, desk.now - _OPERATIONS_KEPT)
        desk.index.notes.prune_activity(desk.now - _ACTIVITY_KEPT)
        for intent in desk.index.operations.intents(desk.source):
            desk.out.carrying[intent.id] = intent
            desk.out.carried.add(intent.path)
        self._recover()

    def _recover(self) -> None:
        desk = self._desk
        desk.out.recovering = True
        desk.emit(Recover(tuple(desk.out.carrying.values())))

    def _on_recovery_failed(self, message: m.RecoveryFailed) -> None:
        """The folder is away, or the disk refuses: ask again in a while what became of the changes under way."""
        self._desk.out.recovered = self._desk.out.recovering = False
        self._desk.out.root_trouble = message.trouble
        self._desk.out.look_began = self._desk.now

    def _on_landed(self, message: m.ChangesLanded) -> None:
        desk, out = self._desk, self._desk.out
        pairs = [(out.carrying.pop(landed.intent_id, None), landed) for landed in message.landed]
        if not out.recovered:
            # What else is under way may be what could not be told: it is known once nothing is any more.
            out.recovered, out.recovering = not out.carrying, bool(out.carrying) and out.recovering
        rows = self._keeper.rows([intent.path for intent, _ in pairs if intent])
        for intent, landed in pairs:
            if intent is None:
                continue
            out.carried.discard(intent.path)
            if out.looking or out.looking_at:
                out.stirred.add(intent.path)
            part = self._resolving if intent.purpose is Purpose.RESOLVE else self._pulling
            row = part.landed(rows[intent.path], intent, landed)
            rows[intent.path] = replace(row, base=ABSENT) if intent.id in out.parted else row
            out.parted.discard(intent.id)
        out.touched.update(rows)
        self._keeper.change(rows.values())
        ids = tuple(landed.intent_id for landed in message.landed)
        if ids:
            desk.index.operations.close_intents(ids)
            desk.emit(Committed(ids))

    def _on_head(self, message: m.HeadArrived) -> None:
        desk = self._desk
        asked = desk.out.asking.pop(message.path, None)
        desk.channels.answered(m.Call.HEAD)
        row = self._keeper.row(message.path)
        if asked != (row.remote.hash, row.position):
            # The remote side moved since the question: the answer may be older than what is known now.
            return
        desk.lift_problem(message.path, ProblemOrigin.PULL)
        row = self._believe(row, message)
        if message.path not in desk.parked:
            self._pulling.on_head(row, message.head)
        elif message.conflicts is not None:
            self._resolving.on_head(row, message.head, message.conflicts)

    def _believe(self, row: Row, message: m.HeadArrived) -> Row:
        desk, head = self._desk, message.head
        believed = row
        if row.path in desk.unanswered:
            believed = self._settling.on_head(row, head, message.conflicts)
        elif head is not None and row.path not in desk.open_operations:
            believed = replace(row, remote=remote_side(head.hash, head.rev), remote_id=head.remote_id)
        elif head is None and row.path in desk.parked:
            # Nothing is deleted on the strength of this: a parked path is only shown anew.
            believed = replace(row, remote=ABSENT)
        if believed != row:
            self._keeper.change([believed])
            desk.out.touched.add(row.path)
        return self._keeper.row(row.path)

    def _on_failed(self, message: m.CallFailed) -> None:
        desk, out = self._desk, self._desk.out
        if message.call is m.Call.HEAD:
            self._verifying.on_head_failed()
            if message.problem.kind in m.OF_ONE_FILE:
                self._on_bad_head(str(message.subject), message.problem)
                return
        if message.call is m.Call.POLL and message.subject not in out.polls:
            # A poll that was given up: what became of it says nothing about the connections made since.
            return
        desk.channels.failed(message.call, message.problem, desk.now)
        if message.call in (m.Call.POLL, m.Call.STANDING):
            # Whoever was away may come back as an older copy of itself: that is asked before anything is read on.
            out.standing_known = out.asking_standing = False
            # Nor may anything be passed over that it may not hold any more.
            out.known.clear()
            if isinstance(message.subject, int):
                out.polls.pop(message.subject, None)
        elif message.call is m.Call.HEAD and isinstance(message.subject, str):
            out.asking.pop(message.subject, None)
        elif message.call is m.Call.CLOSE and isinstance(message.subject, int):
            self._resolving.on_close_failed(message.subject, message.problem)
        elif message.call is m.Call.CONFLICTS:
            out.listing_conflicts = False
            out.conflicts_wanted = True
        elif message.call is m.Call.LISTING:
            self._verifying.on_listing_failed()

    def _on_bad_head(self, path: str, problem: Problem) -> None:
        """What the server holds here cannot be had or believed: one bad file, not a bad server."""
        desk, out = self._desk, self._desk.out
        out.asking.pop(path, None)
        out.deferred[path] = desk.now + _BAD_HEAD_AGAIN
        desk.set_problem(
            PathProblem(path, ProblemOrigin.PULL, Reason.REFUSED, problem.message, desk.now, out.deferred[path])
        )

    # Planning

    def _plan(self) -> None:
        desk, out = self._desk, self._desk.out
        if not out.started:
            # What a former process left behind must be known before anything is asked of disk or server.
            return
        if not out.recovered and not out.recovering:
            if desk.now >= out.look_began + RECOVER_AGAIN:
                self._recover()
            desk.wake(out.look_began + RECOVER_AGAIN)
        self._parking.upkeep()
        self._observing.plan()
        self._settling.plan()
        self._verifying.plan()
        # The comparison may have found what disagrees, and what is missing: nothing is removed uncounted.
        self._parking.upkeep()
        self._holding.refresh()
        self._pulling.plan()
        self._resolving.plan()
        self._pushing.plan()
        self._parking.plan()
        self._stashing.plan()
        # Last, because the parts before it are who wants the feed read.
        self._feeding.plan()
        due = desk.channels.due(desk.now)
        if due is not None:
            desk.wake(due)
        if desk.now < out.paused_until < float("inf"):
            desk.wake(out.paused_until)
        if self._at_rest() and self._owes_echoes():
            desk.request_drain()
            self._feeding.plan()
        if self._at_rest():
            if desk.trouble is None and not desk.out.held and desk.may_change:
                self._note_synced()
            for ticket in out.tickets:
                desk.emit(Rested(ticket))
            out.tickets.clear()
        if desk.due is not None and (desk.due != out.wake_at or desk.due <= desk.now):
            out.wake_at = desk.due
            desk.emit(WakeAt(desk.due))

    def _owes_echoes(self) -> bool:
        """Whether a single pass should still read its own operations back: the position it leaves behind is then past
        them, and a server that forgets them is known by that. Who follows is told by the next poll anyway.
        """
        desk = self._desk
        reads = desk.setup.attendance is Attendance.ONCE and desk.may_change and desk.may_call(m.Call.POLL)
        return reads and bool(desk.open_operations) and desk.out.drained < desk.out.echo_goal

    def _note_synced(self) -> None:
        """At rest with nothing wrong; written when a pass ends or something changed, so that idling writes nothing.

        While nothing changes, the last answer that there is nothing new is what both sides are known to agree by.
        """
        out = self._desk.out
        out.synced_at = out.drained_at
        if out.tickets or out.changed_since_rest:
            out.changed_since_rest = False
            self._desk.set_standing(synced_at=self._desk.now)

    def _at_rest(self) -> bool:
        """Whether nothing is under way but waiting on the feed, and nothing more can be done now."""
        out = self._desk.out
        local = (
            out.looking
            or out.looking_at
            or out.look_wanted
            or (out.noticed and not self._desk.is_long_pass)
            or out.recovering
            or out.judging
            or (out.carrying and out.recovered)
        )
        if not out.recovered and not out.recovering and out.root_trouble is not None:
            # The folder is away since the start: no look can be had, however much one is wanted.
            local = False
        remote = out.batch or out.asking or out.closing or out.stashing or out.listing_conflicts or out.asking_standing
        if local or remote or any(not call.wait for call in out.polls.values()):
            return False
        if out.root_trouble is not None or self._desk.standing.halted is not None:
            return True
        trouble = self._desk.trouble
        if trouble is not None:
            # A pass waits out what passes by itself, while a next try is due at all; a server that is gone ends it, the
            # work stays queued.
            channels = self._desk.channels
            waits = trouble.kind in _PATIENT and channels.failures <= _PATIENCE
            return not waits or channels.due(self._desk.now) is None
        # Everything that could be started was started by the plan before this, so nothing outstanding is nothing left.
        return not self._verifying.pending and out.drained >= out.drain_goal
