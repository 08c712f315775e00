"""Files whose delete a person undid: each comes back, also after a crash, or is reported as lost."""

from __future__ import annotations

import hashlib

from msgspec.structs import replace

from agent.core.model import ABSENT, Reason
from agent.core.undo import UndonePath, UndoStep, next_undo_step
from agent.engine.config import RunMode
from agent.engine.context import EngineContext
from agent.engine.downloads import Downloads
from agent.engine.effects import FetchDeletedTexts
from agent.engine.messages import OF_ONE_FILE, Call, CallFailed, DeletedTextFound
from agent.engine.path_store import PathStore
from agent.index.activity import ActivityKind
from agent.index.problems import PathProblem, ProblemOrigin
from agent.index.trees import PathRow

_AT_ONCE = 20
"""Texts fetched by one effect. They may be in memory together."""
_AGAIN = 60.0
"""Seconds until a file is tried again whose text could not be read."""
_LOST = "its delete was undone, but its text is neither in the trash nor in the server's history"


class UndoneDeletes:
    """Brings files back. Each stays in the index until the folder holds it, so no crash and no failure ends an undo."""

    def __init__(self, ctx: EngineContext, path_store: PathStore, downloads: Downloads) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._downloads = downloads
        self._to_fetch: set[str] = set()
        self._fetching: set[str] = set()
        """Paths of the effect in flight that were not answered yet."""
        self._busy: set[str] = set()
        """Paths whose work under way comes first; it may end without a change of the row."""
        ctx.undone_lost.update(p.path for ps in ctx.problems.values() for p in ps if p.origin is ProblemOrigin.UNDO)

    # Answers

    def on_text(self, message: DeletedTextFound) -> None:
        """Install a text that was found, and tell the person of one that is nowhere."""
        ctx, path = self._ctx, message.path
        self._end_fetch(path)
        ctx.retry_state.answered(Call.HISTORY)
        wanted, row = ctx.undone.get(path), self._path_store.row(path)
        if wanted is None or self._next(row, wanted) is not UndoStep.FETCH:
            # Something happened at the path since its text was asked for.
            return
        if message.content is None and message.trouble is None:
            self._lose(path)
        elif message.content is None or hashlib.sha256(message.content).hexdigest() != wanted:
            self._try_later(path, Reason.DISK, message.trouble or "the text that was found is another one")
        else:
            self._downloads.restore(row, message.content)

    def on_failed(self, message: CallFailed) -> None:
        """Ask again later. A file that fails alone is put behind the others."""
        for path in list(self._fetching):
            self._end_fetch(path)
        if isinstance(message.subject, str) and message.problem.kind in OF_ONE_FILE:
            self._try_later(message.subject, Reason.REFUSED, message.problem.message)

    def _end_fetch(self, path: str) -> None:
        self._fetching.discard(path)
        self._ctx.in_flight.end_restore(path)
        self._ctx.undone_moved.add(path)

    def _try_later(self, path: str, reason: Reason, text: str) -> None:
        ctx, again = self._ctx, self._ctx.now + _AGAIN
        ctx.in_flight.defer(path, again)
        ctx.set_problem(PathProblem(path, ProblemOrigin.UNDO, reason, f"not brought back yet: {text}", ctx.now, again))

    def _lose(self, path: str) -> None:
        ctx = self._ctx
        ctx.end_undo(path)
        ctx.undone_lost.add(path)
        ctx.set_problem(PathProblem(path, ProblemOrigin.UNDO, Reason.TEXT_LOST, _LOST, ctx.now))
        ctx.record_activity(path, ActivityKind.DELETES_UNDONE, f"not brought back: {_LOST}")

    # Work

    def plan(self) -> None:
        """Take the next step of each undone delete whose path moved, and ask for the next texts."""
        ctx = self._ctx
        ctx.undone_moved |= self._busy
        self._busy.clear()
        while ctx.undone_moved:
            moved, ctx.undone_moved = ctx.undone_moved, set()
            self._look(list(self._path_store.rows(sorted(moved)).values()))
        if self._to_fetch and not self._fetching and ctx.may_change and ctx.may_call(Call.HISTORY):
            self._fetch()

    def _look(self, rows: list[PathRow]) -> None:
        ctx, kept = self._ctx, []
        for row in rows:
            self._to_fetch.discard(row.path)
            wanted = ctx.undone.get(row.path)
            if wanted is None:
                if row.local.is_file:
                    self._end(row.path)
                continue
            match self._next(row, wanted):
                case UndoStep.KEEP:
                    kept.append(replace(row, base=ABSENT))
                case UndoStep.FETCH:
                    self._to_fetch.add(row.path)
                case UndoStep.WAIT if ctx.is_busy(row.path):
                    self._busy.add(row.path)
                case UndoStep.BACK if row.local.hash == wanted:
                    self._end(row.path)
                case UndoStep.BACK | UndoStep.GIVE_UP:
                    ctx.record_activity(row.path, ActivityKind.DELETES_UNDONE, "not brought back: superseded")
                    self._end(row.path)
        # Without a base, the file of the other side is new and comes back.
        self._path_store.change(kept)

    def _next(self, row: PathRow, wanted: str) -> UndoStep:
        ctx = self._ctx
        return next_undo_step(
            UndonePath(
                wanted,
                ctx.setup.mode,
                row.local,
                row.remote,
                row.step,
                busy=ctx.is_busy(row.path),
                parked=row.path in ctx.parked,
            )
        )

    def _end(self, path: str) -> None:
        ctx = self._ctx
        ctx.end_undo(path)
        ctx.undone_lost.discard(path)
        ctx.clear_problem(path, ProblemOrigin.UNDO)

    def _fetch(self) -> None:
        """Ask for the next texts that are due."""
        ctx = self._ctx
        chosen: list[tuple[str, str]] = []
        for path in sorted(self._to_fetch):
            due = ctx.retry_time(path)
            if due > ctx.now:
                if ctx.setup.run_mode is RunMode.DAEMON and due < float("inf"):
                    ctx.wake(due)
            elif not ctx.is_busy(path) and len(chosen) < _AT_ONCE:
                chosen.append((path, ctx.undone[path]))
        if chosen:
            self._fetching = {path for path, _ in chosen}
            self._to_fetch -= self._fetching
            ctx.in_flight.begin_restore(self._fetching)
            ctx.emit(FetchDeletedTexts(tuple(chosen)))
