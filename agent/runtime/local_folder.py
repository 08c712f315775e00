"""One linked folder, held open for the effects that observe and change it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence

from agent.core.errors import DiskError, RootError
from agent.core.model import ApplyOutcome, ApplyResult, IndexedFile, IndexedFileRow, Intent, Observation
from agent.disk.apply.file_reader import FileReader
from agent.disk.apply.install import Installer
from agent.disk.apply.trash import Trash
from agent.disk.fs.protocol import Fs
from agent.disk.root import Root, RootIdentity
from agent.disk.root_marker import confirm
from agent.disk.scan.observe import observe_paths
from agent.disk.scan.walk import ScanBatch, scan
from agent.disk.selection.rules import Rules, Selection


class LocalFolder:
    """One linked folder. Its root is opened on first use, and again after it was missing.

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
        self._open: tuple[Root, Selection, Trash, Installer] | None = None
        self._lock = threading.RLock()

    def close(self) -> None:
        """Close every handle. A later call opens the folder again."""
        if self._open is not None:
            root, _, trash, _ = self._open
            self._open = None
            trash.close()
            root.close()

    def _opened(self) -> tuple[Root, Selection, Trash, Installer]:
        with self._lock:
            if self._open is None:
                root = self._confirmed()
                selection = Selection(root, self._rules)
                trash = Trash(self._fs, root, self._state_folder, self._source)
                root.nfd_probe = trash.stores_nfd
                self._open = (root, selection, trash, Installer(root, trash, selection))
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
        return self._opened()[0]

    @property
    def selection(self) -> Selection:
        """The current rules. Raises RootError."""
        return self._opened()[1]

    @property
    def trash(self) -> Trash:
        """The trash of this source. Raises RootError."""
        return self._opened()[2]

    def scan(
        self, known: Iterable[IndexedFileRow], max_bytes: int | None, mounts: frozenset[str] = frozenset()
    ) -> Iterator[ScanBatch]:
        """Yield everything that differs from the index; arguments as in ``agent.disk.scan.walk.scan`` and ``Root``.

        Raises:
            RootError: the folder is missing or not the linked one.
        """
        if self._open is not None:
            try:
                self.root.verify()
            except RootError:
                # The handle is of a folder that is now elsewhere. Scan the one at the path instead.
                self.close()
        self.root.mounts = mounts
        yield from scan(self.root, self.selection, known, max_bytes=max_bytes)

    def observe(
        self,
        paths: Sequence[str],
        known: dict[str, IndexedFile],
        max_bytes: int | None,
        mounts: frozenset[str] = frozenset(),
        again: frozenset[str] = frozenset(),
    ) -> list[Observation]:
        """Observe these paths; ``again`` as in ``observe_paths``. Raises RootError."""
        # Several threads may observe before their batches of deletes are sent.
        with self._lock:
            self.root.verify()
            self.root.mounts = mounts
            return observe_paths(self.root, self.selection, paths, known, max_bytes, again)

    @contextlib.contextmanager
    def reader(self) -> Iterator[FileReader]:
        """Yield a reader for the bytes of several files. Raises RootError."""
        with contextlib.closing(FileReader(self.root)) as reader:
            yield reader

    def write_to_trash(self, path: str, content: bytes, reason: str, entry_id: str, now: float) -> None:
        """Write a text into the trash, durably. Raises DiskError or OSError."""
        with self._lock:
            self.trash.store(path, content, reason, entry_id, now)

    def apply(self, jobs: Sequence[tuple[Intent, bytes]], now: float) -> list[ApplyResult]:
        """Make journalled changes. The result of a change that the disk refused is FAILED.

        Raises:
            DiskError: the changes began, and their results cannot be determined now.
        """
        try:
            return self._opened()[3].apply(jobs, now)
        except RootError as error:
            return [ApplyResult(intent.id, ApplyOutcome.FAILED, None, error.message) for intent, _ in jobs]
        except DiskError:
            return self.recover([intent for intent, _ in jobs], now)

    def recover(self, intents: Sequence[Intent], now: float) -> list[ApplyResult]:
        """Return the results of changes that an earlier process began. Raises DiskError if they are not known now."""
        return self._opened()[3].recover(intents, now)

    def release_journal(self, intent_ids: Sequence[str]) -> None:
        """Remove the staging marks of changes whose results are committed in the index."""
        self._opened()[3].release(intent_ids)
