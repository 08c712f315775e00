"""One linked folder, held open for the effects that observe and change it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from agent.core.accepts import TEXT, Accepts
from agent.core.errors import DiskError, RootError
from agent.core.model import ApplyOutcome, ApplyResult, IndexedFile, IndexedFileRow, Intent, Observation
from agent.core.supply import Supply, Transfer
from agent.disk.apply.downloads import DownloadWriter, LiveDownloads, StagedDownloads, VerifiedDownloads
from agent.disk.apply.file_reader import FileReader
from agent.disk.apply.install import Installer
from agent.disk.apply.trash import Trash
from agent.disk.apply.trash_texts import TrashText
from agent.disk.fs.protocol import Fs
from agent.disk.root import Root, RootIdentity
from agent.disk.root_marker import confirm
from agent.disk.scan.digest import never
from agent.disk.scan.observe import ReadPolicy, observe_paths
from agent.disk.scan.walk import ScanBatch, scan
from agent.disk.selection.rules import Rules, Selection


class _Opened(NamedTuple):
    """The objects over one open root."""

    root: Root
    selection: Selection
    trash: Trash
    downloads: StagedDownloads
    installer: Installer


class LocalFolder:
    """One linked folder. Its root is opened on first use, and again after it was missing or mounted again.

    Scans and changes come from one thread; ``observe``, ``reader`` and ``write_to_trash`` may come from others.

    Args:
        state_folder: location of the trash, if that is on the same file system.
        source: name of the source's folder in the trash.
        expected: identity of the linked folder. Another folder at its path is an error, not a new beginning.
        link: id of the source it is linked to, which names its marker file. Without it the device must be equal too.
    """

    def __init__(
        self,
        fs: Fs,
        path: str,
        rules: Rules,
        state_folder: str,
        source: str,
        expected: RootIdentity | None = None,
        link: str | None = None,
    ) -> None:
        self._fs = fs
        self._path = path
        self._rules = rules
        self._state_folder = state_folder
        self._source = source
        self._expected = expected
        self._link = link
        self._open: _Opened | None = None
        self._users = 0
        self.interrupted: Callable[[], bool] = never
        self.accepts: Callable[[], Accepts] = lambda: TEXT
        """Returns the contents that the server takes; an installed file is observed by them."""
        """True once the process stops: long reads then end with ``ReadInterrupted``."""
        self.verified = VerifiedDownloads()
        """Shared by all objects over this folder, so that the one that installs a download need not read it again."""
        self._closed = False
        self._one_at_a_time = threading.Lock()
        """Held for a whole call; taken before ``_lock``."""
        self._lock = threading.RLock()
        """Guards the handles and the number of their users; never held during a call, so that ``close`` can take it."""

    def close(self) -> None:
        """Close every handle for good, at the end of the last call that uses them. Later calls raise RootError.

        A handle that was closed under a call could by then be the handle of another folder.
        """
        with self._lock:
            self._closed = True
            if not self._users:
                self._close_handles()

    def _close_handles(self) -> None:
        if self._open is not None:
            opened, self._open = self._open, None
            opened.trash.close()
            opened.root.close()

    def release(self) -> bool:
        """Close every handle until the next use, so that the file system can be unmounted.

        Returns:
            False if the folder is in use now, so that handles stay open.
        """
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._users:
                return False
            if self._open is not None:
                self._open.trash.close()
                self._open.root.release()
            return True
        finally:
            self._lock.release()

    @contextlib.contextmanager
    def _use(self) -> Iterator[_Opened]:
        """Hold the folder open for one operation. Raises RootError if it is missing or not the linked one."""
        with self._lock:
            if self._open is not None and not self._users and not self._is_in_place(self._open.root):
                # The handle is of a folder that is now elsewhere, or of a mount that is gone. Open the path again.
                self._close_handles()
            opened = self._opened()
            self._users += 1
        try:
            yield opened
        finally:
            with self._lock:
                self._users -= 1
                if self._closed and not self._users:
                    self._close_handles()

    def _is_interrupted(self) -> bool:
        return self.interrupted()

    def _is_in_place(self, root: Root) -> bool:
        try:
            root.verify()
        except (OSError, RootError):
            return False
        return True

    def _opened(self) -> _Opened:
        with self._lock:
            if self._closed:
                raise RootError(f"{self._path} is not in use any more")
            if self._open is None:
                root = self._confirmed()
                selection = Selection(root, self._rules)
                trash = Trash(self._fs, root, self._state_folder, self._source)
                root.nfd_probe = trash.stores_nfd
                downloads = StagedDownloads(self._fs, trash, self._is_interrupted, self.verified)
                installer = Installer(root, trash, selection, interrupted=self._is_interrupted, downloads=downloads)
                self._open = _Opened(root, selection, trash, downloads, installer)
            return self._open

    def _confirmed(self) -> Root:
        if self._expected is None or self._link is None:
            return Root(self._fs, self._path, self._expected)
        root = Root(self._fs, self._path)
        try:
            confirm(root, self._expected, self._state_folder, self._link)
        except BaseException:
            root.close()
            raise
        return root

    @property
    def root(self) -> Root:
        """The open root. Raises RootError."""
        return self._opened().root

    @property
    def selection(self) -> Selection:
        """The current rules. Raises RootError."""
        return self._opened().selection

    @property
    def trash(self) -> Trash:
        """The trash of this source. Raises RootError."""
        return self._opened().trash

    def canonical(self, paths: Iterable[str]) -> list[str]:
        """Return the spelling used in the index for paths reported by the disk, without repetitions."""
        with self._use() as opened:
            return list(dict.fromkeys(opened.root.canonical(path) for path in paths))

    def scan(
        self,
        known: Iterable[IndexedFileRow],
        accepts: Accepts,
        mounts: frozenset[str] = frozenset(),
        *,
        defer_large: bool = False,
    ) -> Iterator[ScanBatch]:
        """Yield everything that differs from the index.

        Arguments are those of ``agent.disk.scan.walk.scan``, ``Root`` and ``ReadPolicy``.

        Raises:
            RootError: the folder is missing or not the linked one.
        """
        with self._use() as opened:
            opened.root.mounts = mounts
            policy = ReadPolicy(defer_large, self.interrupted)
            yield from scan(opened.root, opened.selection, known, accepts=accepts, policy=policy)

    def observe(
        self,
        paths: Sequence[str],
        known: dict[str, IndexedFile],
        accepts: Accepts,
        mounts: frozenset[str] = frozenset(),
        again: frozenset[str] = frozenset(),
        *,
        defer_large: bool = False,
    ) -> list[Observation]:
        """Observe these paths; ``again`` as in ``observe_paths``, ``defer_large`` as in ``ReadPolicy``.

        Raises:
            RootError: the folder is missing or not the linked one.
        """
        # Several threads may observe before their batches of deletes are sent.
        with self._one_at_a_time, self._use() as opened:
            opened.root.verify()
            opened.root.mounts = mounts
            policy = ReadPolicy(defer_large, self.interrupted)
            return observe_paths(opened.root, opened.selection, paths, known, accepts, again, policy)

    @contextlib.contextmanager
    def reader(self, mounts: frozenset[str] = frozenset()) -> Iterator[FileReader]:
        """Yield a reader for the bytes of several files; ``mounts`` as in ``Root``. Raises RootError."""
        with self._use() as opened, contextlib.closing(FileReader(opened.root, self._is_interrupted)) as reader:
            # An earlier call may have left mounts that a person has gone on without since.
            opened.root.mounts = mounts
            yield reader

    def write_to_trash(self, texts: Sequence[TrashText], now: float) -> None:
        """Write texts into the trash, durably. Raises DiskError or OSError."""
        with self._one_at_a_time, self._use() as opened:
            opened.trash.store_all(texts, now)

    def find_in_trash(self, path: str, digest: str) -> bytes | None:
        """Return a text from the trash of this source; None if it is not there. Raises DiskError or OSError."""
        with self._one_at_a_time, self._use() as opened:
            for entry in opened.trash.entries_of(path):
                if entry.hash == digest:
                    return opened.trash.read(entry.id)
            return None

    @contextlib.contextmanager
    def download(self, transfer: Transfer) -> Iterator[DownloadWriter]:
        """Begin a download or go on with it; the file is closed at the end. From any thread.

        Raises:
            RootError: the folder is missing or not the linked one.
            DiskError, OSError, ReadInterrupted: as in ``StagedDownloads.begin``.
        """
        with self._use() as opened, opened.downloads.begin(transfer) as writer:
            yield writer

    def discard_download(self, transfer_id: str) -> None:
        """Remove a download, if it exists. Raises DiskError or OSError."""
        with self._use() as opened:
            opened.downloads.discard(transfer_id)

    def keep_download(self, transfer: Transfer, reason: str, now: float) -> None:
        """Move a finished download into the trash; durable on return. Raises as ``StagedDownloads.keep``."""
        with self._use() as opened:
            opened.downloads.keep(transfer, reason, now)

    def apply(
        self, jobs: Sequence[tuple[Intent, Supply]], now: float, mounts: frozenset[str] = frozenset()
    ) -> list[ApplyResult]:
        """Make journalled changes. The result of a change that the disk refused is FAILED; ``mounts`` as in ``Root``.

        Raises:
            DiskError: the changes began, and their results cannot be determined now.
        """
        try:
            with self._use() as opened:
                opened.root.mounts = mounts
                opened.installer.accepts = self._installed()
                return opened.installer.apply(jobs, now)
        except RootError as error:
            return [ApplyResult(intent.id, ApplyOutcome.FAILED, None, error.message) for intent, _ in jobs]
        except DiskError:
            return self._recover([intent for intent, _ in jobs], now, mounts, LiveDownloads.of_jobs(jobs))

    def recover(
        self,
        intents: Sequence[Intent],
        now: float,
        mounts: frozenset[str] = frozenset(),
        transfers: Sequence[Transfer] | None = None,
    ) -> list[ApplyResult]:
        """Return the results of changes that an earlier process began.

        Args:
            transfers: every download that is wanted; other downloads are removed. None: none is removed.

        Raises:
            DiskError: the results are not known now.
        """
        return self._recover(intents, now, mounts, LiveDownloads.of_transfers(transfers))

    def _recover(
        self, intents: Sequence[Intent], now: float, mounts: frozenset[str], downloads: LiveDownloads
    ) -> list[ApplyResult]:
        with self._use() as opened:
            opened.root.mounts = mounts
            opened.installer.accepts = self._installed()
            return opened.installer.recover(intents, now, downloads)

    def _installed(self) -> Accepts:
        # A file of the server is within its limit of size.
        return Accepts(self.accepts().text_only)

    def release_journal(self, intent_ids: Sequence[str]) -> None:
        """Remove the staging marks of changes whose results are committed in the index."""
        with self._use() as opened:
            opened.installer.release(intent_ids)
