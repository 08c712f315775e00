"""From the watcher's reports and scans to the local tree."""

from __future__ import annotations

from msgspec.structs import replace

from agent.core.model import ABSENT, Observation, Presence, Reason, Side, SkippedEntry
from agent.core.quiet import PendingChange
from agent.core.reconcile import Step
from agent.engine.config import RunMode
from agent.engine.context import EngineContext
from agent.engine.effects import ReadLargeFiles, ScanFolder, ScanPaths
from agent.engine.messages import (
    LargeFilesRead,
    PathScanFinished,
    PathsChanged,
    RescanRequested,
    ScanFinished,
    ScanResults,
)
from agent.engine.path_store import PathStore
from agent.engine.phases import RecoveryPhase
from agent.index.activity import ActivityKind
from agent.index.problems import PathProblem, ProblemOrigin
from agent.index.trees import PathRow

_RACY_SECONDS = 2.1
_AT_ONCE = 1000
_FINISHED_MOST = 10_000
"""Files whose last end of writing is remembered."""
_MANY = 50
"""Number of observations from which on it is worth asking if any of the paths has a row."""


class LocalChanges:
    """Decides when to scan, and writes observations into the local tree."""

    def __init__(self, ctx: EngineContext, path_store: PathStore) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._finished_at: dict[str, float] = {}
        """The last time that a file was closed by its writer, or renamed into place."""

    def on_paths_changed(self, message: PathsChanged) -> None:
        """Scan these paths once they are quiet."""
        if message.rescan:
            self._ctx.in_flight.request_scan()
        # Sorted, so that paths of one folder are scanned together.
        for path in sorted(message.paths):
            self._path_changed(path, finished=path in message.finished)

    def on_rescan_requested(self, _message: RescanRequested) -> None:
        """Scan the whole folder."""
        self._ctx.in_flight.request_scan()

    def _path_changed(self, path: str, *, finished: bool = False) -> None:
        now = self._ctx.now
        repeated = finished and now < self._finished_at.get(path, 0.0) + self._ctx.setup.quiet
        if finished:
            if len(self._finished_at) >= _FINISHED_MOST:
                # To forget them is safe: a file that is finished again is then scanned once more.
                self._finished_at.clear()
            self._finished_at[path] = now
        self._ctx.in_flight.path_changed(path, now, finished=finished, repeated=repeated)

    def on_scan_results(self, message: ScanResults) -> None:
        """Write the results of a scan into the local tree."""
        in_flight = self._ctx.in_flight
        strict = bool(in_flight.self_modified or in_flight.applying or in_flight.unstable)
        # Otherwise only a reason can keep an observation from being written.
        seen = [one for one in message.seen if (not strict and one.side.reason is None) or self._is_usable(one)]
        in_flight.births.forget(self._ctx.now - self._ctx.setup.limits.window)
        for one in seen:
            if one.born_ns is not None:
                in_flight.births.record(one, self._ctx.now)
        paths = [one.path for one in seen]
        if len(seen) >= _MANY and self._path_store.knows_none(paths):
            if self._ctx.problems or in_flight.retry_at or self._ctx.setup.run_mode is RunMode.DAEMON:
                for one in seen:
                    self._update_path_state(one, one.side, ABSENT)
            self._path_store.begin(seen)
        else:
            rows = self._path_store.rows(paths)
            observed = ((rows[one.path], self._observed(rows[one.path], one)) for one in seen)
            # Equal rows are not written, for example after a scan of our own change.
            self._path_store.change([new for old, new in observed if new != old])
        if not message.mounts <= self._ctx.source_row.mounts:
            self._ctx.update_source_row(mounts=self._ctx.source_row.mounts | message.mounts)
        for entry in message.oddities:
            self._ctx.set_problem(_problem(entry, self._ctx.now))
        if message.large:
            new = in_flight.reading.begin(message.large)
            if new:
                self._ctx.emit(ReadLargeFiles(new))

    def on_large_files_read(self, message: LargeFilesRead) -> None:
        """End the reading of large files; those that changed meanwhile are scanned again."""
        for path in self._ctx.in_flight.reading.end(message.paths):
            self._path_changed(path)
        self._ctx.in_flight.scans_idle()

    def _is_usable(self, seen: Observation) -> bool:
        """True if the observation can be written; otherwise its path is scanned again."""
        in_flight, path, reason = self._ctx.in_flight, seen.path, seen.side.reason
        if path in in_flight.self_modified or path in in_flight.applying:
            # The scan may have read the file before our own change of it.
            self._path_changed(path)
            return False
        if reason is Reason.CHANGING:
            in_flight.unstable.add(path)
            self._path_changed(path)
            return False
        in_flight.unstable.discard(path)
        if reason is Reason.UNMOUNTED and not in_flight.lost_mounts and not in_flight.scan.running:
            # One file on a lost mount: a whole scan finds all lost mounts.
            in_flight.request_scan()
        return True

    def _observed(self, row: PathRow, seen: Observation) -> PathRow:
        side = seen.side
        same = side.is_file and side.hash == row.local.hash and side.reason is None
        if same and row.local.reason is not None and self._is_refused(row):
            # The server refused these bytes; a new modification time does not change that.
            side = replace(side, reason=row.local.reason)
        if seen.path in self._ctx.in_flight.confirmed_racy:
            seen = self._without_racy(row, seen)
        self._update_path_state(seen, side, row.local)
        # The inode of a deleted file stays known until the delete is agreed: by it a rename is recognised.
        kept = row.fingerprint if side.presence is Presence.ABSENT and row.base.is_file else None
        return replace(row, local=side, fingerprint=seen.fingerprint or kept)

    def _is_refused(self, row: PathRow) -> bool:
        if row.local.reason is Reason.TOO_LARGE:
            # A scan gives this reason too. It ends with the limit that the scan compared with.
            problems = self._ctx.problems.get(row.path, ())
            return any(p.origin is ProblemOrigin.PUSH and p.reason is Reason.TOO_LARGE for p in problems)
        return row.local.reason is Reason.REFUSED

    def _without_racy(self, row: PathRow, seen: Observation) -> Observation:
        """Clear the racy mark of a file that is the same at its second scan: from now on its stat is proof.

        This also ends the rescans of a file whose modification time is in the future.
        """
        self._ctx.in_flight.confirmed_racy.discard(seen.path)
        mark = seen.fingerprint
        if mark is None or not mark.racy or mark != row.fingerprint:
            return seen
        return replace(seen, fingerprint=replace(mark, racy=False))

    def _update_path_state(self, seen: Observation, side: Side, before: Side) -> None:
        """Clear what another local side makes obsolete, and plan the second scan of a racy file."""
        ctx, mark = self._ctx, seen.fingerprint
        if side.hash != before.hash:
            ctx.clear_problem(seen.path, ProblemOrigin.PUSH)
        if mark is not None and mark.racy and ctx.setup.run_mode is RunMode.DAEMON:
            ctx.in_flight.scan_later(seen.path, ctx.now + _RACY_SECONDS)
        if side.presence is not before.presence or side.hash != before.hash:
            ctx.in_flight.clear_deferral(seen.path)
            ctx.in_flight.clear_misses(seen.path)

    def on_path_scan_finished(self, message: PathScanFinished) -> None:
        """End a scan of single paths."""
        in_flight = self._ctx.in_flight
        in_flight.scanning_paths.difference_update(message.paths)
        in_flight.confirmed_racy.difference_update(message.paths)
        self._ctx.in_flight.scans_idle()

    def on_scan_finished(self, message: ScanFinished) -> None:
        """End a whole scan; the root may have been unreadable."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        in_flight.scan = in_flight.scan.ended(succeeded=message.trouble is None)
        in_flight.root_error = message.trouble
        self._ctx.in_flight.scans_idle()
        if message.trouble is not None:
            ctx.record_activity("", ActivityKind.HALTED, message.trouble)
            ctx.wake(ctx.now + 10)
            return
        self._update_mounts(message.mounts)
        self._drop_bases_of_moved_root()
        ctx.update_source_row(looked_at=ctx.now)
        ctx.index.problems.clear_stale(ctx.source, ProblemOrigin.LOOK, in_flight.scan_began)
        ctx.reload_problems()

    def _drop_bases_of_moved_root(self) -> None:
        """After the root was replaced by another folder, drop the base of missing files: they are no deletes.

        The same holds for files that could not be read, or that changed on the server meanwhile. Files that differ may
        be edits or older states; without a base they are parked for the person.
        """
        ctx = self._ctx
        if ctx.source_row.moved:
            rows = self._path_store.with_step(Step.PUSH, Step.PUSH_DELETE, Step.PARK, Step.UNKNOWN)
            missing = [row for row in rows if not row.local.is_file or (row.step is Step.PUSH and row.base.is_file)]
            self._path_store.change(replace(row, base=ABSENT) for row in missing)
            ctx.update_source_row(moved=False)

    def _update_mounts(self, present: frozenset[str]) -> None:
        """Compare the mount points: files of a lost mount were not deleted."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if in_flight.mounts_found(ctx.source_row.mounts, present):
            names = ", ".join(sorted(in_flight.lost_mounts))
            ctx.record_activity("", ActivityKind.HALTED, f"not mounted: {names}")
        ctx.update_source_row(mounts=ctx.source_row.mounts | present)

    def plan(self) -> None:
        """Ask for the scans that are due."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if in_flight.recovery is not RecoveryPhase.DONE:
            return
        known = in_flight.scan.complete or in_flight.root_error is not None
        if ctx.setup.run_mode is RunMode.DAEMON and known and not in_flight.scan.running:
            self._request_regular_scan()
        if in_flight.scan.wanted and not in_flight.scan.running:
            in_flight.scan = in_flight.scan.begun()
            in_flight.scan_began = ctx.now
            ctx.emit(ScanFolder())
        self._plan_path_scans()

    def _request_regular_scan(self) -> None:
        ctx, in_flight = self._ctx, self._ctx.in_flight
        # A missing root is looked for every 10 s: an unplugged disk may come back at any time.
        due = (ctx.source_row.looked_at or 0.0) + ctx.setup.look_every
        if in_flight.root_error is not None:
            due = in_flight.scan_began + 10
        elif in_flight.lost_mounts:
            due = min(due, in_flight.scan_began + 60)
        if ctx.now >= due:
            in_flight.request_scan()
        else:
            ctx.wake(due)

    def _plan_path_scans(self) -> None:
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if in_flight.scanning_paths:
            # One scan after another, each of all paths that are quiet by then. Its end causes the next step.
            return
        for path in [path for path, due in in_flight.racy.items() if ctx.now >= due]:
            del in_flight.racy[path]
            quiet_since = ctx.now - ctx.setup.quiet
            in_flight.changed_paths.setdefault(path, PendingChange(quiet_since, quiet_since))
            if not in_flight.scan.running:
                # A running whole scan may have read it too early.
                in_flight.confirmed_racy.add(path)
        ready: list[str] = []
        for path, change in in_flight.changed_paths.items():
            due = change.due(ctx.setup.quiet, ctx.setup.quiet_most)
            if path in in_flight.scanning_paths or path in in_flight.applying:
                continue  # the end of that scan or change causes the next step
            if due > ctx.now:
                ctx.wake(due)
            elif len(ready) < _AT_ONCE:
                ready.append(path)
        if ready:
            for path in ready:
                del in_flight.changed_paths[path]
            in_flight.scanning_paths.update(ready)
            ctx.emit(ScanPaths(tuple(ready), frozenset(path for path in ready if path in in_flight.racy)))
        if in_flight.racy:
            ctx.wake(min(in_flight.racy.values()))


def _problem(entry: SkippedEntry, now: float) -> PathProblem:
    try:
        entry.raw_path.encode()
        raw = None
    except UnicodeEncodeError:
        raw = entry.raw_path.encode("utf-8", "surrogateescape")
    path = entry.raw_path if raw is None else raw.decode("utf-8", "replace")
    return PathProblem(path, ProblemOrigin.LOOK, entry.reason, entry.text, now, None, raw)
