"""From the trees to the server: which operations go into the next batch, and what its answer means."""

from __future__ import annotations

from agent.core.errors import ProblemKind
from agent.core.model import Operation, Outcome, Presence, Reason, Result, Verb
from agent.core.reconcile import Step
from agent.engine.desk import Desk
from agent.engine.effects import Parcel, Send
from agent.engine.holding import Holding
from agent.engine.keeper import Keeper
from agent.engine.messages import BatchAnswered, Call, Noticed
from agent.engine.observing import Observing
from agent.engine.settling import Settling
from agent.index.notes import PathProblem, ProblemOrigin
from agent.index.operations import Entry, Stage, Why
from agent.index.trees import Row

_REFUSED_AGAIN = 3600.0


class Pushing:
    """A few batches at a time; uploads before deletes, so that a rename never leaves a file without a copy."""

    def __init__(self, desk: Desk, keeper: Keeper, settling: Settling, holding: Holding, observing: Observing) -> None:
        self._desk = desk
        self._keeper = keeper
        self._settling = settling
        self._holding = holding
        self._observing = observing
        self._chosen: dict[Step, str] = {}
        """The path up to which the work of a step was chosen; what comes after it was not looked at yet."""

    # Answers

    def on_answer(self, message: BatchAnswered) -> None:
        """Take the outcomes of a batch in flight."""
        desk = self._desk
        batch = {i: desk.out.batch.pop(i) for i in desk.out.batches.pop(message.number, ())}
        # An echo in the feed may have been quicker than the answer; what it settled is not open any more.
        live = {i: self._live(entry) for i, entry in batch.items()}
        outcomes = {outcome.operation_id: outcome for outcome in message.outcomes}
        applied: list[tuple[Entry, int | None]] = []
        doubtful: list[Entry] = []
        for identifier, entry in live.items():
            if entry is None:
                continue
            outcome = outcomes.get(identifier) or Outcome(identifier, Result.UNCERTAIN)
            if outcome.result is Result.APPLIED:
                applied.append((entry, outcome.position))
            elif outcome.result is Result.UNCERTAIN or (outcome.result is Result.CONFLICT and outcome.conflict is None):
                doubtful.append(entry)
            else:
                self._take(entry, outcome)
        self._settling.acknowledge(applied)
        self._settling.doubt(doubtful)
        if message.problem is None:
            desk.channels.answered(Call.PUSH)
        elif message.problem.kind is ProblemKind.PAUSED:
            desk.set_standing(remote_paused=True)
        elif desk.may_call(Call.PUSH):
            # Another batch that failed in the same moment is the same failure.
            desk.channels.failed(Call.PUSH, message.problem, desk.now)

    def _live(self, entry: Entry) -> Entry | None:
        for other in self._desk.open_operations.get(entry.operation.path, ()):
            if other.operation.id == entry.operation.id and other.stage is not Stage.ACKED:
                return other
        return None

    def _take(self, entry: Entry, outcome: Outcome) -> None:
        desk = self._desk
        if outcome.result is Result.CONFLICT and outcome.conflict is not None:
            self._settling.conflict(entry, outcome.conflict)
        elif outcome.result in (Result.REJECTED, Result.TOO_LARGE):
            self._refuse(entry, outcome)
        elif outcome.result is Result.CHANGED:
            self._observing.on_noticed(Noticed(frozenset([entry.operation.path])))
            if entry.stage is Stage.STORED:
                desk.index.operations.drop([entry.operation.id])
                desk.replace_entry(Entry(entry.seq, entry.operation, entry.why, Stage.DONE, entry.created_at))
                desk.moved.add(entry.operation.path)

    def _refuse(self, entry: Entry, outcome: Outcome) -> None:
        """The server will not have this file: it is one skipped file, with the reason, until it changes."""
        desk = self._desk
        reason = Reason.TOO_LARGE if outcome.result is Result.TOO_LARGE else Reason.REFUSED
        row = self._keeper.row(entry.operation.path)
        text = outcome.detail or "the server refuses this file"
        self._settling.refused(entry, text)
        if outcome.limit is not None:
            desk.set_standing(max_bytes=outcome.limit)
        desk.set_problem(PathProblem(row.path, ProblemOrigin.PUSH, reason, text, desk.now))
        local = row.local
        if entry.operation.verb is Verb.DELETE:
            # There is no local file the refusal could be noted on: it is tried again in an hour, or when asked.
            desk.out.deferred[row.path] = desk.now + _REFUSED_AGAIN
        if local.hash == entry.operation.hash and local.is_file:
            local = type(local)(local.presence, local.hash, local.size, reason, local.rev)
        self._keeper.change([Row(row.path, row.base, local, row.fingerprint, row.remote, row.remote_id, row.position)])

    # Batches

    def plan(self) -> None:
        """Send the next batches, as far as there is anything to send and others are not in the way."""
        desk, out = self._desk, self._desk.out
        if not desk.may_change or not desk.may_call(Call.PUSH) or self._settling.read_first():
            return
        # A server that just failed is asked with one batch whether it is well again.
        together = desk.setup.ordered_feed and desk.channels.is_well(Call.PUSH)
        while len(out.batches) < (desk.setup.batches if together else 1):
            entries = self._choose()
            if not entries:
                return
            out.batch.update((entry.operation.id, entry) for entry in entries)
            out.batches[out.next_batch] = tuple(entry.operation.id for entry in entries)
            parcels = tuple(Parcel(entry.operation, self._given(entry)) for entry in entries)
            desk.emit(Send(out.next_batch, parcels))
            out.next_batch += 1

    def _given(self, entry: Entry) -> bytes | None:
        if entry.why is not Why.RESOLVE:
            return None
        return self._desk.index.conflicts.text(entry.operation.hash) or b""

    def _choose(self) -> list[Entry]:
        """What goes into one batch: what waits already, then new uploads, and only without any of these, deletes.

        Deletes come last so that a rename's upload is acknowledged before the old name goes.
        """
        waiting = self._waiting()[: self._desk.setup.batch_items]
        rows = self._ready(Step.PUSH, self._desk.setup.batch_items - len(waiting))
        if waiting or rows:
            return waiting + self._store(rows, Verb.UPSERT)
        if any(entry.operation.verb is Verb.UPSERT for entry in self._desk.out.batch.values()):
            return []
        deletes = self._ready(Step.PUSH_DELETE, self._desk.setup.batch_items)
        if deletes and self._new_names_to_come():
            return []
        self._holding.count(Step.PUSH_DELETE, deletes)
        return self._store(deletes, Verb.DELETE)

    def _new_names_to_come(self) -> bool:
        """Whether a file may still come up under a new name: it may be the one that a delete is due for. A renamed file
        is whole; one that changes while it is read is not waited for, it may never come to rest.
        """
        out = self._desk.out
        rows = self._keeper.rows(sorted((out.noticed.keys() | out.looking_at) - out.restless)).values()
        return out.looking or any(_may_be_new(row) for row in rows)

    def _waiting(self) -> list[Entry]:
        """Stored operations that are not on their way, oldest first, one for a path."""
        waiting = []
        for entry in self._desk.unanswered_entries(beside=self._desk.out.flying):
            if entry.stage is Stage.STORED or self._settling.resendable(entry):
                waiting.append(entry)
        return waiting

    def _ready(self, step: Step, room: int) -> list[Row]:
        """Rows of this step that may be sent now, as many as a batch has room for, in files and in bytes.

        They are taken in path order, going round: what is on its way is not gone through again for every batch.
        """
        behind = self._chosen.pop(step, "")
        chosen = self._ready_behind(step, room, behind) if room else []
        if not chosen and behind:
            chosen = self._ready_behind(step, room, "")
        if chosen:
            self._chosen[step] = chosen[-1].path
        return chosen

    def _ready_behind(self, step: Step, room: int, path: str) -> list[Row]:
        desk = self._desk
        chosen: list[Row] = []
        size = 0
        while rows := desk.index.trees.with_step(desk.source, step, after=path, limit=room):
            for row in rows:
                if not self._free(row.path) or (step is not Step.PUSH and not self._holding.allows(row)):
                    continue
                size += row.local.size or 0
                if chosen and size > desk.setup.batch_bytes:
                    return chosen
                chosen.append(row)
                if len(chosen) >= room:
                    return chosen
            path = rows[-1].path
        return chosen

    def _free(self, path: str) -> bool:
        desk = self._desk
        if desk.put_off_until(path) > desk.now:
            return False
        return path not in desk.parked and path not in desk.out.noticed and not desk.in_flight(path)

    def _store(self, rows: list[Row], verb: Verb) -> list[Entry]:
        desk = self._desk
        operations = []
        for row, identifier in zip(rows, desk.new_operation_ids(len(rows)), strict=True):
            digest, size = (row.local.hash, row.local.size or 0) if verb is Verb.UPSERT else (None, 0)
            operation = Operation(identifier, row.path, verb, digest, size, row.base.hash)
            operations.append((operation, row))
        self._keeper.read(rows)
        return desk.add_operations(operations, Why.PUSH)


def _may_be_new(row: Row) -> bool:
    """Whether nothing was agreed on for this path, and what stands there, if it is known at all, can be sent."""
    return row.base.presence is Presence.ABSENT and (
        row.local.presence is Presence.ABSENT or (row.local.is_file and row.local.reason is None)
    )
