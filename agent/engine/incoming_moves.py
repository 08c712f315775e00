"""Moves on the server, made in the folder: one rename, so that the file keeps its inode and its unsent edit.

Only a file with the same id on the server counts as moved. A doubtful one is pulled to its new path and removed from
its old one, as with every other server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from msgspec.structs import replace

from agent.core.model import ABSENT, ApplyOutcome, ApplyResult, Intent, Presence, Purpose, Side, side_of
from agent.core.moves import FileAt, Moved, PairEvidence, order_moves, pair
from agent.core.paths import collision_key
from agent.core.reconcile import Step
from agent.core.supply import FromFolder, Supply
from agent.engine.config import RunMode
from agent.engine.context import EngineContext
from agent.engine.move_state import FailedMove, is_come, is_gone
from agent.engine.path_store import PathStore
from agent.index.trees import PathRow

Jobs = list[tuple[Intent, Supply]]


class IncomingMoves:
    """Finds the moves that the folder has to follow, and takes their outcomes."""

    def __init__(self, ctx: EngineContext, path_store: PathStore) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._renames: tuple[Moved, ...] = ()
        self._awaited: set[str] = set()
        """Both paths of every move that is due."""
        self._copies: dict[str, str] = {}
        """New paths whose bytes are copied from another path of the folder, because the move failed."""

    def reload(self) -> None:
        """Read the halves of moves from the index: the process began, or the server's features became known."""
        ctx = self._ctx
        ctx.moves.clear_rows()
        if ctx.setup.moves:
            ctx.moves.record_rows(self._path_store.with_step(Step.PULL, Step.PULL_DELETE, Step.PARK))

    def awaits(self, path: str) -> bool:
        """Return True if a move concerns this path: nothing else is done there until it was tried."""
        return path in self._awaited

    def refresh(self) -> None:
        """Find the moves that are due now. Called before anything acts on a path, and after rows were written."""
        ctx = self._ctx
        before = self._awaited
        self._renames, self._awaited = (), set()
        paths = ctx.moves.halves() if ctx.setup.run_mode is not RunMode.DRY_RUN else set()
        if paths:
            self._find(self._path_store.rows(sorted(paths)))
        for new, old in list(self._copies.items()):
            if self._can_copy(*self._path_store.rows([old, new]).values()):
                # The old file is removed after its bytes were copied.
                self._awaited.update((new, old))
            else:
                del self._copies[new]
        # A disagreement at the old path was not shown while the move was due.
        ctx.moved.update(before - self._awaited)

    def _find(self, rows: Mapping[str, PathRow]) -> None:
        gone = [FileAt(row.path, None, row.base.remote_id) for row in rows.values() if is_gone(row)]
        come = [FileAt(row.path, None, row.remote.remote_id) for row in rows.values() if is_come(row)]
        moves = [
            move
            for move in pair(gone, come)
            if move.evidence is PairEvidence.IDENTITY and self._is_plain(rows[move.old], rows[move.new])
        ]
        olds = {move.old for move in moves}
        in_use = [
            move.new for move in moves if rows[move.new].local.presence is not Presence.ABSENT and move.new not in olds
        ]
        order = order_moves(moves, in_use)
        self._renames = order.renames
        self._awaited = {path for move in order.renames for path in (move.old, move.new)}
        for move in order.copies:
            self._give_up(rows[move.old], rows[move.new])

    def _is_plain(self, old: PathRow, new: PathRow) -> bool:
        """Return True if the server only moved the file, and no person decides about one of its paths."""
        ctx = self._ctx
        failed = FailedMove(old.path, new.path, old.local.hash or "") in ctx.moves.failed
        decided = old.path in ctx.parked or new.path in ctx.parked or old.path in ctx.undone
        only_case = collision_key(old.path) == collision_key(new.path)
        return new.remote.hash == old.base.hash and not failed and not decided and not only_case

    def _give_up(self, old: PathRow, new: PathRow) -> None:
        """Let the file travel as two changes; its bytes come from the folder if they are still there."""
        self._ctx.moves.failed.add(FailedMove(old.path, new.path, old.local.hash or ""))
        self._ctx.moved.add(old.path)
        if self._can_copy(old, new):
            self._copies[new.path] = old.path

    def _can_copy(self, old: PathRow, new: PathRow) -> bool:
        wanted = new.step is Step.PULL and new.path not in self._ctx.parked
        return wanted and old.local.is_file and old.local.hash == new.remote.hash

    # Work

    def jobs(self, ids: Iterator[str], room: int, is_free: Callable[[PathRow], bool]) -> Jobs:
        """Return the changes of the folder that can be made now.

        Args:
            ids: ids for them.
            room: the most to return.
            is_free: returns True if nothing else is done at a path.
        """
        unseen = self._ctx.in_flight.changed_paths.keys() | self._ctx.in_flight.scanning_paths
        jobs: Jobs = []
        for move in self._renames[: max(room, 0)]:
            rows = self._path_store.rows([move.old, move.new])
            old, new = rows[move.old], rows[move.new]
            target_free = new.local.presence is Presence.ABSENT and not new.base.is_file
            if target_free and old.path not in unseen and is_free(old) and is_free(new):
                jobs.append((_intent(next(ids), new, old.local.hash, None, old.path), FromFolder(old.path)))
        for path in list(self._copies)[: max(room - len(jobs), 0)]:
            rows = self._path_store.rows([self._copies[path], path])
            old, new = rows[self._copies[path]], rows[path]
            if is_free(new) and not self._ctx.is_busy(old.path) and old.path not in unseen:
                # Tried once: if the file changed meanwhile, its bytes come from the server.
                del self._copies[path]
                jobs.append((_intent(next(ids), new, new.remote.hash, new.local.hash, None), FromFolder(old.path)))
        return jobs

    # Outcomes

    def landed(self, rows: dict[str, PathRow], intent: Intent, landed: ApplyResult, *, detached: bool) -> None:
        """Take the outcome of a move into the rows of its two paths.

        Args:
            rows: the rows by path; both are replaced.
            intent: the move.
            landed: its outcome.
            detached: the bases were dropped after the move began.
        """
        ctx, origin = self._ctx, intent.origin
        assert origin is not None
        old, new = rows[origin], rows[intent.path]
        if landed.seen is not None:
            new = replace(new, local=landed.seen.side, fingerprint=landed.seen.fingerprint)
        if landed.landing is ApplyOutcome.DONE:
            new = replace(new, base=ABSENT if detached else _base(intent, old, new))
            old = replace(old, base=ABSENT, local=ABSENT, fingerprint=None)
            ctx.drop_approval(origin)
        else:
            self._give_up(old, new)
        rows[origin], rows[intent.path] = old, new
        # The result does not say what the user has put at the old path since.
        ctx.in_flight.path_changed(origin, ctx.now)


def _intent(identifier: str, new: PathRow, digest: str | None, expected: str | None, origin: str | None) -> Intent:
    remote = new.remote
    return Intent(identifier, new.path, digest, expected, Purpose.PULL, origin, remote.rev, remote.remote_id)


def _base(intent: Intent, old: PathRow, new: PathRow) -> Side:
    """Return the base of a moved file: the version that the server moved, which the folder may hold with an edit."""
    if old.base.hash is None:
        return ABSENT
    if new.remote.same_content(old.base):
        # A remote side with the same content has the newest revision of it.
        return new.remote
    version = old.base.version
    assert version is not None
    return side_of(replace(version, rev=intent.rev, remote_id=intent.remote_id))
