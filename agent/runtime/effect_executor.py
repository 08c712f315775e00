"""Execute one effect on the disk or the server and return messages with the results.

The daemon's threads, a single pass and the simulation's scheduler use the same executor. It blocks, keeps no state, and
decides nothing.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from agent.core.errors import DiskError, Problem, ProblemKind, RemoteError, RootError
from agent.core.model import IndexedFile, IndexedFileRow, Intent, Presence
from agent.core.os_errors import explain
from agent.core.remote_records import Outcome, RemoteHead, Result, Verb
from agent.core.supply import Inline
from agent.disk.apply.file_reader import FileReader
from agent.disk.apply.trash_texts import TrashText
from agent.disk.scan.observe import UNREAD
from agent.disk.scan.walk import ScanBatch
from agent.engine import effects as e
from agent.engine import messages as m
from agent.remotes.protocol import Outgoing, Remote
from agent.runtime.conflict_calls import close_conflicts, conflict_list, keep_texts
from agent.runtime.local_folder import LocalFolder

log = logging.getLogger(__name__)


class IndexReader(Protocol):
    """The local side of the index, readable beside its writer."""

    def known(self) -> Iterator[IndexedFileRow]:
        """Iterate over every path, sorted."""
        ...

    def known_at(self, paths: Sequence[str]) -> dict[str, IndexedFile]:
        """Return the indexed files at these paths."""
        ...

    def mounts(self) -> frozenset[str]:
        """Return the folders that were mount points at the last scan."""
        ...


class ServerConnection(Struct, frozen=True):
    """An adapter with this machine registered.

    Attributes:
        remote: the adapter.
        connector_id: the id of this machine on the server.
    """

    remote: Remote
    connector_id: str | None


class EffectExecutor:
    """Executes effects of one source.

    Args:
        connect: returns the connection to the server; raises RemoteError if there is none.
        max_bytes: returns the bytes of the largest content that the server takes, or None until it is known.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        source_id: str,
        folder: LocalFolder,
        memory: IndexReader,
        connect: Callable[[], ServerConnection],
        max_bytes: Callable[[], int | None],
        clock: Callable[[], float],
    ) -> None:
        self._source_id = source_id
        self._folder = folder
        self._memory = memory
        self._connect = connect
        self._max_bytes = max_bytes
        self._clock = clock

    def carry_out(self, effect: e.Effect) -> Iterator[m.Message]:
        """Execute the effect; iterate over the messages with its results."""
        match effect:
            case e.ScanFolder() | e.ScanPaths() | e.ReadLargeFiles():
                yield from self._observe(effect)
            case e.ApplyChanges(jobs):
                yield self._apply(jobs)
            case e.Recover(intents):
                yield self._recover(intents)
            case e.ReleaseJournal(intent_ids):
                try:
                    self._folder.release_journal(intent_ids)
                except (DiskError, OSError) as error:
                    # The next recovery clears a mark that stays.
                    log.warning("marks of finished changes could not be cleared: %s", error)
            case e.WriteToTrash(texts):
                yield from self._write_to_trash(texts)
            case e.FetchDeletedTexts(files):
                yield from self._find_deleted_texts(files)
            case e.Send(number, operations):
                yield self._send(number, operations)
            case _:
                yield from self._call_server(effect)

    # The folder

    def _observe(self, effect: e.ScanFolder | e.ScanPaths | e.ReadLargeFiles) -> Iterator[m.Message]:
        match effect:
            case e.ScanFolder():
                yield from self._scan()
            case e.ScanPaths(paths, again, anew):
                yield from self._scan_paths(paths, again, anew)
            case e.ReadLargeFiles(paths):
                yield from self._read_large(paths)

    def _scan(self) -> Iterator[m.Message]:
        mounts: set[str] = set()
        try:
            for batch in self._scan_batches():
                mounts.update(batch.mounts)
                yield m.ScanResults(batch.seen, batch.skipped, frozenset(batch.mounts), frozenset(batch.large))
        except (DiskError, OSError) as error:
            yield m.ScanFinished(_words(error, "the folder"))
        else:
            yield m.ScanFinished(mounts=frozenset(mounts))

    def _scan_batches(self) -> Iterator[ScanBatch]:
        known, mounts = self._memory.known(), self._memory.mounts()
        return self._folder.scan(known, self._max_bytes(), mounts, defer_large=True)

    def _scan_paths(self, paths: tuple[str, ...], again: frozenset[str], anew: frozenset[str]) -> Iterator[m.Message]:
        try:
            canonical = self._folder.canonical(paths)
            fresh = set(self._folder.canonical(tuple(anew)))
            known = {path: file for path, file in self._memory.known_at(canonical).items() if path not in fresh}
            mounts, limit = self._memory.mounts(), self._max_bytes()
            # What a person waits for is read at once.
            found = self._folder.observe(canonical, known, limit, mounts, again, defer_large=not fresh)
        except RootError as error:
            yield m.PathScanFinished(paths)
            yield m.ScanFinished(error.message)
        else:
            large = frozenset(one.path for one in found if one.side is UNREAD)
            yield m.ScanResults(tuple(one for one in found if one.side is not UNREAD), large=large)
            yield m.PathScanFinished(paths)

    def _read_large(self, paths: tuple[str, ...]) -> Iterator[m.Message]:
        try:
            for path in paths:
                known, mounts = self._memory.known_at([path]), self._memory.mounts()
                yield m.ScanResults(tuple(self._folder.observe([path], known, self._max_bytes(), mounts)))
        except RootError as error:
            yield m.LargeFilesRead(paths)
            yield m.ScanFinished(error.message)
        else:
            yield m.LargeFilesRead(paths)

    def _apply(self, jobs: tuple[tuple[Intent, bytes], ...]) -> m.Message:
        supplied = [(intent, Inline(content)) for intent, content in jobs]
        try:
            return m.ChangesApplied(tuple(self._folder.apply(supplied, self._clock(), self._memory.mounts())))
        except DiskError as error:
            return m.RecoveryFailed(error.message)

    def _write_to_trash(self, texts: Sequence[e.TextForTrash]) -> Iterator[m.Message]:
        """Write the texts together. Where the disk refuses them they are written one by one, so that few fail."""
        written = [TrashText(text.path, text.content, text.reason, text.stash_id) for text in texts]
        try:
            self._save(written)
        except (DiskError, OSError) as error:
            if len(texts) > 1:
                for text in texts:
                    yield from self._write_to_trash([text])
            else:
                yield m.TrashWriteFinished(texts[0].stash_id, _words(error, "the trash"))
        else:
            yield from (m.TrashWriteFinished(text.stash_id) for text in texts)

    def _save(self, texts: Sequence[TrashText]) -> None:
        self._folder.write_to_trash(texts, self._clock())

    def _recover(self, intents: tuple[Intent, ...]) -> m.Message:
        try:
            return m.ChangesApplied(tuple(self._folder.recover(intents, self._clock(), self._memory.mounts())))
        except DiskError as error:
            return m.RecoveryFailed(error.message)

    # Sending

    def _send(self, number: int, operations: tuple[e.OutgoingOperation, ...]) -> m.Message:
        try:
            connection = self._connect()
            deleted = {p.operation.path for p in operations if p.operation.verb is Verb.DELETE}
            keep_texts(connection.remote, self._source_id, deleted, self._save)
        except RemoteError as error:
            return m.BatchAnswered(number, _all(operations, Result.NOT_SENT), error.problem)
        except (DiskError, OSError) as error:
            return m.BatchAnswered(number, _all(operations, Result.NOT_SENT), _trash_problem(error))
        batch: list[Outgoing] = []
        changed: list[Outcome] = []
        for outgoing, content in self._contents(operations):
            if content is None:
                changed.append(Outcome(outgoing.operation.id, Result.CHANGED))
            else:
                batch.append(Outgoing(outgoing.operation, content, checked=True))
        if not batch:
            return m.BatchAnswered(number, tuple(changed))
        answer = connection.remote.push(self._source_id, connection.connector_id, batch)
        return m.BatchAnswered(number, (*changed, *answer.outcomes), answer.problem)

    def _contents(self, operations: tuple[e.OutgoingOperation, ...]) -> list[tuple[e.OutgoingOperation, bytes | None]]:
        """Return the operations with their bytes; None if the folder now holds something else."""
        try:
            with self._folder.reader() as reader:
                return [(outgoing, self._bytes_of(outgoing, reader)) for outgoing in operations]
        except RootError:
            # The text of a resolution comes with the operation, so the folder is not needed for it.
            return [(outgoing, self._bytes_of(outgoing, None)) for outgoing in operations]

    def _bytes_of(self, outgoing: e.OutgoingOperation, reader: FileReader | None) -> bytes | None:
        operation = outgoing.operation
        if outgoing.content_override is not None:
            # The text must match its hash here too: a text that is missing must not be sent as an empty file.
            digest = hashlib.sha256(outgoing.content_override).hexdigest() if operation.verb is Verb.UPSERT else None
            return outgoing.content_override if digest == operation.hash else None
        if reader is None:
            return None
        try:
            if operation.verb is Verb.DELETE:
                seen = self._folder.observe([operation.path], {}, None, self._memory.mounts())
                return b"" if seen[0].side.presence is Presence.ABSENT else None
            return reader.read(operation.path, operation.hash or "", operation.size)
        except RootError:
            return None

    # Deleted texts

    def _find_deleted_texts(self, files: tuple[tuple[str, str], ...]) -> Iterator[m.Message]:
        """Look in the trash first, which needs no server, then in the server's history."""
        for path, digest in files:
            content, trouble = self._find_in_trash(path, digest)
            if content is None:
                try:
                    content = self._find_in_history(path, digest)
                except RemoteError as error:
                    yield m.CallFailed(m.Call.HISTORY, error.problem, path)
                    return
            yield m.DeletedTextFound(path, content, trouble if content is None else None)

    def _find_in_trash(self, path: str, digest: str) -> tuple[bytes | None, str | None]:
        """Return the text, and why the trash could not be searched."""
        try:
            return self._folder.find_in_trash(path, digest), None
        except (DiskError, OSError) as error:
            return None, _words(error, "the trash")

    def _find_in_history(self, path: str, digest: str) -> bytes | None:
        versions = self._connect().remote.history(self._source_id, path)
        return next((v.content for v in versions if v.hash == digest and v.content is not None), None)

    # Asking

    def _call_server(self, effect: e.Effect) -> Iterator[m.Message]:
        try:
            connection = self._connect()
        except RemoteError as error:
            yield from _failures(effect, error.problem)
            return
        try:
            yield from self._answer(effect, connection.remote)
        except RemoteError as error:
            yield from _failures(effect, error.problem)
        except (DiskError, OSError) as error:
            yield from _failures(effect, _trash_problem(error))

    def _answer(self, effect: e.Effect, remote: Remote) -> Iterator[m.Message]:
        source = self._source_id
        match effect:
            case e.Poll():
                yield from self._pages(remote, effect)
            case e.FetchHead(path):
                yield m.HeadArrived(path, remote.head(source, path))
            case e.FetchHeadsAndConflicts(paths):
                yield from self._heads_and_conflicts(remote, paths)
            case e.CheckFeedContinuity(state):
                yield m.FeedContinuityChecked(
                    remote.was_restored_from_older_copy(source, state), remote.is_paused(source)
                )
            case e.FetchListing():
                for files in remote.listing(source):
                    yield m.ListingArrived(tuple(files), last=False)
                yield m.ListingArrived((), last=True)
            case e.FetchConflicts(with_texts):
                yield from conflict_list(remote.conflicts(source), with_texts)
            case e.CloseConflicts(closes):
                yield from close_conflicts(remote, source, closes, self._save)
            case _:
                raise TypeError(f"no effect for the server: {effect}")

    def _pages(self, remote: Remote, poll: e.Poll) -> Iterator[m.Message]:
        """Read pages while there is room. The next page is fetched while the engine processes the one before."""
        state, wait, room = poll.state, poll.wait, poll.room
        while True:
            page = remote.pull(self._source_id, state, wait, self._clock(), poll.known)
            room -= page.size
            last = room <= 0 or not page.more or page.barrier
            yield m.PageArrived(poll.number, page, last)
            if last:
                return
            state, wait = page.state, 0.0

    def _heads_and_conflicts(self, remote: Remote, paths: tuple[str, ...]) -> Iterator[m.Message]:
        """Read the heads, then list the conflicts, so that every conflict that explains a head is in the list."""
        heads: dict[str, RemoteHead | None] = {}
        for path in paths:
            try:
                heads[path] = remote.head(self._source_id, path)
            except RemoteError as error:
                if error.problem.kind not in m.OF_ONE_FILE:
                    raise
                # A head that cannot be read fails alone.
                yield m.CallFailed(m.Call.HEAD, error.problem, path)
        # Other conflicts are dropped as they arrive: their texts need not fit into memory.
        conflicts = [c for c in remote.conflicts(self._source_id) if c.path in heads] if heads else []
        for path, head in heads.items():
            yield m.HeadArrived(path, head, tuple(c for c in conflicts if c.path == path))


def _words(error: DiskError | OSError, where: str) -> str:
    """Return one clause for a person: what the error means and what to do, without its number."""
    return explain(error, where) if isinstance(error, OSError) else error.message


def _trash_problem(error: DiskError | OSError) -> Problem:
    """Return the problem of a text that could not be saved. Its only copy must then not be removed."""
    return Problem(ProblemKind.SERVER_FAULT, f"the trash cannot be written: {_words(error, 'its disk')}")


def _all(operations: tuple[e.OutgoingOperation, ...], result: Result) -> tuple[Outcome, ...]:
    return tuple(Outcome(outgoing.operation.id, result) for outgoing in operations)


def _failures(effect: e.Effect, problem: Problem) -> Iterator[m.CallFailed]:
    match effect:
        case e.FetchHeadsAndConflicts(paths):
            yield from (m.CallFailed(m.Call.HEAD, problem, path) for path in paths)
        case e.CloseConflicts(closes):
            yield from (m.CallFailed(m.Call.CLOSE, problem, close.conflict) for close in closes)
        case _:
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
        case _:
            return m.CallFailed(m.Call.CONFLICTS, problem)
