"""A new reading of the feed from its beginning, because the server cannot continue from the saved position."""

from __future__ import annotations

from agent.core.errors import ProblemKind
from agent.core.lost_cursor import LostCursorVerdict, judge_lost_cursor
from agent.engine.context import EngineContext
from agent.engine.feed_polling import FeedPolling
from agent.engine.messages import Call, CallFailed
from agent.engine.path_store import PathStore
from agent.engine.verification import Verification
from agent.index.activity import ActivityKind
from agent.index.operations import OperationState


class LostCursor:
    """Gives up the position. Bases, remote sides and operations stay, so nothing counts as deleted or as new."""

    def __init__(
        self, ctx: EngineContext, path_store: PathStore, verification: Verification, polling: FeedPolling
    ) -> None:
        self._ctx = ctx
        self._polling = polling
        self._path_store = path_store
        self._verification = verification
        self._restarted: float | None = None

    def handles(self, message: CallFailed) -> bool:
        """Restart the reading if this failure asks for it; returns False if it is a failure like any other."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if message.problem.kind is not ProblemKind.CURSOR_LOST or message.call not in (Call.POLL, Call.STANDING):
            return False
        saved = asked = ctx.source_row.feed_state
        if isinstance(message.subject, int):
            asked = in_flight.polls[message.subject].state
        self._polling.on_failed(message.subject)
        verdict = judge_lost_cursor(asked, saved, self._restarted, ctx.now)
        if verdict is LostCursorVerdict.RESTART:
            self._restart(message.problem.message)
        return verdict is not LostCursorVerdict.WAIT

    def _restart(self, reason: str) -> None:
        ctx = self._ctx
        self._restarted = ctx.now
        ctx.update_source_row(feed_state=None, cursor=None)
        # The positions of the new reading begin anew. With the old ones its events would count as older.
        self._path_store.restart_positions()
        # The events of acknowledged operations are not repeated. The new reading shows what became of their files.
        acknowledged = [
            entry
            for entries in ctx.open_operations.values()
            for entry in entries
            if entry.state is OperationState.ACKED
        ]
        ctx.move_operations(acknowledged, OperationState.ECHOED)
        ctx.in_flight.restart_drain(renumbered=True)
        ctx.request_drain()
        self._verification.begin_anew()
        ctx.record_activity("", ActivityKind.FEED_RESTARTED, reason)
