"""Downloads of large contents: begun, resumed after a failure or a restart, and given up when the head has moved."""

from __future__ import annotations

import enum
import heapq
from collections.abc import Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from agent.core.backoff import CALM, Backoff
from agent.core.conflict import ConflictState
from agent.core.errors import Problem, ProblemKind
from agent.core.model import ApplyOutcome, ApplyResult, Intent, Reason, side_of
from agent.core.reconcile import Step
from agent.core.remote_records import RemoteHead
from agent.core.supply import Transfer
from agent.engine.config import RunMode
from agent.engine.context import EngineContext
from agent.engine.effects import CancelFetch, DiscardDownloads, Fetch, KeepDownload
from agent.engine.incoming_moves import IncomingMoves
from agent.engine.messages import OF_ONE_FILE, Advanced, Call, Fetched, FetchResult
from agent.engine.path_store import PathStore
from agent.engine.phases import RecoveryPhase
from agent.index.problems import PathProblem, ProblemOrigin
from agent.index.trees import PathRow

_NO_ROOM_SECONDS: Final = 60.0
_DISK_SECONDS: Final = 30.0
_GARBLED_SECONDS: Final = 3600.0
"""Delay before a file is downloaded again that came twice with wrong bytes."""
_TRIES_OF_WRONG_BYTES: Final = 2
_SHOWN_FAILURES: Final = 2
"""Failures in a row of one file from which on it is named as a problem. A single one passes by itself."""
_MOVED_KINDS: Final = frozenset({ProblemKind.NOT_FOUND, ProblemKind.GONE})
"""The server no longer has this version: the feed says which one it has."""
_WAITING_STEPS: Final = (Step.PULL, Step.UNKNOWN)


class _Phase(enum.Enum):
    WAITING = "waiting"
    """Bytes may be missing, or were not checked yet."""
    RUNNING = "running"
    COMPLETE = "complete"
    """All bytes are on the disk and have the promised hash."""


class _Download(Struct):
    transfer: Transfer
    phase: _Phase = _Phase.WAITING
    cancelled: bool = False
    given_up: bool = False
    """Another version is wanted by now, or none. It is forgotten as soon as it does not run any more."""
    wrong: int = 0
    """How often wrong bytes came."""
    present: int = 0
    """Bytes that have arrived, as last reported."""
    failed_at: int = 0
    """``present`` at the time of the last failure."""
    backoff: Backoff = CALM


class LargeDownloads:
    """Holds every download of the source that is stored in the index. Its file is removed before its row is forgotten.

    A restart continues with what is on the disk. The server's text of a large conflict is fetched once a person has
    decided for it.
    """

    def __init__(self, ctx: EngineContext, path_store: PathStore, moves: IncomingMoves) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._moves = moves
        self._decided: dict[str, int] = {}
        """Parked paths whose decided text is to be fetched, with its bytes."""
        self._kept: set[tuple[str, str]] = set()
        """(path, sha256) of texts of the server that are in the trash, so that a decision may replace them."""
        self._live = {transfer.id: _Download(transfer) for transfer in ctx.index.transfers.all(ctx.source)}

    def transfers(self) -> tuple[Transfer, ...]:
        """Return every download whose file must be kept."""
        return tuple(each.transfer for each in self._live.values())

    def complete(self) -> Iterator[Transfer]:
        """Iterate over the downloads that can be installed."""
        return (each.transfer for each in self._live.values() if each.phase is _Phase.COMPLETE)

    def fetch_decided(self, row: PathRow) -> Transfer | None:
        """Return the complete download of the server's text that a person decided for; None while it is under way."""
        found = next((each for each in self.complete() if each.path == row.path and each.hash == row.remote.hash), None)
        if found is None:
            self._decided[row.path] = row.remote.size or 0
        return found

    def awaits_decided(self, row: PathRow) -> bool:
        """Return True while the text that a person decided for is being fetched, and still is the server's."""
        if any(each.path == row.path and self._is_kept_now(each) for each in self.transfers()):
            return True
        if row.path not in self._decided:
            return False
        complete = any(each.path == row.path and each.hash == row.remote.hash for each in self.complete())
        if complete or not self._is_decided(row.path, row.remote.hash):
            del self._decided[row.path]
            return False
        return True

    def _is_decided(self, path: str, digest: str | None) -> bool:
        conflict = self._ctx.parked.get(path)
        # The server may have no file there any more. Then there is nothing to fetch, whatever was decided.
        if digest is None or conflict is None or conflict.state is not ConflictState.RESOLVING:
            return False
        return digest == conflict.wanted_hash or self._is_replaced(path, digest, conflict.head_hash)

    def _is_replaced(self, path: str, digest: str | None, head: str | None) -> bool:
        """Return True if a decision replaces this text of the server, and it must be kept before."""
        return not self._ctx.setup.history and digest == head and (path, digest) not in self._kept

    def keep_replaced(self, row: PathRow, head: RemoteHead | None) -> bool:
        """Return True once the head that a decision replaces is in the trash, on a server without history.

        A small one is there already. A large one is downloaded first.
        """
        ctx = self._ctx
        if ctx.setup.history or head is None or head.content is not None or (row.path, head.hash) in self._kept:
            return True
        if row.remote.hash != head.hash or row.remote.size is None:
            row = replace(row, remote=side_of(head.version))
            self._path_store.change([row])
        found = self.fetch_decided(row)
        if found is not None and not self._is_kept_now(found):
            ctx.in_flight.keeping_downloads.add(found.id)
            ctx.emit(KeepDownload(found, "conflict"))
        return False

    def _is_kept_now(self, transfer: Transfer) -> bool:
        """Return True while a download is on its way into the trash."""
        return transfer.id in self._ctx.in_flight.keeping_downloads

    @property
    def bytes_present(self) -> int:
        """Bytes of unfinished files that have arrived in this process."""
        return sum(each.present for each in self._live.values())

    def reload(self) -> None:
        """Read the large contents with work from the index: the server's limit became known."""
        ctx, limit = self._ctx, self._ctx.setup.inline_limit
        ctx.in_flight.large.clear()
        if limit is not None:
            ctx.in_flight.large.record(self._path_store.with_step(Step.PULL, Step.PUSH), limit)

    # Answers

    def on_advanced(self, message: Advanced) -> None:
        """Remember how far a download is. Nothing is written."""
        found = self._live.get(message.transfer_id)
        if found is not None:
            found.present = message.size

    def on_fetched(self, message: Fetched) -> None:
        """Take the end of a download, complete or not."""
        ctx = self._ctx
        ctx.in_flight.fetching.discard(message.transfer_id)
        ctx.in_flight.keeping_downloads.discard(message.transfer_id)
        found = self._live.get(message.transfer_id)
        if found is None:
            return
        found.phase, found.cancelled = _Phase.WAITING, False
        path = found.transfer.path
        match message.result:
            case FetchResult.COMPLETE:
                found.phase, found.present, found.backoff = _Phase.COMPLETE, found.transfer.size, CALM
                ctx.retry_state.answered(Call.FETCH)
            case FetchResult.KEPT:
                self._kept.add((path, found.transfer.hash))
                self._forget(found)
            case FetchResult.GARBLED:
                ctx.retry_state.answered(Call.FETCH)
                found.present = found.failed_at = 0
                found.wrong += 1
                self._take_newest_revision(found)
                if found.wrong < _TRIES_OF_WRONG_BYTES:
                    # The server may hold another version by now. Once the file is set aside, only a verification asks.
                    ctx.fetch_head(path, self._path_store.row(path))
                else:
                    self._set_aside(path, Reason.GARBLED, message.text or "wrong bytes came", _GARBLED_SECONDS)
            case FetchResult.NO_ROOM:
                self._set_aside(path, Reason.DISK, message.text or "the disk is full", _NO_ROOM_SECONDS)
            case FetchResult.DISK:
                self._set_aside(path, Reason.DISK, message.text or "the disk refuses the file", _DISK_SECONDS)
            case FetchResult.FAILED if message.problem is not None:
                self._failed(found, message.problem)
            case _:
                # Cancelled: ``plan`` judges if it is still wanted.
                pass

    def _failed(self, found: _Download, problem: Problem) -> None:
        ctx, path = self._ctx, found.transfer.path
        if problem.kind not in OF_ONE_FILE | _MOVED_KINDS:
            if ctx.may_call(Call.FETCH):
                # A second download that failed at the same moment is the same failure.
                ctx.retry_state.failed(Call.FETCH, problem, ctx.now)
            return
        ctx.retry_state.answered(Call.FETCH)
        if found.present > found.failed_at:
            # It advanced since: this failure is no repetition of the last one.
            found.backoff = CALM
        found.failed_at = found.present
        found.backoff = found.backoff.after(problem, ctx.now, ctx.rng)
        ctx.in_flight.defer(path, found.backoff.due)
        if problem.kind in _MOVED_KINDS:
            self._take_newest_revision(found)
            ctx.request_drain()
        if found.backoff.failures >= _SHOWN_FAILURES:
            again = found.backoff.due
            ctx.set_problem(PathProblem(path, ProblemOrigin.PULL, Reason.REFUSED, problem.message, ctx.now, again))

    def _take_newest_revision(self, found: _Download) -> None:
        """Read the same bytes from another revision from now on, if the server has given them one."""
        transfer, remote = found.transfer, self._path_store.row(found.transfer.path).remote
        if remote.hash == transfer.hash and (remote.rev, remote.remote_id) != (transfer.rev, transfer.remote_id):
            found.transfer = replace(transfer, rev=remote.rev, remote_id=remote.remote_id)
            self._ctx.index.transfers.close([transfer.id])
            self._ctx.index.transfers.add(self._ctx.source, found.transfer)

    def _set_aside(self, path: str, reason: Reason, text: str, seconds: float) -> None:
        """Try this file later; the others go on."""
        ctx, again = self._ctx, self._ctx.now + seconds
        ctx.in_flight.defer(path, again)
        ctx.set_problem(PathProblem(path, ProblemOrigin.PULL, reason, text, ctx.now, again))

    def on_landed(self, intent: Intent, landed: ApplyResult) -> None:
        """Take the outcome of an install: its download is over, or its bytes are still on the disk."""
        for found in list(self._live.values()):
            if (found.transfer.path, found.transfer.hash) != (intent.path, intent.new):
                continue
            if landed.landing is ApplyOutcome.DONE:
                self._forget(found)
            elif landed.landing is ApplyOutcome.FAILED and found.phase is _Phase.COMPLETE:
                # The file may be damaged or gone: it is looked at again before the next try.
                found.phase = _Phase.WAITING

    # Work

    def plan(self) -> None:
        """Give up downloads that are not wanted any more, and begin the next ones."""
        ctx = self._ctx
        if ctx.setup.inline_limit is None and not self._live:
            return
        self._give_up_unwanted()
        if not ctx.may_install:
            for found in self._live.values():
                self._cancel(found)
        elif ctx.may_change and ctx.in_flight.recovery is RecoveryPhase.DONE and ctx.may_call(Call.FETCH):
            self._begin()

    def _give_up_unwanted(self) -> None:
        ctx = self._ctx
        rows = self._path_store.rows([each.transfer.path for each in self._live.values()])
        for found in list(self._live.values()):
            path = found.transfer.path
            if path in ctx.in_flight.applying or (not found.given_up and self._is_wanted(found.transfer, rows[path])):
                continue
            found.given_up = True
            if found.phase is _Phase.RUNNING:
                self._cancel(found)
            else:
                self._forget(found)
                ctx.emit(DiscardDownloads((found.transfer.id,)))
                # The delay was that of another version.
                ctx.in_flight.clear_deferral(path)
                ctx.clear_problem(path, ProblemOrigin.PULL)

    def _is_wanted(self, transfer: Transfer, row: PathRow) -> bool:
        # Another revision of the same bytes is as good.
        if row.remote.hash != transfer.hash:
            return False
        if row.path in self._ctx.parked:
            return self._is_decided(row.path, transfer.hash)
        return row.step in _WAITING_STEPS

    def _cancel(self, found: _Download) -> None:
        if found.phase is _Phase.RUNNING and not found.cancelled:
            found.cancelled = True
            self._ctx.emit(CancelFetch(found.transfer.id))

    def _forget(self, found: _Download) -> None:
        del self._live[found.transfer.id]
        self._ctx.index.transfers.close([found.transfer.id])

    def _begin(self) -> None:
        """Begin downloads, the smallest first. After a failure, one alone tests if the server works again."""
        ctx = self._ctx
        most = ctx.setup.fetches if ctx.retry_state.is_well(Call.FETCH) else 1
        room = most - len(ctx.in_flight.fetching)
        # A conflict may have ended otherwise, for example by a delete on the server. A version whose size is not known
        # any more cannot be downloaded; its head, which is asked for again, names the size.
        rows = self._path_store.rows(list(self._decided))
        self._decided = {
            p: size
            for p, size in self._decided.items()
            if rows[p].remote.size is not None and self._is_decided(p, rows[p].remote.hash)
        }
        wanted = ctx.in_flight.large.pulls | self._decided
        if room <= 0 or not wanted:
            return
        kept = {each.transfer.path: each for each in self._live.values() if not each.given_up}
        free = [
            (size, path)
            for path, size in wanted.items()
            if self._is_free(path) and (path not in kept or kept[path].phase is _Phase.WAITING)
        ]
        for _, path in heapq.nsmallest(room, free):
            self._fetch(kept.get(path) or self._new(self._path_store.row(path)))

    def _is_free(self, path: str) -> bool:
        ctx = self._ctx
        if path in ctx.parked and path not in self._decided:
            return False
        if ctx.is_busy(path) or path in ctx.in_flight.changed_paths or self._moves.awaits(path):
            return False
        due = ctx.retry_time(path)
        if due > ctx.now and due < float("inf") and ctx.setup.run_mode is RunMode.DAEMON:
            ctx.wake(due)
        return due <= ctx.now

    def _new(self, row: PathRow) -> _Download:
        ctx, remote = self._ctx, row.remote
        assert remote.hash is not None and remote.size is not None
        transfer = Transfer(ctx.new_intent_id(), row.path, remote.remote_id, remote.rev, remote.hash, remote.size)
        ctx.index.transfers.add(ctx.source, transfer)
        self._live[transfer.id] = found = _Download(transfer)
        return found

    def _fetch(self, found: _Download) -> None:
        found.phase = _Phase.RUNNING
        self._ctx.in_flight.fetching.add(found.transfer.id)
        self._ctx.emit(Fetch(found.transfer))
