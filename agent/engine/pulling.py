"""From the trees to the folder: which changes are journalled and made next, and what became of them."""

from __future__ import annotations

from collections.abc import Iterator, Set

from msgspec.structs import replace

from agent.core.model import (
    OUT_OF_SCOPE,
    Intent,
    Landed,
    Landing,
    Purpose,
    Reason,
    RemoteHead,
    Seen,
    side_of,
)
from agent.core.reconcile import Step
from agent.engine.desk import Desk
from agent.engine.effects import Carry
from agent.engine.holding import Holding
from agent.engine.keeper import WAITING, Keeper
from agent.engine.messages import Call, Restore
from agent.engine.outstanding import CONTENTS_LIMIT
from agent.engine.setup import Attendance
from agent.index.notes import PathProblem, ProblemOrigin
from agent.index.trees import Row

_ASK_AT_ONCE = 4
_KEPT_AT_ONCE = 200
_REASONS = {
    Landing.BLOCKED: (Reason.BLOCKED, 5.0),
    Landing.UNSAFE: (Reason.UNSAFE_PATH, 60.0),
    Landing.FAILED: (Reason.DISK, 30.0),
}
_RACY_SECONDS = 2.1


class Pulling:
    """One group of changes after another. Every change says what it expects; a surprise is a new observation.

    New files do not wait for the group before theirs to be written down: two groups are under way where there is much
    to install, one being made, one journalled. They never share a path.
    """

    def __init__(self, desk: Desk, keeper: Keeper, holding: Holding) -> None:
        self._desk = desk
        self._keeper = keeper
        self._holding = holding
        self._ids: Iterator[str] = iter(())
        self._groups: list[str] = []
        """The first intent of each group that was begun here and may still be under way."""

    # Outcomes

    def landed(self, row: Row, intent: Intent, landed: Landed) -> Row:
        """What a pull's outcome makes of the row."""
        desk = self._desk
        if landed.landing is Landing.DONE:
            desk.lift_problem(row.path, ProblemOrigin.PULL)
            desk.out.deferred.pop(row.path, None)
            row = self._done(row, intent, landed)
        elif landed.landing is Landing.OUT_OF_SCOPE:
            row = replace(row, local=OUT_OF_SCOPE, fingerprint=None)
        elif landed.landing is Landing.CHANGED:
            if landed.seen is None or landed.seen.side.same_content(row.local):
                desk.out.deferred[row.path] = desk.now + 5.0
            row = seen_at(row, landed.seen)
        else:
            # A change that is not wanted any more has nothing to wait for.
            if row.step in WAITING or intent.purpose is Purpose.RESTORE:
                self._put_off(row, landed)
            row = seen_at(row, landed.seen)
        return row

    def _done(self, row: Row, intent: Intent, landed: Landed) -> Row:
        desk = self._desk
        row = seen_at(row, landed.seen)
        racy = row.fingerprint is not None and row.fingerprint.racy
        if racy and desk.setup.attendance is Attendance.FOLLOW:
            desk.out.look_later(row.path, desk.now + _RACY_SECONDS)
        if intent.purpose is Purpose.RESTORE:
            desk.note(row.path, "restored")
            return row
        if intent.new is None:
            desk.tally.deleted_local += 1
            desk.note(row.path, "deleted_local")
            desk.drop_approval(row.path)
            self._unblock()
        else:
            desk.tally.pulled += 1
            desk.note(row.path, "pulled")
        return replace(row, base=side_of(intent.new))

    def _unblock(self) -> None:
        """Something made room: what was blocked may fit now."""
        desk = self._desk
        for path in list(desk.out.deferred):
            if any(p.reason is Reason.BLOCKED for p in desk.problems.get(path, ())):
                del desk.out.deferred[path]

    def _put_off(self, row: Row, landed: Landed) -> None:
        desk = self._desk
        reason, wait = _REASONS[landed.landing]
        text = landed.text or "the folder could not be changed here"
        desk.out.deferred[row.path] = desk.now + wait
        desk.set_problem(PathProblem(row.path, ProblemOrigin.PULL, reason, text, desk.now, desk.now + wait))

    def on_head(self, row: Row, head: RemoteHead | None) -> None:
        """A head that was asked for because its text was not at hand."""
        desk = self._desk
        if row.step is not Step.PULL:
            return
        if head is None:
            # The feed promised a file and there is none: the delete is on its way, or the verification will find it.
            desk.out.deferred[row.path] = desk.now + 2.0
            desk.request_drain()
        elif head.hash == row.remote.hash:
            desk.out.hold(row.path, head.hash, head.content)

    # Work

    def on_restore(self, message: Restore) -> None:
        """A person wants these bytes at this path."""
        import hashlib

        row = self._keeper.row(message.path)
        if message.path not in self._desk.parked and not self._desk.in_flight(message.path):
            digest = hashlib.sha256(message.content).hexdigest()
            intent = Intent(self._desk.new_intent_id(), message.path, digest, row.local.hash, Purpose.RESTORE)
            self.carry([(intent, message.content)])

    def plan(self) -> None:
        """Make the next group of changes."""
        desk, out = self._desk, self._desk.out
        self._sort_contents(out.unsorted & out.contents.keys())
        out.unsorted.clear()
        if desk.may_install and not out.carrying:
            self._plan_changes()
        elif desk.may_install and out.recovered and len(out.contents) >= desk.setup.next_items:
            self._plan_next_group()
        if not desk.may_change and not out.carrying and out.contents_size > CONTENTS_LIMIT:
            self._make_room()

    def _plan_changes(self) -> None:
        desk = self._desk
        self._ids = desk.new_intent_ids()
        jobs = self._removals() if desk.may_change else []
        jobs += self._installs(desk.setup.group_items - len(jobs))
        if desk.may_change:
            jobs = jobs or self._kept_texts()
        if jobs:
            self._carry_group(jobs)
        elif desk.may_change and desk.may_call(Call.HEAD):
            self._ask_for_texts()

    def _plan_next_group(self) -> None:
        """Journal a second group. Nothing is removed by it: deletes are counted one group after another."""
        self._groups = [first for first in self._groups if first in self._desk.out.carrying]
        if len(self._groups) == 1:
            self._ids = self._desk.new_intent_ids()
            jobs = self._installs(self._desk.setup.group_items)
            if jobs:
                self._carry_group(jobs)

    def _carry_group(self, jobs: list[tuple[Intent, bytes]]) -> None:
        self._groups.append(jobs[0][0].id)
        self.carry(jobs)

    def _free(self, row: Row) -> bool:
        desk = self._desk
        if row.path in desk.parked or desk.in_flight(row.path) or row.path in desk.out.noticed:
            return False
        due = desk.put_off_until(row.path)
        if due > desk.now:
            if desk.setup.attendance is Attendance.FOLLOW and due < float("inf"):
                desk.wake(due)
            return False
        return True

    def _removals(self) -> list[tuple[Intent, bytes]]:
        desk = self._desk
        held = 0 if desk.out.held is None else len(desk.out.held.files)
        limit = desk.setup.group_items + held + len(desk.parked) + len(desk.out.deferred) + len(desk.out.noticed)
        rows = desk.index.trees.with_step(desk.source, Step.PULL_DELETE, limit=limit)
        free = [row for row in rows if self._free(row) and self._holding.allows(row)]
        del free[desk.setup.group_items :]
        self._holding.count(Step.PULL_DELETE, free)
        return [(self._intent(row), b"") for row in free]

    def _installs(self, room: int) -> list[tuple[Intent, bytes]]:
        desk, out = self._desk, self._desk.out
        # Until the feed was read to its end once, a later page may take back what an earlier one told, but for what the
        # server says to be the latest.
        paths = list(out.contents) if desk.may_change else [path for path in out.contents if path in out.latest]
        jobs = []
        for path, row in self._keeper.rows(paths[: max(room, 0)]).items():
            digest, content = out.contents[path]
            if row.step is Step.PULL and digest == row.remote.hash and self._free(row):
                jobs.append((self._intent(row), content))
                out.let_go(path)
        return jobs

    def _intent(self, row: Row) -> Intent:
        return Intent(next(self._ids), row.path, row.remote.hash, row.local.hash, Purpose.PULL)

    def carry(self, jobs: list[tuple[Intent, bytes]]) -> None:
        """Journal these changes and have them made once this step is committed."""
        desk = self._desk
        desk.index.operations.journal(desk.source, (intent for intent, _ in jobs), desk.now)
        for intent, _ in jobs:
            desk.out.carrying[intent.id] = intent
            desk.out.carried.add(intent.path)
        desk.emit(Carry(tuple(jobs)))

    def _sort_contents(self, paths: Set[str]) -> None:
        """Keep in memory only texts that are to be installed soon; those of conflicts go to the index."""
        desk, out = self._desk, self._desk.out
        for path, row in self._keeper.rows(sorted(paths)).items():
            digest, content = out.contents[path]
            wanted = row.remote.hash == digest
            if wanted and row.step is Step.PARK:
                desk.index.conflicts.put_text(digest, content)
            if not wanted or row.step is not Step.PULL or path in desk.parked:
                out.let_go(path)

    def _make_room(self) -> None:
        """Texts that cannot be installed before the feed was read to its end go to the index: they may be many."""
        for path, (digest, content) in list(self._desk.out.contents.items()):
            self._desk.index.conflicts.put_text(digest, content)
            self._desk.out.let_go(path)

    def _kept_texts(self) -> list[tuple[Intent, bytes]]:
        """Installs whose texts were put into the index while nothing could be installed."""
        desk = self._desk
        jobs = []
        for row in desk.index.trees.with_step(desk.source, Step.PULL, limit=_KEPT_AT_ONCE):
            text = desk.index.conflicts.text(row.remote.hash) if self._free(row) else None
            if text is not None:
                jobs.append((self._intent(row), text))
        return jobs

    def _ask_for_texts(self) -> None:
        desk = self._desk
        room = _ASK_AT_ONCE - len(desk.out.asking)
        if room <= 0 or desk.out.contents:
            return
        limit = room + len(desk.parked) + len(desk.out.deferred) + len(desk.open_operations)
        for row in desk.index.trees.with_step(desk.source, Step.PULL, limit=limit):
            if room and row.path not in desk.out.asking and self._free(row):
                desk.ask_head(row.path, row)
                room -= 1


def seen_at(row: Row, seen: Seen | None) -> Row:
    """The row with what a look found, where it found anything."""
    return row if seen is None else replace(row, local=seen.side, fingerprint=seen.fingerprint)
