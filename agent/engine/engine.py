"""The engine of one source: messages in, effects out.

``step`` writes what the messages tell into the index and derives, from the index and from what is outstanding, what
to do next. It is one transaction: an effect is only ever asked for once everything it stands on is durable.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from agent.core.conflict import ConflictState
from agent.core.errors import Problem, ProblemKind
from agent.core.model import ABSENT, Purpose, Reason
from agent.core.reconcile import Step
from agent.engine import messages as m
from agent.engine.config import EngineConfig, RunMode
from agent.engine.conflicts import ConflictTracker
from agent.engine.context import EngineContext
from agent.engine.delete_guard import DeleteGuard
from agent.engine.downloads import Downloads
from agent.engine.effects import Effect, PassFinished, Recover, ReleaseJournal, SetTimer
from agent.engine.in_doubt import InDoubt
from agent.engine.in_flight import HeldDeletes, SyncCounters
from agent.engine.local_changes import LocalChanges
from agent.engine.path_store import PathStore, remote_side
from agent.engine.remote_feed import RemoteFeed
from agent.engine.resolutions import Resolutions
from agent.engine.status import Alerts, SourceView, alerts, view
from agent.engine.trash_outbox import TrashOutbox
from agent.engine.uploads import Uploads
from agent.engine.user_commands import UserCommands
from agent.engine.verification import Verification
from agent.index.problems import PathProblem, ProblemOrigin
from agent.index.store import Index
from agent.index.trees import PathRow

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

    def __init__(self, index: Index, setup: EngineConfig, rng: random.Random) -> None:
        ctx = self._ctx = EngineContext(index, setup, rng)
        path_store = self._path_store = PathStore(ctx)
        self._trash_outbox = TrashOutbox(ctx)
        self._conflicts = ConflictTracker(ctx, path_store, self._trash_outbox)
        self._delete_guard = DeleteGuard(ctx, path_store)
        self._in_doubt = InDoubt(ctx, path_store, self._conflicts)
        self._local_changes = LocalChanges(ctx, path_store)
        self._uploads = Uploads(ctx, path_store, self._in_doubt, self._delete_guard, self._local_changes)
        self._downloads = Downloads(ctx, path_store, self._delete_guard)
        self._resolutions = Resolutions(ctx, path_store, self._conflicts, self._downloads, self._trash_outbox)
        self._verification = Verification(ctx, path_store, self._conflicts)
        self._remote_feed = RemoteFeed(ctx, path_store, self._conflicts, self._in_doubt, self._verification)
        self._user_commands = UserCommands(
            ctx, path_store, self._in_doubt, self._verification, self._trash_outbox, self._recover
        )
        self._handlers: dict[type, Callable[[Any], None]] = {
            m.Started: self._on_started,
            m.TimePassed: lambda _message: None,
            m.PathsChanged: self._local_changes.on_noticed,
            m.ScanResults: self._local_changes.on_files_seen,
            m.ScanFinished: self._local_changes.on_look_ended,
            m.PathScanFinished: self._local_changes.on_paths_looked,
            m.RescanRequested: self._local_changes.on_look_again,
            m.PageArrived: self._remote_feed.on_page,
            m.BatchAnswered: self._uploads.on_answer,
            m.HeadArrived: self._on_head,
            m.ListingArrived: self._verification.on_listing,
            m.FeedContinuityChecked: self._remote_feed.on_standing,
            m.ConnectionsReset: self._remote_feed.on_woke,
            m.ConflictsArrived: self._conflicts.on_conflicts,
            m.TrashWriteFinished: self._trash_outbox.on_stashed,
            m.ConflictCloseAnswered: self._resolutions.on_close_answered,
            m.ChangesApplied: self._on_landed,
            m.RecoveryFailed: self._on_recovery_failed,
            m.CallFailed: self._on_failed,
            m.Resolve: self._resolutions.on_resolve,
            m.Restore: self._downloads.on_restore,
            m.Pause: self._user_commands.on_pause,
            m.Resume: self._user_commands.on_resume,
            m.ApproveDeletes: self._delete_guard.on_approve,
            m.UndoDeletes: self._delete_guard.on_undo,
            m.Retry: self._user_commands.on_retry,
            m.SyncNow: self._user_commands.on_sync_now,
        }

    @property
    def tally(self) -> SyncCounters:
        """What has been done since this engine was made."""
        return self._ctx.tally

    @property
    def max_bytes(self) -> int | None:
        """The largest content the server took, once learned. Safe to read from any thread."""
        return self._ctx.source_row.max_bytes

    @property
    def held(self) -> HeldDeletes | None:
        """Deletes that wait for a person."""
        return self._ctx.in_flight.held_deletes

    def view(self) -> SourceView:
        """The source as ``status`` shows it."""
        return view(self._ctx, at_rest=self._at_rest())

    @property
    def new_activity(self) -> list[tuple[str, str, str | None, str | None]]:
        """What the last step added to the activity: (path, what, detail, operation id)."""
        return self._ctx.new_activity

    @property
    def trouble(self) -> Problem | None:
        """What is wrong with the server or the way there."""
        return self._ctx.trouble

    def alerts(self) -> Alerts:
        """What of the source a person is to be told of. From any thread."""
        return alerts(self._ctx)

    def refusal(self, decision: m.Resolve) -> str | None:
        """Why a decision was not taken in; None if it is being carried out, or was."""
        conflict = next((c for c in self._ctx.parked.values() if c.id == decision.conflict), None)
        if conflict is None or conflict.state is not ConflictState.OPEN:
            return None
        return conflict.note or "the file or the server's version changed since; please look again"

    def step(self, now: float, *messages: m.Message) -> list[Effect]:
        """Take messages in and say what to do. ``now``: seconds since the epoch."""
        ctx = self._ctx
        before = ctx.now
        ctx.now, ctx.due, ctx.effects, ctx.new_activity = now, None, [], []
        with ctx.index.transaction():
            if now < before - _JUMP:
                self._on_clock_back(before)
            for message in messages:
                self._handlers[type(message)](message)
            self._plan()
            ctx.flush()
        self._path_store.clear_cache()
        return ctx.effects

    def configure(self, now: float, setup: EngineConfig) -> list[Effect]:
        """Go on with another setup: the server turned out to be able to do more, or a person changed the mode."""
        ctx = self._ctx
        changed_mode = setup.mode is not ctx.setup.mode
        ctx.setup = setup
        if changed_mode:
            with ctx.index.transaction():
                self._path_store.rederive()
        return self.step(now, m.TimePassed())

    def _on_clock_back(self, before: float) -> None:
        """The clock was set back: every moment written down lies in a future that may take years to come."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        ctx.retry_state.reset()
        in_flight.retry_at.clear()
        in_flight.next_poll_at = ctx.now
        in_flight.last_event_at = min(in_flight.last_event_at, ctx.now)
        in_flight.changed_paths = dict.fromkeys(in_flight.changed_paths, (ctx.now, ctx.now))
        in_flight.racy = dict.fromkeys(in_flight.racy, ctx.now)
        in_flight.scan_began = ctx.now
        in_flight.wake_at = None
        in_flight.scan_wanted = True
        if ctx.now < in_flight.paused_until < float("inf"):
            in_flight.paused_until -= before - ctx.now
        ctx.update_source_row(looked_at=None, verified_at=None)
        self._verification.request()

    # Messages that concern several parts

    def _on_started(self, _message: m.Started) -> None:
        ctx = self._ctx
        ctx.in_flight.started = True
        # As after activity: much may have come while nobody asked.
        ctx.in_flight.last_event_at = ctx.now
        # What was stored may have been sent by the process before: it is settled, never simply sent again.
        self._in_doubt.doubt(ctx.unanswered_operations())
        ctx.moved.update(row.path for row in ctx.index.trees.with_step(ctx.source, Step.PARK))
        ctx.moved.update(ctx.parked)
        ctx.index.operations.prune(ctx.source, ctx.now - _OPERATIONS_KEPT)
        ctx.index.activity.prune(ctx.now - _ACTIVITY_KEPT)
        for intent in ctx.index.journal.all(ctx.source):
            ctx.in_flight.intents[intent.id] = intent
            ctx.in_flight.applying.add(intent.path)
        self._recover()

    def _recover(self) -> None:
        ctx = self._ctx
        ctx.in_flight.recovering = True
        ctx.emit(Recover(tuple(ctx.in_flight.intents.values())))

    def _on_recovery_failed(self, message: m.RecoveryFailed) -> None:
        """The folder is away, or the disk refuses: ask again in a while what became of the changes under way."""
        self._ctx.in_flight.recovered = self._ctx.in_flight.recovering = False
        self._ctx.in_flight.root_trouble = message.trouble
        self._ctx.in_flight.scan_began = self._ctx.now

    def _on_landed(self, message: m.ChangesApplied) -> None:
        ctx, in_flight = self._ctx, self._ctx.in_flight
        pairs = [(in_flight.intents.pop(landed.intent_id, None), landed) for landed in message.landed]
        if not in_flight.recovered:
            # What else is under way may be what could not be told: it is known once nothing is any more.
            in_flight.recovered, in_flight.recovering = (
                not in_flight.intents,
                bool(in_flight.intents) and in_flight.recovering,
            )
        rows = self._path_store.rows([intent.path for intent, _ in pairs if intent])
        for intent, landed in pairs:
            if intent is None:
                continue
            in_flight.applying.discard(intent.path)
            if in_flight.scanning or in_flight.scanning_paths:
                in_flight.self_modified.add(intent.path)
            part = self._resolutions if intent.purpose is Purpose.RESOLVE else self._downloads
            row = part.landed(rows[intent.path], intent, landed)
            rows[intent.path] = replace(row, base=ABSENT) if intent.id in in_flight.detached else row
            in_flight.detached.discard(intent.id)
        in_flight.changed_during_check.update(rows)
        self._path_store.change(rows.values())
        ids = tuple(landed.intent_id for landed in message.landed)
        if ids:
            ctx.index.journal.close(ids)
            ctx.emit(ReleaseJournal(ids))

    def _on_head(self, message: m.HeadArrived) -> None:
        ctx = self._ctx
        asked = ctx.in_flight.asking.pop(message.path, None)
        ctx.retry_state.answered(m.Call.HEAD)
        row = self._path_store.row(message.path)
        if asked != (row.remote.hash, row.position):
            # The remote side moved since the question: the answer may be older than what is known now.
            return
        ctx.clear_problem(message.path, ProblemOrigin.PULL)
        row = self._believe(row, message)
        if message.path not in ctx.parked:
            self._downloads.on_head(row, message.head)
        elif message.conflicts is not None:
            self._resolutions.on_head(row, message.head, message.conflicts)

    def _believe(self, row: PathRow, message: m.HeadArrived) -> PathRow:
        ctx, head = self._ctx, message.head
        believed = row
        if row.path in ctx.unanswered:
            believed = self._in_doubt.on_head(row, head, message.conflicts)
        elif head is not None and row.path not in ctx.open_operations:
            believed = replace(row, remote=remote_side(head.hash, head.rev), remote_id=head.remote_id)
        elif head is None and row.path in ctx.parked:
            # Nothing is deleted on the strength of this: a parked path is only shown anew.
            believed = replace(row, remote=ABSENT)
        if believed != row:
            self._path_store.change([believed])
            ctx.in_flight.changed_during_check.add(row.path)
        return self._path_store.row(row.path)

    def _on_failed(self, message: m.CallFailed) -> None:
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if message.call is m.Call.HEAD:
            self._verification.on_head_failed()
            if message.problem.kind in m.OF_ONE_FILE:
                self._on_bad_head(str(message.subject), message.problem)
                return
        if message.call is m.Call.POLL and message.subject not in in_flight.polls:
            # A poll that was given up: what became of it says nothing about the connections made since.
            return
        ctx.retry_state.failed(message.call, message.problem, ctx.now)
        if message.call in (m.Call.POLL, m.Call.STANDING):
            # Whoever was away may come back as an older copy of itself: that is asked before anything is read on.
            in_flight.continuity_known = in_flight.checking_continuity = False
            # Nor may anything be passed over that it may not hold any more.
            in_flight.acknowledged_spans.clear()
            if isinstance(message.subject, int):
                in_flight.polls.pop(message.subject, None)
        elif message.call is m.Call.HEAD and isinstance(message.subject, str):
            in_flight.asking.pop(message.subject, None)
        elif message.call is m.Call.CLOSE and isinstance(message.subject, int):
            self._resolutions.on_close_failed(message.subject, message.problem)
        elif message.call is m.Call.CONFLICTS:
            in_flight.listing_conflicts = False
            in_flight.conflicts_wanted = True
        elif message.call is m.Call.LISTING:
            self._verification.on_listing_failed()

    def _on_bad_head(self, path: str, problem: Problem) -> None:
        """What the server holds here cannot be had or believed: one bad file, not a bad server."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        in_flight.asking.pop(path, None)
        in_flight.retry_at[path] = ctx.now + _BAD_HEAD_AGAIN
        ctx.set_problem(
            PathProblem(path, ProblemOrigin.PULL, Reason.REFUSED, problem.message, ctx.now, in_flight.retry_at[path])
        )

    # Planning

    def _plan(self) -> None:
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if not in_flight.started:
            # What a former process left behind must be known before anything is asked of disk or server.
            return
        if not in_flight.recovered and not in_flight.recovering:
            if ctx.now >= in_flight.scan_began + RECOVER_AGAIN:
                self._recover()
            ctx.wake(in_flight.scan_began + RECOVER_AGAIN)
        self._conflicts.update_conflicts()
        self._local_changes.plan()
        self._in_doubt.plan()
        self._verification.plan()
        # The comparison may have found what disagrees, and what is missing: nothing is removed uncounted.
        self._conflicts.update_conflicts()
        self._delete_guard.refresh()
        self._downloads.plan()
        self._resolutions.plan()
        self._uploads.plan()
        self._conflicts.plan()
        self._trash_outbox.plan()
        # Last, because the parts before it are who wants the feed read.
        self._remote_feed.plan()
        due = ctx.retry_state.due(ctx.now)
        if due is not None:
            ctx.wake(due)
        if ctx.now < in_flight.paused_until < float("inf"):
            ctx.wake(in_flight.paused_until)
        if self._at_rest() and self._owes_echoes():
            ctx.request_drain()
            self._remote_feed.plan()
        if self._at_rest():
            if ctx.trouble is None and not ctx.in_flight.held_deletes and ctx.may_change:
                self._note_synced()
            for ticket in in_flight.waiting_passes:
                ctx.emit(PassFinished(ticket))
            in_flight.waiting_passes.clear()
        if ctx.due is not None and (ctx.due != in_flight.wake_at or ctx.due <= ctx.now):
            in_flight.wake_at = ctx.due
            ctx.emit(SetTimer(ctx.due))

    def _owes_echoes(self) -> bool:
        """Whether a single pass should still read its own operations back: the position it leaves behind is then past
        them, and a server that forgets them is known by that. Who follows is told by the next poll anyway.
        """
        ctx = self._ctx
        reads = ctx.setup.run_mode is RunMode.ONE_SHOT and ctx.may_change and ctx.may_call(m.Call.POLL)
        return reads and bool(ctx.open_operations) and ctx.in_flight.drained < ctx.in_flight.echo_goal

    def _note_synced(self) -> None:
        """At rest with nothing wrong; written when a pass ends or something changed, so that idling writes nothing.

        While nothing changes, the last answer that there is nothing new is what both sides are known to agree by.
        """
        in_flight = self._ctx.in_flight
        in_flight.synced_at = in_flight.drained_at
        if in_flight.waiting_passes or in_flight.changed_since_rest:
            in_flight.changed_since_rest = False
            self._ctx.update_source_row(synced_at=self._ctx.now)

    def _at_rest(self) -> bool:
        """Whether nothing is under way but waiting on the feed, and nothing more can be done now."""
        in_flight = self._ctx.in_flight
        local = (
            in_flight.scanning
            or in_flight.scanning_paths
            or in_flight.scan_wanted
            or (in_flight.changed_paths and not self._ctx.is_long_pass)
            or in_flight.recovering
            or in_flight.delete_check_pending
            or (in_flight.intents and in_flight.recovered)
        )
        if not in_flight.recovered and not in_flight.recovering and in_flight.root_trouble is not None:
            # The folder is away since the start: no look can be had, however much one is wanted.
            local = False
        remote = (
            in_flight.batch
            or in_flight.asking
            or in_flight.closing
            or in_flight.writing_to_trash
            or in_flight.listing_conflicts
            or in_flight.checking_continuity
        )
        if local or remote or any(not call.wait for call in in_flight.polls.values()):
            return False
        if in_flight.root_trouble is not None or self._ctx.source_row.halted is not None:
            return True
        trouble = self._ctx.trouble
        if trouble is not None:
            # A pass waits out what passes by itself, while a next try is due at all; a server that is gone ends it, the
            # work stays queued.
            retry_state = self._ctx.retry_state
            waits = trouble.kind in _PATIENT and retry_state.failures <= _PATIENCE
            return not waits or retry_state.due(self._ctx.now) is None
        # Everything that could be started was started by the plan before this, so nothing outstanding is nothing left.
        return not self._verification.pending and in_flight.drained >= in_flight.drain_goal
