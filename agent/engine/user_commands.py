"""A person's commands for a whole source: pause, resume, retry, sync now."""

from __future__ import annotations

from msgspec.structs import replace

from agent.core.model import ABSENT, Reason
from agent.core.reconcile import Step
from agent.engine.config import RunMode
from agent.engine.context import EngineContext
from agent.engine.in_doubt import InDoubt
from agent.engine.messages import Pause, Resume, Retry, SyncNow
from agent.engine.path_store import PathStore
from agent.engine.phases import RecoveryPhase
from agent.engine.recovery import Recovery
from agent.engine.trash_outbox import TrashOutbox
from agent.engine.verification import Verification
from agent.index.problems import ProblemOrigin

_REFUSALS = frozenset({Reason.REFUSED, Reason.TOO_LARGE})
_RETRIED = (ProblemOrigin.PUSH, ProblemOrigin.PULL, ProblemOrigin.REMOTE, ProblemOrigin.UNDO)
_JUST = 5.0
"""Age in seconds up to which a scan counts as begun for this command."""


class UserCommands:
    """Carries the commands out."""

    def __init__(
        self,
        ctx: EngineContext,
        path_store: PathStore,
        in_doubt: InDoubt,
        verification: Verification,
        trash_outbox: TrashOutbox,
        recovery: Recovery,
    ) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._in_doubt = in_doubt
        self._verification = verification
        self._trash_outbox = trash_outbox
        self._recovery = recovery

    def on_pause(self, message: Pause) -> None:
        """Change nothing on either side until the given time."""
        self._ctx.in_flight.paused_until = message.until

    def on_resume(self, _message: Resume) -> None:
        """Continue; after a halt that needs it, merge both sides like a new link."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        in_flight.paused_until = 0.0
        in_flight.request_scan()
        if ctx.source_row.rejoin:
            self._rejoin()
        self._drop_lost_mounts()
        ctx.update_source_row(halted=None, rejoin=False)

    def _rejoin(self) -> None:
        ctx, in_flight = self._ctx, self._ctx.in_flight
        # A conflict may end because the server lost the other side; its text then exists only here.
        for conflict in ctx.parked.values():
            self._trash_outbox.enqueue(conflict.path, conflict.remote_hash, "conflict")
        self._in_doubt.abandon(ctx.unanswered_operations())
        self._path_store.forget_agreements()
        in_flight.detach_intents()
        # The feed is read from its beginning, and repeats a pause that is still on.
        ctx.update_source_row(feed_state=None, cursor=None, remote_paused=False)
        in_flight.forget_continuity()
        # The remote tree was emptied, so the feed must return our own events too.
        in_flight.forget_acknowledged()
        ctx.index.listing.forget(ctx.source)
        in_flight.restart_drain()
        ctx.request_drain()
        self._verification.request()

    def _drop_lost_mounts(self) -> None:
        """Continue without the lost mounts: drop the base of their files, so that nothing counts as deleted."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        for mount in in_flight.lost_mounts:
            rows = list(ctx.index.trees.below(ctx.source, mount))
            self._path_store.change(replace(row, base=ABSENT) for row in rows)
        ctx.update_source_row(mounts=ctx.source_row.mounts - in_flight.lost_mounts)
        in_flight.mounts_found(frozenset(), frozenset())

    def on_retry(self, message: Retry) -> None:
        """Retry files that were set aside."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        ctx.retry_state.reset()
        chosen = None if message.paths is None else set(message.paths)
        for path in list(ctx.problems):
            if chosen is None or path in chosen:
                ctx.clear_problem(path, *_RETRIED)
                in_flight.clear_deferral(path)
        # A parked file that was refused would be set aside once its conflict is over.
        aside = self._path_store.with_step(Step.SKIP, Step.UNKNOWN, Step.PARK)
        rows = [row for row in aside if chosen is None or row.path in chosen]
        refused = [row for row in rows if row.local.reason in _REFUSALS]
        if refused or chosen is None:
            # Also if nothing was refused: a limit learned from one bad answer would refuse the next file.
            ctx.update_source_row(max_bytes=None)
        known = [row for row in refused if row.step is not Step.UNKNOWN]
        if known:
            self._path_store.change(replace(row, local=replace(row.local, reason=None)) for row in known)
        # Without a fingerprint, a file that had shrunk is taken as an edit: the person asked for it.
        self._path_store.change(replace(row, fingerprint=None) for row in rows if row.local.reason is Reason.SHRUNK)
        in_flight.request_scan()

    def on_sync_now(self, message: SyncNow) -> None:
        """Begin a full pass: scan, read the feed to its end, verify, and work until nothing is left."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        ctx.retry_state.reset()
        in_flight.clear_deferrals()
        begun = self._has_just_begun()
        in_flight.begin_pass(message.ticket, ctx.now)
        if not (begun and in_flight.scan.running):
            in_flight.request_scan()
        if not (begun and self._verification.pending):
            self._verification.request()
        if not (begun and in_flight.drained < in_flight.drain_goal):
            ctx.request_drain()
        if in_flight.recovery is RecoveryPhase.WAITING:
            self._recovery.recover()

    def _has_just_begun(self) -> bool:
        """True if the process was started for this pass: the scan, drain and verification of its start then count."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        return (
            ctx.setup.run_mode is RunMode.ONE_SHOT
            and not in_flight.pass_began
            and ctx.now - in_flight.scan_began < _JUST
        )
