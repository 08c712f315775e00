"""Carries a person's decision out: on the server first, one step after another, then in the folder."""

from __future__ import annotations

import hashlib

from msgspec.structs import replace

from agent.core.claim import to_close
from agent.core.conflict import HEAD_IS_LOCAL, SWAPPED, Conflict, ConflictOrigin, ConflictState
from agent.core.conflict_verdict import UserDecision
from agent.core.errors import Problem, ProblemKind
from agent.core.model import ApplyOutcome, ApplyResult, Intent, Mode, Presence, Purpose, Resolution, side_of
from agent.core.remote_records import Operation, RemoteConflict, RemoteHead, Verb
from agent.core.resolution import CloseOnServer, Done, HeadMoved, Push, next_step
from agent.core.supply import Inline, Staged, Supply
from agent.core.version import Version
from agent.engine.conflicts import ConflictTracker
from agent.engine.context import EngineContext
from agent.engine.downloads import Downloads, seen_at
from agent.engine.effects import CloseConflict, CloseConflicts
from agent.engine.large_downloads import LargeDownloads
from agent.engine.messages import Call, ConflictCloseAnswered, Resolve
from agent.engine.path_store import PathStore, installed
from agent.engine.server_conflicts import own_pushes
from agent.engine.trash_outbox import TrashOutbox
from agent.index.activity import ActivityKind
from agent.index.operations import OperationState, PushReason
from agent.index.problems import ProblemOrigin
from agent.index.trees import PathRow

_ROUND = 50
"""Conflicts carried out together. More lists of conflicts with fewer, more time between head and resolution with more.
"""
_ROUND_CHECKED = 200
"""The same where the server compares the head itself, so that the time in between does no harm."""
_ROUND_BYTES = 8 << 20
"""Bytes of the texts of a round, about: they are all in memory."""
_CLOSED_TOGETHER = 10
"""Conflicts closed by one thread, whose texts are made durable together."""
_RETRY_SECONDS = 10.0
"""Delay before a step that cannot be taken now is tried again."""
_REFUSED_SECONDS = 300.0
"""Delay before the server is asked again to close a conflict that was never shown."""
_NO_TEXT = "the text to keep cannot be found any more"


class Resolutions:
    """Works on each conflict that has a decision.

    Each step is derived again from what the server shows (``core/resolution.py``), so that a crash or a lost answer
    only means to ask again.
    """

    def __init__(
        self,
        ctx: EngineContext,
        path_store: PathStore,
        conflict_tracker: ConflictTracker,
        downloads: Downloads,
        trash_outbox: TrashOutbox,
        large: LargeDownloads,
    ) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._conflicts = conflict_tracker
        self._downloads = downloads
        self._trash_outbox = trash_outbox
        self._large = large
        self._asked: set[str] = set()
        """Paths of the round whose heads were asked for."""
        self._closed: dict[str, int] = {}
        """Path to the poll that reads the events of its resolution, which the server acknowledged."""
        self._to_emit: list[CloseConflict] = []
        self._installs: list[tuple[Conflict, Version | None, Supply]] = []
        """What the messages of this round or step asked for, to be carried out together."""

    def on_resolve(self, message: Resolve) -> None:
        """Take a person's decision. One that was made on an older generation is refused."""
        ctx = self._ctx
        conflict = self._parked(message.conflict)
        if conflict is None:
            return
        merged = None
        if message.choice is Resolution.MANUAL_MERGE:
            merged = hashlib.sha256(message.text or b"").hexdigest()
        if not self._conflicts.decide(conflict, UserDecision(message.generation, message.choice, merged)):
            return
        wanted = ctx.parked[conflict.path].wanted_hash
        if message.text is not None and wanted is not None:
            ctx.index.texts.put(wanted, message.text)
        self._drop_unsent(conflict.path)
        ctx.record_activity(conflict.path, ActivityKind.RESOLVING, message.choice.value)

    def _parked(self, identifier: int) -> Conflict | None:
        found = self._ctx.index.conflicts.get(identifier)
        parked = self._ctx.parked.get(found[1].path) if found is not None else None
        return parked if parked is not None and parked.id == identifier else None

    def _drop_unsent(self, path: str) -> None:
        """Drop a stale push that was not sent yet: it would open the conflict that is being resolved."""
        ctx = self._ctx
        for entry in list(ctx.open_operations.get(path, ())):
            if entry.state is OperationState.STORED and entry.operation.id not in ctx.in_flight.batch:
                ctx.index.operations.drop([entry.operation.id])
                ctx.replace_operation(replace(entry, state=OperationState.DONE))

    # The server's part

    def plan(self) -> None:
        """Ask the server for the head and the conflicts of each path with a decision, one round after another.

        The server lists all its conflicts or none, so a list for each of many decisions would be quadratic work.
        """
        ctx = self._ctx
        self._asked &= ctx.in_flight.asking.keys()
        if not self._asked:
            self._emit_closes()
        if ctx.may_change:
            self._finish_closed()
        self._install()
        if ctx.may_change and not self._asked and not ctx.in_flight.closing and ctx.may_call(Call.HEAD):
            self._begin_round()

    def _begin_round(self) -> None:
        ctx = self._ctx
        paths = [
            conflict.path
            for conflict in ctx.parked.values()
            if conflict.state is ConflictState.RESOLVING
            and conflict.path not in self._closed
            and not ctx.is_busy(conflict.path)
            and ctx.may_fetch_head(conflict.path)
        ]
        chosen: list[PathRow] = []
        size = 0
        most = _ROUND_CHECKED if ctx.setup.expected_hash else _ROUND
        waiting = {row.path for row in self._path_store.rows(paths).values() if self._large.awaits_decided(row)}
        for row in self._path_store.rows([path for path in paths if path not in waiting][:most]).values():
            size += (row.local.size or 0) + (row.remote.size or row.local.size or 0)
            if chosen and size > _ROUND_BYTES:
                break
            chosen.append(row)
        ctx.fetch_heads_and_conflicts(chosen)
        self._asked = {row.path for row in chosen}

    def _emit_closes(self) -> None:
        while self._to_emit:
            self._ctx.emit(CloseConflicts(tuple(self._to_emit[:_CLOSED_TOGETHER])))
            del self._to_emit[:_CLOSED_TOGETHER]

    def _finish_closed(self) -> None:
        """Change the folder where the server acknowledged a resolution and the feed shows its result.

        Where the feed does not show it, the head and the conflicts are asked for again.
        """
        ctx = self._ctx
        read = [path for path, poll in self._closed.items() if ctx.in_flight.drained >= poll]
        for path in read:
            del self._closed[path]
        for path, row in self._path_store.rows(read).items():
            conflict = ctx.parked.get(path)
            if conflict is None or conflict.state is not ConflictState.RESOLVING or ctx.is_busy(path):
                continue
            if not conflict.server_ids and row.remote.hash == conflict.wanted_hash:
                self._finish(conflict, row, row.remote.version)

    def on_head(self, row: PathRow, head: RemoteHead | None, listed: tuple[RemoteConflict, ...]) -> None:
        """Take the next step for this path."""
        ctx = self._ctx
        conflict = ctx.parked.get(row.path)
        if conflict is None or conflict.state is not ConflictState.RESOLVING or ctx.is_busy(row.path):
            return
        closing = self._to_close(conflict, listed)
        for found in closing:
            # The decision is not over before the server has closed each of them.
            self._conflicts.join(ctx.parked[row.path], found.id, found.local_version)
        conflict = ctx.parked[row.path]
        self._keep_texts(conflict, head, listed)
        digest = head.hash if head else None
        if conflict.origin is ConflictOrigin.STALE_OWN:
            # The head stays, whatever it is by now; only the conflict is closed.
            conflict = replace(conflict, wanted_hash=digest, head_hash=digest)
        step = next_step(
            conflict.wanted_hash, conflict.head_hash, digest, closing,
            keeps_history=ctx.setup.keeps_history,
            keeps_head=Resolution.KEEP_LOCAL if conflict.origin in SWAPPED else Resolution.KEEP_RAVEN,
            blind=ctx.setup.blind_resolve,
        )  # fmt: skip
        if isinstance(step, HeadMoved):
            self._refuse(conflict, row, "the server's version changed; please look again")
        elif isinstance(step, Done):
            self._finish(conflict, row, head.version if head else None)
        elif self._lacks_text(step, row) or self._cannot_follow(conflict, row, digest):
            self._refuse(conflict, row, _NO_TEXT)
        elif isinstance(step, Push) and not self._large.keep_replaced(row, head):
            # The server keeps no history: the head that was shown is in the trash before it is replaced.
            return
        elif isinstance(step, Push):
            self._push(conflict, row, step, head, listed)
        elif ctx.may_call(Call.CLOSE):
            self._close(conflict, step, digest)
        else:
            ctx.in_flight.defer(row.path, ctx.now + _RETRY_SECONDS)

    def _close(self, conflict: Conflict, step: CloseOnServer, head: str | None) -> None:
        ctx = self._ctx
        self._keep_unseen(conflict, (step.conflict,), head)
        ctx.in_flight.closing.add(conflict.id)
        expected = head if ctx.setup.expected_hash else None
        texts = () if ctx.setup.keeps_history else self._texts_of(step.conflict)
        self._to_emit.append(
            CloseConflict(conflict.id, step.conflict.id, step.choice, self._text(step), expected, conflict.path, texts)
        )

    def _refuse(self, conflict: Conflict, row: PathRow, reason: str) -> None:
        """Withdraw a decision that cannot be carried out."""
        if conflict.origin is ConflictOrigin.STALE_OWN:
            # No person was shown it, so it is not shown now either. It stays ours and is tried again later.
            self._ctx.in_flight.defer(row.path, self._ctx.now + _REFUSED_SECONDS)
        else:
            self._conflicts.refuse(conflict, row, reason)

    def _to_close(self, conflict: Conflict, listed: tuple[RemoteConflict, ...]) -> list[RemoteConflict]:
        ctx = self._ctx
        others = [*ctx.foreign, *(i for c in ctx.waiting.get(conflict.path, ()) for i in c.server_ids)]
        return to_close(conflict, listed, own_pushes(ctx.operations_of(conflict.path)), others)

    def _keep_texts(self, conflict: Conflict, head: RemoteHead | None, listed: tuple[RemoteConflict, ...]) -> None:
        texts = self._ctx.index.texts
        if head is not None:
            unseen = head.hash != conflict.wanted_hash and not texts.has(head.hash)
            if head.content is not None:
                texts.put(head.hash, head.content)
            if unseen:
                # The text was not in the index when the person decided, so it was not put into the trash then.
                self._trash_outbox.enqueue(conflict.path, head.hash, "conflict")
        for found in listed:
            if found.path != conflict.path:
                continue
            for digest, text in ((found.local_hash, found.local_text), (found.remote_hash, found.remote_text)):
                if digest is not None and text is not None:
                    texts.put(digest, text)

    def _keep_unseen(self, conflict: Conflict, closed: tuple[RemoteConflict, ...], head: str | None) -> None:
        """Put texts into the trash that vanish with these conflicts and that the person was not shown."""
        if conflict.origin is ConflictOrigin.STALE_OWN:
            return
        shown = {conflict.wanted_hash, conflict.local_hash, conflict.remote_hash, conflict.base_hash, head}
        for digest in {d for found in closed for d in (found.local_hash, found.remote_hash)} - shown:
            self._trash_outbox.enqueue(conflict.path, digest, "conflict")

    def _texts_of(self, found: RemoteConflict) -> tuple[bytes, ...]:
        texts = (self._ctx.index.texts.get(digest) for digest in (found.local_hash, found.remote_hash))
        return tuple(text for text in texts if text)

    def _lacks_text(self, step: CloseOnServer | Push, row: PathRow) -> bool:
        needed = step.hash if isinstance(step, Push) else step.text_hash
        return needed is not None and self._text(step) is None and not self._is_in_folder(step, row)

    def _cannot_follow(self, conflict: Conflict, row: PathRow, head: str | None) -> bool:
        """Return True if the push behind a close will lack its text: no excluded file is read in the folder.

        The conflict stays on the server then. Closed there, it would be over with the head that was not chosen.
        """
        wanted = conflict.wanted_hash
        if not self._ctx.setup.blind_resolve or row.local.presence is not Presence.OUT_OF_SCOPE:
            return False
        return wanted is not None and wanted != head and not self._ctx.index.texts.has(wanted)

    def _is_in_folder(self, step: CloseOnServer | Push, row: PathRow) -> bool:
        """Return True if the step pushes a large text that the folder holds: it is read there."""
        is_large = row.local.is_file and self._ctx.setup.is_large(row.local.size or 0)
        return isinstance(step, Push) and is_large and row.local.hash == step.hash

    def _text(self, step: CloseOnServer | Push) -> bytes | None:
        return self._ctx.index.texts.get(step.hash if isinstance(step, Push) else step.text_hash)

    def _push(
        self,
        conflict: Conflict,
        row: PathRow,
        step: Push,
        head: RemoteHead | None,
        listed: tuple[RemoteConflict, ...],
    ) -> None:
        if step.hash is None and not self._ctx.setup.keeps_history:
            # A delete closes all conflicts of the path there, other machines' and refused server edits included.
            here = tuple(found for found in listed if found.path == row.path)
            self._keep_unseen(conflict, here, step.base)
        verb = Verb.DELETE if step.hash is None else Verb.UPSERT
        text = self._text(step)
        size = (row.local.size or 0) if text is None and self._is_in_folder(step, row) else len(text or b"")
        rev, remote_id = (head.rev, head.remote_id) if head else (None, None)
        [identifier] = self._ctx.new_operation_ids(1)
        operation = Operation(identifier, row.path, verb, step.hash, size, step.base, rev, remote_id)
        self._ctx.add_operations([(operation, row)], PushReason.RESOLVE)

    def on_close_answered(self, message: ConflictCloseAnswered) -> None:
        """Look at the server again: it took a step, or another machine was faster. That decides the next step."""
        ctx = self._ctx
        conflict = self._parked(message.conflict)
        if conflict is not None and message.stale:
            # A server that refuses every try must not be asked without a pause.
            ctx.in_flight.defer(conflict.path, ctx.now + _RETRY_SECONDS)
        elif conflict is not None:
            self._closed[conflict.path] = ctx.in_flight.next_poll
        ctx.retry_state.answered(Call.CLOSE)
        self._end_close(message.conflict)

    def on_close_failed(self, key: int, problem: Problem) -> None:
        """Try again later, or show the conflict again if the server refuses the step for good."""
        self._end_close(key)
        conflict = self._parked(key)
        if conflict is not None and problem.kind in (ProblemKind.BAD_REQUEST, ProblemKind.TOO_LARGE):
            self._refuse(conflict, self._path_store.row(conflict.path), problem.message)

    def _end_close(self, key: int) -> None:
        """Read the feed at the end of a round: one poll shows the results of all its resolutions."""
        ctx = self._ctx
        ctx.in_flight.closing.discard(key)
        if not ctx.in_flight.closing:
            goal = ctx.request_drain()
            self._closed = dict.fromkeys(self._closed, goal)

    # The folder's part

    def _finish(self, conflict: Conflict, row: PathRow, held: Version | None) -> None:
        """Change the folder: the server holds what was decided, the version ``held``."""
        wanted = conflict.wanted_hash
        if conflict.origin is ConflictOrigin.STALE_OWN:
            # The folder is not touched: what was saved since is an edit like any other.
            self._conflicts.close(conflict, "closed quietly")
            return
        if row.local.presence is Presence.OUT_OF_SCOPE:
            # The rules exclude the file, so the folder keeps it as it is.
            self._conflicts.close(conflict, f"resolved: {conflict.choice}")
            return
        if self._only_sends(conflict) and row.local.hash not in (wanted, conflict.local_hash):
            # The conflict showed a head that the folder never receives, so the folder keeps its own text.
            self._conflicts.close(conflict, f"resolved: {conflict.choice}")
            return
        if row.local.presence is Presence.UNKNOWN and conflict.origin in HEAD_IS_LOCAL:
            # Two versions of the server were compared. What the folder holds is compared with the head once it is read.
            self._conflicts.close(conflict, f"resolved: {conflict.choice}")
            return
        if row.local.presence is Presence.UNKNOWN:
            self._ctx.in_flight.defer(row.path, self._ctx.now + _RETRY_SECONDS)
            return
        kept = conflict.local_hash == wanted and conflict.origin not in HEAD_IS_LOCAL
        if row.local.hash == wanted or kept:
            # Where the folder's own text was kept, what it holds by now was made of it and is an edit like any other.
            self._path_store.change([replace(row, base=side_of(held))])
            self._conflicts.close(conflict, f"resolved: {conflict.choice}")
            return
        text = self._ctx.index.texts.get(wanted)
        if wanted is None or text is not None:
            self._installs.append((conflict, held, Inline(text or b"")))
        elif row.remote.hash != wanted or row.remote.size is None or self._ctx.setup.inline_limit is None:
            self._conflicts.refuse(conflict, row, _NO_TEXT)
        else:
            # The head is asked for once more when the text has arrived: it may have moved meanwhile.
            found = self._large.fetch_decided(row)
            if found is not None:
                self._installs.append((conflict, held, Staged(found.id)))

    def _install(self) -> None:
        """Change the folder for all conflicts of this step as one group."""
        if not self._installs:
            return
        ids = self._ctx.new_intent_ids()
        made, self._installs = self._installs, []
        self._downloads.carry([(_install_of(next(ids), conflict, held), supply) for conflict, held, supply in made])

    def _only_sends(self, conflict: Conflict) -> bool:
        return conflict.origin in HEAD_IS_LOCAL and self._ctx.setup.mode is not Mode.BIDIRECTIONAL

    def landed(self, row: PathRow, intent: Intent, landed: ApplyResult) -> PathRow:
        """Record the outcome of the folder's change; return the row afterwards."""
        conflict = self._ctx.parked.get(row.path)
        self._large.on_landed(intent, landed)
        row = seen_at(row, landed.seen)
        if landed.landing is ApplyOutcome.DONE:
            self._ctx.clear_problem(row.path, ProblemOrigin.PULL)
            row = installed(row, intent)
            if conflict is not None:
                self._conflicts.close(conflict, f"resolved: {conflict.choice}")
        elif conflict is not None:
            # The base has not moved, so what the person wrote meanwhile still disagrees with the decided text.
            self._conflicts.refuse(conflict, row, landed.text or "the file changed while it was being resolved")
        return row


def _install_of(identifier: str, conflict: Conflict, held: Version | None) -> Intent:
    """Return the change that installs the decided text, which the server holds as this version."""
    rev, remote_id = (held.rev, held.remote_id) if held else (None, None)
    return Intent(
        identifier, conflict.path, conflict.wanted_hash, conflict.local_hash, Purpose.RESOLVE, None, rev, remote_id
    )
