"""From stirrings and looks to the local tree."""

from __future__ import annotations

from msgspec.structs import replace

from agent.core.model import ABSENT, Observation, Reason, Side, SkippedEntry
from agent.core.reconcile import Step
from agent.engine.config import RunMode
from agent.engine.context import EngineContext
from agent.engine.effects import ScanFolder, ScanPaths
from agent.engine.messages import PathScanFinished, PathsChanged, RescanRequested, ScanFinished, ScanResults
from agent.engine.path_store import PathStore
from agent.index.activity import ActivityKind
from agent.index.problems import PathProblem, ProblemOrigin
from agent.index.trees import PathRow

_RACY_SECONDS = 2.1
_AT_ONCE = 1000
_MANY = 50
"""Files seen together from which on it is worth asking whether anything is known of them at all."""
_SERVER_REASONS = frozenset({Reason.REFUSED, Reason.TOO_LARGE})


class LocalChanges:
    """Decides when to look and writes down what was seen."""

    def __init__(self, ctx: EngineContext, path_store: PathStore) -> None:
        self._ctx = ctx
        self._path_store = path_store

    def on_noticed(self, message: PathsChanged) -> None:
        """Wait until these paths have come to rest."""
        self._ctx.in_flight.scan_wanted |= message.rescan
        # In the order of the paths, so that those of one folder are looked at together.
        for path in sorted(message.paths):
            self._stir(path)

    def on_look_again(self, _message: RescanRequested) -> None:
        """Look at everything."""
        self._ctx.in_flight.scan_wanted = True

    def _stir(self, path: str) -> None:
        noticed, now = self._ctx.in_flight.changed_paths, self._ctx.now
        first, _ = noticed.get(path, (now, now))
        noticed[path] = (first, now)

    def on_files_seen(self, message: ScanResults) -> None:
        """Write what a look found into the local tree."""
        in_flight = self._ctx.in_flight
        strict = bool(in_flight.self_modified or in_flight.applying or in_flight.unstable)
        # With none of these under way only a reason can keep what was seen from being written down.
        seen = [one for one in message.seen if (not strict and one.side.reason is None) or self._holds(one)]
        paths = [one.path for one in seen]
        if len(seen) >= _MANY and self._path_store.knows_none(paths):
            if self._ctx.problems or in_flight.retry_at or self._ctx.setup.run_mode is RunMode.DAEMON:
                for one in seen:
                    self._follow(one, one.side, ABSENT)
            self._path_store.begin(seen)
        else:
            rows = self._path_store.rows(paths)
            observed = ((rows[one.path], self._observed(rows[one.path], one)) for one in seen)
            # What stands there as the index has it, our own change looked at again say, is nothing to write.
            self._path_store.change([new for old, new in observed if new != old])
        if not message.mounts <= self._ctx.source_row.mounts:
            self._ctx.update_source_row(mounts=self._ctx.source_row.mounts | message.mounts)
        for oddity in message.oddities:
            self._ctx.set_problem(_problem(oddity, self._ctx.now))

    def _holds(self, seen: Observation) -> bool:
        """Whether what was seen can be written down; if not, it is looked at again."""
        in_flight, path, reason = self._ctx.in_flight, seen.path, seen.side.reason
        if path in in_flight.self_modified or path in in_flight.applying:
            # The look may have read what stood there before our own change to the folder: ask again.
            self._stir(path)
            return False
        if reason is Reason.CHANGING:
            in_flight.unstable.add(path)
            self._stir(path)
            return False
        in_flight.unstable.discard(path)
        if reason is Reason.UNMOUNTED:
            # One file that is gone with its file system is a reason to look for all of them.
            in_flight.scan_wanted |= not in_flight.lost_mounts and not in_flight.scanning
        return True

    def _observed(self, row: PathRow, seen: Observation) -> PathRow:
        side = seen.side
        if side.is_file and side.hash == row.local.hash and side.reason is None and row.local.reason in _SERVER_REASONS:
            # The server's refusal is of these very bytes; a touch does not lift it.
            side = replace(side, reason=row.local.reason)
        if seen.path in self._ctx.in_flight.confirmed_racy:
            seen = self._settled(row, seen)
        self._follow(seen, side, row.local)
        return replace(row, local=side, fingerprint=seen.fingerprint)

    def _settled(self, row: PathRow, seen: Observation) -> Observation:
        """Read again after a while and still the same: its stat is proof from now on, also where its time of change
        lies in the future, as a clock that was set may leave it.
        """
        self._ctx.in_flight.confirmed_racy.discard(seen.path)
        mark = seen.fingerprint
        if mark is None or not mark.racy or mark != row.fingerprint:
            return seen
        return replace(seen, fingerprint=replace(mark, racy=False))

    def _follow(self, seen: Observation, side: Side, before: Side) -> None:
        """What another local side ends, and what a racy look begins."""
        ctx, mark = self._ctx, seen.fingerprint
        if side.hash != before.hash:
            ctx.clear_problem(seen.path, ProblemOrigin.PUSH)
        if mark is not None and mark.racy and ctx.setup.run_mode is RunMode.DAEMON:
            ctx.in_flight.scan_later(seen.path, ctx.now + _RACY_SECONDS)
        if side.presence is not before.presence or side.hash != before.hash:
            ctx.in_flight.retry_at.pop(seen.path, None)

    def on_paths_looked(self, message: PathScanFinished) -> None:
        """Single looks are through."""
        in_flight = self._ctx.in_flight
        in_flight.scanning_paths.difference_update(message.paths)
        in_flight.confirmed_racy.difference_update(message.paths)
        self._forget_stirred()

    def on_look_ended(self, message: ScanFinished) -> None:
        """The whole look is through, or the root could not be looked at."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        in_flight.scanning = False
        in_flight.root_trouble = message.trouble
        self._forget_stirred()
        if message.trouble is not None:
            ctx.record_activity("", ActivityKind.HALTED, message.trouble)
            ctx.wake(ctx.now + 10)
            return
        in_flight.scanned = True
        self._count_mounts(message.mounts)
        self._forget_missing()
        ctx.update_source_row(looked_at=ctx.now)
        ctx.index.problems.clear_stale(ctx.source, ProblemOrigin.LOOK, in_flight.scan_began)
        ctx.problems = {}
        for problem in ctx.index.problems.all(ctx.source):
            ctx.problems.setdefault(problem.path, []).append(problem)

    def _forget_missing(self) -> None:
        """In a folder that took the place of the linked one nothing was deleted: what it lacks it never had. Nor does
        it count later as deleted where it could not be seen now, or where the server moved on meanwhile. Where it holds
        another text, nobody knows whether that is an edit or an older state: a person decides.
        """
        ctx = self._ctx
        if ctx.source_row.moved:
            rows = ctx.index.trees.with_step(ctx.source, Step.PUSH, Step.PUSH_DELETE, Step.PARK, Step.UNKNOWN)
            missing = [row for row in rows if not row.local.is_file or (row.step is Step.PUSH and row.base.is_file)]
            self._path_store.change(replace(row, base=ABSENT) for row in missing)
            ctx.update_source_row(moved=False)

    def _count_mounts(self, met: frozenset[str]) -> None:
        """A file system that is gone took its files along; none of them was deleted."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        lost = ctx.source_row.mounts - met
        if lost - in_flight.lost_mounts:
            ctx.record_activity("", ActivityKind.HALTED, f"not mounted: {', '.join(sorted(lost))}")
        in_flight.lost_mounts = lost
        ctx.update_source_row(mounts=ctx.source_row.mounts | met)

    def _forget_stirred(self) -> None:
        in_flight = self._ctx.in_flight
        if not in_flight.scanning and not in_flight.scanning_paths:
            in_flight.self_modified.clear()

    def plan(self) -> None:
        """Ask for the looks that are due."""
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if not in_flight.recovered:
            return
        known = in_flight.scanned or in_flight.root_trouble is not None
        if ctx.setup.run_mode is RunMode.DAEMON and known and not in_flight.scanning:
            self._plan_regular_look()
        if in_flight.scan_wanted and not in_flight.scanning:
            in_flight.scan_wanted = False
            in_flight.scanning = True
            in_flight.scan_began = ctx.now
            ctx.emit(ScanFolder())
        self._plan_single_looks()

    def _plan_regular_look(self) -> None:
        ctx, in_flight = self._ctx, self._ctx.in_flight
        # A root in trouble is looked for again soon: an unplugged disk may come back at any time.
        due = (ctx.source_row.looked_at or 0.0) + ctx.setup.look_every
        if in_flight.root_trouble is not None:
            due = in_flight.scan_began + 10
        elif in_flight.lost_mounts:
            due = min(due, in_flight.scan_began + 60)
        if ctx.now >= due:
            in_flight.scan_wanted = True
        else:
            ctx.wake(due)

    def _plan_single_looks(self) -> None:
        ctx, in_flight = self._ctx, self._ctx.in_flight
        if in_flight.scanning_paths:
            # One look after another, each at all that has come to rest meanwhile: its end brings the next step.
            return
        for path in [path for path, due in in_flight.racy.items() if ctx.now >= due]:
            del in_flight.racy[path]
            in_flight.changed_paths.setdefault(path, (ctx.now - ctx.setup.quiet, ctx.now - ctx.setup.quiet))
            if not in_flight.scanning:
                # What a whole look under way tells of it may have been read too soon.
                in_flight.confirmed_racy.add(path)
        ready: list[str] = []
        for path, (first, last) in in_flight.changed_paths.items():
            due = min(last + ctx.setup.quiet, first + ctx.setup.quiet_most)
            if path in in_flight.scanning_paths or path in in_flight.applying:
                continue  # the end of that look, or of that change, brings the next step
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


def _problem(oddity: SkippedEntry, now: float) -> PathProblem:
    try:
        oddity.raw_path.encode()
        raw = None
    except UnicodeEncodeError:
        raw = oddity.raw_path.encode("utf-8", "surrogateescape")
    path = oddity.raw_path if raw is None else raw.decode("utf-8", "replace")
    return PathProblem(path, ProblemOrigin.LOOK, oddity.reason, oddity.text, now, None, raw)
