"""Recovery after a start, and the outcomes of changes to the folder."""

from __future__ import annotations

from msgspec.structs import replace

from agent.core.model import ABSENT, Purpose
from agent.core.reconcile import Step
from agent.engine.context import EngineContext
from agent.engine.downloads import Downloads
from agent.engine.effects import Recover, ReleaseJournal
from agent.engine.in_doubt import InDoubt
from agent.engine.large_downloads import LargeDownloads
from agent.engine.messages import ChangesApplied, RecoveryFailed, Started
from agent.engine.path_store import PathStore
from agent.engine.phases import RecoveryPhase
from agent.engine.resolutions import Resolutions

_OPERATIONS_KEPT = 14 * 86400.0
_ACTIVITY_KEPT = 90 * 86400.0
RECOVER_AGAIN = 10.0
"""Seconds between two tries to recover interrupted changes."""


class Recovery:
    """Brings the work of a former process to its end before new work begins."""

    def __init__(
        self,
        ctx: EngineContext,
        path_store: PathStore,
        in_doubt: InDoubt,
        downloads: Downloads,
        resolutions: Resolutions,
        large_downloads: LargeDownloads,
    ) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._in_doubt = in_doubt
        self._downloads = downloads
        self._resolutions = resolutions
        self._large_downloads = large_downloads

    def on_started(self, _message: Started) -> None:
        """Take over the work that a former process left in the index."""
        ctx = self._ctx
        # The feed may hold much news, so poll as often as right after an event.
        ctx.in_flight.event_seen(ctx.now)
        # A stored operation may have been sent by the former process: its outcome is in doubt, it is not simply sent.
        self._in_doubt.doubt(ctx.unanswered_operations())
        ctx.moved.update(row.path for row in self._path_store.with_step(Step.PARK))
        ctx.moved.update(ctx.parked, ctx.waiting)
        ctx.index.operations.prune(ctx.source, ctx.now - _OPERATIONS_KEPT)
        ctx.index.activity.prune(ctx.now - _ACTIVITY_KEPT)
        ctx.index.traffic.prune(ctx.now - _ACTIVITY_KEPT)
        ctx.in_flight.begin_intents(ctx.index.journal.all(ctx.source))
        self.recover()

    def recover(self) -> None:
        """Ask the disk for the outcome of every journalled change."""
        ctx = self._ctx
        ctx.in_flight.recovery = RecoveryPhase.RUNNING
        ctx.emit(Recover(tuple(ctx.in_flight.intents.values()), self._large_downloads.transfers()))

    def on_recovery_failed(self, message: RecoveryFailed) -> None:
        """The folder is away or the disk refuses: ask again after a while."""
        in_flight = self._ctx.in_flight
        in_flight.recovery = RecoveryPhase.WAITING
        in_flight.folder_failed(message.trouble, self._ctx.now)

    def on_applied(self, message: ChangesApplied) -> None:
        """Take the outcomes of changes to the folder into the trees, and release their journal."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        pairs = [(in_flight.end_intent(result.intent_id), result) for result in message.landed]
        if in_flight.recovery is not RecoveryPhase.DONE and not in_flight.intents:
            # The recovery is over once no change is in flight: the outcome of any of them may be the unknown one.
            in_flight.recovery = RecoveryPhase.DONE
        known = [intent for intent, _ in pairs if intent]
        rows = self._path_store.rows([path for each in known for path in (each.path, each.origin) if path])
        for intent, result in pairs:
            if intent is None:
                continue
            if intent.origin is not None:
                self._downloads.moved(rows, intent, result, detached=intent.id in in_flight.detached)
                in_flight.detached.discard(intent.id)
                continue
            part = self._resolutions if intent.purpose is Purpose.RESOLVE else self._downloads
            row = part.landed(rows[intent.path], intent, result)
            # The base was dropped after this change began, so its outcome is not what both sides agreed on.
            rows[intent.path] = replace(row, base=ABSENT) if intent.id in in_flight.detached else row
            in_flight.detached.discard(intent.id)
        in_flight.mark_changed(rows)
        self._path_store.change(rows.values())
        ids = tuple(result.intent_id for result in message.landed)
        if ids:
            ctx.index.journal.close(ids)
            ctx.emit(ReleaseJournal(ids))

    def plan(self) -> None:
        """Try the recovery again when that is due."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if in_flight.recovery is RecoveryPhase.WAITING:
            if ctx.now >= in_flight.scan_began + RECOVER_AGAIN:
                self.recover()
            ctx.wake(in_flight.scan_began + RECOVER_AGAIN)
