"""The verification: what the server lists against the remote tree, for feeds that may have skipped something.

Drain the feed, list the files, drain again; only paths that were quiet in between count. For a differing path the
file itself is asked; a missing one counts as deleted after a second listing.
"""

from __future__ import annotations

import enum

from msgspec.structs import replace

from agent.core import paths
from agent.core.model import ABSENT, Reason
from agent.engine.config import RunMode
from agent.engine.conflicts import ConflictTracker
from agent.engine.context import EngineContext
from agent.engine.effects import FetchListing
from agent.engine.messages import Call, ListingArrived
from agent.engine.path_store import PathStore, remote_side
from agent.index.activity import ActivityKind
from agent.index.operations import OperationState
from agent.index.problems import ProblemOrigin

_ASK_AT_ONCE = 4
_SECOND_LOOK = 1.0


class VerificationPhase(enum.Enum):
    """Where a verification stands."""

    IDLE = "idle"
    DRAIN_BEFORE = "drain_before"
    LISTING = "listing"
    DRAIN_AFTER = "drain_after"
    ASKING = "asking"


class Verification:
    """Runs after a start, hourly, and after a doubtful answer."""

    def __init__(self, ctx: EngineContext, path_store: PathStore, conflict_tracker: ConflictTracker) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._conflicts = conflict_tracker
        self._phase = VerificationPhase.IDLE
        self._goal = 0
        self._wanted_at: float | None = 0.0
        self._differing: list[str] = []
        self._missing_once: set[str] = set()
        self._acked_before: set[str] = set()

    @property
    def pending(self) -> bool:
        """Whether one is under way or due."""
        return self._phase is not VerificationPhase.IDLE or self._wanted_at is not None

    def request(self) -> None:
        """Verify as soon as possible; one under way does not count, it may have looked before the reason arose."""
        self._wanted_at = self._ctx.now

    def plan(self) -> None:
        """Take the next step that is due."""
        ctx = self._ctx
        if not ctx.in_flight.scan.complete or not ctx.may_call(Call.LISTING):
            return
        if self._phase is VerificationPhase.IDLE:
            self._begin_if_due()
        elif self._phase is VerificationPhase.DRAIN_BEFORE and ctx.in_flight.drained >= self._goal:
            self._phase = VerificationPhase.LISTING
            ctx.index.listing.clear(ctx.source)
            ctx.emit(FetchListing())
        elif self._phase is VerificationPhase.DRAIN_AFTER and ctx.in_flight.drained >= self._goal:
            self._compare()
            self._ask()
        elif self._phase is VerificationPhase.ASKING:
            self._ask()

    def _begin_if_due(self) -> None:
        ctx = self._ctx
        if self._wanted_at is None and ctx.setup.run_mode is RunMode.DAEMON:
            due = (ctx.source_row.verified_at or 0.0) + ctx.setup.verify_every
            if ctx.now < due:
                ctx.wake(due)
                return
        elif self._wanted_at is None:
            return
        elif ctx.now < self._wanted_at:
            ctx.wake(self._wanted_at)
            return
        self._wanted_at = None
        self._phase = VerificationPhase.DRAIN_BEFORE
        ctx.in_flight.changed_during_check.clear()
        self._acked_before = {
            entry.operation.id
            for entries in ctx.open_operations.values()
            for entry in entries
            if entry.state is OperationState.ACKED
        }
        ctx.in_flight.forget_continuity()
        if not ctx.setup.ordered_feed:
            ctx.in_flight.request_conflicts()
        self._goal = ctx.request_drain()

    def on_listing(self, message: ListingArrived) -> None:
        """Rows of the listing."""
        ctx = self._ctx
        if self._phase is not VerificationPhase.LISTING:
            return
        ctx.index.listing.add(ctx.source, message.files)
        if message.last:
            ctx.retry_state.answered(Call.LISTING)
            # A server put back from a copy meanwhile has listed what it held then: it is asked before that counts.
            ctx.in_flight.forget_continuity()
            self._phase = VerificationPhase.DRAIN_AFTER
            self._goal = ctx.request_drain()

    def on_head_failed(self) -> None:
        """A file could not be asked for: what the listing said of it is still open."""
        if self._phase is VerificationPhase.ASKING:
            self.request()

    def on_server_went_back(self) -> None:
        """A server that was restored from an older copy is not followed: what it holds is older than what this folder
        was told, and none of it may be taken for an edit or a delete. A person has to look first.
        """
        ctx = self._ctx
        self._phase = VerificationPhase.IDLE
        self._wanted_at = None
        text = "the server was restored from an older copy; raven-agent resume compares both sides as at a first link"
        ctx.update_source_row(halted=text, rejoin=True, verified_at=ctx.now)
        ctx.record_activity("", ActivityKind.HALTED, text)

    def on_listing_failed(self) -> None:
        """Nothing of a listing that broke off may be believed."""
        self._phase = VerificationPhase.IDLE
        self.request()

    def _quiet(self, path: str) -> bool:
        ctx = self._ctx
        return (
            path not in ctx.in_flight.changed_during_check and path not in ctx.open_operations and not ctx.is_busy(path)
        )

    def _give_up_echoes(self) -> None:
        """Acknowledged before the feed was read to its end twice, and never mentioned: the feed skipped the echo.

        What other writers were told before it is judged by the listing: where our text is the head, theirs was
        overwritten unseen.
        """
        ctx = self._ctx
        listed = ctx.index.listing.hashes(ctx.source, [p for p, es in ctx.open_operations.items() if es])
        for path, entries in list(ctx.open_operations.items()):
            skipped = [e for e in entries if e.operation.id in self._acked_before and e.state is OperationState.ACKED]
            for entry in skipped:
                ctx.move_operations([entry], OperationState.DONE)
                if listed.get(path) == entry.operation.base:
                    self._forgotten(path, entry.operation.base)
                elif listed.get(path) == entry.operation.hash:
                    for suspect in entry.suspects:
                        self._conflicts.lost_update(self._path_store.row(path), entry.operation, suspect.hash)

    def _forgotten(self, path: str, shown: str | None) -> None:
        """Acknowledged, never told of, and the server shows what stood there before: it does not know our version any
        more, for whatever reason. There is no agreement on this path, so what stands here is not set back.
        """
        row = self._path_store.row(path)
        self._path_store.change([replace(row, base=ABSENT, remote=remote_side(shown))])

    def _compare(self) -> None:
        ctx = self._ctx
        listing = ctx.index.listing
        self._give_up_echoes()
        self._differing = [
            path for path in listing.differing(ctx.source) if self._quiet(path) and paths.check(path) is None
        ]
        missing = {path for path in listing.missing(ctx.source) if self._quiet(path)}
        gone = missing & self._missing_once
        self._missing_once = missing - gone
        rows = self._path_store.rows(sorted(gone))
        self._path_store.change(replace(row, remote=ABSENT) for row in rows.values())
        if self._missing_once:
            self._wanted_at = ctx.now + _SECOND_LOOK
        listing.clear(ctx.source)
        self._phase = VerificationPhase.ASKING

    def _ask(self) -> None:
        ctx = self._ctx
        while self._differing and len(ctx.in_flight.asking) < _ASK_AT_ONCE:
            path = self._differing.pop()
            ctx.fetch_head(path, self._path_store.row(path))
        if not self._differing and not ctx.in_flight.asking:
            self._phase = VerificationPhase.IDLE
            ctx.update_source_row(verified_at=ctx.now)
            if self._wanted_at is not None:
                # Wanted again meanwhile; nothing else need come to cause the step that begins it.
                ctx.wake(max(ctx.now, self._wanted_at))
            else:
                self._forgive_the_feed()

    def _forgive_the_feed(self) -> None:
        """What the feed told and nobody understood is known by the listing now."""
        ctx = self._ctx
        for path, problems in list(ctx.problems.items()):
            if any(p.origin is ProblemOrigin.REMOTE and p.reason is Reason.GARBLED for p in problems):
                ctx.clear_problem(path, ProblemOrigin.REMOTE)
