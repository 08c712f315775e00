"""The only writer of path rows. The step of a row is derived here with every change of its sides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from msgspec.structs import replace

from agent.core.model import ABSENT, Intent, Observation, Presence, side_of
from agent.core.reconcile import Step, reconcile
from agent.core.remote_records import Operation
from agent.core.version import Version
from agent.engine.context import EngineContext
from agent.index.problems import ProblemOrigin
from agent.index.trees import PathRow

WAITING = (Step.PULL, Step.PULL_DELETE, Step.UNKNOWN)
"""Steps of paths that may wait for a change of the folder."""
DELETES = (Step.PUSH_DELETE, Step.PULL_DELETE)
_NOTHING_THERE = (Presence.ABSENT, Presence.OUT_OF_SCOPE)


class PathStore:
    """Reads rows, and writes them with their step."""

    def __init__(self, ctx: EngineContext) -> None:
        self._ctx = ctx
        self._cache: dict[str, PathRow] = {}
        """Cache of rows. It equals the index, because only this class writes rows."""
        self._unused: set[Step] = set()
        """Steps that no row has, so that a step of the engine at rest reads no row."""

    def rows(self, paths: Sequence[str]) -> dict[str, PathRow]:
        """Return the rows of these paths."""
        cache = self._cache
        unread = [path for path in paths if path not in cache]
        if unread:
            cache.update(self._ctx.index.trees.get(self._ctx.source, unread))
        return {path: cache[path] for path in paths}

    def read(self, rows: Iterable[PathRow]) -> None:
        """Add rows to the cache that were read in another way."""
        self._cache.update((row.path, row) for row in rows)

    def clear_cache(self) -> None:
        """End a step: keep only rows with an operation or a change in flight; they are read again soon."""
        cache, ctx = self._cache, self._ctx
        self._cache = {path: cache[path] for path in chain(ctx.unanswered, ctx.in_flight.applying) if path in cache}

    def row(self, path: str) -> PathRow:
        """Return the row of one path."""
        return self.rows([path])[path]

    def with_step(self, *steps: Step, after: str = "", limit: int = -1) -> list[PathRow]:
        """Return the first ``limit`` rows behind a path that have one of these steps; by default all."""
        wanted = [step for step in steps if step not in self._unused]
        if not wanted:
            return []
        rows = self._ctx.index.trees.with_step(self._ctx.source, *wanted, after=after, limit=limit)
        if not rows and not after and limit:
            self._unused.update(wanted)
        return rows

    def count(self, step: Step) -> int:
        """Return the number of rows with a step."""
        if step in self._unused:
            return 0
        found = self._ctx.index.trees.count(self._ctx.source, step)
        if not found:
            self._unused.add(step)
        return found

    def change(self, rows: Iterable[PathRow]) -> None:
        """Write rows whose sides changed: derive steps, adopt or drop bases, have conflicts updated."""
        ctx = self._ctx
        before = list(rows)
        decided = [self._decide(row) for row in before]
        ctx.index.trees.put(ctx.source, decided)
        self._unused.difference_update([row.step for row in decided])
        previous = map(self._cache.get, (row.path for row in decided))
        ctx.traffic.recount((None if old is None else old.local for old in previous), (row.local for row in decided))
        # The index keeps no empty row.
        self._cache.update((row.path, PathRow(row.path) if row.is_empty else row) for row in decided)
        for old, new in zip(before, decided, strict=True):
            if old.step in WAITING and new.step not in WAITING:
                # The change of the folder is not wanted any more, so its problem is over.
                ctx.clear_problem(new.path, ProblemOrigin.PULL)
                ctx.in_flight.clear_deferral(new.path)
            if new.step in DELETES and old.step not in DELETES:
                ctx.in_flight.delete_due(ctx.now)
            if new.step not in DELETES:
                # An approval covers one delete. If the file came back, a later delete of it is asked about again.
                ctx.drop_approval(new.path)
        parked, waiting = ctx.parked, ctx.waiting
        ctx.moved.update(r.path for r in decided if r.step is Step.PARK or r.path in parked or r.path in waiting)
        ctx.changes += len(decided)
        if ctx.setup.inline_limit is not None:
            ctx.in_flight.large.record(decided, ctx.setup.inline_limit)
        if ctx.setup.moves:
            ctx.moves.record_rows(decided)
        if decided:
            ctx.rows_written([row.path for row in decided])

    def knows_none(self, paths: Sequence[str]) -> bool:
        """True if no row exists for these paths nor for any path between them."""
        first, last = min(paths), max(paths)
        return not self._cache.keys() & paths and not self._ctx.index.trees.any_within(self._ctx.source, first, last)

    def begin(self, found: Sequence[Observation]) -> None:
        """Write observations of paths without a row; as ``change``, for many at once."""
        ctx, mode = self._ctx, self._ctx.setup.mode
        # Base and remote are absent, so the step depends on the category of the local side only.
        sides = {seen.side.category: seen.side for seen in found}
        steps = {key: reconcile(ABSENT, side, ABSENT, mode).step for key, side in sides.items()}
        nothing = {key for key in sides if key[0] in _NOTHING_THERE}
        # A path without a file on any side needs no row.
        there = [seen for seen in found if seen.side.category not in nothing] if nothing else found
        ctx.index.trees.add(ctx.source, there, steps)
        self._unused.difference_update(steps.values())
        ctx.traffic.recount((ABSENT for _ in there), (seen.side for seen in there))
        conflicted = ctx.parked.keys() | ctx.waiting.keys()
        ctx.moved.update(conflicted & {seen.path for seen in found} if conflicted else ())
        ctx.changes += len(found)
        if ctx.setup.inline_limit is not None:
            rows = (PathRow(seen.path, local=seen.side, step=steps[seen.side.category]) for seen in there)
            ctx.in_flight.large.record(rows, ctx.setup.inline_limit)
        ctx.moves.must_seek = True
        if found:
            ctx.rows_written([seen.path for seen in found])

    def _decide(self, row: PathRow) -> PathRow:
        remote = row.remote
        if remote.is_file and remote.size is None:
            # Not every statement of a version names its size. Equal hashes have equal sizes.
            before = self._cache.get(row.path)
            known = (row.local, row.base, *((before.remote,) if before else ()))
            size = next((side.size for side in known if side.size is not None and side.same_content(remote)), None)
            row = replace(row, remote=replace(remote, size=size)) if size is not None else row
        decision = reconcile(row.base, row.local, row.remote, self._ctx.setup.mode)
        base = decision.base
        if base.is_file and base.size is None and row.local.same_content(base):
            base = replace(base, size=row.local.size)
        return replace(row, base=base, step=decision.step)

    def forget_agreements(self) -> None:
        """Drop the base and remote side of every row, as at a new link; local files stay as they are."""
        rows = list(self._ctx.index.trees.all(self._ctx.source))
        self.change(PathRow(row.path, ABSENT, row.local, row.fingerprint) for row in rows)

    def restart_positions(self) -> None:
        """Forget the position of the newest event of every row; its sides stay. The feed is read from its beginning."""
        self._ctx.index.trees.restart_positions(self._ctx.source)
        self._cache.clear()

    def rederive(self) -> None:
        """Derive the step of every row again, because the mode changed."""
        self.change(list(self._ctx.index.trees.all(self._ctx.source)))


def agreed(row: PathRow, version: Version | None) -> PathRow:
    """Return the row after the server took ``version`` from us on the right base; None is "no file"."""
    side = side_of(version)
    return replace(row, base=side, remote=side)


def left(row: PathRow, operation: Operation) -> PathRow:
    """Return the row of a move's old path after the server carried it out. Another file that came there stays."""
    if row.base.remote_id == operation.remote_id:
        row = replace(row, base=ABSENT)
    return replace(row, remote=ABSENT) if row.remote.remote_id == operation.remote_id else row


def installed(row: PathRow, intent: Intent) -> PathRow:
    """Return the row after this change of the folder was made: what the folder received is the base."""
    # A remote side with the same content has the newest revision of it.
    return replace(row, base=row.remote if row.remote.hash == intent.new else side_of(intent.version))


def may_be_new(row: PathRow) -> bool:
    """Return True if the path has no base, and its local file, if known, can be sent."""
    return row.base.presence is Presence.ABSENT and (
        row.local.presence is Presence.ABSENT or (row.local.is_file and row.local.reason is None)
    )
