"""From the trees to the folder: the changes that are journalled and made next, and their outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Set

from msgspec.structs import replace

from agent.core.model import (
    OUT_OF_SCOPE,
    ApplyOutcome,
    ApplyResult,
    Intent,
    Observation,
    Presence,
    Purpose,
    Reason,
)
from agent.core.reconcile import Step
from agent.core.remote_records import RemoteHead
from agent.core.supply import Inline, Staged, Supply
from agent.engine.config import RunMode
from agent.engine.context import EngineContext
from agent.engine.delete_guard import DeleteGuard
from agent.engine.effects import ApplyChanges, ScanPaths
from agent.engine.in_flight import CONTENTS_LIMIT
from agent.engine.incoming_moves import IncomingMoves
from agent.engine.large_downloads import LargeDownloads
from agent.engine.messages import Call, PathScanFinished, Restore
from agent.engine.path_store import WAITING, PathStore, installed
from agent.engine.phases import RecoveryPhase
from agent.index.activity import ActivityKind
from agent.index.problems import PathProblem, ProblemOrigin
from agent.index.trees import PathRow

_ASK_AT_ONCE = 4
_SPILLED_AT_ONCE = 200
_REASONS = {
    ApplyOutcome.BLOCKED: (Reason.BLOCKED, 5.0),
    ApplyOutcome.UNSAFE: (Reason.UNSAFE_PATH, 60.0),
    ApplyOutcome.FAILED: (Reason.DISK, 30.0),
}
_RACY_SECONDS = 2.1
_NO_CONTENT_SECONDS = 60.0
"""Delay before a head that came without its bytes and without their size is asked for again."""


class Downloads:
    """Makes changes in groups. Every change says what it expects; a surprise is a new observation.

    If many texts wait, two groups are in flight: one is being made, the next is journalled. They share no path.
    """

    def __init__(
        self,
        ctx: EngineContext,
        path_store: PathStore,
        delete_guard: DeleteGuard,
        large: LargeDownloads,
        moves: IncomingMoves,
    ) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._delete_guard = delete_guard
        self._large = large
        self._moves = moves
        self._ids: Iterator[str] = iter(())
        self._restores: dict[str, Restore] = {}
        """Restores that begin once the present file was read, by path."""
        self._groups: list[str] = []
        """The first intent of each group in flight."""

    # Outcomes

    def moved(self, rows: dict[str, PathRow], intent: Intent, landed: ApplyResult, *, detached: bool) -> None:
        """Take the outcome of a move into the rows of its two paths."""
        ctx = self._ctx
        self._moves.landed(rows, intent, landed, detached=detached)
        if landed.landing is ApplyOutcome.DONE:
            ctx.clear_problem(intent.path, ProblemOrigin.PULL)
            ctx.in_flight.clear_deferral(intent.path)
            self._scan_racy(rows[intent.path])
            ctx.tally.pulled += 1
            ctx.record_activity(intent.path, ActivityKind.PULLED, f"moved from {intent.origin}")
            self._unblock()

    def landed(self, row: PathRow, intent: Intent, landed: ApplyResult) -> PathRow:
        """Return the row after the outcome of a pull or restore."""
        ctx = self._ctx
        self._large.on_landed(intent, landed)
        if landed.landing is ApplyOutcome.DONE:
            ctx.clear_problem(row.path, ProblemOrigin.PULL)
            ctx.in_flight.clear_deferral(row.path)
            row = self._done(row, intent, landed)
        elif landed.landing is ApplyOutcome.OUT_OF_SCOPE:
            row = replace(row, local=OUT_OF_SCOPE, fingerprint=None)
            if intent.purpose is Purpose.RESTORE:
                # Without a file on either side the index keeps no row, so nothing else would end the tries.
                ctx.end_undo(row.path)
        elif landed.landing is ApplyOutcome.CHANGED:
            if landed.seen is None or landed.seen.side.same_content(row.local):
                ctx.in_flight.defer(row.path, ctx.now + 5.0)
            row = seen_at(row, landed.seen)
        else:
            # A change that is not wanted any more needs no retry.
            if row.step in WAITING or intent.purpose is Purpose.RESTORE:
                self._defer(row, landed)
            row = seen_at(row, landed.seen)
        return row

    def _done(self, row: PathRow, intent: Intent, landed: ApplyResult) -> PathRow:
        ctx = self._ctx
        row = seen_at(row, landed.seen)
        self._scan_racy(row)
        if intent.purpose is Purpose.RESTORE:
            removed = intent.new is None
            ctx.record_activity(row.path, ActivityKind.DELETED_LOCAL if removed else ActivityKind.RESTORED)
            return row
        if intent.new is None:
            ctx.tally.deleted_local += 1
            ctx.record_activity(row.path, ActivityKind.DELETED_LOCAL)
            ctx.drop_approval(row.path)
            self._unblock()
        else:
            ctx.tally.pulled += 1
            ctx.traffic.received += row.local.size or 0
            ctx.record_activity(row.path, ActivityKind.PULLED)
        return installed(row, intent)

    def _scan_racy(self, row: PathRow) -> None:
        racy = row.fingerprint is not None and row.fingerprint.racy
        if racy and self._ctx.setup.run_mode is RunMode.DAEMON:
            self._ctx.in_flight.scan_later(row.path, self._ctx.now + _RACY_SECONDS)

    def _unblock(self) -> None:
        """Retry blocked paths: a removal may have made room."""
        ctx = self._ctx
        for path in list(ctx.in_flight.retry_at):
            if any(p.reason is Reason.BLOCKED for p in ctx.problems.get(path, ())):
                ctx.in_flight.clear_deferral(path)

    def _defer(self, row: PathRow, landed: ApplyResult) -> None:
        ctx = self._ctx
        reason, wait = _REASONS[landed.landing]
        text = landed.text or "the folder could not be changed here"
        ctx.in_flight.defer(row.path, ctx.now + wait)
        ctx.set_problem(PathProblem(row.path, ProblemOrigin.PULL, reason, text, ctx.now, ctx.now + wait))

    def on_head(self, row: PathRow, head: RemoteHead | None) -> None:
        """Take the head of a path whose text was missing."""
        ctx = self._ctx
        if row.step is not Step.PULL:
            return
        if head is None:
            # The feed announced a file that is gone: its delete follows in the feed, or the verification finds it.
            ctx.in_flight.defer(row.path, ctx.now + 2.0)
            ctx.request_drain()
        elif head.hash == row.remote.hash:
            limit = ctx.setup.inline_limit
            if head.content is not None:
                ctx.in_flight.keep_content(row.path, head.hash, head.content)
            elif limit is None or not ctx.in_flight.large.head_is_bare(row, limit):
                ctx.in_flight.defer(row.path, ctx.now + _NO_CONTENT_SECONDS)

    # Work

    def on_restore(self, message: Restore) -> None:
        """Bring a text to a path, as a person asked.

        A local file that could not be read is read first, so that the install knows what it replaces. The path is busy
        until then: nothing of the present file is sent.
        """
        ctx = self._ctx
        row = self._path_store.row(message.path)
        if message.path in ctx.parked or ctx.is_busy(message.path):
            return
        if row.local.presence is not Presence.UNKNOWN:
            self._restore(row, message)
            return
        self._restores[message.path] = message
        ctx.in_flight.begin_restore([message.path])
        ctx.emit(ScanPaths((message.path,), anew=frozenset([message.path])))

    def on_path_scan_finished(self, message: PathScanFinished) -> None:
        """Give up restores whose file still cannot be read."""
        ctx = self._ctx
        for path in self._restores.keys() & set(message.paths):
            if self._path_store.row(path).local.presence is Presence.UNKNOWN:
                del self._restores[path]
                ctx.in_flight.end_restore(path)
                text = "the file cannot be read, so nothing was restored over it"
                ctx.set_problem(PathProblem(path, ProblemOrigin.PULL, Reason.UNREADABLE, text, ctx.now))

    def restore(self, row: PathRow, content: bytes) -> None:
        """Journal the install of this text over what the row says the folder holds, and have it made."""
        self._restore(row, Restore(row.path, content))

    def _restore(self, row: PathRow, message: Restore) -> None:
        """Journal a restore. A file that is to be removed and is not there needs none."""
        digest = message.hash
        if digest is not None or row.local.hash is not None:
            intent = Intent(self._ctx.new_intent_id(), row.path, digest, row.local.hash, Purpose.RESTORE)
            self.carry([(intent, message.supply)])

    def _plan_restores(self) -> None:
        """Install restored texts in the step in which the present file became known.

        The row and the journal are one transaction: after a crash the present file does not look like an edit.
        """
        for path in list(self._restores):
            row = self._path_store.row(path)
            if row.local.presence is not Presence.UNKNOWN:
                self._ctx.in_flight.end_restore(path)
                self._restore(row, self._restores.pop(path))

    def plan(self) -> None:
        """Ask for the next group of changes."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        self._plan_restores()
        self._classify_contents(in_flight.take_unclassified())
        if ctx.may_install and not in_flight.intents:
            self._plan_changes()
        elif (
            ctx.may_install
            and in_flight.recovery is RecoveryPhase.DONE
            and len(in_flight.contents) >= ctx.setup.next_items
        ):
            self._plan_next_group()
        if not ctx.may_change and not in_flight.intents and in_flight.contents_size > CONTENTS_LIMIT:
            self._spill_contents()

    def _has_next_group(self) -> bool:
        in_flight = self._ctx.in_flight
        return in_flight.recovery is RecoveryPhase.DONE and len(in_flight.contents) >= self._ctx.setup.next_items

    def _plan_changes(self) -> None:
        ctx = self._ctx
        self._ids = ctx.new_intent_ids()
        jobs: list[tuple[Intent, Supply]] = []
        if ctx.may_change:
            jobs = self._moves.jobs(self._ids, ctx.setup.group_items, self._has_no_other_work)
            jobs += self._removals()
        jobs += self._installs(ctx.setup.group_items - len(jobs))
        if ctx.may_change:
            jobs = jobs or self._spilled_texts()
        if jobs:
            self._carry_group(jobs)
        elif ctx.may_change and ctx.may_call(Call.HEAD):
            self._fetch_missing_texts()

    def _plan_next_group(self) -> None:
        """Journal a second group. It removes nothing: the delete guard counts one group after another."""
        self._groups = [first for first in self._groups if first in self._ctx.in_flight.intents]
        if len(self._groups) == 1:
            self._ids = self._ctx.new_intent_ids()
            jobs = self._installs(self._ctx.setup.group_items)
            if jobs:
                self._carry_group(jobs)

    def _carry_group(self, jobs: list[tuple[Intent, Supply]]) -> None:
        self._groups.append(jobs[0][0].id)
        self.carry(jobs)

    def _free(self, row: PathRow) -> bool:
        return not self._moves.awaits(row.path) and self._has_no_other_work(row)

    def _has_no_other_work(self, row: PathRow) -> bool:
        ctx = self._ctx
        if row.path in ctx.parked or ctx.is_busy(row.path) or row.path in ctx.in_flight.changed_paths:
            return False
        due = ctx.retry_time(row.path)
        if due > ctx.now:
            if ctx.setup.run_mode is RunMode.DAEMON and due < float("inf"):
                ctx.wake(due)
            return False
        return True

    def _removals(self) -> list[tuple[Intent, Supply]]:
        ctx = self._ctx
        held = 0 if ctx.in_flight.held_deletes is None else len(ctx.in_flight.held_deletes.files)
        limit = (
            ctx.setup.group_items
            + held
            + len(ctx.parked)
            + len(ctx.in_flight.retry_at)
            + len(ctx.in_flight.changed_paths)
        )
        rows = self._path_store.with_step(Step.PULL_DELETE, limit=limit)
        free = [row for row in rows if self._free(row) and self._delete_guard.may_delete(row)]
        del free[ctx.setup.group_items :]
        self._delete_guard.count(Step.PULL_DELETE, free)
        return [(self._intent(row), Inline(b"")) for row in free]

    def _installs(self, room: int) -> list[tuple[Intent, Supply]]:
        ctx, in_flight = self._ctx, self._ctx.in_flight
        # Until the feed was read to its end, a later page may replace any text but those the server marks as latest.
        paths = (
            list(in_flight.contents)
            if ctx.may_change
            else [path for path in in_flight.contents if path in in_flight.latest]
        )
        jobs: list[tuple[Intent, Supply]] = self._downloaded() if ctx.may_change else []
        for path, row in self._path_store.rows(paths[: max(room - len(jobs), 0)]).items():
            digest, content = in_flight.contents[path]
            if row.step is Step.PULL and digest == row.remote.hash and self._free(row):
                jobs.append((self._intent(row), Inline(content)))
                in_flight.drop_content(path)
        return jobs

    def _downloaded(self) -> list[tuple[Intent, Supply]]:
        """Return installs of large contents that are complete on the disk."""
        jobs: list[tuple[Intent, Supply]] = []
        for transfer in self._large.complete():
            row = self._path_store.row(transfer.path)
            if row.step is Step.PULL and row.remote.hash == transfer.hash and self._free(row):
                jobs.append((self._intent(row), Staged(transfer.id)))
        return jobs

    def _intent(self, row: PathRow) -> Intent:
        remote = row.remote
        return Intent(
            next(self._ids), row.path, remote.hash, row.local.hash, Purpose.PULL, None, remote.rev, remote.remote_id
        )

    def carry(self, jobs: list[tuple[Intent, Supply]]) -> None:
        """Journal these changes and have them made after this step is committed."""
        ctx = self._ctx
        ctx.index.journal.add(ctx.source, (intent for intent, _ in jobs), ctx.now)
        ctx.in_flight.begin_intents(intent for intent, _ in jobs)
        ctx.emit(ApplyChanges(tuple(jobs)))

    def _classify_contents(self, paths: Set[str]) -> None:
        """Keep only texts in memory that are installed soon; texts of conflicts go to the index."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        for path, row in self._path_store.rows(sorted(paths)).items():
            digest, content = in_flight.contents[path]
            wanted = row.remote.hash == digest
            if wanted and row.step is Step.PARK:
                ctx.index.texts.put(digest, content)
            if not wanted or row.step is not Step.PULL or path in ctx.parked:
                in_flight.drop_content(path)

    def _spill_contents(self) -> None:
        """Move texts to the index that cannot be installed before the feed was read to its end; they may be many."""
        for path, (digest, content) in list(self._ctx.in_flight.contents.items()):
            self._ctx.index.texts.put(digest, content)
            self._ctx.in_flight.drop_content(path)

    def _spilled_texts(self) -> list[tuple[Intent, Supply]]:
        """Return installs whose texts were moved to the index."""
        ctx = self._ctx
        jobs: list[tuple[Intent, Supply]] = []
        large = ctx.in_flight.large.pulls
        for row in self._path_store.with_step(Step.PULL, limit=_SPILLED_AT_ONCE + len(large)):
            text = ctx.index.texts.get(row.remote.hash) if row.path not in large and self._free(row) else None
            if text is not None:
                jobs.append((self._intent(row), Inline(text)))
        return jobs

    def _fetch_missing_texts(self) -> None:
        ctx = self._ctx
        room = _ASK_AT_ONCE - len(ctx.in_flight.asking)
        if room <= 0 or ctx.in_flight.contents:
            return
        large = ctx.in_flight.large.pulls
        limit = room + len(ctx.parked) + len(ctx.in_flight.retry_at) + len(ctx.open_operations) + len(large)
        for row in self._path_store.with_step(Step.PULL, limit=limit):
            if room and row.path not in large and row.path not in ctx.in_flight.asking and self._free(row):
                ctx.fetch_head(row.path, row)
                room -= 1


def seen_at(row: PathRow, seen: Observation | None) -> PathRow:
    """Return the row with the local side of an observation; unchanged without one."""
    return row if seen is None else replace(row, local=seen.side, fingerprint=seen.fingerprint)
