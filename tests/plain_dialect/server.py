"""The plain server's rules: what a commit changes, what is refused, and what the log says of it."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Iterator

from msgspec.structs import replace

from plain_dialect.state import (
    JSON,
    ApiError,
    Change,
    Device,
    Folder,
    Revision,
    Share,
    Sizes,
    State,
    StoredConflict,
    StoredFile,
    Traps,
)
from plain_dialect.uploads import Uploads

SMALL = Sizes()


class PlainServer:
    """One server with any number of sources. The same calls at the same times always give the same answers.

    Attributes:
        traps: see ``Traps``; they can be changed at any time.
        sizes: the bounds that it states.
        uploads: the upload sessions.
        state: everything it stores.
    """

    def __init__(self, clock: Callable[[], float], traps: Traps | None = None, sizes: Sizes = SMALL) -> None:
        self.clock = clock
        self.traps = traps or Traps()
        self.sizes = sizes
        self.state = State()
        self.uploads = Uploads(self)

    # Copies

    def snapshot(self) -> State:
        """A copy of everything it holds."""
        return self.state.copy()

    def restore(self, copy: State) -> None:
        """Hold what the copy holds, and nothing else."""
        self.state = copy.copy()

    def restore_backup(self, copy: State) -> None:
        """As ``restore``, like a real server from a backup: no id is used a second time."""
        used = self.state.numbers
        self.restore(copy)
        self.state.numbers = used

    def new_id(self, kind: str) -> str:
        """An id that was never used before."""
        self.state.numbers += 1
        return f"{kind}_{self.state.numbers:05d}"

    # What it holds

    def share(self, identifier: str) -> Share:
        """A source. One that the account may not see looks missing."""
        found = self.state.shares.get(identifier)
        if found is None or found.hidden:
            raise ApiError(404, "no such source")
        return found

    def add_share(self, name: str) -> Share:
        """Create a source."""
        share = Share(self.new_id("shr"), name)
        self.state.shares[share.id] = share
        return share

    def file(self, identifier: str) -> StoredFile:
        """A file, deleted or not."""
        found = self.state.files.get(identifier)
        if found is None:
            raise ApiError(404, "no such file")
        self.share(found.source)
        return found

    def folder_path(self, identifier: str | None) -> str:
        """The path of a folder, empty for the top."""
        if identifier is None:
            return ""
        folder = self.state.folders[identifier]
        return posixpath.join(self.folder_path(folder.parent), folder.name)

    def path_of(self, file: StoredFile) -> str:
        """The path of a file."""
        return posixpath.join(self.folder_path(file.folder), file.name)

    def in_folder(self, source: str, folder: str | None) -> tuple[list[Folder], list[StoredFile]]:
        """The live folders and files directly inside, by name."""
        folders = [f for f in self.state.folders.values() if (f.source, f.parent) == (source, folder) and not f.deleted]
        files = [f for f in self.state.files.values() if (f.source, f.folder) == (source, folder) and not f.deleted]
        return sorted(folders, key=lambda f: f.name), sorted(files, key=lambda f: f.name)

    def below(self, source: str, folder: str) -> Iterator[StoredFile]:
        """The live files below a folder, at any depth, by name."""
        folders, files = self.in_folder(source, folder)
        yield from files
        for each in folders:
            yield from self.below(source, each.id)

    def at(self, source: str, folder: str | None, name: str) -> StoredFile | None:
        """The live file of that name in a folder."""
        return next((f for f in self.in_folder(source, folder)[1] if f.name == name), None)

    def find(self, source: str, path: str) -> StoredFile | None:
        """The live file at a path."""
        return next(
            (f for f in self.state.files.values() if f.source == source and not f.deleted and self.path_of(f) == path),
            None,
        )

    def heads(self, source: str) -> dict[str, bytes]:
        """Path -> content of every file."""
        live = (f for f in self.state.files.values() if f.source == source and not f.deleted)
        return {self.path_of(f): self.state.contents[f.head.hash or ""] for f in live}

    # Folders

    def add_folder(self, source: str, parent: str | None, name: str, by: str | None) -> Folder:
        """Create a folder. Names are unique in their folder."""
        folders, files = self.in_folder(source, self._live_folder(source, parent))
        if name in {each.name for each in folders} | {each.name for each in files}:
            raise ApiError(409, "the name is taken")
        folder = Folder(self.new_id("fld"), source, parent, name)
        self.state.folders[folder.id] = folder
        self._log(source, "folder", folder.id, "created", None, self.folder_path(folder.id), by)
        return folder

    def ensure_folder(self, source: str, path: str) -> str | None:
        """The id of the folder at a path; missing ones are created by the server's own people."""
        parent: str | None = None
        for name in path.split("/") if path else ():
            found = next((f for f in self.in_folder(source, parent)[0] if f.name == name), None)
            parent = (found or self.add_folder(source, parent, name, None)).id
        return parent

    def move_folder(self, folder: str, parent: str | None, name: str) -> None:
        """Give a folder another place. Its files keep their revisions."""
        before = self.state.folders[folder]
        old = self.folder_path(folder)
        olds = [(f, self.path_of(f)) for f in self.below(before.source, folder)]
        self.state.folders[folder] = replace(before, parent=parent, name=name)
        self._log(before.source, "folder", folder, "moved", old, self.folder_path(folder), None)
        for file, path in olds if self.traps.child_entries else ():
            self._log_file(file, "moved", path, self.path_of(file), None)

    def delete_folder(self, folder: str) -> None:
        """Delete a folder and everything below it."""
        before = self.state.folders[folder]
        path = self.folder_path(folder)
        files = [(f, self.path_of(f)) for f in self.below(before.source, folder)]
        for file, old in files:
            gone = self._add_revision(file, None, 0, None)
            if self.traps.child_entries:
                self._log_file(gone, "deleted", old, None, None)
        for each in [f for f in self.state.folders.values() if (self.folder_path(f.id) + "/").startswith(path + "/")]:
            if each.source == before.source and not each.deleted:
                self.state.folders[each.id] = replace(each, deleted=True)
        self._log(before.source, "folder", folder, "deleted", path, None, None)

    def _live_folder(self, source: str, folder: str | None) -> str | None:
        if folder is None:
            return None
        found = self.state.folders.get(folder)
        if found is None or found.source != source:
            raise ApiError(404, "no such folder")
        if found.deleted:
            raise ApiError(410, "the folder was deleted")
        return folder

    # Files

    def put(self, source: str, path: str, content: bytes, by: str | None = None) -> StoredFile:
        """Create or replace a file without asking for a base, as the server's own people do."""
        folder, name = posixpath.split(path)
        digest = self.keep(content)
        found = self.find(source, path)
        if found is not None:
            return self._replace(found, digest, len(content), by)
        return self._create(source, self.ensure_folder(source, folder), name, digest, len(content), by)

    def remove(self, file: StoredFile, by: str | None = None) -> StoredFile:
        """Delete a file. Its revisions stay."""
        path = self.path_of(file)
        gone = self._add_revision(file, None, 0, by)
        self._log_file(gone, "deleted", path, None, by)
        return gone

    def move(self, file: StoredFile, folder: str | None, name: str, by: str | None = None) -> StoredFile:
        """Give a file another place, which makes a new revision of the same content."""
        old, head = self.path_of(file), file.head
        placed = replace(file, folder=folder, name=name)
        moved = self._add_revision(placed, head.hash, head.size, by)
        self._log_file(moved, "moved", old, self.path_of(moved), by)
        return moved

    def _create(self, source: str, folder: str | None, name: str, digest: str, size: int, by: str | None) -> StoredFile:
        empty = StoredFile(self.new_id("fil"), source, folder, name, (), self.clock())
        file = self._add_revision(empty, digest, size, by)
        self._log_file(file, "created", None, self.path_of(file), by)
        return file

    def _replace(self, file: StoredFile, digest: str, size: int, by: str | None) -> StoredFile:
        changed = self._add_revision(file, digest, size, by)
        path = self.path_of(file)
        self._log_file(changed, "updated", path, path, by)
        return changed

    def _add_revision(self, file: StoredFile, digest: str | None, size: int, by: str | None) -> StoredFile:
        now = self.clock()
        revision = Revision(self.new_id("ver"), len(file.revisions) + 1, digest, size, by, now)
        changed = replace(file, revisions=(*file.revisions, revision), changed_at=now)
        self.state.files[file.id] = changed
        return changed

    def keep(self, content: bytes) -> str:
        """Keep a content; its hash."""
        digest = hashlib.sha256(content).hexdigest()
        self.state.contents[digest] = content
        return digest

    def keep_promised(self, content: bytes, promised: tuple[str, int]) -> tuple[str, int]:
        """Keep a content that has the promised hash and size."""
        if (hashlib.sha256(content).hexdigest(), len(content)) != promised:
            raise ApiError(400, "the content has another checksum")
        self.state.contents[promised[0]] = content
        return promised

    # The log

    def _log_file(self, file: StoredFile, kind: str, old: str | None, new: str | None, by: str | None) -> None:
        head = file.head
        self._log(file.source, "file", file.id, kind, old, new, by, (head.rev, head.hash, head.size))

    def _log(
        self, source: str, resource: str, identifier: str, kind: str, old: str | None, new: str | None, by: str | None,
        version: tuple[str | None, str | None, int | None] = (None, None, None),
    ) -> None:  # fmt: skip
        state = self.state
        # Entries of others lie between: the positions of one source have gaps.
        state.position += 1 + len(state.log) % 3
        entry = (self.new_id("chg"), source, resource, identifier, kind, old, new, *version, by, self.clock())
        state.log.append(Change(state.position, *entry))
        if self.traps.keeps is not None:
            self.cut_log(self.traps.keeps)

    def cut_log(self, kept: int = 0) -> None:
        """Delete every entry of the log but the newest ones."""
        log = self.state.log
        gone = len(log) - kept
        if gone > 0:
            self.state.cut = log[gone - 1].position if kept else self.state.position
            del log[:gone]

    def changes(self, source: str, cursor: int, limit: int) -> tuple[list[Change], bool]:
        """The next entries of a source, and whether there are more."""
        if not self.state.cut <= cursor <= self.state.position:
            raise ApiError(400, "the cursor is not known")
        later = [entry for entry in self.state.log if entry.source == source and entry.position > cursor]
        return later[:limit], len(later) > limit

    # Commits

    def commit(self, source: str, device: str, items: list[JSON]) -> list[JSON]:
        """Carry out changes one by one; what became of each."""
        share = self.share(source)
        if share.readers_only:
            raise ApiError(403, "the role is reader")
        if device not in self.state.devices:
            raise ApiError(404, "no such device")
        if self.traps.bare_409:
            before = self.snapshot()
            results = [self._commit(source, device, item) for item in items]
            refused = [c for c in self.state.conflicts.values() if c.id not in before.conflicts]
            if refused:
                self.restore(before)
                self.state.conflicts.update({conflict.id: conflict for conflict in refused})
                raise ApiError(409, "conflict")
            return results
        return [self._commit(source, device, item) for item in items]

    def _commit(self, source: str, device: str, item: JSON) -> JSON:
        if item["op"] == "put" and item.get("id") is None:
            return self._commit_new(source, device, item)
        file = self.file(item["id"])
        stale = file.head.rev != item["base_rev"] and not self.traps.compares_no_base
        moved = not file.deleted and self.path_of(file) != item["path"]
        match item["op"]:
            case "delete" if file.deleted:
                return self._applied(file)
            case "put" | "delete" if stale or moved or file.deleted:
                return self._conflict(source, device, item, None if file.deleted else file)
            case "put":
                digest, size = self._content(item)
                return self._applied(self._replace(file, digest, size, device))
            case "delete":
                return self._applied(self.remove(file, device))
            case _:
                return self._commit_move(source, device, item, file, stale or moved or file.deleted)

    def _commit_new(self, source: str, device: str, item: JSON) -> JSON:
        folder = self._live_folder(source, item["folder"])
        found = self.at(source, folder, item["name"])
        if found is not None:
            return self._conflict(source, device, {**item, "path": self.path_of(found)}, found)
        if item["name"] in {each.name for each in self.in_folder(source, folder)[0]}:
            return {"status": "rejected", "detail": "a folder has this name"}
        digest, size = self._content(item)
        return self._applied(self._create(source, folder, item["name"], digest, size, device))

    def _commit_move(self, source: str, device: str, item: JSON, file: StoredFile, is_stale: bool) -> JSON:
        folder = self._live_folder(source, item["folder"])
        if is_stale or self.at(source, folder, item["name"]) is not None:
            return {"status": "stale"}
        return self._applied(self.move(file, folder, item["name"], device))

    def _applied(self, file: StoredFile) -> JSON:
        return {"status": "applied", "id": file.id, "rev": file.head.rev}

    def _conflict(self, source: str, device: str, item: JSON, head: StoredFile | None) -> JSON:
        digest, size = (None, 0) if item["op"] == "delete" else self._content(item)
        conflict = StoredConflict(
            self.new_id("cfl"), source, device, item.get("id"), item["path"], item.get("base_rev"), digest, size,
            head.head.rev if head else None, head.head.hash if head else None, self.clock(),
        )  # fmt: skip
        self.state.conflicts[conflict.id] = conflict
        return {"status": "conflict", "conflict": conflict.id}

    def _content(self, item: JSON) -> tuple[str, int]:
        """The hash and size of a commit's content, checked, whether it came along or was uploaded."""
        if self.traps.no_space:
            raise ApiError(507, "the quota is used up")
        promised = item["hash"], item["size"]
        if item.get("upload") is not None:
            return self.uploads.finish(item["upload"], promised)
        content: bytes = item["content"]
        return self.keep_promised(content, promised)

    def close_conflict(self, identifier: str) -> None:
        """Close a conflict; the head stays as it is."""
        found = self.state.conflicts.get(identifier)
        if found is None or not found.open:
            raise ApiError(404, "no such open conflict")
        self.state.conflicts[identifier] = replace(found, open=False)

    def register(self, identifier: str, name: str) -> Device:
        """Register a device; the same id again is the same device."""
        device = Device(identifier, name)
        self.state.devices[identifier] = device
        return device
