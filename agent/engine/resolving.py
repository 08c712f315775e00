"""Carrying a person's decision out: on the server first, step by step as it shows itself, then in the folder."""

from __future__ import annotations

import hashlib

from msgspec.structs import replace

from agent.core.errors import Problem, ProblemKind
from agent.core.model import (
    Choice,
    Intent,
    Landed,
    Landing,
    Operation,
    Presence,
    Purpose,
    RemoteConflict,
    RemoteHead,
    Verb,
    side_of,
)
from agent.core.resolution import Close, Moved, Put, Settled, next_step
from agent.engine.desk import Desk
from agent.engine.effects import CloseConflict
from agent.engine.keeper import Keeper
from agent.engine.messages import Call, CloseAnswered, Resolve
from agent.engine.parking import Parking
from agent.engine.pulling import Pulling, seen_at
from agent.engine.stashing import Stashing
from agent.index.conflicts import Conflict, Origin, State
from agent.index.operations import Stage, Why
from agent.index.trees import Row

_SWAPPED = frozenset({Origin.SERVER_EDIT, Origin.OVERTAKEN_EDIT})
"""On the server the two sides of these are the other way round: its ``local`` is the head."""
_ASK_AT_ONCE = 20
_AGAIN = 10.0
"""Seconds before a step that cannot be taken now is tried again."""


class Resolving:
    """Works on every conflict whose decision is made."""

    def __init__(self, desk: Desk, keeper: Keeper, parking: Parking, pulling: Pulling, stashing: Stashing) -> None:
        self._desk = desk
        self._keeper = keeper
        self._parking = parking
        self._pulling = pulling
        self._stashing = stashing

    def on_resolve(self, message: Resolve) -> None:
        """A person decided. A decision on an older generation is refused: it was made on other texts."""
        desk = self._desk
        conflict = next((c for c in desk.parked.values() if c.id == message.conflict), None)
        if conflict is None or conflict.generation != message.generation:
            return
        wanted = self._wanted(conflict, message)
        if message.text is not None and wanted is not None:
            desk.index.conflicts.put_text(wanted, message.text)
        self._drop_unsent(conflict.path)
        conflict = replace(conflict, state=State.RESOLVING, choice=message.choice, wanted_hash=wanted, note=None)
        self._parking.save(conflict)
        desk.note(conflict.path, "resolving", message.choice.value)
        self._stash_loser(conflict)

    def _wanted(self, conflict: Conflict, message: Resolve) -> str | None:
        if message.choice is Choice.KEEP_LOCAL:
            return conflict.local_hash
        if message.choice is Choice.KEEP_RAVEN:
            return conflict.remote_hash
        return hashlib.sha256(message.text or b"").hexdigest()

    def _drop_unsent(self, path: str) -> None:
        """A stale push that was never sent would only open the conflict that is being resolved."""
        desk = self._desk
        for entry in list(desk.open_operations.get(path, ())):
            if entry.stage is Stage.STORED and entry.operation.id not in desk.out.batch:
                desk.index.operations.drop([entry.operation.id])
                desk.replace_entry(replace(entry, stage=Stage.DONE))

    def _stash_loser(self, conflict: Conflict) -> None:
        """The local loser goes to the trash with the install; the other side's text is put there now."""
        if conflict.remote_hash != conflict.wanted_hash:
            self._stashing.owe(conflict.path, conflict.remote_hash, "conflict")

    # The server's part

    def plan(self) -> None:
        """Ask the server where every resolution stands."""
        desk = self._desk
        if not desk.may_change or not desk.may_call(Call.HEAD):
            return
        paths = [
            conflict.path
            for conflict in desk.parked.values()
            if conflict.state is State.RESOLVING
            and conflict.id not in desk.out.closing
            and not desk.in_flight(conflict.path)
            and desk.may_ask(conflict.path)
        ]
        # Together, because the server lists all its conflicts or none.
        room = max(0, _ASK_AT_ONCE - len(desk.out.asking))
        desk.ask_disputes(self._keeper.rows(paths[:room]).values())

    def on_head(self, row: Row, head: RemoteHead | None, listed: tuple[RemoteConflict, ...]) -> None:
        """Take the next step of the resolution of this path."""
        desk = self._desk
        conflict = desk.parked.get(row.path)
        if conflict is None or conflict.state is not State.RESOLVING or desk.in_flight(row.path):
            return
        ours = self._ours(conflict, listed)
        late = head is not None and desk.index.conflicts.text(head.hash) is None
        self._keep_texts(conflict, head, ours)
        if late and head is not None and head.hash != conflict.wanted_hash:
            # Not at hand when it was decided against, so not put by then.
            self._stashing.owe(row.path, head.hash, "conflict")
        if conflict.origin is Origin.STALE_OWN:
            # Whatever the head is by now, it stays; only the conflict goes.
            conflict = replace(conflict, wanted_hash=head.hash if head else None, head_hash=head.hash if head else None)
        step = next_step(
            conflict.wanted_hash, conflict.head_hash, head.hash if head else None, ours,
            keeps_history=desk.setup.keeps_history,
            keeps_head=Choice.KEEP_LOCAL if conflict.origin in _SWAPPED else Choice.KEEP_RAVEN,
        )  # fmt: skip
        if isinstance(step, Moved):
            self._give_up(conflict, row, "the server's version changed; please look again")
        elif isinstance(step, Settled):
            self._finish(conflict, row)
        elif self._text(step) is None and self._needs_text(step):
            self._give_up(conflict, row, "the text to keep is nowhere at hand any more")
        elif isinstance(step, Put):
            self._put(row, step)
        elif desk.may_call(Call.CLOSE):
            desk.out.closing.add(conflict.id)
            expected = (head.hash if head else None) if desk.setup.expected_hash else None
            texts = () if desk.setup.keeps_history else self._texts_of(step.conflict)
            text = self._text(step)
            desk.emit(CloseConflict(conflict.id, step.conflict.id, step.choice, text, expected, row.path, texts))
        else:
            desk.out.deferred[row.path] = desk.now + _AGAIN

    def _give_up(self, conflict: Conflict, row: Row, note: str) -> None:
        """It cannot be carried out as decided. What nobody was shown is not shown now either."""
        if conflict.origin is Origin.STALE_OWN:
            self._parking.close(conflict, note)
        else:
            self._parking.reopen(conflict, row, note)

    def _ours(self, conflict: Conflict, listed: tuple[RemoteConflict, ...]) -> list[RemoteConflict]:
        """Open conflicts of this path that are ours to close; the ones with the decided text first."""
        desk = self._desk
        sent = {e.operation.hash for e in desk.entries_of(conflict.path)}
        ours = [
            c
            for c in listed
            if c.path == conflict.path
            and (
                c.id in conflict.server_ids
                or (c.id not in desk.foreign and not desk.setup.item_results and c.local_hash in sent)
            )
        ]
        wanted = conflict.wanted_hash
        return sorted(ours, key=lambda c: (wanted not in (c.local_hash, c.remote_hash), c.id))

    def _keep_texts(self, conflict: Conflict, head: RemoteHead | None, ours: list[RemoteConflict]) -> None:
        texts = self._desk.index.conflicts
        if head is not None:
            texts.put_text(head.hash, head.content)
        for found in ours:
            for digest, text in ((found.local_hash, found.local_text), (found.remote_hash, found.remote_text)):
                if digest is not None and text is not None:
                    texts.put_text(digest, text)

    def _texts_of(self, found: RemoteConflict) -> tuple[bytes, ...]:
        texts = (self._desk.index.conflicts.text(digest) for digest in (found.local_hash, found.remote_hash))
        return tuple(text for text in texts if text)

    def _needs_text(self, step: Close | Put) -> bool:
        return step.hash is not None if isinstance(step, Put) else step.text_hash is not None

    def _text(self, step: Close | Put) -> bytes | None:
        return self._desk.index.conflicts.text(step.hash if isinstance(step, Put) else step.text_hash)

    def _put(self, row: Row, step: Put) -> None:
        verb = Verb.DELETE if step.hash is None else Verb.UPSERT
        size = len(self._text(step) or b"")
        operation = Operation(self._desk.new_operation_id(), row.path, verb, step.hash, size, step.base)
        self._desk.add_operations([(operation, row)], Why.RESOLVE)

    def on_close_answered(self, message: CloseAnswered) -> None:
        """The server took a step, or somebody was faster: what it shows now decides the next one."""
        desk = self._desk
        desk.out.closing.discard(message.conflict)
        desk.channels.answered(Call.CLOSE)
        desk.request_drain()

    def on_close_failed(self, key: int, problem: Problem) -> None:
        """The server did not take a step. What it refuses for good is shown to the person again."""
        desk = self._desk
        desk.out.closing.discard(key)
        conflict = next((c for c in desk.parked.values() if c.id == key), None)
        if conflict is not None and problem.kind in (ProblemKind.BAD_REQUEST, ProblemKind.TOO_LARGE):
            self._give_up(conflict, self._keeper.row(conflict.path), problem.message)

    # The folder's part

    def _finish(self, conflict: Conflict, row: Row) -> None:
        """The server holds what was decided; now the folder."""
        wanted = conflict.wanted_hash
        if conflict.origin is Origin.STALE_OWN:
            # The folder is not touched: what was saved since is an edit like any other.
            self._parking.close(conflict, "closed quietly")
            return
        if row.local.presence is Presence.UNKNOWN:
            self._desk.out.deferred[row.path] = self._desk.now + _AGAIN
            return
        if row.local.hash == wanted:
            self._done(conflict, row)
            return
        text = self._desk.index.conflicts.text(wanted)
        if wanted is not None and text is None:
            self._parking.reopen(conflict, row, "the text to keep is nowhere at hand any more")
            return
        intent = Intent(self._desk.new_intent_id(), row.path, wanted, conflict.local_hash, Purpose.RESOLVE)
        self._pulling.carry([(intent, text or b"")])

    def landed(self, row: Row, intent: Intent, landed: Landed) -> Row:
        """What became of the folder's part."""
        conflict = self._desk.parked.get(row.path)
        row = seen_at(row, landed.seen)
        if landed.landing is Landing.DONE:
            self._desk.lift_problem(row.path, "pull")
            row = replace(row, base=side_of(intent.new))
            if conflict is not None:
                self._parking.close(conflict, f"resolved: {conflict.choice}")
        elif conflict is not None:
            # The base has not moved, so what the user wrote meanwhile still disagrees with the decided text.
            self._parking.reopen(conflict, row, landed.text or "the file changed while it was being resolved")
        return row

    def _done(self, conflict: Conflict, row: Row) -> None:
        self._keeper.change([replace(row, base=side_of(conflict.wanted_hash))])
        self._parking.close(conflict, f"resolved: {conflict.choice}")
