"""Execute one effect on the disk or the server and return messages with the results.

The daemon's threads, a single pass and the simulation's scheduler use the same executor. It blocks, decides nothing,
and keeps no state but the ids of downloads that were cancelled.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from agent.core.accepts import Accepts
from agent.core.errors import DiskError, Problem, ProblemKind, RemoteError, RootError
from agent.core.model import Intent
from agent.core.remote_records import RemoteFolder, RemoteHead
from agent.core.supply import Supply, Transfer
from agent.disk.apply.trash_texts import TrashText
from agent.disk.scan.observe import UNREAD
from agent.disk.scan.walk import ScanBatch
from agent.engine import effects as e
from agent.engine import messages as m
from agent.remotes.protocol import Remote
from agent.runtime.batch_sender import BatchSender, trash_problem, words
from agent.runtime.conflict_calls import close_conflicts, conflict_list
from agent.runtime.download_executor import DownloadExecutor
from agent.runtime.local_folder import LocalFolder
from agent.runtime.ports import IndexReader as IndexReader
from agent.runtime.ports import Reporter
from agent.runtime.ports import ServerConnection as ServerConnection

log = logging.getLogger(__name__)


class EffectExecutor:
    """Executes effects of one source.

    Args:
        connect: returns the connection to the server; raises RemoteError if there is none.
        accepts: returns the contents that the server takes, as far as it is known.
        clock: seconds since the epoch.
        reporter: takes messages while an effect is carried out; None: they are left out.
        has_moved: returns True if folders of a page change the part of the source that is kept here. The page is then
            not delivered: it is read again with the new rules.
    """

    def __init__(
        self,
        source_id: str,
        folder: LocalFolder,
        memory: IndexReader,
        connect: Callable[[], ServerConnection],
        accepts: Callable[[], Accepts],
        clock: Callable[[], float],
        reporter: Reporter | None = None,
        has_moved: Callable[[Sequence[RemoteFolder]], bool] = lambda _: False,
    ) -> None:
        self._source_id = source_id
        self._folder = folder
        self._memory = memory
        self._connect = connect
        self._accepts = accepts
        self._clock = clock
        self._has_moved = has_moved
        self._downloads = DownloadExecutor(source_id, folder, lambda: connect().remote, clock, reporter)
        self._sender = BatchSender(source_id, folder, memory, connect, clock, reporter)

    def carry_out(self, effect: e.Effect) -> Iterator[m.Message]:
        """Execute the effect; iterate over the messages with its results."""
        match effect:
            case e.ScanFolder() | e.ScanPaths() | e.ReadLargeFiles():
                yield from self._observe(effect)
            case e.ApplyChanges(jobs):
                yield self._apply(jobs)
            case e.Recover(intents, transfers):
                yield self._recover(intents, transfers)
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
            case e.Fetch() | e.CancelFetch() | e.DiscardDownloads() | e.KeepDownload():
                yield from self._downloads.carry_out(effect)
            case e.Send():
                yield self._sender.send(effect)
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
            yield m.ScanFinished(words(error, "the folder"))
        else:
            yield m.ScanFinished(mounts=frozenset(mounts))

    def _scan_batches(self) -> Iterator[ScanBatch]:
        known, mounts = self._memory.known(), self._memory.mounts()
        return self._folder.scan(known, self._accepts(), mounts, defer_large=True)

    def _scan_paths(self, paths: tuple[str, ...], again: frozenset[str], anew: frozenset[str]) -> Iterator[m.Message]:
        try:
            canonical = self._folder.canonical(paths)
            fresh = set(self._folder.canonical(tuple(anew)))
            known = {path: file for path, file in self._memory.known_at(canonical).items() if path not in fresh}
            mounts, accepts = self._memory.mounts(), self._accepts()
            # What a person waits for is read at once.
            found = self._folder.observe(canonical, known, accepts, mounts, again, defer_large=not fresh)
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
                yield m.ScanResults(tuple(self._folder.observe([path], known, self._accepts(), mounts)))
        except RootError as error:
            yield m.LargeFilesRead(paths)
            yield m.ScanFinished(error.message)
        else:
            yield m.LargeFilesRead(paths)

    def _apply(self, jobs: tuple[tuple[Intent, Supply], ...]) -> m.Message:
        try:
            return m.ChangesApplied(tuple(self._folder.apply(jobs, self._clock(), self._memory.mounts())))
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
                yield m.TrashWriteFinished(texts[0].stash_id, words(error, "the trash"))
        else:
            yield from (m.TrashWriteFinished(text.stash_id) for text in texts)

    def _save(self, texts: Sequence[TrashText]) -> None:
        self._folder.write_to_trash(texts, self._clock())

    def _recover(self, intents: tuple[Intent, ...], transfers: tuple[Transfer, ...]) -> m.Message:
        try:
            recovered = self._folder.recover(intents, self._clock(), self._memory.mounts(), transfers)
            return m.ChangesApplied(tuple(recovered))
        except DiskError as error:
            return m.RecoveryFailed(error.message)

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
            return None, words(error, "the trash")

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
            yield from _failures(effect, trash_problem(error))

    def _answer(self, effect: e.Effect, remote: Remote) -> Iterator[m.Message]:
        source = self._source_id
        match effect:
            case e.Poll():
                yield from self._pages(remote, effect)
            case e.CancelUpload(operation_id):
                remote.cancel(operation_id)
            case e.Recall(operation, resume):
                yield m.Recalled(remote.recall(source, operation, resume))
            case e.FetchHead(path):
                yield m.HeadArrived(path, remote.head(source, path))
            case e.FetchHeadsAndConflicts(paths):
                yield from self._heads_and_conflicts(remote, paths)
            case e.CheckFeedContinuity(state):
                yield m.FeedContinuityChecked(
                    remote.was_restored_from_older_copy(source, state), remote.is_paused(source)
                )
            case e.FetchListing() | e.FetchStateDigest() | e.CheckDeleted():
                yield from self._verify(effect, remote)
            case e.FetchConflicts(with_texts):
                yield from conflict_list(remote.conflicts(source, with_texts=with_texts), with_texts)
            case e.CloseConflicts(closes):
                yield from close_conflicts(remote, source, closes, self._save)
            case _:
                raise TypeError(f"no effect for the server: {effect}")

    def _verify(
        self, effect: e.FetchListing | e.FetchStateDigest | e.CheckDeleted, remote: Remote
    ) -> Iterator[m.Message]:
        source = self._source_id
        match effect:
            case e.FetchListing():
                for files in remote.listing(source):
                    yield m.ListingArrived(tuple(files), last=False)
                yield m.ListingArrived((), last=True)
            case e.FetchStateDigest():
                yield m.StateDigestArrived(remote.state_digest(source))
            case e.CheckDeleted(files):
                yield m.DeletedChecked(tuple(file for file in files if remote.is_gone(source, *file)))

    def _pages(self, remote: Remote, poll: e.Poll) -> Iterator[m.Message]:
        """Read pages while there is room. The next page is fetched while the engine processes the one before."""
        state, wait, room, applied = poll.state, poll.wait, poll.room, poll.applied
        while True:
            page = remote.pull(self._source_id, state, wait, self._clock(), poll.known, applied=applied)
            if page.folders and self._has_moved(page.folders):
                raise RemoteError(Problem(ProblemKind.BUSY, "folders of selective sync were moved", 1.0))
            room -= page.size
            last = room <= 0 or not page.more or page.barrier
            yield m.PageArrived(poll.number, page, last)
            if last:
                return
            # The engine has not applied the page yet.
            state, wait, applied = page.state, 0.0, False

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
        listed = remote.conflicts(self._source_id, heads.keys()) if heads else ()
        conflicts = [conflict for conflict in listed if conflict.path in heads]
        for path, head in heads.items():
            yield m.HeadArrived(path, head, tuple(c for c in conflicts if c.path == path))


def _failures(effect: e.Effect, problem: Problem) -> Iterator[m.CallFailed]:
    match effect:
        case e.CancelUpload():
            # Without a connection, nothing is sent either.
            return
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
        case e.Recall(operation):
            return m.CallFailed(m.Call.RECALL, problem, operation.id)
        case e.FetchListing() | e.FetchStateDigest() | e.CheckDeleted():
            return m.CallFailed(m.Call.LISTING, problem)
        case _:
            return m.CallFailed(m.Call.CONFLICTS, problem)
