"""Carrying one effect out: what it asks of the disk or the server, and the messages that tell what happened.

The same carrier serves the daemon's threads, a single pass, and the simulation's scheduler: it blocks, keeps no
state, and decides nothing.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from agent.core.errors import DiskError, Problem, ProblemKind, RemoteError, RootError
from agent.core.model import IndexedFile, IndexedFileRow, Intent, Outcome, Presence, RemoteHead, Result, Verb
from agent.disk.apply.file_reader import FileReader
from agent.engine import effects as e
from agent.engine import messages as m
from agent.remotes.protocol import Outgoing, Remote
from agent.runtime.local_folder import LocalFolder

log = logging.getLogger(__name__)


class IndexReader(Protocol):
    """What the index remembers of the local side, read beside its writer."""

    def known(self) -> Iterator[IndexedFileRow]:
        """Every path, sorted."""
        ...

    def known_at(self, paths: Sequence[str]) -> dict[str, IndexedFile]:
        """These paths."""
        ...

    def mounts(self) -> frozenset[str]:
        """Folders that were file systems of their own."""
        ...


class ServerConnection(Struct, frozen=True):
    """The way to a server, ready to be used.

    Attributes:
        remote: the adapter.
        connector_id: this machine as the server knows it.
    """

    remote: Remote
    connector_id: str | None


class EffectExecutor:
    """Carries effects of one source out.

    Args:
        line: gives the way to the server; raises RemoteError where there is none yet.
        max_bytes: the largest content the server takes, as far as learned.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        source_id: str,
        folder: LocalFolder,
        memory: IndexReader,
        line: Callable[[], ServerConnection],
        max_bytes: Callable[[], int | None],
        clock: Callable[[], float],
    ) -> None:
        self._source_id = source_id
        self._folder = folder
        self._memory = memory
        self._line = line
        self._max_bytes = max_bytes
        self._clock = clock

    def carry_out(self, effect: e.Effect) -> Iterator[m.Message]:
        """Do what the effect asks for and tell what happened."""
        match effect:
            case e.ScanFolder():
                yield from self._look()
            case e.ScanPaths(paths, again):
                yield from self._look_at(paths, again)
            case e.ApplyChanges(jobs):
                yield self._change(jobs)
            case e.Recover(intents):
                yield self._recover(intents)
            case e.ReleaseJournal(intent_ids):
                try:
                    self._folder.release_journal(intent_ids)
                except (DiskError, OSError) as error:
                    # A mark that stays is nobody's by the next recovery, which clears it.
                    log.warning("marks of finished changes could not be cleared: %s", error)
            case e.WriteToTrash(stash_id, path, content, reason):
                try:
                    self._folder.write_to_trash(path, content, reason, stash_id, self._clock())
                except (DiskError, OSError) as error:
                    yield m.TrashWriteFinished(stash_id, str(error))
                else:
                    yield m.TrashWriteFinished(stash_id)
            case e.Send(number, parcels):
                yield self._send(number, parcels)
            case _:
                yield from self._ask(effect)

    # The folder

    def _look(self) -> Iterator[m.Message]:
        mounts: set[str] = set()
        try:
            for batch in self._folder.scan(self._memory.known(), self._max_bytes(), self._memory.mounts()):
                mounts.update(batch.mounts)
                yield m.ScanResults(batch.seen, batch.skipped, frozenset(batch.mounts))
        except (DiskError, OSError) as error:
            yield m.ScanFinished(str(error))
        else:
            yield m.ScanFinished(mounts=frozenset(mounts))

    def _look_at(self, paths: tuple[str, ...], again: frozenset[str]) -> Iterator[m.Message]:
        try:
            spelled = list(dict.fromkeys(self._folder.root.canonical(path) for path in paths))
            known, mounts = self._memory.known_at(spelled), self._memory.mounts()
            seen = self._folder.observe(spelled, known, self._max_bytes(), mounts, again)
        except RootError as error:
            yield m.PathScanFinished(paths)
            yield m.ScanFinished(error.message)
        else:
            yield m.ScanResults(tuple(seen))
            yield m.PathScanFinished(paths)

    def _change(self, jobs: tuple[tuple[Intent, bytes], ...]) -> m.Message:
        try:
            return m.ChangesApplied(tuple(self._folder.apply(jobs, self._clock())))
        except DiskError as error:
            return m.RecoveryFailed(error.message)

    def _recover(self, intents: tuple[Intent, ...]) -> m.Message:
        try:
            return m.ChangesApplied(tuple(self._folder.recover(intents, self._clock())))
        except DiskError as error:
            return m.RecoveryFailed(error.message)

    # Sending

    def _send(self, number: int, parcels: tuple[e.OutgoingOperation, ...]) -> m.Message:
        try:
            line = self._line()
            self._keep_conflict_texts(line.remote, parcels)
        except RemoteError as error:
            return m.BatchAnswered(number, _all(parcels, Result.NOT_SENT), error.problem)
        except (DiskError, OSError) as error:
            return m.BatchAnswered(number, _all(parcels, Result.NOT_SENT), _trash_refused(error))
        batch: list[Outgoing] = []
        changed: list[Outcome] = []
        for parcel, content in self._contents(parcels):
            if content is None:
                changed.append(Outcome(parcel.operation.id, Result.CHANGED))
            else:
                batch.append(Outgoing(parcel.operation, content, checked=True))
        if not batch:
            return m.BatchAnswered(number, tuple(changed))
        answer = line.remote.push(self._source_id, line.connector_id, batch)
        return m.BatchAnswered(number, (*changed, *answer.outcomes), answer.problem)

    def _contents(self, parcels: tuple[e.OutgoingOperation, ...]) -> list[tuple[e.OutgoingOperation, bytes | None]]:
        """The operations with their bytes, or None where the folder holds something else by now."""
        try:
            with self._folder.reader() as reader:
                return [(parcel, self._bytes_of(parcel, reader)) for parcel in parcels]
        except RootError:
            # A decided text does not lie in the folder.
            return [(parcel, self._bytes_of(parcel, None)) for parcel in parcels]

    def _bytes_of(self, parcel: e.OutgoingOperation, reader: FileReader | None) -> bytes | None:
        operation = parcel.operation
        if parcel.content_override is not None:
            # What is sent is what was hashed here too: a text that is not at hand any more must not go as an empty one.
            given = hashlib.sha256(parcel.content_override).hexdigest() if operation.verb is Verb.UPSERT else None
            return parcel.content_override if given == operation.hash else None
        if reader is None:
            return None
        try:
            if operation.verb is Verb.DELETE:
                self._folder.root.verify()
                seen = self._folder.observe([operation.path], {}, None, self._memory.mounts())
                return b"" if seen[0].side.presence is Presence.ABSENT else None
            return reader.read(operation.path, operation.hash or "", operation.size)
        except RootError:
            return None

    def _keep_conflict_texts(self, remote: Remote, parcels: tuple[e.OutgoingOperation, ...]) -> None:
        """Where a delete wipes the path's conflicts on the server, their texts go to the trash before it is sent."""
        deleted = {p.operation.path for p in parcels if p.operation.verb is Verb.DELETE}
        if not deleted or remote.capabilities.keeps_history:
            return
        for conflict in remote.conflicts(self._source_id):
            for text in (conflict.local_text, conflict.remote_text):
                if text and conflict.path in deleted:
                    self._stash_conflict(conflict.id, conflict.path, text)

    def _stash_conflict(self, server_id: str, path: str, text: bytes) -> None:
        """Put a text by; the same again, after a lost answer say, changes nothing."""
        identifier = hashlib.sha256(server_id.encode() + text).hexdigest()[:16]
        self._folder.write_to_trash(path, text, "conflict", identifier, self._clock())

    # Asking

    def _ask(self, effect: e.Effect) -> Iterator[m.Message]:
        try:
            line = self._line()
        except RemoteError as error:
            yield from _failures(effect, error.problem)
            return
        try:
            yield from self._answer(effect, line.remote)
        except RemoteError as error:
            if isinstance(effect, e.CloseConflict) and error.problem.kind in (ProblemKind.STALE, ProblemKind.NOT_FOUND):
                yield m.ConflictCloseAnswered(effect.conflict, stale=True)
            else:
                yield from _failures(effect, error.problem)
        except (DiskError, OSError) as error:
            yield from _failures(effect, _trash_refused(error))

    def _answer(self, effect: e.Effect, remote: Remote) -> Iterator[m.Message]:
        source = self._source_id
        match effect:
            case e.Poll():
                yield from self._pages(remote, effect)
            case e.FetchHead(path):
                yield m.HeadArrived(path, remote.head(source, path))
            case e.FetchHeadsAndConflicts(paths):
                yield from self._disputes(remote, paths)
            case e.CheckFeedContinuity(state):
                yield m.FeedContinuityChecked(
                    remote.was_restored_from_older_copy(source, state), remote.is_paused(source)
                )
            case e.FetchListing():
                for files in remote.listing(source):
                    yield m.ListingArrived(tuple(files), last=False)
                yield m.ListingArrived((), last=True)
            case e.FetchConflicts():
                yield m.ConflictsArrived(tuple(remote.conflicts(source)))
            case e.CloseConflict(conflict, server_id, choice, content, expected, path, texts):
                for text in texts:
                    self._stash_conflict(server_id, path, text)
                remote.resolve(source, server_id, choice, content, expected)
                yield m.ConflictCloseAnswered(conflict)
            case _:
                raise TypeError(f"no effect for the server: {effect}")

    def _pages(self, remote: Remote, poll: e.Poll) -> Iterator[m.Message]:
        """The next page is asked for while the one before it is taken in."""
        state, wait, room = poll.state, poll.wait, poll.room
        while True:
            page = remote.pull(self._source_id, state, wait, self._clock(), poll.known)
            room -= page.size
            last = room <= 0 or not page.more
            yield m.PageArrived(poll.number, page, last)
            if last:
                return
            state, wait = page.state, 0.0

    def _disputes(self, remote: Remote, paths: tuple[str, ...]) -> Iterator[m.Message]:
        """The conflicts are listed after the heads, so that none is missing that explains one."""
        heads: dict[str, RemoteHead | None] = {}
        for path in paths:
            try:
                heads[path] = remote.head(self._source_id, path)
            except RemoteError as error:
                if error.problem.kind not in m.OF_ONE_FILE:
                    raise
                # One file that cannot be had holds up no other.
                yield m.CallFailed(m.Call.HEAD, error.problem, path)
        conflicts = list(remote.conflicts(self._source_id)) if heads else []
        for path, head in heads.items():
            yield m.HeadArrived(path, head, tuple(c for c in conflicts if c.path == path))


def _trash_refused(error: Exception) -> Problem:
    """A text could not be put by, so nothing may be done that might take its only copy away."""
    return Problem(ProblemKind.SERVER_FAULT, f"the trash cannot be written: {error}")


def _all(parcels: tuple[e.OutgoingOperation, ...], result: Result) -> tuple[Outcome, ...]:
    return tuple(Outcome(parcel.operation.id, result) for parcel in parcels)


def _failures(effect: e.Effect, problem: Problem) -> Iterator[m.CallFailed]:
    paths = effect.paths if isinstance(effect, e.FetchHeadsAndConflicts) else ()
    yield from (m.CallFailed(m.Call.HEAD, problem, path) for path in paths)
    if not paths:
        yield _failure(effect, problem)


def _failure(effect: e.Effect, problem: Problem) -> m.CallFailed:
    match effect:
        case e.Poll(number):
            return m.CallFailed(m.Call.POLL, problem, number)
        case e.FetchHead(path):
            return m.CallFailed(m.Call.HEAD, problem, path)
        case e.CheckFeedContinuity(_):
            return m.CallFailed(m.Call.STANDING, problem)
        case e.FetchListing():
            return m.CallFailed(m.Call.LISTING, problem)
        case e.CloseConflict(conflict):
            return m.CallFailed(m.Call.CLOSE, problem, conflict)
        case _:
            return m.CallFailed(m.Call.CONFLICTS, problem)
