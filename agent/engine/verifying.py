"""The verification: what the server lists against the remote tree, for feeds that may have skipped something.

Drain the feed, list the files, drain again; only paths that were quiet in between count. For a differing path the
file itself is asked; a missing one counts as deleted after a second listing.
"""

from __future__ import annotations

import enum

from msgspec.structs import replace

from agent.core import paths
from agent.core.model import ABSENT, Reason
from agent.engine.desk import Desk
from agent.engine.effects import AskListing
from agent.engine.keeper import Keeper, remote_side
from agent.engine.messages import Call, ListingArrived
from agent.engine.parking import Parking
from agent.engine.setup import Attendance
from agent.index.notes import ProblemOrigin
from agent.index.operations import Stage

_ASK_AT_ONCE = 4
_SECOND_LOOK = 1.0


class Phase(enum.Enum):
    """Where a verification stands."""

    IDLE = "idle"
    DRAIN_BEFORE = "drain_before"
    LISTING = "listing"
    DRAIN_AFTER = "drain_after"
    ASKING = "asking"


class Verifying:
    """Runs after a start, hourly, and after a doubtful answer."""

    def __init__(self, desk: Desk, keeper: Keeper, parking: Parking) -> None:
        self._desk = desk
        self._keeper = keeper
        self._parking = parking
        self._phase = Phase.IDLE
        self._goal = 0
        self._wanted_at: float | None = 0.0
        self._differing: list[str] = []
        self._missing_once: set[str] = set()
        self._acked_before: set[str] = set()

    @property
    def pending(self) -> bool:
        """Whether one is under way or due."""
        return self._phase is not Phase.IDLE or self._wanted_at is not None

    def want(self) -> None:
        """Verify as soon as possible; one under way does not count, it may have looked before the reason arose."""
        self._wanted_at = self._desk.now

    def plan(self) -> None:
        """Take the next step that is due."""
        desk = self._desk
        if not desk.out.looked or not desk.may_call(Call.LISTING):
            return
        if self._phase is Phase.IDLE:
            self._begin_if_due()
        elif self._phase is Phase.DRAIN_BEFORE and desk.out.drained >= self._goal:
            self._phase = Phase.LISTING
            desk.index.trees.start_listing(desk.source)
            desk.emit(AskListing())
        elif self._phase is Phase.DRAIN_AFTER and desk.out.drained >= self._goal:
            self._compare()
            self._ask()
        elif self._phase is Phase.ASKING:
            self._ask()

    def _begin_if_due(self) -> None:
        desk = self._desk
        if self._wanted_at is None and desk.setup.attendance is Attendance.FOLLOW:
            due = (desk.standing.verified_at or 0.0) + desk.setup.verify_every
            if desk.now < due:
                desk.wake(due)
                return
        elif self._wanted_at is None:
            return
        elif desk.now < self._wanted_at:
            desk.wake(self._wanted_at)
            return
        self._wanted_at = None
        self._phase = Phase.DRAIN_BEFORE
        desk.out.touched.clear()
        self._acked_before = {
            entry.operation.id
            for entries in desk.open_operations.values()
            for entry in entries
            if entry.stage is Stage.ACKED
        }
        desk.out.standing_known = False
        desk.out.conflicts_wanted |= not desk.setup.ordered_feed
        self._goal = desk.request_drain()

    def on_listing(self, message: ListingArrived) -> None:
        """Rows of the listing."""
        desk = self._desk
        if self._phase is not Phase.LISTING:
            return
        desk.index.trees.add_listing(desk.source, message.files)
        if message.last:
            desk.channels.answered(Call.LISTING)
            # A server put back from a copy meanwhile has listed what it held then: it is asked before that counts.
            desk.out.standing_known = False
            self._phase = Phase.DRAIN_AFTER
            self._goal = desk.request_drain()

    def on_head_failed(self) -> None:
        """A file could not be asked for: what the listing said of it is still open."""
        if self._phase is Phase.ASKING:
            self.want()

    def on_server_went_back(self) -> None:
        """A server that was restored from an older copy is not followed: what it holds is older than what this folder
        was told, and none of it may be taken for an edit or a delete. A person has to look first.
        """
        desk = self._desk
        self._phase = Phase.IDLE
        self._wanted_at = None
        text = "the server was restored from an older copy; raven-agent resume compares both sides as at a first link"
        desk.set_standing(halted=text, rejoin=True, verified_at=desk.now)
        desk.note("", "halted", text)

    def on_listing_failed(self) -> None:
        """Nothing of a listing that broke off may be believed."""
        self._phase = Phase.IDLE
        self.want()

    def _quiet(self, path: str) -> bool:
        desk = self._desk
        return path not in desk.out.touched and path not in desk.open_operations and not desk.in_flight(path)

    def _give_up_echoes(self) -> None:
        """Acknowledged before the feed was read to its end twice, and never mentioned: the feed skipped the echo.

        What other writers were told before it is judged by the listing: where our text is the head, theirs was
        overwritten unseen.
        """
        desk = self._desk
        listed = desk.index.trees.listed(desk.source, [p for p, es in desk.open_operations.items() if es])
        for path, entries in list(desk.open_operations.items()):
            skipped = [e for e in entries if e.operation.id in self._acked_before and e.stage is Stage.ACKED]
            for entry in skipped:
                desk.move_operations([entry], Stage.DONE)
                if listed.get(path) == entry.operation.base:
                    self._forgotten(path, entry.operation.base)
                elif listed.get(path) == entry.operation.hash:
                    for suspect in entry.suspects:
                        self._parking.lost_update(self._keeper.row(path), entry.operation, suspect.hash)

    def _forgotten(self, path: str, shown: str | None) -> None:
        """Acknowledged, never told of, and the server shows what stood there before: it does not know our version any
        more, for whatever reason. There is no agreement on this path, so what stands here is not set back.
        """
        row = self._keeper.row(path)
        self._keeper.change([replace(row, base=ABSENT, remote=remote_side(shown))])

    def _compare(self) -> None:
        desk = self._desk
        trees = desk.index.trees
        self._give_up_echoes()
        self._differing = [
            path for path in trees.listing_differs(desk.source) if self._quiet(path) and paths.check(path) is None
        ]
        missing = {path for path in trees.listing_misses(desk.source) if self._quiet(path)}
        gone = missing & self._missing_once
        self._missing_once = missing - gone
        rows = self._keeper.rows(sorted(gone))
        self._keeper.change(replace(row, remote=ABSENT) for row in rows.values())
        if self._missing_once:
            self._wanted_at = desk.now + _SECOND_LOOK
        trees.start_listing(desk.source)
        self._phase = Phase.ASKING

    def _ask(self) -> None:
        desk = self._desk
        while self._differing and len(desk.out.asking) < _ASK_AT_ONCE:
            path = self._differing.pop()
            desk.ask_head(path, self._keeper.row(path))
        if not self._differing and not desk.out.asking:
            self._phase = Phase.IDLE
            desk.set_standing(verified_at=desk.now)
            if self._wanted_at is not None:
                # Wanted again meanwhile; nothing else need come to cause the step that begins it.
                desk.wake(max(desk.now, self._wanted_at))
            else:
                self._forgive_the_feed()

    def _forgive_the_feed(self) -> None:
        """What the feed told and nobody understood is known by the listing now."""
        desk = self._desk
        for path, problems in list(desk.problems.items()):
            if any(p.origin is ProblemOrigin.REMOTE and p.reason is Reason.GARBLED for p in problems):
                desk.lift_problem(path, ProblemOrigin.REMOTE)
