"""The engine of one source: messages in, effects out.

``step`` writes the messages into the index, and derives the next effects from the index and from what is in flight. A
step is one transaction: an effect is carried out only after everything it relies on is durable.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from agent.core.accepts import Accepts
from agent.core.conflict import ConflictState
from agent.core.conflict_verdict import LOOK_AGAIN
from agent.core.errors import Problem
from agent.core.model import ABSENT, Reason, side_of
from agent.core.remote_records import Outcome, RemoteHead, Result
from agent.core.undo import UndoPlan
from agent.engine import messages as m
from agent.engine.config import EngineConfig, RunMode
from agent.engine.conflicts import ConflictTracker
from agent.engine.context import EngineContext
from agent.engine.delete_guard import DeleteGuard
from agent.engine.downloads import Downloads
from agent.engine.effects import Effect
from agent.engine.feed_polling import FeedPolling
from agent.engine.in_doubt import InDoubt
from agent.engine.in_flight import HeldDeletes, SyncCounters
from agent.engine.incoming_moves import IncomingMoves
from agent.engine.large_downloads import LargeDownloads
from agent.engine.local_changes import LocalChanges
from agent.engine.lost_cursor import LostCursor
from agent.engine.path_store import PathStore
from agent.engine.planner import Planner
from agent.engine.recovery import Recovery
from agent.engine.remote_feed import RemoteFeed
from agent.engine.resolutions import Resolutions
from agent.engine.server_conflicts import ServerConflicts
from agent.engine.status import Alerts, SourceView, alerts, view
from agent.engine.trash_outbox import TrashOutbox
from agent.engine.undone_deletes import UndoneDeletes
from agent.engine.uploads import Uploads
from agent.engine.user_commands import UserCommands
from agent.engine.verification import Verification
from agent.index.problems import PathProblem, ProblemOrigin
from agent.index.store import Index
from agent.index.trees import PathRow

_CLOCK_JUMP = 1.0
"""Seconds a clock may run back without counting as set back."""
_BAD_HEAD_AGAIN = 60.0
"""Seconds until a head that could not be read is asked for again."""


class Engine:
    """State machine of one source over the index. Not thread-safe: one thread calls it."""

    def __init__(self, index: Index, setup: EngineConfig, rng: random.Random) -> None:
        ctx = self._ctx = EngineContext(index, setup, rng)
        path_store = self._path_store = PathStore(ctx)
        self._trash_outbox = TrashOutbox(ctx)
        moves = self._moves = IncomingMoves(ctx, path_store)
        self._conflicts = ConflictTracker(ctx, path_store, self._trash_outbox, moves)
        self._server_conflicts = ServerConflicts(ctx, path_store, self._conflicts)
        self._verification = Verification(ctx, path_store, self._conflicts)
        self._delete_guard = DeleteGuard(ctx, path_store, self._verification)
        self._in_doubt = InDoubt(ctx, path_store, self._conflicts)
        self._local_changes = LocalChanges(ctx, path_store)
        self._uploads = Uploads(ctx, path_store, self._in_doubt, self._delete_guard, self._local_changes)
        self._large_downloads = LargeDownloads(ctx, path_store, moves)
        self._downloads = Downloads(ctx, path_store, self._delete_guard, self._large_downloads, moves)
        self._undone_deletes = UndoneDeletes(ctx, path_store, self._downloads)
        self._resolutions = Resolutions(
            ctx, path_store, self._conflicts, self._downloads, self._trash_outbox, self._large_downloads
        )
        self._polling = FeedPolling(ctx, self._verification)
        self._lost_cursor = LostCursor(ctx, path_store, self._verification, self._polling)
        self._remote_feed = RemoteFeed(
            ctx, path_store, self._conflicts, self._server_conflicts, self._in_doubt, self._verification, self._polling
        )
        self._recovery = Recovery(
            ctx, path_store, self._in_doubt, self._downloads, self._resolutions, self._large_downloads
        )
        self._user_commands = UserCommands(
            ctx, path_store, self._in_doubt, self._verification, self._trash_outbox, self._recovery
        )
        self._planner = Planner(
            ctx, self._conflicts, self._server_conflicts, self._verification, self._polling, moves,
            (self._recovery, self._local_changes, self._in_doubt, self._verification),
            (self._undone_deletes, self._delete_guard, self._large_downloads, self._downloads, self._resolutions,
             self._uploads, self._server_conflicts, self._trash_outbox),
        )  # fmt: skip
        self._handlers = self._message_handlers()

    def _message_handlers(self) -> dict[type, Callable[[Any], None]]:
        return {
            m.Started: self._on_started,
            m.TimePassed: lambda _message: None,
            m.PathsChanged: self._local_changes.on_paths_changed,
            m.ScanResults: self._local_changes.on_scan_results,
            m.ScanFinished: self._local_changes.on_scan_finished,
            m.PathScanFinished: self._on_path_scan_finished,
            m.LargeFilesRead: self._local_changes.on_large_files_read,
            m.RescanRequested: self._local_changes.on_rescan_requested,
            m.PageArrived: self._remote_feed.on_page,
            m.BatchAnswered: self._uploads.on_answer,
            m.Resumable: self._uploads.on_resumable,
            m.Recalled: self._in_doubt.on_recalled,
            m.Advanced: self._large_downloads.on_advanced,
            m.Fetched: self._large_downloads.on_fetched,
            m.HeadArrived: self._on_head,
            m.ListingArrived: self._verification.on_listing,
            m.StateDigestArrived: self._verification.on_digest,
            m.DeletedChecked: self._verification.on_deleted_checked,
            m.FeedContinuityChecked: self._polling.on_continuity_checked,
            m.ConnectionsReset: self._polling.on_connections_reset,
            m.Nudged: self._polling.on_nudged,
            m.ConflictsArrived: self._server_conflicts.on_list,
            m.TrashWriteFinished: self._trash_outbox.on_write_finished,
            m.ConflictCloseAnswered: self._resolutions.on_close_answered,
            m.ChangesApplied: self._recovery.on_applied,
            m.RecoveryFailed: self._recovery.on_recovery_failed,
            m.CallFailed: self._on_failed,
            m.Resolve: self._resolutions.on_resolve,
            m.Restore: self._downloads.on_restore,
            m.DeletedTextFound: self._undone_deletes.on_text,
            m.Pause: self._user_commands.on_pause,
            m.Resume: self._user_commands.on_resume,
            m.ApproveDeletes: self._delete_guard.on_approve,
            m.UndoDeletes: self._delete_guard.on_undo,
            m.Retry: self._user_commands.on_retry,
            m.SyncNow: self._user_commands.on_sync_now,
        }

    @property
    def tally(self) -> SyncCounters:
        """Counters of the work done since this engine was made."""
        return self._ctx.tally

    @property
    def accepts(self) -> Accepts:
        """The contents that the server takes, as it states and as its refusals showed. Thread-safe."""
        stated, learned = self._ctx.setup.accepts, self._ctx.source_row.max_bytes
        limits = [limit for limit in (stated.max_bytes, learned) if limit is not None]
        return Accepts(stated.text_only, min(limits, default=None))

    @property
    def bytes_downloaded(self) -> int:
        """Bytes of unfinished large files that have arrived in this process."""
        return self._large_downloads.bytes_present

    @property
    def held(self) -> HeldDeletes | None:
        """Deletes that wait for a person."""
        return self._ctx.in_flight.held_deletes

    def undo_plan(self) -> UndoPlan | None:
        """Return the deletes that ``UndoDeletes`` takes back; None where none is held."""
        return self._delete_guard.undo_plan()

    def view(self) -> SourceView:
        """Return the source as ``status`` shows it."""
        return view(self._ctx, at_rest=self._planner.at_rest())

    @property
    def new_activity(self) -> list[tuple[str, str, str | None, str | None]]:
        """Activity of the last step: (path, kind, detail, operation id)."""
        return self._ctx.new_activity

    @property
    def trouble(self) -> Problem | None:
        """The current problem with the server or the connection."""
        return self._ctx.trouble

    def alerts(self) -> Alerts:
        """Return what a person is notified of. Safe to call from any thread."""
        return alerts(self._ctx)

    def resolving(self) -> frozenset[int]:
        """Return the ids of the conflicts whose resolution is decided and not carried out yet."""
        return frozenset(c.id for c in self._ctx.parked.values() if c.state is ConflictState.RESOLVING)

    def obstacle(self) -> tuple[str, str] | None:
        """Return what keeps decided work from being carried out now: an error code and a sentence; None if nothing.

        Cheap, unlike ``view``: it reads no index.
        """
        halted = alerts(self._ctx).halted
        if halted is not None:
            return "halted", halted
        if self._ctx.trouble is not None:
            return self._ctx.trouble.kind.value, self._ctx.trouble.message
        return ("paused", "the source is paused") if self._ctx.paused else None

    def is_busy(self, path: str) -> bool:
        """Return True while the file at ``path`` is being changed, or an operation on it has no known outcome."""
        return self._ctx.is_busy(path)

    def refusal(self, decision: m.Resolve) -> str | None:
        """Return why a decision was refused; None if it is carried out."""
        conflict = next((c for c in self._ctx.all_conflicts() if c.id == decision.conflict), None)
        if conflict is None or conflict.state is not ConflictState.OPEN:
            return None
        return conflict.note or LOOK_AGAIN

    def step(self, now: float, *messages: m.Message) -> list[Effect]:
        """Take messages and return the effects to carry out. ``now``: seconds since the epoch."""
        ctx = self._ctx
        before = ctx.now
        ctx.now, ctx.due, ctx.effects, ctx.new_activity = now, None, [], []
        with ctx.index.transaction():
            if now < before - _CLOCK_JUMP:
                self._on_clock_back(before)
            for message in messages:
                self._handlers[type(message)](message)
            self._planner.plan()
            ctx.write_collected()
        self._path_store.clear_cache()
        return ctx.effects

    def configure(self, now: float, setup: EngineConfig) -> list[Effect]:
        """Continue with another configuration: the server's capabilities became known, or the mode changed."""
        ctx = self._ctx
        changed_mode = setup.mode is not ctx.setup.mode
        changed_limit = setup.inline_limit != ctx.setup.inline_limit
        changed_moves = setup.moves != ctx.setup.moves
        if setup.accepts != ctx.setup.accepts:
            # A file that was skipped may be taken now.
            ctx.in_flight.request_scan()
        ctx.setup = setup
        if changed_mode:
            with ctx.index.transaction():
                self._path_store.rederive()
        if changed_limit:
            self._large_downloads.reload()
        if changed_moves:
            self._moves.reload()
        return self.step(now, m.TimePassed())

    def _on_clock_back(self, before: float) -> None:
        ctx = self._ctx
        ctx.retry_state.reset()
        ctx.in_flight.clock_went_back(before, ctx.now)
        ctx.update_source_row(looked_at=None, verified_at=None)
        self._verification.request()

    # Messages that concern several parts

    def _on_started(self, message: m.Started) -> None:
        self._recovery.on_started(message)
        self._large_downloads.reload()
        self._moves.reload()
        self._delete_guard.on_started()
        if self._ctx.setup.run_mode is not RunMode.DRY_RUN:
            self._uploads.retry_refused()

    def _on_path_scan_finished(self, message: m.PathScanFinished) -> None:
        self._local_changes.on_path_scan_finished(message)
        self._downloads.on_path_scan_finished(message)

    def _on_head(self, message: m.HeadArrived) -> None:
        ctx = self._ctx
        asked = ctx.in_flight.head_answered(message.path)
        ctx.retry_state.answered(m.Call.HEAD)
        row = self._path_store.row(message.path)
        if asked != (row.remote.hash, row.position):
            # The remote side moved since the question, so the answer may be older than the row.
            return
        ctx.clear_problem(message.path, ProblemOrigin.PULL)
        row = self._with_head(row, message)
        if message.head is not None:
            self._verification.on_head(message.path)
        if message.path not in ctx.parked:
            self._downloads.on_head(row, message.head)
        elif message.conflicts is not None:
            self._resolutions.on_head(row, message.head, message.conflicts)

    def _with_head(self, row: PathRow, message: m.HeadArrived) -> PathRow:
        ctx, head = self._ctx, message.head
        changed = row
        if row.path in ctx.unanswered:
            changed = self._in_doubt.on_head(row, head, message.conflicts)
        elif head is not None and (row.path not in ctx.open_operations or _is_unnamed(row, head)):
            changed = replace(row, remote=side_of(head.version))
        elif head is None and row.path in ctx.parked:
            # A parked path is only shown anew, so this cannot delete the local file.
            changed = replace(row, remote=ABSENT)
        if changed != row:
            self._path_store.change([changed])
            ctx.in_flight.mark_changed([row.path])
        return self._path_store.row(row.path)

    def _on_failed(self, message: m.CallFailed) -> None:
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if message.call is m.Call.HEAD:
            if message.problem.kind in m.OF_ONE_FILE:
                self._on_bad_head(str(message.subject), message.problem)
                return
            self._verification.on_head_failed()
        if message.call is m.Call.RECALL and message.problem.kind in m.OF_ONE_FILE:
            # The question proves nothing about this operation. The evidence of other servers remains.
            self._in_doubt.on_recalled(m.Recalled(Outcome(str(message.subject), Result.UNCERTAIN)))
            return
        if message.call is m.Call.POLL and message.subject not in in_flight.polls:
            # This poll was given up. Its failure says nothing about the connections made since.
            return
        if self._lost_cursor.handles(message):
            return
        ctx.retry_state.failed(message.call, message.problem, ctx.now)
        if message.call in (m.Call.POLL, m.Call.STANDING):
            self._polling.on_failed(message.subject)
        elif message.call is m.Call.HEAD and isinstance(message.subject, str):
            in_flight.head_answered(message.subject)
        elif message.call is m.Call.CLOSE and isinstance(message.subject, int):
            self._resolutions.on_close_failed(message.subject, message.problem)
        elif message.call is m.Call.CONFLICTS:
            self._server_conflicts.on_list_failed()
        elif message.call is m.Call.LISTING:
            self._verification.on_listing_failed()
        elif message.call is m.Call.RECALL:
            self._in_doubt.on_recall_failed(str(message.subject))
        elif message.call is m.Call.HISTORY:
            self._undone_deletes.on_failed(message)

    def _on_bad_head(self, path: str, problem: Problem) -> None:
        """Set one file aside whose head cannot be read; the server is well otherwise."""
        ctx = self._ctx
        again = ctx.now + _BAD_HEAD_AGAIN
        ctx.in_flight.head_answered(path)
        ctx.in_flight.defer(path, again)
        ctx.set_problem(PathProblem(path, ProblemOrigin.PULL, Reason.REFUSED, problem.message, ctx.now, again))


def _is_unnamed(row: PathRow, head: RemoteHead) -> bool:
    """Return True if the row holds the head's text and no revision of it, as after an answer that named none."""
    return row.remote.hash == head.hash and row.remote.rev is None
