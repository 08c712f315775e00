"""Polls of the feed: when the next one is due, and whether the server still holds the feed that was read."""

from __future__ import annotations

from agent.core.reconcile import Step
from agent.engine.config import RunMode
from agent.engine.context import EngineContext
from agent.engine.effects import CheckFeedContinuity, Poll
from agent.engine.in_flight import CONTENTS_LIMIT, PollCall
from agent.engine.messages import Call, ConnectionsReset, FeedContinuityChecked, Nudged, PageArrived
from agent.engine.verification import Verification

_SECONDS_BESIDE_PUSHES = 1.0
"""Time between two polls while batches are on their way. Each batch adds events that its answer reports as well."""
LISTENING_SECONDS = 60.0
"""Least time between two polls at intervals while the server reports changes as they happen."""


class FeedPolling:
    """Asks for pages of the feed.

    Attributes:
        others: True if the last page held events that are not our own.
    """

    def __init__(self, ctx: EngineContext, verification: Verification) -> None:
        self._ctx = ctx
        self._verification = verification
        self._more = False
        self._nudged = False
        self.others = False
        self._last_poll_at = 0.0
        self._unreported = False
        """The newest poll did not report its position to the server, because changes before it were not applied."""

    def is_current(self, message: PageArrived) -> bool:
        """Take in the answer to a poll; return True if the saved position is still the one it was asked with."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        call = in_flight.polls.get(message.poll)
        ctx.retry_state.answered(Call.POLL)
        if message.last:
            in_flight.polls.pop(message.poll, None)
        if call is None or call.state != ctx.source_row.feed_state:
            return False
        if not message.last:
            self._unreported = True
            in_flight.polls[message.poll] = PollCall(message.page.state, 0.0)
        return True

    def on_failed(self, poll: int | str | None) -> None:
        """Rely on nothing the server said before: a poll or the check of the feed's continuity failed."""
        in_flight = self._ctx.in_flight
        in_flight.forget_continuity()
        in_flight.checking_continuity = False
        in_flight.forget_acknowledged()
        if isinstance(poll, int):
            in_flight.polls.pop(poll, None)

    def on_page_applied(self, message: PageArrived) -> None:
        """Note how far the feed was read, and set the time of the next poll."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        self._more = message.page.more
        if message.page.events:
            in_flight.event_seen(ctx.now)
        if not message.page.more:
            in_flight.drained = max(in_flight.drained, message.poll)
            in_flight.drained_at = ctx.now
            # An answer to a poll that began before an acknowledgement may lack its event.
            in_flight.forget_acknowledged(at_end=message.poll >= in_flight.echo_goal)
        # A nudge during the poll may be of an event that its answer lacks.
        in_flight.next_poll_at = ctx.now if self._nudged else ctx.now + self._interval()

    def _interval(self) -> float:
        """Seconds to the next poll if the server cannot hold a request. They grow while no event comes."""
        setup = self._ctx.setup
        if setup.long_poll and setup.long_poll_seconds > 0:
            return 0.0
        if setup.listening:
            return max(setup.poll_idle, LISTENING_SECONDS)
        quiet = self._ctx.now - self._ctx.in_flight.last_event_at
        if quiet > setup.idle_after:
            return setup.poll_idle
        return min(setup.poll_most, setup.poll_least + quiet / 15)

    def plan(self) -> None:
        """Poll the feed if that is due."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if not in_flight.scan.complete or not ctx.may_call(Call.POLL) or in_flight.contents_size > CONTENTS_LIMIT:
            return
        if not self._is_same_server():
            return
        behind = ctx.source_row.feed_state
        current = {number: call for number, call in in_flight.polls.items() if call.state == behind}
        draining = any(number >= in_flight.drain_goal and not call.wait for number, call in current.items())
        beside = min(self._last_poll_at, ctx.now) + _SECONDS_BESIDE_PUSHES if in_flight.batch else 0.0
        if in_flight.drained < in_flight.drain_goal or self._more:
            # Reading our own operations while more of them are sent would not end.
            if not draining and self._is_due(beside if self._more and not self.others else 0.0):
                self._poll(behind, 0.0)
        elif not draining and self._is_report_due():
            # Beside a poll that waits, and at the end of a pass: other machines would see an old position.
            self._poll(behind, 0.0)
        elif ctx.setup.run_mode is RunMode.DAEMON and not current and self._is_due(max(in_flight.next_poll_at, beside)):
            self._poll(
                behind, ctx.setup.long_poll_seconds if ctx.setup.long_poll and not in_flight.acknowledged_spans else 0.0
            )

    def _is_due(self, moment: float) -> bool:
        if moment > self._ctx.now:
            self._ctx.wake(moment)
        return moment <= self._ctx.now

    def _is_report_due(self) -> bool:
        """Return True if a position can be reported now that could not be reported before."""
        setup = self._ctx.setup
        reports = setup.reports_position and setup.run_mode is not RunMode.DRY_RUN
        return reports and self._unreported and self._is_applied()

    def _is_applied(self) -> bool:
        """Return True if no change that was read is left to fetch or apply. A parked path waits for a person."""
        ctx = self._ctx
        most = len(ctx.parked) + 1
        return not any(
            row.path not in ctx.parked
            for step in (Step.PULL, Step.PULL_DELETE)
            for row in ctx.index.trees.with_step(ctx.source, step, limit=most)
        )

    def _is_same_server(self) -> bool:
        """Return True if the server still holds the feed that was read; ask it if that is not known."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if ctx.source_row.rejoin:
            return False
        if ctx.source_row.feed_state is None:
            in_flight.continuity_known = True
        elif not in_flight.continuity_known and not in_flight.checking_continuity and ctx.may_call(Call.STANDING):
            in_flight.checking_continuity = True
            ctx.emit(CheckFeedContinuity(ctx.source_row.feed_state))
        return in_flight.continuity_known

    def on_continuity_checked(self, message: FeedContinuityChecked) -> None:
        """Take in whether the server still holds the feed that was read, and whether it is paused."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        in_flight.checking_continuity = False
        ctx.retry_state.answered(Call.STANDING)
        ctx.update_source_row(remote_paused=message.paused)
        if not message.behind:
            in_flight.continuity_known = True
            return
        self._verification.on_server_went_back()

    def on_connections_reset(self, _message: ConnectionsReset) -> None:
        """Read the feed and scan the folder again: answers that were waited for may never come.

        The answer to a poll that is given up here is ignored; the new poll brings the same events. The server may have
        been restored from an older copy while this machine slept.
        """
        ctx, in_flight = self._ctx, self._ctx.in_flight
        in_flight.forget_continuity()
        ctx.retry_state.connection_restored(ctx.now)
        in_flight.polls.clear()
        in_flight.next_poll_at = ctx.now
        in_flight.request_scan()
        ctx.request_drain()

    def on_nudged(self, message: Nudged) -> None:
        """Poll the feed next. One poll runs at a time, however many nudges come."""
        self._nudged = True
        self._ctx.in_flight.next_poll_at = self._ctx.now
        if message.full and not self._verification.pending:
            self._verification.request()

    def _poll(self, state: str | None, wait: float) -> None:
        ctx, in_flight = self._ctx, self._ctx.in_flight
        in_flight.polls[in_flight.next_poll] = PollCall(state, wait)
        self._last_poll_at = ctx.now
        self._nudged = False
        # While batches are on their way the pages come one at a time, and each decides whether to read on.
        room = 0 if wait or in_flight.batch else CONTENTS_LIMIT - in_flight.contents_size
        applied = self._is_applied()
        self._unreported = not applied
        ctx.emit(Poll(in_flight.next_poll, state, wait, tuple(in_flight.acknowledged_spans), room, applied))
        in_flight.next_poll += 1
