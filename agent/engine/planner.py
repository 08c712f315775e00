"""The order in which the parts plan their work, and the test whether any work is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agent.core.errors import ProblemKind
from agent.engine.config import RunMode
from agent.engine.conflicts import ConflictTracker
from agent.engine.context import EngineContext
from agent.engine.effects import PassFinished, SetTimer
from agent.engine.feed_polling import FeedPolling
from agent.engine.incoming_moves import IncomingMoves
from agent.engine.messages import Call
from agent.engine.phases import RecoveryPhase
from agent.engine.server_conflicts import ServerConflicts
from agent.engine.verification import Verification

_PASSING_KINDS = frozenset({ProblemKind.BUSY, ProblemKind.GARBLED, ProblemKind.SERVER_FAULT})
"""Problems that a one-shot pass waits for, because they mostly pass."""
_PASS_RETRIES = 3


class Plans(Protocol):
    """A part of the engine that asks for the effects that are due."""

    def plan(self) -> None:
        """Ask for the effects that are due."""
        ...


class Planner:
    """Runs after the messages of a step.

    Args:
        observers: parts that ask what both sides hold, in their order.
        actors: parts that change a side, in their order. They run after the conflicts were updated.
    """

    def __init__(
        self,
        ctx: EngineContext,
        conflict_tracker: ConflictTracker,
        server_conflicts: ServerConflicts,
        verification: Verification,
        polling: FeedPolling,
        moves: IncomingMoves,
        observers: Sequence[Plans],
        actors: Sequence[Plans],
    ) -> None:
        self._ctx = ctx
        self._conflicts = conflict_tracker
        self._server_conflicts = server_conflicts
        self._verification = verification
        self._polling = polling
        self._moves = moves
        self._observers = observers
        self._actors = actors

    def plan(self) -> None:
        """Ask for every effect that is due, end passes when nothing is left, and set the timer."""
        ctx = self._ctx
        if ctx.in_flight.recovery is RecoveryPhase.NOT_STARTED:
            return
        self._moves.refresh()
        self._server_conflicts.compare_listed()
        self._conflicts.update_conflicts()
        for part in self._observers:
            part.plan()
        # The verification may have found new conflicts and deletes; both are judged before anything acts on them.
        self._moves.refresh()
        self._conflicts.update_conflicts()
        for part in self._actors:
            part.plan()
        # Last, because the other parts decide if the feed must be read.
        self._polling.plan()
        self._set_alarms()
        if self.at_rest() and self._must_read_own_events():
            ctx.request_drain()
            self._polling.plan()
        if self.at_rest():
            self._rest()
        if ctx.due is not None and (ctx.due != ctx.in_flight.wake_at or ctx.due <= ctx.now):
            ctx.in_flight.wake_at = ctx.due
            ctx.emit(SetTimer(ctx.due))

    def _set_alarms(self) -> None:
        ctx = self._ctx
        due = ctx.retry_state.due(ctx.now)
        if due is not None:
            ctx.wake(due)
        if ctx.now < ctx.in_flight.paused_until < float("inf"):
            ctx.wake(ctx.in_flight.paused_until)

    def _must_read_own_events(self) -> bool:
        """True if a one-shot pass must still read its own events.

        The saved cursor then lies after them, which lets the next run detect a restored server. A daemon reads them
        with its next poll.
        """
        ctx = self._ctx
        may_read = ctx.setup.run_mode is RunMode.ONE_SHOT and ctx.may_change and ctx.may_call(Call.POLL)
        return may_read and bool(ctx.open_operations) and ctx.in_flight.drained < ctx.in_flight.echo_goal

    def _rest(self) -> None:
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if ctx.trouble is None and not in_flight.held_deletes and ctx.may_change:
            # While nothing changes, both sides agree as of the last answer of the feed.
            in_flight.synced_at = in_flight.drained_at
            if in_flight.waiting_passes or in_flight.changed_since_rest:
                # Written only after a change or for a pass, so that an idle source writes nothing.
                in_flight.changed_since_rest = False
                ctx.update_source_row(synced_at=ctx.now)
        for ticket in in_flight.end_passes():
            ctx.emit(PassFinished(ticket))

    def at_rest(self) -> bool:
        """True if nothing is in flight but a waiting poll, and nothing more can be done now."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if self._local_work() or self._remote_work():
            return False
        if in_flight.root_error is not None or ctx.source_row.halted is not None:
            return True
        if ctx.trouble is not None:
            return not self._waits_for_server(ctx.trouble.kind)
        # The plan before this started everything that could be started.
        return not self._verification.pending and in_flight.drained >= in_flight.drain_goal

    def _local_work(self) -> bool:
        in_flight = self._ctx.in_flight
        if in_flight.recovery is RecoveryPhase.WAITING and in_flight.root_error is not None:
            # The folder has been away since the start: no scan is possible, however much one is wanted.
            return False
        return bool(
            in_flight.scan.running
            or in_flight.scan.wanted
            or in_flight.scanning_paths
            or in_flight.reading
            or (in_flight.changed_paths and not self._ctx.is_long_pass)
            or in_flight.recovery is RecoveryPhase.RUNNING
            or in_flight.delete_check_pending
            or (in_flight.intents and in_flight.recovery is RecoveryPhase.DONE)
        )

    def _remote_work(self) -> bool:
        in_flight = self._ctx.in_flight
        return bool(
            in_flight.batch
            or in_flight.fetching
            or in_flight.recalling
            or in_flight.asking
            or in_flight.closing
            or in_flight.writing_to_trash
            or in_flight.keeping_downloads
            or in_flight.restoring
            or in_flight.listing_conflicts
            or in_flight.checking_continuity
            or any(not call.wait for call in in_flight.polls.values())
        )

    def _waits_for_server(self, kind: ProblemKind) -> bool:
        """True if a pass waits for the next try. A server that stays away ends the pass; the work remains queued."""
        retry_state = self._ctx.retry_state
        passing = kind in _PASSING_KINDS and retry_state.failures <= _PASS_RETRIES
        return passing and retry_state.due(self._ctx.now) is not None
