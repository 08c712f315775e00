"""The attributes of new files: their own, those of the file they replace, or those of an editor's file."""

from __future__ import annotations

from typing import Final

from agent.core.errors import DiskError
from agent.core.model import Purpose
from agent.core.paths import parent_of
from agent.disk.apply.job import ApplyJob
from agent.disk.apply.staging import StagingArea
from agent.disk.apply.swap import Target
from agent.disk.apply.trash import Trash
from agent.disk.fs.attributes import CreationDefaults
from agent.disk.fs.protocol import Dir
from agent.disk.root import Root

_MOVED_REASONS: Final = frozenset({*(purpose.value for purpose in Purpose), "recovered"})
"""Reasons of entries that were a user's files. Texts that the agent wrote into the trash have no mode of their own."""


class NewFiles:
    """Writes new files into the staging folder. What a folder gives to new files is read once for each group."""

    def __init__(self, root: Root, trash: Trash, staging: StagingArea) -> None:
        self._root = root
        self._trash = trash
        self._staging = staging
        self._defaults: dict[str, CreationDefaults | None] = {}

    def begin_group(self) -> None:
        """Forget what was read for the last group."""
        self._defaults.clear()

    def write(self, job: ApplyJob, replaced: Target | None) -> None:
        """Write the new file of a job.

        Args:
            replaced: the file it takes the place of, whose attributes it takes over.
        """
        model: tuple[Dir, str] | CreationDefaults | None
        if replaced is not None:
            model = (replaced.folder, replaced.name)
        else:
            model = self._own_entry(job) or self._folder_defaults(parent_of(job.intent.path))
        written = self._staging.write(job.intent.id, job.content, model)
        job.inode, job.mtime_ns = written.inode, written.mtime_ns

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
