"""New files in the staging folder: their bytes from each kind of supply, and their attributes.

The attributes are their own, those of the file they replace, or those of an editor's file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Final, NamedTuple

from agent.core import paths
from agent.core.errors import DiskError
from agent.core.model import ApplyOutcome, Purpose
from agent.core.paths import parent_of
from agent.core.supply import FromFolder, Inline, Staged
from agent.disk.apply.downloads import StagedDownloads
from agent.disk.apply.job import ApplyJob
from agent.disk.apply.staging import Model, StagingArea, StagingMark
from agent.disk.apply.target import Target
from agent.disk.apply.trash import Trash
from agent.disk.fs.attributes import CreationDefaults
from agent.disk.fs.protocol import Dir, File, FileType
from agent.disk.root import Root

_MOVED_REASONS: Final = frozenset({*(purpose.value for purpose in Purpose), "recovered"})
"""Reasons of entries that were a user's files. Texts that the agent wrote into the trash have no mode of their own."""

_NO_DOWNLOAD: Final = "the download is not there any more"
_NOT_THE_SOURCE: Final = "'{}' does not hold the bytes that were to be copied from it"


class _Source(NamedTuple):
    """The open file of a copy, and its place."""

    file: File
    place: tuple[Dir, str]


class NewFiles:
    """Brings new files into the staging folder. What a folder gives to new files is read once for each group."""

    def __init__(self, root: Root, trash: Trash, staging: StagingArea, downloads: StagedDownloads) -> None:
        self._root = root
        self._trash = trash
        self._staging = staging
        self._downloads = downloads
        self._defaults: dict[str, CreationDefaults | None] = {}

    def begin_group(self) -> None:
        """Forget what was read for the last group."""
        self._defaults.clear()

    def end_group(self, jobs: Iterable[ApplyJob]) -> None:
        """Remove the downloads of finished jobs that were not needed: their bytes were at the path already."""
        for job in jobs:
            if isinstance(job.supply, Staged) and job.is_done:
                with contextlib.suppress(OSError):
                    self._downloads.discard(job.supply.transfer)

    def check(self, job: ApplyJob) -> None:
        """Learn the size of the new file. Refuse bytes that are known not to be the intended ones.

        Raises:
            OSError: they cannot be read.
            ReadInterrupted: the process is stopping.
        """
        supply, new = job.supply, job.intent.new
        if isinstance(supply, Inline):
            job.size = len(supply.content)
            if sha256(supply.content).hexdigest() != new:
                job.decide(ApplyOutcome.FAILED, "the bytes do not match their hash")
        elif isinstance(supply, Staged):
            found = self._downloads.verify(supply.transfer)
            if found is None or found.sha256 != new:
                missing = found is None
                job.decide(ApplyOutcome.FAILED, _NO_DOWNLOAD if missing else "the download does not match its hash")
                self._downloads.discard(supply.transfer)
            else:
                job.size, job.digest = found.stat.size, found.digest
        else:
            with self._source(job, supply) as source:
                job.size = None if source is None else self._root.fs.fstat(source.file).size

    def write(self, job: ApplyJob, replaced: Target | None) -> None:
        """Bring the new file of a job to ``ID.part``, unless its bytes turn out to be others.

        Args:
            replaced: the file it takes the place of, whose attributes it takes over.

        Raises:
            OSError: the disk refused.
            ReadInterrupted: the process is stopping.
        """
        supply, intent = job.supply, job.intent
        if isinstance(supply, Inline):
            written = self._staging.write(intent.id, supply.content, self._model(job, replaced))
        elif isinstance(supply, Staged):
            written = self._staging.adopt(supply.transfer, intent.id, self._model(job, replaced))
        else:
            with self._source(job, supply) as source:
                if source is None:
                    return
                # A copy to a path where no file is keeps the attributes, so that a private file stays private.
                model = self._model(job, replaced) if replaced is not None else source.place
                written, job.digest = self._staging.copy(intent.id, source.file, model)
            if job.digest.sha256 != intent.new:
                self._staging.drop(intent.id, StagingMark.PART)
                job.decide(ApplyOutcome.CHANGED, _NOT_THE_SOURCE.format(supply.path))
                return
            job.size = written.size
        job.inode, job.mtime_ns = written.inode, written.mtime_ns

    @contextlib.contextmanager
    def _source(self, job: ApplyJob, supply: FromFolder) -> Iterator[_Source | None]:
        """Open the file of the linked folder that is copied. None if there is none: then the job is decided."""
        with contextlib.ExitStack() as opened:
            source = None
            with contextlib.suppress(OSError, DiskError):
                if paths.check(supply.path) is None:
                    place = opened.enter_context(self._root.parent(supply.path))
                    file = self._root.fs.open_file(*place)
                    opened.callback(self._root.fs.close, file)
                    if self._root.fs.fstat(file).kind is FileType.FILE:
                        source = _Source(file, place)
            if source is None:
                job.decide(ApplyOutcome.CHANGED, _NOT_THE_SOURCE.format(supply.path))
            yield source

    def _model(self, job: ApplyJob, replaced: Target | None) -> Model:
        if replaced is not None:
            return replaced.folder, replaced.name
        return self._own_entry(job) or self._folder_defaults(parent_of(job.intent.path))

    def _own_entry(self, job: ApplyJob) -> tuple[Dir, str] | None:
        """Return the trash entry of a file that is restored: it gets back its own mode."""
        if job.intent.purpose is not Purpose.RESTORE:
            return None
        same = [
            entry for entry in self._trash.entries() if entry.hash == job.intent.new and entry.reason in _MOVED_REASONS
        ]
        # A restore may go to another path; the entry of the same path is the better model.
        same.sort(key=lambda entry: (entry.path == job.intent.path, entry.moved_at))
        return (self._trash.folder, same[-1].name) if same else None

    def _folder_defaults(self, folder: str) -> CreationDefaults | None:
        """Return what a folder gives to new files; a folder that does not exist yet inherits from the one above it."""
        if folder not in self._defaults:
            try:
                with self._root.folder(folder) as handle:
                    self._defaults[folder] = self._root.fs.creation_defaults(handle)
            except FileNotFoundError:
                self._defaults[folder] = self._folder_defaults(parent_of(folder))
            except (OSError, DiskError):
                # The path is refused later, with its reason.
                self._defaults[folder] = None
        return self._defaults[folder]
