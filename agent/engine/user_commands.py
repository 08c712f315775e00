"""What a person may ask of a source as a whole: to rest, to go on, to try again, to make a full pass now."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from agent.core.model import ABSENT, Reason
from agent.core.reconcile import Step
from agent.engine.config import RunMode
from agent.engine.context import EngineContext
from agent.engine.in_doubt import InDoubt
from agent.engine.messages import Pause, Resume, Retry, SyncNow
from agent.engine.path_store import PathStore
from agent.engine.trash_outbox import TrashOutbox
from agent.engine.verification import Verification
from agent.index.problems import ProblemOrigin

_REFUSALS = frozenset({Reason.REFUSED, Reason.TOO_LARGE})
_JUST = 5.0
"""Seconds from the beginning of a look within which it counts for the command that has it made."""


class UserCommands:
    """Carries a person's words into what is outstanding.

    Args:
        recover: asks anew what became of interrupted changes.
    """

    def __init__(
        self,
        ctx: EngineContext,
        path_store: PathStore,
        in_doubt: InDoubt,
        verification: Verification,
        trash_outbox: TrashOutbox,
        recover: Callable[[], None],
    ) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._in_doubt = in_doubt
        self._verification = verification
        self._trash_outbox = trash_outbox
        self._recover = recover

    def on_pause(self, message: Pause) -> None:
        """Change nothing on either side until then."""
        self._ctx.in_flight.paused_until = message.until

    def on_resume(self, _message: Resume) -> None:
        """Go on; after a halt, what can no longer be trusted is compared as at a first link."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        in_flight.paused_until = 0.0
        in_flight.scan_wanted = True
        if ctx.source_row.rejoin:
            self._rejoin()
        self._give_mounts_up()
        ctx.update_source_row(halted=None, rejoin=False)

    def _rejoin(self) -> None:
        ctx, in_flight = self._ctx, self._ctx.in_flight
        # A conflict may dissolve now that its server forgot the other side, whose text then stands nowhere else.
        for conflict in ctx.parked.values():
            self._trash_outbox.enqueue(conflict.path, conflict.remote_hash, "conflict")
        self._in_doubt.abandon(ctx.unanswered_operations())
        self._path_store.forget_agreements()
        in_flight.detached.update(in_flight.intents)
        # The feed is read from its beginning, and tells of a pause again if there still is one.
        ctx.update_source_row(feed_state=None, cursor=None, remote_paused=False)
        in_flight.continuity_known = False
        # What our own operations left on the server is forgotten too, so the feed has to tell it.
        in_flight.acknowledged_spans.clear()
        in_flight.drained = 0
        ctx.request_drain()
        self._verification.request()

    def _give_mounts_up(self) -> None:
        """Go on without the file systems that are gone: their files are missing here, and deleted by nobody."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        for mount in in_flight.lost_mounts:
            rows = list(ctx.index.trees.below(ctx.source, mount))
            self._path_store.change(replace(row, base=ABSENT) for row in rows)
        ctx.update_source_row(mounts=ctx.source_row.mounts - in_flight.lost_mounts)
        in_flight.lost_mounts = frozenset()

    def on_retry(self, message: Retry) -> None:
        """Try again what was set aside, now."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        ctx.retry_state.reset()
        chosen = None if message.paths is None else set(message.paths)
        for path in list(ctx.problems):
            if chosen is None or path in chosen:
                ctx.clear_problem(path, ProblemOrigin.PUSH, ProblemOrigin.PULL, ProblemOrigin.REMOTE)
                in_flight.retry_at.pop(path, None)
        rows = [
            row
            for row in ctx.index.trees.with_step(ctx.source, Step.SKIP, Step.UNKNOWN)
            if chosen is None or row.path in chosen
        ]
        refused = [row for row in rows if row.step is Step.SKIP and row.local.reason in _REFUSALS]
        if refused or chosen is None:
            # Also where nothing was refused yet: a limit learned from one bad answer would refuse what comes next.
            ctx.update_source_row(max_bytes=None)
        if refused:
            self._path_store.change(replace(row, local=replace(row.local, reason=None)) for row in refused)
        # Without a fingerprint to compare with, a file that had shrunk is taken as it stands.
        self._path_store.change(replace(row, fingerprint=None) for row in rows if row.local.reason is Reason.SHRUNK)
        in_flight.scan_wanted = True

    def on_sync_now(self, message: SyncNow) -> None:
        """One full pass: look, drain, verify, and work until nothing is left."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        in_flight.waiting_passes.append(message.ticket)
        ctx.retry_state.reset()
        in_flight.retry_at.clear()
        begun = self._has_just_begun()
        in_flight.scan_wanted |= not (begun and in_flight.scanning)
        if not (begun and self._verification.pending):
            self._verification.request()
        if not (begun and in_flight.drained < in_flight.drain_goal):
            ctx.request_drain()
        in_flight.pass_began = ctx.now
        if not in_flight.recovered and not in_flight.recovering:
            self._recover()

    def _has_just_begun(self) -> bool:
        """Whether this is what the process was started for: the look, the reading and the verification that are under
        way since its start are the pass's own, as they began after the command was given.
        """
        ctx, in_flight = self._ctx, self._ctx.in_flight
        return (
            ctx.setup.run_mode is RunMode.ONE_SHOT
            and not in_flight.pass_began
            and ctx.now - in_flight.scan_began < _JUST
        )
