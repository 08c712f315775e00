"""What a person may ask of a source as a whole: to rest, to go on, to try again, to make a full pass now."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from agent.core.model import ABSENT, Reason
from agent.core.reconcile import Step
from agent.engine.desk import Desk
from agent.engine.keeper import Keeper
from agent.engine.messages import Pause, Resume, Retry, SyncNow
from agent.engine.settling import Settling
from agent.engine.setup import Attendance
from agent.engine.stashing import Stashing
from agent.engine.verifying import Verifying
from agent.index.notes import ProblemOrigin

_REFUSALS = frozenset({Reason.REFUSED, Reason.TOO_LARGE})
_JUST = 5.0
"""Seconds from the beginning of a look within which it counts for the command that has it made."""


class Wishes:
    """Carries a person's words into what is outstanding.

    Args:
        recover: asks anew what became of interrupted changes.
    """

    def __init__(
        self,
        desk: Desk,
        keeper: Keeper,
        settling: Settling,
        verifying: Verifying,
        stashing: Stashing,
        recover: Callable[[], None],
    ) -> None:
        self._desk = desk
        self._keeper = keeper
        self._settling = settling
        self._verifying = verifying
        self._stashing = stashing
        self._recover = recover

    def on_pause(self, message: Pause) -> None:
        """Change nothing on either side until then."""
        self._desk.out.paused_until = message.until

    def on_resume(self, _message: Resume) -> None:
        """Go on; after a halt, what can no longer be trusted is compared as at a first link."""
        desk, out = self._desk, self._desk.out
        out.paused_until = 0.0
        out.look_wanted = True
        if desk.standing.rejoin:
            self._rejoin()
        self._give_mounts_up()
        desk.set_standing(halted=None, rejoin=False)

    def _rejoin(self) -> None:
        desk, out = self._desk, self._desk.out
        # A conflict may dissolve now that its server forgot the other side, whose text then stands nowhere else.
        for conflict in desk.parked.values():
            self._stashing.owe(conflict.path, conflict.remote_hash, "conflict")
        self._settling.abandon(desk.unanswered_entries())
        self._keeper.forget_agreements()
        out.parted.update(out.carrying)
        # The feed is read from its beginning, and tells of a pause again if there still is one.
        desk.set_standing(feed_state=None, cursor=None, remote_paused=False)
        out.standing_known = False
        # What our own operations left on the server is forgotten too, so the feed has to tell it.
        out.known.clear()
        out.drained = 0
        desk.request_drain()
        self._verifying.want()

    def _give_mounts_up(self) -> None:
        """Go on without the file systems that are gone: their files are missing here, and deleted by nobody."""
        desk, out = self._desk, self._desk.out
        for mount in out.lost_mounts:
            rows = list(desk.index.trees.below(desk.source, mount))
            self._keeper.change(replace(row, base=ABSENT) for row in rows)
        desk.set_standing(mounts=desk.standing.mounts - out.lost_mounts)
        out.lost_mounts = frozenset()

    def on_retry(self, message: Retry) -> None:
        """Try again what was set aside, now."""
        desk, out = self._desk, self._desk.out
        desk.channels.reset()
        chosen = None if message.paths is None else set(message.paths)
        for path in list(desk.problems):
            if chosen is None or path in chosen:
                desk.lift_problem(path, ProblemOrigin.PUSH, ProblemOrigin.PULL, ProblemOrigin.REMOTE)
                out.deferred.pop(path, None)
        rows = [
            row
            for row in desk.index.trees.with_step(desk.source, Step.SKIP, Step.UNKNOWN)
            if chosen is None or row.path in chosen
        ]
        refused = [row for row in rows if row.step is Step.SKIP and row.local.reason in _REFUSALS]
        if refused or chosen is None:
            # Also where nothing was refused yet: a limit learned from one bad answer would refuse what comes next.
            desk.set_standing(max_bytes=None)
        if refused:
            self._keeper.change(replace(row, local=replace(row.local, reason=None)) for row in refused)
        # Without a fingerprint to compare with, a file that had shrunk is taken as it stands.
        self._keeper.change(replace(row, fingerprint=None) for row in rows if row.local.reason is Reason.SHRUNK)
        out.look_wanted = True

    def on_sync_now(self, message: SyncNow) -> None:
        """One full pass: look, drain, verify, and work until nothing is left."""
        desk, out = self._desk, self._desk.out
        out.tickets.append(message.ticket)
        desk.channels.reset()
        out.deferred.clear()
        begun = self._has_just_begun()
        out.look_wanted |= not (begun and out.looking)
        if not (begun and self._verifying.pending):
            self._verifying.want()
        if not (begun and out.drained < out.drain_goal):
            desk.request_drain()
        out.pass_began = desk.now
        if not out.recovered and not out.recovering:
            self._recover()

    def _has_just_begun(self) -> bool:
        """Whether this is what the process was started for: the look, the reading and the verification that are under
        way since its start are the pass's own, as they began after the command was given.
        """
        desk, out = self._desk, self._desk.out
        return desk.setup.attendance is Attendance.ONCE and not out.pass_began and desk.now - out.look_began < _JUST
