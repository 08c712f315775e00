"""The one place where a side of a path changes: the work it asks for is derived here, in the same breath."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from msgspec.structs import replace

from agent.core.model import ABSENT, Observation, Presence, Side, file_side
from agent.core.reconcile import Step, reconcile
from agent.engine.context import EngineContext
from agent.index.problems import ProblemOrigin
from agent.index.trees import PathRow

WAITING = (Step.PULL, Step.PULL_DELETE, Step.UNKNOWN)
"""A path with such a step may have a change of the folder outstanding."""


_NOTHING_THERE = (Presence.ABSENT, Presence.OUT_OF_SCOPE)


class PathStore:
    """Reads rows, and writes them with their step."""

    def __init__(self, ctx: EngineContext) -> None:
        self._ctx = ctx
        self._held: dict[str, PathRow] = {}
        """Rows as the index holds them: nobody else writes to it, so what was read or written here still stands there.
        """

    def rows(self, paths: Sequence[str]) -> dict[str, PathRow]:
        """The trees of these paths."""
        held = self._held
        unread = [path for path in paths if path not in held]
        if unread:
            held.update(self._ctx.index.trees.get(self._ctx.source, unread))
        return {path: held[path] for path in paths}

    def read(self, rows: Iterable[PathRow]) -> None:
        """These were read just now in another way."""
        self._held.update((row.path, row) for row in rows)

    def clear_cache(self) -> None:
        """The step is over: only what has an operation or a change of the folder under way will be asked for again
        soon.
        """
        held, ctx = self._held, self._ctx
        self._held = {path: held[path] for path in chain(ctx.unanswered, ctx.in_flight.applying) if path in held}

    def row(self, path: str) -> PathRow:
        """The trees of one path."""
        return self.rows([path])[path]

    def change(self, rows: Iterable[PathRow]) -> None:
        """Write rows whose sides changed: steps derived, bases adopted or dropped, parked paths told."""
        ctx = self._ctx
        before = list(rows)
        decided = [self._decide(row) for row in before]
        ctx.index.trees.put(ctx.source, decided)
        stood = map(self._held.get, (row.path for row in decided))
        ctx.recount((None if old is None else old.local for old in stood), (row.local for row in decided))
        # The index keeps no row that says nothing.
        self._held.update((row.path, PathRow(row.path) if row.is_empty else row) for row in decided)
        for old, new in zip(before, decided, strict=True):
            if old.step in WAITING and new.step not in WAITING:
                # What stood in the way of a change that is not wanted any more is no trouble any more.
                ctx.clear_problem(new.path, ProblemOrigin.PULL)
                ctx.in_flight.retry_at.pop(new.path, None)
        ctx.moved.update(row.path for row in decided if row.step is Step.PARK or row.path in ctx.parked)
        ctx.in_flight.unclassified.update(row.path for row in decided if row.path in ctx.in_flight.contents)
        ctx.changes += len(decided)
        ctx.in_flight.changed_since_rest |= bool(decided)

    def knows_none(self, paths: Sequence[str]) -> bool:
        """Whether nothing is known of these paths, nor of any between them; False where that is not sure."""
        first, last = min(paths), max(paths)
        return not self._held.keys() & paths and not self._ctx.index.trees.any_within(self._ctx.source, first, last)

    def begin(self, found: Sequence[Observation]) -> None:
        """Write what was seen at paths that nothing is known of: as ``change``, for many at once."""
        ctx, mode = self._ctx, self._ctx.setup.mode
        # Beside two sides that hold nothing the work does not follow from what the bytes are.
        sides = {seen.side.category: seen.side for seen in found}
        steps = {sort: reconcile(ABSENT, side, ABSENT, mode).step for sort, side in sides.items()}
        nothing = {sort for sort in sides if sort[0] in _NOTHING_THERE}
        # A path that holds nothing, and never did, has no row.
        there = [seen for seen in found if seen.side.category not in nothing] if nothing else found
        ctx.index.trees.add(ctx.source, there, steps)
        ctx.recount((ABSENT for _ in there), (seen.side for seen in there))
        ctx.moved.update(ctx.parked.keys() & {seen.path for seen in found} if ctx.parked else ())
        ctx.in_flight.unclassified.update(
            ctx.in_flight.contents.keys() & {seen.path for seen in found} if ctx.in_flight.contents else ()
        )
        ctx.changes += len(found)
        ctx.in_flight.changed_since_rest |= bool(found)

    def _decide(self, row: PathRow) -> PathRow:
        decision = reconcile(row.base, row.local, row.remote, self._ctx.setup.mode)
        base = decision.base
        if base.is_file and base.size is None and row.local.same_content(base):
            base = replace(base, size=row.local.size)
        return replace(row, base=base, step=decision.step)

    def forget_agreements(self) -> None:
        """Forget what both sides agreed on and what the server was told to hold: what is here stays as it is."""
        rows = list(self._ctx.index.trees.all(self._ctx.source))
        self.change(PathRow(row.path, ABSENT, row.local, row.fingerprint) for row in rows)

    def rederive(self) -> None:
        """Derive every row's step again: the mode changed."""
        self.change(list(self._ctx.index.trees.all(self._ctx.source)))


def agreed(row: PathRow, side: Side) -> PathRow:
    """The row once the server is known to hold ``side`` because we put it there, on the base it wanted."""
    return replace(row, base=side, remote=side)


def remote_side(digest: str | None, rev: str | None = None) -> Side:
    """A remote side by its hash; None is absent."""
    return ABSENT if digest is None else Side(Presence.FILE, digest, None, None, rev)


def sent_side(digest: str | None, size: int) -> Side:
    """The side an operation leaves on the server."""
    return ABSENT if digest is None else file_side(digest, size)
