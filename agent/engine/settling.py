"""What became of operations: outcomes into the trees, and evidence gathered where no outcome came."""

from __future__ import annotations

from msgspec.structs import replace

from agent.core.model import Operation, RemoteConflict, RemoteHead, Verb
from agent.core.settle import Settled, settle
from agent.core.stream import Span
from agent.engine.desk import Desk
from agent.engine.keeper import Keeper, agreed, remote_side, sent_side
from agent.engine.messages import Call
from agent.engine.parking import Parking
from agent.index.operations import Entry, Stage, Why
from agent.index.trees import Row

_ASK_AT_ONCE = 4
_KNOWN_AT_MOST = 5000
"""Own operations whose places in the feed are known, from which on nothing more is sent until it was read past them."""


class Settling:
    """Every operation ends here, exactly once."""

    def __init__(self, desk: Desk, keeper: Keeper, parking: Parking) -> None:
        self._desk = desk
        self._keeper = keeper
        self._parking = parking

    def applied(self, row: Row, entry: Entry) -> Row:
        """The operation is what the server holds, or held at its place in the order."""
        desk = self._desk
        operation = entry.operation
        if operation.verb is Verb.DELETE:
            desk.tally.deleted_remote += 1
        else:
            desk.tally.pushed += 1
        desk.note(row.path, "deleted_remote" if operation.verb is Verb.DELETE else "pushed", None, operation.id)
        desk.drop_approval(row.path)
        side = sent_side(operation.hash, operation.size)
        if entry.why is Why.RESOLVE:
            # The folder does not hold the decided text yet: the base moves with the install that follows.
            return replace(row, remote=side)
        return agreed(row, side)

    def acknowledge(self, answered: list[tuple[Entry, int | None]]) -> None:
        """The server says these were applied, and where in the order, or their echoes will tell."""
        desk, ordered = self._desk, self._desk.setup.ordered_feed
        rows = self._keeper.rows([entry.operation.path for entry, _ in answered])
        changed = []
        for entry, position in answered:
            before = rows[entry.operation.path]
            row = self.applied(before, entry)
            desk.move_operations([entry], Stage.ACKED, position)
            if position is not None:
                row = replace(row, position=max(row.position, position))
            elif ordered and entry.operation.hash == before.remote.hash:
                # Somebody else had written the same first: there will be no event of ours.
                desk.move_operations([entry], Stage.ECHOED)
            changed.append(row)
        self._keeper.change(changed)
        self._know([position for _, position in answered if position is not None])
        desk.out.touched.update(rows)
        desk.out.echo_goal = desk.out.next_poll

    def _know(self, positions: list[int]) -> None:
        """The feed need not tell these again."""
        out = self._desk.out
        out.known = _joined([*out.known, *(Span(position, position) for position in positions)])

    def read_first(self) -> bool:
        """Whether the feed has to be read before more is sent: what stays open until then is kept in memory, and of a
        long push that would be everything. It is asked for once nothing is on its way: a feed that is still being
        written would tell what the answers tell as well, texts and all.
        """
        out = self._desk.out
        if sum(span.last - span.first + 1 for span in out.known) < _KNOWN_AT_MOST:
            return False
        if not out.batch and out.drained >= out.drain_goal:
            self._desk.request_drain()
        return True

    def passed_over(self, past: int) -> None:
        """The feed was read beyond ``past``, and did not tell what was known up to there."""
        desk = self._desk
        told = [
            entry
            for entries in desk.open_operations.values()
            for entry in entries
            if entry.stage is Stage.ACKED and entry.echoed is not None and entry.echoed <= past
        ]
        desk.move_operations(told, Stage.ECHOED)

    def conflict(self, entry: Entry, found: RemoteConflict) -> None:
        """The server parked this operation."""
        desk = self._desk
        desk.move_operations([entry], Stage.DONE)
        row = self._keeper.row(entry.operation.path)
        self._keeper.change([self._parking.conflicted(row, entry.operation, found)])
        desk.out.touched.add(row.path)

    def refused(self, entry: Entry, text: str) -> None:
        """The server will never take this operation."""
        desk = self._desk
        desk.move_operations([entry], Stage.DONE)
        desk.note(entry.operation.path, "refused", text, entry.operation.id)
        conflict = desk.parked.get(entry.operation.path)
        if entry.why is Why.RESOLVE and conflict is not None:
            self._parking.reopen(conflict, self._keeper.row(entry.operation.path), text)

    def abandon(self, entries: list[Entry]) -> None:
        """Nobody can say any more what became of these; the three trees will, as if they had never been sent."""
        self._desk.move_operations(entries, Stage.ABANDONED)

    def doubt(self, entries: list[Entry]) -> None:
        """Nobody said what became of these: read the feed to its end, then judge what it did not mention."""
        desk = self._desk
        if not entries:
            return
        desk.move_operations(entries, Stage.UNSETTLED)
        goal = desk.request_drain()
        for entry in entries:
            desk.out.settle_goal[entry.operation.id] = goal

    def on_head(self, row: Row, head: RemoteHead | None, conflicts: tuple[RemoteConflict, ...] | None) -> Row:
        """Judge the unsettled operations of a path by what the server shows."""
        desk = self._desk
        for entry in list(desk.open_operations.get(row.path, ())):
            if entry.stage is not Stage.UNSETTLED or conflicts is None or not self._drained(entry):
                continue
            row = self._judge(row, entry, head, conflicts)
        return row

    def _judge(self, row: Row, entry: Entry, head: RemoteHead | None, conflicts: tuple[RemoteConflict, ...]) -> Row:
        desk = self._desk
        operation = entry.operation
        digest = head.hash if head else None
        versions = [version.hash for version in head.versions] if head else []
        unclaimed = [c for c in conflicts if c.id not in desk.foreign]
        verdict, found = settle(operation, digest, versions, unclaimed)
        desk.out.settle_goal.pop(operation.id, None)
        desk.note(row.path, "settled", verdict.value, operation.id)
        if verdict is Settled.CONFLICT and found is not None:
            desk.move_operations([entry], Stage.DONE)
            return self._parking.conflicted(replace(row, remote=remote_side(digest)), operation, found)
        if verdict is Settled.NOT_APPLIED:
            # It may still be under way and arrive late; a conflict it opens then is known by this stage.
            desk.move_operations([entry], Stage.ABANDONED)
            return replace(row, remote=remote_side(digest))
        row = self.applied(row, entry)
        desk.move_operations([entry], Stage.DONE)
        return replace(row, remote=remote_side(digest))

    def _drained(self, entry: Entry) -> bool:
        return self._desk.out.drained >= self._desk.out.settle_goal.get(entry.operation.id, 0)

    def resendable(self, entry: Entry) -> bool:
        """Whether asking again by sending again is the exact way: the server answers the first outcome, and the
        bytes the id stands for are still there.
        """
        desk = self._desk
        if entry.stage is not Stage.UNSETTLED or not desk.setup.item_results or not self._drained(entry):
            return False
        if entry.operation.id in desk.out.batch:
            return False
        return entry.why is Why.RESOLVE or self._still_there(entry.operation)

    def _still_there(self, operation: Operation) -> bool:
        local = self._keeper.row(operation.path).local
        return local.hash == operation.hash and local.presence.value <= 1

    def plan(self) -> None:
        """Ask for the heads of what can be settled in no other way."""
        desk, out = self._desk, self._desk.out
        if not desk.may_call(Call.HEAD):
            return
        paths: dict[str, None] = {}
        for entry in desk.unanswered_entries(beside=out.flying):
            if len(out.asking) + len(paths) >= _ASK_AT_ONCE:
                break
            path = entry.operation.path
            if entry.stage is not Stage.UNSETTLED or not self._drained(entry):
                continue
            # What is put off takes no turn from the others.
            if not self.resendable(entry) and desk.may_ask(path):
                paths[path] = None
        desk.ask_disputes(self._keeper.rows(list(paths)).values())


def _joined(spans: list[Span]) -> list[Span]:
    """The same positions in as few spans as hold them, rising."""
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and joined[-1].last + 1 == span.first:
            joined[-1] = Span(joined[-1].first, span.last)
        else:
            joined.append(span)
    return joined
