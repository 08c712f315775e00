"""From stirrings and looks to the local tree."""

from __future__ import annotations

from msgspec.structs import replace

from agent.core.model import ABSENT, Oddity, Reason, Seen, Side
from agent.core.reconcile import Step
from agent.engine.desk import Desk
from agent.engine.effects import Look, LookAt
from agent.engine.keeper import Keeper
from agent.engine.messages import FilesSeen, LookAgain, LookEnded, Noticed, PathsLooked
from agent.engine.setup import Attendance
from agent.index.notes import PathProblem, ProblemOrigin
from agent.index.trees import Row

_RACY_SECONDS = 2.1
_AT_ONCE = 1000
_MANY = 50
"""Files seen together from which on it is worth asking whether anything is known of them at all."""
_SERVER_REASONS = frozenset({Reason.REFUSED, Reason.TOO_LARGE})


class Observing:
    """Decides when to look and writes down what was seen."""

    def __init__(self, desk: Desk, keeper: Keeper) -> None:
        self._desk = desk
        self._keeper = keeper

    def on_noticed(self, message: Noticed) -> None:
        """Wait until these paths have come to rest."""
        self._desk.out.look_wanted |= message.rescan
        # In the order of the paths, so that those of one folder are looked at together.
        for path in sorted(message.paths):
            self._stir(path)

    def on_look_again(self, _message: LookAgain) -> None:
        """Look at everything."""
        self._desk.out.look_wanted = True

    def _stir(self, path: str) -> None:
        noticed, now = self._desk.out.noticed, self._desk.now
        first, _ = noticed.get(path, (now, now))
        noticed[path] = (first, now)

    def on_files_seen(self, message: FilesSeen) -> None:
        """Write what a look found into the local tree."""
        out = self._desk.out
        strict = bool(out.stirred or out.carried or out.restless)
        # With none of these under way only a reason can keep what was seen from being written down.
        seen = [one for one in message.seen if (not strict and one.side.reason is None) or self._holds(one)]
        paths = [one.path for one in seen]
        if len(seen) >= _MANY and self._keeper.knows_none(paths):
            if self._desk.problems or out.deferred or self._desk.setup.attendance is Attendance.FOLLOW:
                for one in seen:
                    self._follow(one, one.side, ABSENT)
            self._keeper.begin(seen)
        else:
            rows = self._keeper.rows(paths)
            observed = ((rows[one.path], self._observed(rows[one.path], one)) for one in seen)
            # What stands there as the index has it, our own change looked at again say, is nothing to write.
            self._keeper.change([new for old, new in observed if new != old])
        if not message.mounts <= self._desk.standing.mounts:
            self._desk.set_standing(mounts=self._desk.standing.mounts | message.mounts)
        for oddity in message.oddities:
            self._desk.set_problem(_problem(oddity, self._desk.now))

    def _holds(self, seen: Seen) -> bool:
        """Whether what was seen can be written down; if not, it is looked at again."""
        out, path, reason = self._desk.out, seen.path, seen.side.reason
        if path in out.stirred or path in out.carried:
            # The look may have read what stood there before our own change to the folder: ask again.
            self._stir(path)
            return False
        if reason is Reason.CHANGING:
            out.restless.add(path)
            self._stir(path)
            return False
        out.restless.discard(path)
        if reason is Reason.UNMOUNTED:
            # One file that is gone with its file system is a reason to look for all of them.
            out.look_wanted |= not out.lost_mounts and not out.looking
        return True

    def _observed(self, row: Row, seen: Seen) -> Row:
        side = seen.side
        if side.is_file and side.hash == row.local.hash and side.reason is None and row.local.reason in _SERVER_REASONS:
            # The server's refusal is of these very bytes; a touch does not lift it.
            side = replace(side, reason=row.local.reason)
        if seen.path in self._desk.out.settled:
            seen = self._settled(row, seen)
        self._follow(seen, side, row.local)
        return replace(row, local=side, fingerprint=seen.fingerprint)

    def _settled(self, row: Row, seen: Seen) -> Seen:
        """Read again after a while and still the same: its stat is proof from now on, also where its time of change
        lies in the future, as a clock that was set may leave it.
        """
        self._desk.out.settled.discard(seen.path)
        mark = seen.fingerprint
        if mark is None or not mark.racy or mark != row.fingerprint:
            return seen
        return replace(seen, fingerprint=replace(mark, racy=False))

    def _follow(self, seen: Seen, side: Side, before: Side) -> None:
        """What another local side ends, and what a racy look begins."""
        desk, mark = self._desk, seen.fingerprint
        if side.hash != before.hash:
            desk.lift_problem(seen.path, ProblemOrigin.PUSH)
        if mark is not None and mark.racy and desk.setup.attendance is Attendance.FOLLOW:
            desk.out.look_later(seen.path, desk.now + _RACY_SECONDS)
        if side.presence is not before.presence or side.hash != before.hash:
            desk.out.deferred.pop(seen.path, None)

    def on_paths_looked(self, message: PathsLooked) -> None:
        """Single looks are through."""
        out = self._desk.out
        out.looking_at.difference_update(message.paths)
        out.settled.difference_update(message.paths)
        self._forget_stirred()

    def on_look_ended(self, message: LookEnded) -> None:
        """The whole look is through, or the root could not be looked at."""
        desk, out = self._desk, self._desk.out
        out.looking = False
        out.root_trouble = message.trouble
        self._forget_stirred()
        if message.trouble is not None:
            desk.note("", "halted", message.trouble)
            desk.wake(desk.now + 10)
            return
        out.looked = True
        self._count_mounts(message.mounts)
        self._forget_missing()
        desk.set_standing(looked_at=desk.now)
        desk.index.notes.lift_stale_problems(desk.source, ProblemOrigin.LOOK, out.look_began)
        desk.problems = {}
        for problem in desk.index.notes.problems(desk.source):
            desk.problems.setdefault(problem.path, []).append(problem)

    def _forget_missing(self) -> None:
        """In a folder that took the place of the linked one nothing was deleted: what it lacks it never had. Nor does
        it count later as deleted where it could not be seen now, or where the server moved on meanwhile. Where it holds
        another text, nobody knows whether that is an edit or an older state: a person decides.
        """
        desk = self._desk
        if desk.standing.moved:
            rows = desk.index.trees.with_step(desk.source, Step.PUSH, Step.PUSH_DELETE, Step.PARK, Step.UNKNOWN)
            missing = [row for row in rows if not row.local.is_file or (row.step is Step.PUSH and row.base.is_file)]
            self._keeper.change(replace(row, base=ABSENT) for row in missing)
            desk.set_standing(moved=False)

    def _count_mounts(self, met: frozenset[str]) -> None:
        """A file system that is gone took its files along; none of them was deleted."""
        desk, out = self._desk, self._desk.out
        lost = desk.standing.mounts - met
        if lost - out.lost_mounts:
            desk.note("", "halted", f"not mounted: {', '.join(sorted(lost))}")
        out.lost_mounts = lost
        desk.set_standing(mounts=desk.standing.mounts | met)

    def _forget_stirred(self) -> None:
        out = self._desk.out
        if not out.looking and not out.looking_at:
            out.stirred.clear()

    def plan(self) -> None:
        """Ask for the looks that are due."""
        desk, out = self._desk, self._desk.out
        if not out.recovered:
            return
        known = out.looked or out.root_trouble is not None
        if desk.setup.attendance is Attendance.FOLLOW and known and not out.looking:
            self._plan_regular_look()
        if out.look_wanted and not out.looking:
            out.look_wanted = False
            out.looking = True
            out.look_began = desk.now
            desk.emit(Look())
        self._plan_single_looks()

    def _plan_regular_look(self) -> None:
        desk, out = self._desk, self._desk.out
        # A root in trouble is looked for again soon: an unplugged disk may come back at any time.
        due = (desk.standing.looked_at or 0.0) + desk.setup.look_every
        if out.root_trouble is not None:
            due = out.look_began + 10
        elif out.lost_mounts:
            due = min(due, out.look_began + 60)
        if desk.now >= due:
            out.look_wanted = True
        else:
            desk.wake(due)

    def _plan_single_looks(self) -> None:
        desk, out = self._desk, self._desk.out
        if out.looking_at:
            # One look after another, each at all that has come to rest meanwhile: its end brings the next step.
            return
        for path in [path for path, due in out.racy.items() if desk.now >= due]:
            del out.racy[path]
            out.noticed.setdefault(path, (desk.now - desk.setup.quiet, desk.now - desk.setup.quiet))
            if not out.looking:
                # What a whole look under way tells of it may have been read too soon.
                out.settled.add(path)
        ready: list[str] = []
        for path, (first, last) in out.noticed.items():
            due = min(last + desk.setup.quiet, first + desk.setup.quiet_most)
            if path in out.looking_at or path in out.carried:
                continue  # the end of that look, or of that change, brings the next step
            if due > desk.now:
                desk.wake(due)
            elif len(ready) < _AT_ONCE:
                ready.append(path)
        if ready:
            for path in ready:
                del out.noticed[path]
            out.looking_at.update(ready)
            desk.emit(LookAt(tuple(ready), frozenset(path for path in ready if path in out.racy)))
        if out.racy:
            desk.wake(min(out.racy.values()))


def _problem(oddity: Oddity, now: float) -> PathProblem:
    try:
        oddity.raw_path.encode()
        raw = None
    except UnicodeEncodeError:
        raw = oddity.raw_path.encode("utf-8", "surrogateescape")
    path = oddity.raw_path if raw is None else raw.decode("utf-8", "replace")
    return PathProblem(path, ProblemOrigin.LOOK, oddity.reason, oddity.text, now, None, raw)
