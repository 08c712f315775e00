"""The strict server's rules: what a change does, what is refused, and what the log says of it."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Iterator

from msgspec.structs import replace

from strict_scaidrive.state import (
    COLLEAGUE,
    DriveChange,
    DriveFile,
    DriveFolder,
    DriveShare,
    DriveState,
    DriveTraps,
    DriveVersion,
)


class DriveError(Exception):
    """An answer outside 2xx. ``detail`` is a text, or the list of a 422."""

    def __init__(self, status: int, detail: str | list[dict[str, object]]) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail


class StrictScaiDrive:
    """One server with any number of shares. The same calls at the same times always give the same answers.

    Attributes:
        traps: see ``DriveTraps``; they can be changed at any time.
        state: everything it stores.
        most: bytes of the largest file.
        forced: files whose head a client replaced by a word that does not compare it.
    """

    def __init__(self, clock: Callable[[], float], traps: DriveTraps | None = None, most: int = 4096) -> None:
        self.clock = clock
        self.traps = traps or DriveTraps()
        self.most = most
        self.state = DriveState()
        self.forced: list[str] = []

    # Copies

    def snapshot(self) -> DriveState:
        """A copy of everything it holds."""
        return self.state.copy()

    def restore(self, copy: DriveState) -> None:
        """Hold what the copy holds, and nothing else."""
        self.state = copy.copy()

    def restore_backup(self, copy: DriveState) -> None:
        """As ``restore``, like a real server from a backup: no id is used a second time."""
        used = self.state.numbers
        self.restore(copy)
        self.state.numbers = used

    def new_id(self, kind: str) -> str:
        """An id that was never used before."""
        self.state.numbers += 1
        return f"{kind}_{self.state.numbers:06d}"

    # What it holds

    def share(self, identifier: str, *, writing: bool = False) -> DriveShare:
        """A share. One that the user may not see looks missing; one that is only read refuses to be written."""
        found = self.state.shares.get(identifier)
        if found is None or found.hidden:
            raise DriveError(404, "Share not found")
        if writing and found.role == "reader":
            raise DriveError(403, "The role reader may not write")
        return found

    def add_share(self, name: str) -> DriveShare:
        """Create a share."""
        share = DriveShare(self.new_id("shr"), name, self.clock())
        self.state.shares[share.id] = share
        return share

    def file(self, identifier: str) -> DriveFile:
        """A file, deleted or not."""
        found = self.state.files.get(identifier)
        if found is None:
            raise DriveError(404, "File not found")
        self.share(found.share)
        if self.is_hidden(found.folder):
            raise DriveError(404, "File not found")
        return found

    def is_hidden(self, folder: str | None) -> bool:
        """True if the user may not see a folder, or one above it."""
        if folder is None:
            return False
        found = self.state.folders[folder]
        return found.hidden or self.is_hidden(found.parent)

    def live_file(self, identifier: str) -> DriveFile:
        """A file that is not deleted."""
        found = self.file(identifier)
        if found.deleted:
            raise DriveError(410, "The file was deleted; restore it before reuse")
        return found

    def folder_path(self, identifier: str | None) -> str:
        """The path of a folder, empty for the top."""
        if identifier is None:
            return ""
        folder = self.state.folders[identifier]
        return posixpath.join(self.folder_path(folder.parent), folder.name)

    def path_of(self, file: DriveFile) -> str:
        """The relative path of a file."""
        return posixpath.join(self.folder_path(file.folder), file.name)

    def in_folder(
        self, share: str, folder: str | None, *, deleted: bool = False
    ) -> tuple[list[DriveFolder], list[DriveFile]]:
        """The folders and files directly inside, by name; with ``deleted``, also those that were deleted there."""
        place = (share, folder)
        folders = [
            f
            for f in self.state.folders.values()
            if (f.share, f.parent) == place and (deleted or not f.deleted) and not f.hidden
        ]
        files = [f for f in self.state.files.values() if (f.share, f.folder) == place and (deleted or not f.deleted)]
        return sorted(folders, key=lambda f: (f.name, f.id)), sorted(files, key=lambda f: (f.name, f.id))

    def below(self, share: str, folder: str) -> Iterator[DriveFile]:
        """The live files below a folder, at any depth, by name."""
        folders, files = self.in_folder(share, folder)
        yield from files
        for each in folders:
            yield from self.below(share, each.id)

    def find(self, share: str, path: str) -> DriveFile | None:
        """The live file at a path."""
        live = (f for f in self.state.files.values() if f.share == share and not f.deleted)
        return next((f for f in live if self.path_of(f) == path), None)

    def heads(self, share: str) -> dict[str, bytes]:
        """Path -> content of every file."""
        live = (f for f in self.state.files.values() if f.share == share and not f.deleted)
        return {self.path_of(f): self.state.contents[f.head.hash] for f in live}

    def refuse_taken(self, share: str, folder: str | None, name: str) -> None:
        """Refuse a name that a sibling has."""
        folders, files = self.in_folder(share, folder)
        if name in {each.name for each in folders} | {each.name for each in files}:
            raise DriveError(409, "A sibling has this name")

    # Folders

    def live_folder(self, share: str, folder: str | None) -> str | None:
        """The id of a folder that can be used; None is the top."""
        if folder is None:
            return None
        found = self.state.folders.get(folder)
        if found is None or found.share != share or self.is_hidden(folder):
            raise DriveError(404, "Folder not found")
        if found.deleted:
            raise DriveError(410, "The folder was deleted")
        return folder

    def add_folder(self, share: str, parent: str | None, name: str, by: str) -> DriveFolder:
        """Create a folder. Names are unique in their folder."""
        self.refuse_taken(share, self.live_folder(share, parent), name)
        folder = DriveFolder(self.new_id("fld"), share, parent, name, self.clock())
        self.state.folders[folder.id] = folder
        self._log(share, "folder", folder.id, "created", None, self.folder_path(folder.id), by)
        return folder

    def ensure_folder(self, share: str, path: str, by: str = COLLEAGUE) -> str | None:
        """The id of the folder at a path; missing ones are created."""
        parent: str | None = None
        for name in path.split("/") if path else ():
            found = next((f for f in self.in_folder(share, parent)[0] if f.name == name), None)
            parent = (found or self.add_folder(share, parent, name, by)).id
        return parent

    def move_folder(self, folder: str, parent: str | None, name: str) -> None:
        """Give a folder another place. Its files keep their versions."""
        before = self.state.folders[folder]
        old = self.folder_path(folder)
        files = [(f, self.path_of(f)) for f in self.below(before.share, folder)]
        self.state.folders[folder] = replace(before, parent=parent, name=name)
        change = "renamed" if before.parent == parent else "moved"
        if not self.traps.no_folder_entry:
            self._log(before.share, "folder", folder, change, old, self.folder_path(folder), COLLEAGUE)
        for file, path in files if self.traps.child_entries or self.traps.no_folder_entry else ():
            self.log_file(file, "renamed", path, self.path_of(file), COLLEAGUE)

    def delete_folder(self, folder: str) -> None:
        """Delete a folder and everything below it."""
        before = self.state.folders[folder]
        path = self.folder_path(folder)
        for file in list(self.below(before.share, folder)):
            old = self.path_of(file)
            self.state.files[file.id] = replace(file, deleted=True, modified_at=self.clock())
            if self.traps.child_entries or self.traps.no_folder_entry:
                self.log_file(file, "deleted", old, None, COLLEAGUE)
        for each in list(self.state.folders.values()):
            inside = each.share == before.share and (self.folder_path(each.id) + "/").startswith(path + "/")
            if inside and not each.deleted:
                self.state.folders[each.id] = replace(each, deleted=True)
        if not self.traps.no_folder_entry:
            self._log(before.share, "folder", folder, "deleted", path, None, COLLEAGUE)

    # Files

    def put(self, share: str, path: str, content: bytes, by: str = COLLEAGUE) -> DriveFile:
        """Create or replace a file without asking for a base, as people do on the server itself."""
        folder, name = posixpath.split(path)
        found = self.find(share, path)
        if found is not None:
            return self.add_version(found, self.new_version(found, content, by))
        return self.create(share, self.ensure_folder(share, folder, by), name, content, by)

    def create(self, share: str, folder: str | None, name: str, content: bytes, by: str) -> DriveFile:
        """Create a file with its first version."""
        self.refuse_taken(share, folder, name)
        version = self.new_version(None, content, by)
        file = DriveFile(self.new_id("fil"), share, folder, name, (version,), self.clock())
        self.state.files[file.id] = file
        self.log_file(file, "created", None, self.path_of(file), by)
        return file

    def new_version(self, file: DriveFile | None, content: bytes, by: str) -> DriveVersion:
        """A version that no file has yet."""
        digest = hashlib.sha256(content).hexdigest()
        self.state.contents[digest] = content
        parent = None if file is None else file.head.id
        return DriveVersion(self.new_id("ver"), 1, digest, len(content), by, self.clock(), parent)

    def add_version(self, file: DriveFile, version: DriveVersion) -> DriveFile:
        """Make a version the head."""
        numbered = replace(version, number=file.head.number + 1)
        changed = replace(file, versions=(*file.versions, numbered), modified_at=self.clock())
        self.state.files[file.id] = changed
        path = self.path_of(changed)
        self.log_file(changed, "updated", path, path, version.by)
        return changed

    def remove(self, file: DriveFile, by: str = COLLEAGUE) -> None:
        """Delete a file. Its versions stay."""
        path = self.path_of(file)
        gone = replace(file, deleted=True, modified_at=self.clock())
        self.state.files[file.id] = gone
        self.log_file(gone, "deleted", path, None, by)

    def move(self, file: DriveFile, folder: str | None, name: str, by: str = COLLEAGUE) -> DriveFile:
        """Give a file another place. It keeps its versions."""
        self.refuse_taken(file.share, folder, name)
        old = self.path_of(file)
        change = "renamed" if file.folder == folder else "moved"
        moved = replace(file, folder=folder, name=name)
        self.state.files[file.id] = moved
        self.log_file(moved, change, old, self.path_of(moved), by)
        return moved

    def move_to_share(self, file: DriveFile, share: str, folder: str | None, by: str = COLLEAGUE) -> DriveFile:
        """Give a file a place in another share. It keeps its id and its versions; each share's log has one entry."""
        self.share(share, writing=True)
        self.live_folder(share, folder)
        self.refuse_taken(share, folder, file.name)
        self.log_file(file, "deleted", self.path_of(file), None, by)
        moved = replace(file, share=share, folder=folder)
        self.state.files[file.id] = moved
        self.log_file(moved, "created", None, self.path_of(moved), by)
        return moved

    def prune(self, file: DriveFile) -> DriveFile:
        """Delete every version but the head, as the server does by the hour."""
        pruned = replace(file, versions=file.versions[-1:])
        self.state.files[file.id] = pruned
        return pruned

    # The log

    def log_file(self, file: DriveFile, change: str, old: str | None, new: str | None, by: str) -> None:
        """Write an entry about a file."""
        self._log(file.share, "file", file.id, change, old, new, by, None if new is None else file.head)

    def _log(
        self, share: str, kind: str, resource: str, change: str, old: str | None, new: str | None, by: str,
        version: DriveVersion | None = None,
    ) -> None:  # fmt: skip
        state = self.state
        # Entries of other shares of the tenant lie between.
        state.position += 1 + len(state.log) % 3
        made = DriveChange(
            state.position, self.new_id("chg"), share, kind, resource, change, by, self.clock(), old, new, version
        )
        state.log.append(made)

    def cut_log(self) -> None:
        """Delete every entry of the log."""
        self.state.cut = self.state.position
        self.state.log.clear()

    def changes(self, share: str, cursor: int, limit: int) -> tuple[list[DriveChange], bool]:
        """The next entries of a share, and True if there are more."""
        if not self.state.cut <= cursor <= self.state.position:
            raise DriveError(400, "The cursor is malformed or unknown")
        if self.traps.sparse_pages:
            end = cursor + limit
            found = [entry for entry in self.state.log if entry.share == share and cursor < entry.position <= end]
            return found, end < self.state.position
        later = [entry for entry in self.state.log if entry.share == share and entry.position > cursor]
        return later[:limit], len(later) > limit
