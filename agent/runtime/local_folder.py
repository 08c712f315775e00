"""One linked folder, held open for the effects that look at it and change it."""

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
from agent.disk.scan.observe import look_at_all
from agent.disk.scan.walk import ScanBatch, scan
from agent.disk.selection.rules import Rules, Selection


class LocalFolder:
    """Opens the root when first needed and again after it was away. Whole looks and changes come from one thread;
    ``look_at``, ``reading`` and ``stash`` may come from others.

    Args:
        state_folder: where the trash lies if that is the same file system.
        source: names the trash of this source.
        expected: the folder that was linked; another one in its place is trouble, not a new start.
        link: the source it was linked to, by which its mark is known; without it the device must be the same too.
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
        """Let go of the folder."""
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
                root.probe = trash.stores_nfd
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
        """The rules as they stand. Raises RootError."""
        return self._opened()[1]

    @property
    def trash(self) -> Trash:
        """The trash of this source. Raises RootError."""
        return self._opened()[2]

    def look(
        self, known: Iterable[IndexedFileRow], max_bytes: int | None, mounts: frozenset[str] = frozenset()
    ) -> Iterator[ScanBatch]:
        """Everything that differs from what is known; ``mounts`` as in Root. Raises RootError."""
        if self._open is not None:
            try:
                self.root.verify()
            except RootError:
                # The handle is of a folder that stands elsewhere now; what stands here is looked at afresh.
                self.close()
        self.root.mounts = mounts
        yield from scan(self.root, self.selection, known, max_bytes=max_bytes)

    def look_at(
        self,
        paths: Sequence[str],
        known: dict[str, IndexedFile],
        max_bytes: int | None,
        mounts: frozenset[str] = frozenset(),
        again: frozenset[str] = frozenset(),
    ) -> list[Observation]:
        """What stands at these paths; ``again`` as in ``look_at_all``. Raises RootError."""
        # Several batches of deletes may look before they are sent.
        with self._lock:
            self.root.verify()
            self.root.mounts = mounts
            return look_at_all(self.root, self.selection, paths, known, max_bytes, again)

    @contextlib.contextmanager
    def reading(self) -> Iterator[FileReader]:
        """Files' bytes, one after another. Raises RootError."""
        with contextlib.closing(FileReader(self.root)) as reader:
            yield reader

    def stash(self, path: str, content: bytes, reason: str, entry_id: str, now: float) -> None:
        """Keep a text in the trash, durably. Raises DiskError or OSError."""
        with self._lock:
            self.trash.stash(path, content, reason, entry_id, now)

    def carry_out(self, jobs: Sequence[tuple[Intent, bytes]], now: float) -> list[ApplyResult]:
        """Make journalled changes; what could not be done has landed as FAILED.

        Raises:
            DiskError: they were begun, and what became of them cannot be told now.
        """
        try:
            return self._opened()[3].carry_out(jobs, now)
        except RootError as error:
            return [ApplyResult(intent.id, ApplyOutcome.FAILED, None, error.message) for intent, _ in jobs]
        except DiskError:
            return self.recover([intent for intent, _ in jobs], now)

    def recover(self, intents: Sequence[Intent], now: float) -> list[ApplyResult]:
        """What became of changes a former process began. Raises DiskError where it cannot be told now."""
        return self._opened()[3].recover(intents, now)

    def forget(self, intent_ids: Sequence[str]) -> None:
        """The outcome of these is in the index."""
        self._opened()[3].forget(intent_ids)
